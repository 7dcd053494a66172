"""Contracts and the project's own packages become Dagster definitions.

The project root holds `assets` (with `load(project)`) and `resources` (with `load(settings)`); both are imported by name
with the root on `sys.path`. Reads contract files and imports those packages; opens no lake.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import cast

import dagster as dg

from lakehouse.contract.load import load_project
from lakehouse.contract.model import Project
from lakehouse.errors import ProjectError
from lakehouse.orchestration import consent
from lakehouse.orchestration.automation import automation_sensor
from lakehouse.orchestration.loading import load_module
from lakehouse.orchestration.sensors import landing_sensor
from lakehouse.settings import Settings


def build_definitions(settings: Settings) -> dg.Definitions:
    """Everything Dagster should know about the project.

    Raises:
        ContractError: contract files have mistakes; all of them are told.
        ProjectError: `assets` or `resources` is missing or has no `load`.
    """
    project = load_project(settings.project)
    load_assets = cast("Callable[[Project], Sequence[dg.AssetsDefinition]]", _loader(settings.project, "assets"))
    load_resources = cast("Callable[[Settings], Mapping[str, object]]", _loader(settings.project, "resources"))
    assets = load_assets(project)
    asks = any(consent.KEY in each.keys for each in assets)
    return dg.Definitions(
        assets=assets,
        resources=load_resources(settings),
        sensors=[landing_sensor(project), automation_sensor(), *([consent.consent_sensor()] if asks else [])],
        executor=dg.in_process_executor,
    )


def _loader(root: Path, name: str) -> Callable[..., object]:
    load: object = getattr(load_module(root, name), "load", None)
    if not callable(load):
        raise ProjectError(
            f"`{name}` has no function `load`",
            where=str(root / name / "__init__.py"),
            hint="define `def load(project)` in `assets` and `def load(settings)` in `resources`",
        )
    return load
