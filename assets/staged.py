"""Staged: what is true. Landed files go through raw and the gate into typed, checked tables.

Nothing here is particular to a table: sources, types, checks and tolerances stand in the contracts under `policies/`.
"""

from collections.abc import Sequence

import dagster as dg

from assets.raw import delivered_tables
from lakehouse.contract.model import Project
from lakehouse.orchestration.assets import delivered


def load(project: Project) -> Sequence[dg.AssetsDefinition]:
    """Raw and staged of every table with a source."""
    return [delivered(project, table) for table in delivered_tables(project)]
