"""Dagster's way in: `workspace.yaml` and `[tool.dg]` both load this module.

Importing it touches no file, network or clock. Calling `definitions` reads the project's contracts and loads its
`assets` and `resources`; tables are not opened before something runs.
"""

import dagster as dg

from lakehouse.orchestration.build import build_definitions
from lakehouse.settings import load_settings


@dg.definitions
def definitions() -> dg.Definitions:
    """Every asset, check, sensor and resource of the project at hand (see `lakehouse.settings.find_project`)."""
    return build_definitions(load_settings())
