"""The project's Dagster resources, by key: `lake`, `dbt` and `policy`.

`load` is what the platform calls. Configuration holds places, never secrets: those come from the environment when a
resource is used.
"""

from collections.abc import Mapping

from lakehouse.settings import Settings
from resources.dbt import DbtResource
from resources.lake import LakeResource
from resources.policy import PolicyResource


def load(settings: Settings) -> Mapping[str, object]:
    """Resources for these settings."""
    return {"lake": LakeResource.of(settings), "dbt": DbtResource.of(settings), "policy": PolicyResource.of(settings)}
