"""When a table is rebuilt without anybody asking.

Curated and feature tables follow their inputs, but never while a blocking check of an input fails; purposes follow what
they show, and the policy. The sensor that evaluates this is explicit and running by default: Dagster's own is created
stopped.
"""

# dagster annotates `replace` with a condition without its argument: it is partly unknown to the checker.
# pyright: reportUnknownMemberType=false

from typing import Any

import dagster as dg

SENSOR = "rebuild_after_inputs"


def follows_passed_inputs() -> dg.AutomationCondition[Any]:
    """Rebuild when an input changed and all blocking checks of all inputs passed."""
    return dg.AutomationCondition.eager() & dg.AutomationCondition.all_deps_blocking_checks_passed()


def follows_passed_inputs_and_policy() -> dg.AutomationCondition[Any]:
    """The same, and when the policy or a contract changed what is shown (the asset's code version is that)."""
    changed = dg.AutomationCondition.any_deps_updated() | dg.AutomationCondition.code_version_changed()
    return follows_passed_inputs().replace("any_deps_updated", changed)


def automation_sensor() -> dg.AutomationConditionSensorDefinition:
    """The running sensor that evaluates the conditions of every asset."""
    return dg.AutomationConditionSensorDefinition(
        name=SENSOR,
        target=dg.AssetSelection.all(),
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=15,
        description="Rebuilds curated and feature tables when their inputs changed and passed their blocking checks, "
        "and opens the views of purposes when their tables or the policy changed.",
    )
