"""Dagster runs in this process: what the command line uses to materialize tables.

The run is stored in the persistent instance (`DAGSTER_HOME`, else `<project>/.dagster`), so that the web page shows it
beside the others. It carries the id of a request and nothing else.
"""

import datetime as dt
import fcntl
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.events import JobFailureData
from dagster_shared.error import SerializableErrorInfo

from lakehouse import errors, storage
from lakehouse.ingest import landing
from lakehouse.model import TableId, Tier
from lakehouse.orchestration.access import REQUEST_TAG
from lakehouse.orchestration.assets import feature_step
from lakehouse.orchestration.build import build_definitions
from lakehouse.orchestration.metadata import asset_key, table_id
from lakehouse.orchestration.serving import GROUP as SERVING
from lakehouse.settings import Settings

#: Dagster's wrappers around the error that a step raised, and errors whose message is ours.
_WRAPPERS = frozenset({"DagsterExecutionStepExecutionError"})
_SPEAKING = frozenset(name for name, kind in vars(errors).items() if isinstance(kind, type)) | {"Failure"}
_TAKEN = (Tier.RAW, Tier.STAGED)
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass(frozen=True)
class CheckLine:
    """One check of a run."""

    table: TableId
    name: str
    passed: bool
    blocking: bool
    failed_rows: int
    rows: int


@dataclass(frozen=True)
class RunReport:
    """What a run did.

    Attributes:
        success: every step ended well and no blocking check failed.
        run_id: Dagster's id of the run.
        tables: rows of each table that was materialized, as it stands now.
        figures: the counts a step reported beside the rows, by table.
        checks: every check that was judged, in order.
        problems: why steps failed, one line each, without values.
        could_not_run: a step failed although nothing was refused: a full disk, a lost connection, a lease.
    """

    success: bool
    run_id: str
    tables: Mapping[TableId, int]
    figures: Mapping[TableId, Mapping[str, int]]
    checks: tuple[CheckLine, ...]
    problems: tuple[str, ...] = ()
    could_not_run: bool = False

    @property
    def blocked(self) -> tuple[CheckLine, ...]:
        """The blocking checks that failed."""
        return tuple(line for line in self.checks if line.blocking and not line.passed)


def materialize(
    settings: Settings,
    selection: Sequence[TableId],
    request: str | None = None,
    *,
    known_at: dt.datetime | None = None,
) -> RunReport:
    """Materialize tables in this process, in the order of their dependencies.

    Args:
        settings: project and lake.
        selection: the tables; raw and staged of one table always go together.
        request: id of an `ingest` request (`ingest_request`) that names the files to take; without one, staged tables
            take every complete file of their landing folder.
        known_at: feature tables show what was known at this instant; default: now (`features.rebuild`).
    """
    definitions = build_definitions(settings)
    keys = [asset_key(table) for table in _whole(selection, definitions)]
    tags = {REQUEST_TAG: request} if request else {}
    return _executed(settings, definitions, keys, ops=_told(selection, known_at=known_at), tags=tags)


def open_purposes(settings: Settings, tables: Sequence[TableId]) -> RunReport | None:
    """Open the views of every purpose under which some of these tables are shown; None when there is no such purpose."""
    shown = {asset_key(table) for table in tables}
    definitions = build_definitions(settings)
    keys = [
        spec.key
        for spec in definitions.resolve_all_asset_specs()
        if spec.group_name == SERVING and shown.intersection(dep.asset_key for dep in spec.deps)
    ]
    return _executed(settings, definitions, keys) if keys else None


def _executed(
    settings: Settings,
    definitions: dg.Definitions,
    keys: Sequence[dg.AssetKey],
    *,
    ops: Mapping[str, Any] | None = None,
    tags: Mapping[str, str] | None = None,
) -> RunReport:
    job = definitions.resolve_implicit_global_asset_job_def()
    with open_instance(settings) as instance:
        result = job.execute_in_process(
            instance=instance,
            asset_selection=list(keys),
            run_config={**_QUIET, "ops": dict(ops or {})},
            tags=dict(tags or {}),
            raise_on_error=False,
        )
    return _report(result)


def ingest_request(settings: Settings, files: Mapping[TableId, Sequence[Path]]) -> str:
    """Note which landed files a run is to take, by keyed hashes of their names; the run carries only the returned id."""
    lake = storage.open_lake(settings)
    payload = {"files": {str(table): landing.name_hashes(lake, paths) for table, paths in files.items()}}
    return storage.put_request(lake, "ingest", payload)


