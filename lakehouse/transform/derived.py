"""What is wrong with derived tables before anything is built: models and feature contracts against `policy.taint`.

Gathers what taint needs (compiled SQL, contracts, policy) and hands on what it says; judges nothing itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lakehouse.errors import ProjectError
from lakehouse.model import Finding, Level, TableId, Tier
from lakehouse.policy import taint
from lakehouse.transform.code import model_file
from lakehouse.transform.dbt_compile import compiled_models
from lakehouse.transform.dbt_schema import schema_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lakehouse.contract.model import Project, Table
    from lakehouse.policy.flows import Leaf
    from lakehouse.policy.model import Policy


def find_derived_mistakes(project: Project, policy: Policy | None) -> list[Finding]:
    """Every column that is less sensitive than what it is made of, and every model that loses whose its rows are."""
    return [*_of_models(project, policy), *_of_features(project, policy)]


def model_lineage(project: Project, table: Table, sql: str) -> dict[str, list[Leaf]]:
    """Each column of a compiled model and the inputs' columns that it comes from.

    Raises:
        LineageError: the model cannot be followed.
    """
    return taint.columns_of_ways(taint.ways_of_model(project, table, sql, relation=relation))


def relation(table: TableId) -> str:
    """How compiled models name a table."""
    return f"{schema_name(table)}.{table.table}"


def _of_models(project: Project, policy: Policy | None) -> Iterator[Finding]:
    try:
        compiled = compiled_models(project)
    except ProjectError as problem:
        place = (problem.where or "dbt").removeprefix(f"{project.root}/")
        yield Finding("model", Level.ERROR, place, problem.message, problem.hint)
        return
    for name, sql in compiled.items():
        table = project.table(name)
        where = model_file(project, name).relative_to(project.root).as_posix()
        yield from taint.judge_model(project, table, sql, policy=policy, relation=relation, where=where)


def _of_features(project: Project, policy: Policy | None) -> Iterator[Finding]:
    for table in project.tables:
        if table.id.tier is Tier.FEATURES:
            yield from taint.judge_feature(project, table, policy=policy)
