"""Column lineage of derived tables as Dagster shows it: from which columns of which assets each column comes.

Told when a table is built, because the SQL of a model is known only then; loading the graph asks nobody. Names only.
"""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from lakehouse.contract.model import Project, Table
from lakehouse.errors import ProjectError
from lakehouse.model import Tier
from lakehouse.orchestration.metadata import asset_key
from lakehouse.policy import taint
from lakehouse.policy.flows import Leaf, LineageError
from lakehouse.transform.dbt_compile import compiled_models
from lakehouse.transform.derived import model_lineage

KEY = "dagster/column_lineage"


def column_lineage(project: Project, table: Table) -> dict[str, Any]:
    """The metadata of a curated or feature table; empty where it cannot be told, which `lakehouse check` says."""
    try:
        found = _found(project, table)
    except (LineageError, ProjectError):
        return {}
    names = {column.name.casefold(): column.name for column in table.columns}
    deps = {
        names.get(name, name): [dg.TableColumnDep(asset_key(leaf.table), leaf.column) for leaf in leaves]
        for name, leaves in found.items()
    }
    return {} if not deps else {KEY: dg.TableColumnLineage(deps_by_column=deps)}


def _found(project: Project, table: Table) -> Mapping[str, list[Leaf]]:
    if table.id.tier is Tier.FEATURES:
        return taint.columns_of_ways(taint.ways_of_feature(project, table))
    sql = compiled_models(project).get(table.id)
    return {} if sql is None else model_lineage(project, table, sql)
