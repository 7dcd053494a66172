"""Factories: a contract in, Dagster assets with their checks out.

    delivered   raw and staged of one table, in one step (gateway and gate are one pass)
    modelled    a curated table, built by dbt
    computed    a feature table, built by one function of the project

What a step does stands in `steps`, which is imported when the first step runs: the graph loads without any engine.
"""

# dagster annotates metadata with `PathLike` without its argument: it is partly unknown to the checker.
# pyright: reportUnknownMemberType=false

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast

import dagster as dg
from pydantic import Field

from lakehouse.contract.model import Project, Table
from lakehouse.model import TableId, Tier
from lakehouse.orchestration.access import DBT, LAKE, REQUEST_TAG, DbtAccess, LakeAccess
from lakehouse.orchestration.checks import check_specs, referred_to
from lakehouse.orchestration.metadata import asset_key, spec

if TYPE_CHECKING:
    from lakehouse.orchestration.steps import Step

PRIORITY_TAG = "dagster/priority"
Events = Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]


class FeatureConfig(dg.Config):
    """What a run of a feature table may be told."""

    known_at: str | None = Field(
        default=None,
        description="What was known at this instant (`2011-06-30T23:59:59+00:00`) and nothing later; default: now. "
        "Replaces the whole table until the next run without it. An earlier instant needs inputs that keep their past.",
    )


def delivered(project: Project, table: Table) -> dg.AssetsDefinition:
    """Raw and staged of a table with sources: landed files are taken, judged and committed in one step."""

    @dg.multi_asset(
        name=f"take_{table.id.domain}_{table.id.table}",
        specs=[spec(table, tier=Tier.RAW), spec(table)],
        check_specs=check_specs(table),
        # Within a run, what others refer to comes first; it is no lineage, so that it is no dependency of the asset.
        op_tags={PRIORITY_TAG: str(referred_to(project, table.id))},
        required_resource_keys={LAKE},
        can_subset=True,
    )
    def take(context: dg.AssetExecutionContext) -> Events:
        from lakehouse.orchestration import steps  # noqa: PLC0415 - engines load with the first step

        if _only_checks(context):
            step = steps.recheck(_lake(context), project, table)
        else:
            step = steps.take(_lake(context), project, table, request=context.run.tags.get(REQUEST_TAG))
        yield from _reported(context, table, step)

    return take


def modelled(project: Project, table: Table) -> dg.AssetsDefinition:
    """A curated table: dbt builds it from versions of its inputs that passed."""

    @dg.multi_asset(
        name=f"model_{table.id.domain}_{table.id.table}",
        specs=[spec(table)],
        check_specs=check_specs(table),
        required_resource_keys={LAKE, DBT},
        can_subset=True,
    )
    def model(context: dg.AssetExecutionContext) -> Events:
        from lakehouse.orchestration import steps  # noqa: PLC0415 - engines load with the first step

        if _only_checks(context):
            step = steps.recheck(_lake(context), project, table)
        else:
            dbt: DbtAccess = getattr(context.resources, DBT)
            step = steps.model(_lake(context), project, table, dbt=dbt)
        yield from _reported(context, table, step)

    return model


def computed(project: Project, table: Table, *, function: str) -> dg.AssetsDefinition:
    """A feature table: `function` (`module:name` in the project) gives its rows.

    Args:
        project: every contract.
        table: the feature table.
        function: imported when the asset runs.
    """

    @dg.multi_asset(
        name=feature_step(table.id),
        specs=[spec(table)],
        check_specs=check_specs(table),
        required_resource_keys={LAKE},
        can_subset=True,
    )
    def compute(context: dg.AssetExecutionContext, config: FeatureConfig) -> Events:
        from lakehouse.orchestration import steps  # noqa: PLC0415 - engines load with the first step

        if _only_checks(context):
            step = steps.recheck(_lake(context), project, table)
        else:
            step = steps.compute(_lake(context), project, table, function=function, known_at=config.known_at)
        yield from _reported(context, table, step)

    return compute


def feature_step(table: TableId) -> str:
    """The name under which run configuration speaks to a feature table."""
    return f"compute_{table.domain}_{table.table}"


def _only_checks(context: dg.AssetExecutionContext) -> bool:
    """Whether the run asks for checks alone: then nothing is taken or rebuilt."""
    return not context.selected_asset_keys


def _reported(context: dg.AssetExecutionContext, table: Table, step: "Step") -> Events:
    """Tell everything that a step did, also of what the run did not select, and fail where it must.

    A step cannot do half: whoever selects raw alone takes files into staged too. A selected asset may yield its result;
    for the others the event is logged, so that Dagster never shows less than what happened.
    """
    refused = list(step.refused)
    chosen: list[dg.MaterializeResult[Any] | dg.AssetCheckResult] = []
    for event in step.events:
        if isinstance(event, dg.MaterializeResult):
            if event.asset_key in context.selected_asset_keys:
                chosen.append(event)
            elif not _only_checks(context):
                context.log_event(_materialization(event))
        elif dg.AssetCheckKey(asset_key(table.id), str(event.check_name)) in context.selected_asset_check_keys:
            chosen.append(event)
        else:
            context.log_event(cast("Any", _evaluation(event)))
            if not event.passed and event.severity is dg.AssetCheckSeverity.ERROR:
                refused.append(f"blocking check `{event.check_name}` failed")
    beside = context.run.asset_selection
    for event in step.others:
        if beside is not None and event.asset_key not in beside:  # who is in this run comes later and tells by itself
            context.log_event(cast("Any", _evaluation(event)))
    yield from chosen
    if refused:
        # INVARIANT: a held batch fails the step, so that nothing after it runs in this run.
        raise dg.Failure(f"{table.id}: {'; '.join(refused)}", allow_retries=False)


def _materialization(event: dg.MaterializeResult[Any]) -> dg.AssetMaterialization:
    assert event.asset_key is not None  # noqa: S101 - for the type checker; every step names its asset
    tags = {} if event.data_version is None else {"dagster/data_version": event.data_version.value}
    return dg.AssetMaterialization(event.asset_key, metadata=event.metadata, tags=tags)


def _evaluation(event: dg.AssetCheckResult) -> dg.AssetCheckEvaluation:
    assert event.asset_key is not None and event.check_name is not None  # noqa: S101, PT018 - for the type checker
    return dg.AssetCheckEvaluation(
        asset_key=event.asset_key,
        check_name=event.check_name,
        passed=event.passed,
        metadata=event.metadata,
        severity=event.severity,
        description=event.description,
    )


def _lake(context: dg.AssetExecutionContext) -> LakeAccess:
    return getattr(context.resources, LAKE)
