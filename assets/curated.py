"""Curated: what the business means. Each table is the dbt model of its name, with a contract.

To add one: a contract with `tier: curated` and `dbt/models/curated/<domain>/<table>.sql`.
"""

from collections.abc import Sequence

import dagster as dg

from lakehouse.contract.model import Project
from lakehouse.model import Tier
from lakehouse.orchestration.assets import modelled


def load(project: Project) -> Sequence[dg.AssetsDefinition]:
    """Every curated table."""
    return [modelled(project, table) for table in project.tables if table.id.tier is Tier.CURATED]
