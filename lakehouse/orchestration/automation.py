"""When a table is rebuilt without anybody asking.

Curated and feature tables follow their inputs, but never while a blocking check of an input fails. The sensor that
evaluates this is explicit and running by default: Dagster's own is created stopped.
"""

from typing import Any

import dagster as dg

SENSOR = "rebuild_after_inputs"


def follows_passed_inputs() -> dg.AutomationCondition[Any]:
    """Rebuild when an input changed and all blocking checks of all inputs passed."""
    return dg.AutomationCondition.eager() & dg.AutomationCondition.all_deps_blocking_checks_passed()


def automation_sensor() -> dg.AutomationConditionSensorDefinition:
    """The running sensor that evaluates the conditions of every asset."""
    return dg.AutomationConditionSensorDefinition(
        name=SENSOR,
        target=dg.AssetSelection.all(),
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=15,
        description="Rebuilds curated and feature tables when their inputs changed and passed their blocking checks.",
    )
