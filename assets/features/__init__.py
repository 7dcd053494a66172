"""Features: numbers for models, correct in time. Each table is a polars function `<table>` in `<domain>.py` here.

To add one: a contract with `tier: features` and the function. It is imported when it runs, so the graph loads quickly.
"""

from collections.abc import Sequence

import dagster as dg

from lakehouse.contract.model import Project
from lakehouse.model import Tier
from lakehouse.orchestration.assets import computed


def load(project: Project) -> Sequence[dg.AssetsDefinition]:
    """Every feature table."""
    return [
        computed(project, table, function=f"assets.features.{table.id.domain}:{table.id.table}")
        for table in project.tables
        if table.id.tier is Tier.FEATURES
    ]
