"""Factories: a contract in, Dagster assets with their checks out.

    delivered   raw and staged of one table, in one step (gateway and gate are one pass)
    modelled    a curated table, built by dbt
    computed    a feature table, built by one function of the project

What a step does stands in `steps`, which is imported when the first step runs: the graph loads without any engine.
"""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from lakehouse.contract.model import Project, Table
from lakehouse.model import Tier
from lakehouse.orchestration.access import DBT, LAKE, REQUEST_TAG, DbtAccess, LakeAccess
from lakehouse.orchestration.checks import check_specs
from lakehouse.orchestration.metadata import spec

Events = Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]


def delivered(project: Project, table: Table) -> dg.AssetsDefinition:
    """Raw and staged of a table with sources: landed files are taken, judged and committed in one step."""

    @dg.multi_asset(
        name=f"take_{table.id.domain}_{table.id.table}",
        specs=[spec(table, tier=Tier.RAW), spec(table)],
        check_specs=check_specs(table),
        required_resource_keys={LAKE},
    )
    def take(context: dg.AssetExecutionContext) -> Events:
        from lakehouse.orchestration import steps  # noqa: PLC0415 - engines load with the first step

        step = steps.take(_lake(context), project, table, request=context.run.tags.get(REQUEST_TAG))
        yield from step.events
        if step.refused:
            # INVARIANT: a held batch fails the step, so that nothing after it runs in this run.
            raise dg.Failure(f"{table.id}: {'; '.join(step.refused)}", allow_retries=False)

    return take


def modelled(project: Project, table: Table) -> dg.AssetsDefinition:
    """A curated table: dbt builds it from versions of its inputs that passed."""

    @dg.multi_asset(
        name=f"model_{table.id.domain}_{table.id.table}",
        specs=[spec(table)],
        check_specs=check_specs(table),
        required_resource_keys={LAKE, DBT},
    )
    def model(context: dg.AssetExecutionContext) -> Events:
        from lakehouse.orchestration import steps  # noqa: PLC0415 - engines load with the first step

        dbt: DbtAccess = getattr(context.resources, DBT)
        yield from steps.model(_lake(context), project, table, dbt=dbt).events

    return model


def computed(project: Project, table: Table, *, function: str) -> dg.AssetsDefinition:
    """A feature table: `function` (`module:name` in the project) gives its rows.

    Args:
        project: every contract.
        table: the feature table.
        function: imported when the asset runs.
    """

    @dg.multi_asset(
        name=f"compute_{table.id.domain}_{table.id.table}",
        specs=[spec(table)],
        check_specs=check_specs(table),
        required_resource_keys={LAKE},
    )
    def compute(context: dg.AssetExecutionContext) -> Events:
        from lakehouse.orchestration import steps  # noqa: PLC0415 - engines load with the first step

        yield from steps.compute(_lake(context), project, table, function=function).events

    return compute


def _lake(context: dg.AssetExecutionContext) -> LakeAccess:
    return getattr(context.resources, LAKE)