def open_instance(settings: Settings) -> dg.DagsterInstance:
    """The persistent instance; its folder is made from the project's `dagster.yaml` when it is new."""
    home = Path(os.environ.get("DAGSTER_HOME") or settings.project / ".dagster").resolve()
    home.mkdir(parents=True, exist_ok=True)
    config, template = home / "dagster.yaml", settings.project / "dagster.yaml"
    # Dagster makes its SQLite files without asking who else does: the second of two first runs would fail
    with (home / ".made.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not config.exists() and template.exists():
            shutil.copyfile(template, config)
        instance = dg.DagsterInstance.from_config(str(home))
        _ = (instance.run_storage, instance.event_log_storage, instance.schedule_storage)
    return instance


def _whole(selection: Sequence[TableId], definitions: dg.Definitions) -> list[TableId]:
    """The tables of whole steps: raw and staged of a table are one, so naming either names both."""
    known = definitions.resolve_asset_graph().get_all_asset_keys()
    twins = {table.at(tier) for table in selection for tier in _TAKEN if table.tier in _TAKEN}
    return sorted({*selection, *(twin for twin in twins if asset_key(twin) in known)}, key=str)


def _told(selection: Sequence[TableId], *, known_at: dt.datetime | None) -> dict[str, Any]:
    """Run configuration of the feature tables."""
    if known_at is None:
        return {}
    config = {"config": {"known_at": known_at.isoformat()}}
    return {feature_step(table): config for table in selection if table.tier is Tier.FEATURES}


def _report(result: dg.ExecuteInProcessResult) -> RunReport:
    figures = {table_id(event.asset_key): _counts(event.metadata) for event in _materializations(result)}
    return RunReport(
        success=result.success,
        run_id=result.run_id,
        tables={table: counts.get("dagster/row_count", 0) for table, counts in figures.items()},
        figures=figures,
        checks=tuple(_line(evaluation) for evaluation in result.get_asset_check_evaluations()),
        problems=_problems(result),
        could_not_run=any(_is_trouble(event.step_failure_data.error) for event in result.get_step_failure_events()),
    )


def _materializations(result: dg.ExecuteInProcessResult) -> list[dg.AssetMaterialization]:
    found = [event.step_materialization_data.materialization for event in result.get_asset_materialization_events()]
    return [event for event in found if len(event.asset_key.path) == len(TableId.__dataclass_fields__)]


def _counts(metadata: Mapping[str, dg.MetadataValue]) -> dict[str, int]:
    """The whole numbers among a step's metadata."""
    return {
        name: entry.value
        for name, entry in metadata.items()
        if isinstance(entry, dg.IntMetadataValue) and entry.value is not None
    }


def _line(evaluation: dg.AssetCheckEvaluation) -> CheckLine:
    counts = _counts(evaluation.metadata)
    return CheckLine(
        table=table_id(evaluation.asset_key),
        name=evaluation.check_name,
        passed=evaluation.passed,
        blocking=evaluation.severity is dg.AssetCheckSeverity.ERROR,
        failed_rows=counts.get("failed_rows", 0),
        rows=counts.get("rows", 0),
    )


def _problems(result: dg.ExecuteInProcessResult) -> tuple[str, ...]:
    """Why steps failed; when no step did and the run failed all the same, why the run did."""
    steps = [
        _problem(event.step_key or "", event.step_failure_data.error) for event in result.get_step_failure_events()
    ]
    if steps or result.success:
        return tuple(steps)
    ended = [event.event_specific_data for event in result.all_events if event.is_failure]
    errors_of_run = [data.error for data in ended if isinstance(data, JobFailureData)]
    return tuple(_problem("run", error) for error in errors_of_run) or ("run: could not start",)


def _own(error: SerializableErrorInfo | None) -> SerializableErrorInfo | None:
    """What a step raised, out of Dagster's wrappers."""
    while error is not None and error.cls_name in _WRAPPERS and error.cause is not None:
        error = error.cause
    return error


def _is_trouble(error: SerializableErrorInfo | None) -> bool:
    own = _own(error)
    kind = getattr(errors, own.cls_name or "", None) if own is not None else None
    return isinstance(kind, type) and issubclass(kind, errors.LakehouseError) and kind.exit_code == 1


def _problem(place: str, error: SerializableErrorInfo | None) -> str:
    """Why a step failed, without anything an engine said."""
    error = _own(error)
    if error is None:
        return f"{place}: failed"
    if error.cls_name == "DagsterAssetCheckFailedError":
        return f"blocking check failed: {', '.join(error.message.strip().splitlines()[1:])}"
    if error.cls_name in _SPEAKING:
        return error.message.partition(": ")[2].strip() or error.cls_name
    return f"{place}: {error.cls_name}; see the run in Dagster"
