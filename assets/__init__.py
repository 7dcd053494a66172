"""The project's software-defined assets: one per contracted table, by tier, and one per purpose of reading.

`load` is what the platform calls. Raw and staged come from contracts alone; curated tables stand in `dbt/`, features are
functions in `features/<domain>.py`, purposes come from policies.
"""

from collections.abc import Sequence

import dagster as dg

from assets import curated, features, serving, staged
from lakehouse.contract.model import Project


def load(project: Project) -> Sequence[dg.AssetsDefinition]:
    """Every asset of the project."""
    return [*staged.load(project), *curated.load(project), *features.load(project), *serving.load(project)]
