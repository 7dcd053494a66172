"""The lake: where it is, and how a step opens it.

The control database's URL and the key file may be secrets, and Dagster shows a resource's configuration to everybody:
they are read from the environment (`lakehouse.settings`) when the lake is opened.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Self

import dagster as dg

from lakehouse.errors import ProjectError
from lakehouse.settings import Settings, load_settings

if TYPE_CHECKING:
    from lakehouse.storage import Lake


class LakeResource(dg.ConfigurableResource):
    """Opens the project's lake."""

    project: str
    place: str

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The resource for these settings.

        Raises:
            ProjectError: the settings differ from what the environment says, so a run elsewhere would open another lake.
        """
        resource = cls(project=str(settings.project), place=settings.lake)
        if resource.settings() != settings:
            raise ProjectError(
                "settings given in code differ from the environment",
                where=str(settings.project),
                hint="set `LAKEHOUSE_CONTROL_URL`, `LAKEHOUSE_KEY_FILE` and `LAKEHOUSE_ENVIRONMENT` instead",
            )
        return resource

    def settings(self) -> Settings:
        """Settings for this project and lake, with what the environment adds."""
        return load_settings(Path(self.project), lake=self.place)

    def open(self) -> "Lake":
        """The lake; refuses when it is missing or does not fit its control database."""
        from lakehouse import storage  # noqa: PLC0415 - engines load with the first step

        return storage.open_lake(self.settings())
