"""Consent in the graph: what is in force is an asset, above the purposes that ask for it.

A run of it takes the files that have landed in `consent/` and makes what is in force anew; that is `consenting`, imported
when the first step runs. The sensor asks for a run when a file waits, and when somebody gave or withdrew consent by
command, so that copies follow. Views need none of it: their readers see a withdrawal at once.
"""

# dagster annotates metadata with `PathLike` without its argument: it is partly unknown to the checker.
# pyright: reportUnknownMemberType=false

from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg

from lakehouse.contract.model import Project
from lakehouse.errors import LakeMissingError
from lakehouse.orchestration.access import LAKE, REQUEST_TAG, LakeAccess
from lakehouse.orchestration.guard import no_values_in_errors
from lakehouse.orchestration.metadata import owners
from lakehouse.policy.model import Policy
from lakehouse.policy.showing import Showing

SENSOR = "landed_consent"
KEY = dg.AssetKey(["system", "consent_current"])
CHECK = "every_line_was_read"
_COLUMNS = {
    "entity": ("string", "user.unique_id.pseudonymous", "surrogate of whose rows they are"),
    "purpose": ("string", "system.operations", "for what"),
    "given": ("boolean", "system.operations", "given, or withdrawn"),
    "expires_on": ("date", "system.operations", "last day of something given; empty: it lasts"),
    "type": ("string", "system.operations", "entity type"),
    "valid_from": ("timestamp", "system.operations", "since when"),
    "derived": ("boolean", "system.operations", "said by another entity that decides for it"),
}


def consent_assets(project: Project, policy: Policy, shown: Sequence[Showing]) -> list[dg.AssetsDefinition]:
    """The asset, where some purpose asks for consent."""
    asking = [showing for showing in shown if showing.purpose.consent is not None]
    return [_asset(project, policy, asking)] if asking else []


def consent_sensor() -> dg.SensorDefinition:
    """A running sensor that asks for a run of the asset."""

    @dg.sensor(
        name=SENSOR,
        target=dg.AssetSelection.assets(KEY),
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=15,
        required_resource_keys={LAKE},
        description="Takes complete files from the landing folder `consent`, and lets copies follow what people said.",
    )
    def landed_consent(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        from lakehouse.orchestration import consenting  # noqa: PLC0415 - engines load with the first tick

        access: LakeAccess = getattr(context.resources, LAKE)
        try:
            lake = access.open()
        except LakeMissingError as error:
            return dg.SkipReason(error.message)
        told = context.instance.get_latest_materialization_event(KEY)
        with no_values_in_errors("consent"):
            key = consenting.reason_to_run(lake, told.asset_materialization if told else None)
        if key is None:
            return dg.SkipReason("no complete file waits, and what is in force is known")
        request = consenting.attempt(context.instance, key)
        if request is None:
            return dg.SkipReason("a run is at it, or has failed a few times: then the files wait for a person")
        return dg.RunRequest(run_key=request, tags={REQUEST_TAG: request}, asset_selection=[KEY])

    return landed_consent


def _asset(project: Project, policy: Policy, asking: Sequence[Showing]) -> dg.AssetsDefinition:
    described = "Whose consent is in force for what: the last that each one said. Asked for by "
    described += ", ".join(f"`{showing.purpose.name}`" for showing in asking)
    columns = [
        dg.TableColumn(name, kind, description=told, tags={"category": category})
        for name, (kind, category, told) in _COLUMNS.items()
    ]
    spec = dg.AssetSpec(
        KEY,
        group_name=KEY.path[0],
        kinds={"deltalake"},
        # Whose tables are shown to those who consented: they lose readers when it is wrong.
        owners=sorted({owner for showing in asking for each in showing.tables for owner in owners(each.table.owner)}),
        description=f"{described}. A run takes what has landed in `consent/`.",
        metadata={"dagster/column_schema": dg.TableSchema(columns=columns)},
    )
    check = dg.AssetCheckSpec(
        CHECK, asset=KEY, description="No file `*.bad` waits in the folder: bad lines are kept in those."
    )

    @dg.multi_asset(name="take_consent", specs=[spec], check_specs=[check], required_resource_keys={LAKE})
    def take_consent(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[Any]]:
        from lakehouse.orchestration import consenting  # noqa: PLC0415 - engines load with the first step

        access: LakeAccess = getattr(context.resources, LAKE)
        yield consenting.taken(access, project, policy, check=CHECK)

    return take_consent
