"""What a step does when it runs: take files, build a curated table, compute features.

Each does its work, judges the result and records the verdict, and only then says what to report: figures of the table
and one result per check. Tables made from others ask for the verdict on every input first.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg

from lakehouse import storage
from lakehouse.contract.model import Project, Table
from lakehouse.errors import RefusedError
from lakehouse.ingest import landing
from lakehouse.ingest.gateway import ingest
from lakehouse.ingest.report import IngestReport
from lakehouse.model import TableId, Tier
from lakehouse.orchestration import features
from lakehouse.orchestration.access import DbtAccess, LakeAccess
from lakehouse.orchestration.checks import check_result
from lakehouse.orchestration.columns import column_lineage
from lakehouse.orchestration.consenting import renew_consent
from lakehouse.orchestration.guard import no_values_in_errors
from lakehouse.orchestration.metadata import asset_key
from lakehouse.orchestration.verdicts import ingest_outcomes, judge, judge_referring, own_tests, standing_outcomes
from lakehouse.storage import Lake

Event = dg.MaterializeResult[Any] | dg.AssetCheckResult


@dataclass(frozen=True)
class Step:
    """What to tell Dagster, and what was refused: batches held, files rejected, tests failed.

    `others` are checks of tables that refer to this one, judged again because it changed.
    """

    events: tuple[Event, ...]
    refused: tuple[str, ...] = ()
    others: tuple[dg.AssetCheckResult, ...] = ()


def take(access: LakeAccess, project: Project, table: Table, *, request: str | None) -> Step:
    """Take landed files into raw and staged.

    Without any file the present version is judged again: that is how a table recovers whose run died between its commit
    and its verdict.

    Raises:
        RefusedError: there is no file and no table yet.
    """
    with no_values_in_errors(str(table.id)):
        lake = access.open()
        report = ingest(lake, project, table, _landed(lake, table, request=request), now=lake.now())
        refused, figures = _refused(report), _figures(report)
        if not storage.exists(lake, table.id):
            _require(refused, table)
            return Step((), refused)
        outcomes = ingest_outcomes(lake, table, report)
        outcomes += judge(lake, project, table, earlier=outcomes)
        events: list[Event] = [_materialized(lake, table.id.at(Tier.RAW), rows_read=figures["rows_read"])]
        if not refused or any(batch.state == "staged" for batch in report.batches):
            events.append(_materialized(lake, table.id, **figures))
        renew_consent(lake, project, table)
        others = judge_referring(lake, project, table)
    return Step(
        (*events, *(check_result(table, outcome) for outcome in outcomes)),
        refused,
        tuple(check_result(other, outcome) for other, judged in others for outcome in judged),
    )


def model(access: LakeAccess, project: Project, table: Table, *, dbt: DbtAccess) -> Step:
    """Build a curated table with dbt; its failed tests fail the checks they were made from, or the step."""
    with no_values_in_errors(str(table.id)):
        lake = access.open()
        failed_tests = dbt.build([table.id], versions=_passed_versions(lake, table)).get(table.id, ())
        return _built(lake, project, table, failed_tests=failed_tests)


def compute(access: LakeAccess, project: Project, table: Table, *, function: str, known_at: str | None = None) -> Step:
    """Build a feature table with the project's function, from what was known at `known_at` (ISO 8601; default: now)."""
    known = None if known_at is None else features.instant(known_at, where=str(table.id))
    with no_values_in_errors(str(table.id)):
        lake = access.open()
        versions = _passed_versions(lake, table)
        features.rebuild(lake, project, table, function=function, versions=versions, known_at=known)
        return _built(lake, project, table)


def recheck(access: LakeAccess, project: Project, table: Table) -> Step:
    """Judge the present version of a table again, all of its checks, and record the verdict; no row changes.

    Raises:
        RefusedError: there is no such table yet, or dbt has not tested its version.
    """
    with no_values_in_errors(str(table.id)):
        lake = access.open()
        if not storage.exists(lake, table.id):
            raise RefusedError("there is no table to check yet", where=str(table.id), hint="materialise it first")
        outcomes = standing_outcomes(lake, table) if table.id.tier is Tier.STAGED else []
        outcomes += judge(lake, project, table, earlier=outcomes, failed_tests=_standing_tests(lake, table))
    return Step(tuple(check_result(table, outcome) for outcome in outcomes))


def _standing_tests(lake: Lake, table: Table) -> list[str]:
    """The tests written for dbt alone that the present version of a curated table failed: its rows are the same."""
    if table.id.tier is not Tier.CURATED:
        return []
    failed = storage.failed_checks(lake, table.id)
    if failed is None:
        raise RefusedError("dbt has not tested this version", where=str(table.id), hint="materialise the table")
    checks = {check.name for check in table.checks}
    return [name for name in failed if name not in checks]


def _passed_versions(lake: Lake, table: Table) -> dict[TableId, int]:
    """The version of each input that passed its blocking checks.

    INVARIANT: nothing is read for curated or features before this was asked, in whatever run.
    """
    return {needed: storage.require_passed(lake, needed) for needed in table.inputs}


def _built(lake: Lake, project: Project, table: Table, *, failed_tests: Collection[str] = ()) -> Step:
    outcomes = judge(lake, project, table, failed_tests=failed_tests)
    built = _materialized(lake, table.id, column_lineage(project, table))
    events = (built, *(check_result(table, outcome) for outcome in outcomes))
    return Step(events, tuple(f"dbt's test `{name}` failed" for name in own_tests(table, failed_tests)))


def _landed(lake: Lake, table: Table, *, request: str | None) -> list[Path]:
    """The files of the request, as far as they are still there; without one, all complete files."""
    if request is not None:
        named: Mapping[str, Sequence[str]] = storage.get_request(lake, request).get("files", {})
        if str(table.id) in named:
            return landing.named(lake, table, named[str(table.id)])
    return list(landing.complete_files(lake, table, lake.now()))


def _require(refused: Sequence[str], table: Table) -> None:
    if not refused:
        raise RefusedError(
            "nothing has landed yet",
            where=str(table.id),
            hint=f"run `lakehouse ingest {table.id} FILE`, or put a complete file into the landing folder",
        )


def _refused(report: IngestReport) -> tuple[str, ...]:
    """Why batches were held and files rejected; reasons name checks and places, never values."""
    return tuple(
        f"batch {batch.batch} {batch.state}: {batch.reason or 'no reason given'}"
        for batch in report.batches
        if batch.state in {"held", "rejected"}
    )


def _figures(report: IngestReport) -> dict[str, int]:
    """How many rows went where in this run."""
    return {
        "batches": len(report.batches),
        "batches_held": sum(batch.state == "held" for batch in report.batches),
        "rows_read": sum(batch.rows for batch in report.batches),
        "rows_staged": sum(batch.staged for batch in report.batches),
        "rows_quarantined": sum(batch.quarantined for batch in report.batches),
        "rows_duplicate": sum(batch.duplicate for batch in report.batches),
        "rows_conflict": sum(batch.conflict for batch in report.batches),
        "rows_superseded": sum(batch.superseded for batch in report.batches),
        "rows_deleted": sum(batch.deleted for batch in report.batches),
        "rows_erased": sum(batch.erased for batch in report.batches),
        "files_taken_before": sum(batch.state == "skipped" for batch in report.batches),
    }


def _materialized(
    lake: Lake, table: TableId, columns: Mapping[str, Any] | None = None, /, **counted: int
) -> dg.MaterializeResult[Any]:
    """The table as it is now; its Delta version is Dagster's data version."""
    figures = storage.table_figures(lake, table)
    if figures is None:
        return dg.MaterializeResult(asset_key=asset_key(table), metadata=counted)
    return dg.MaterializeResult(
        asset_key=asset_key(table),
        metadata={
            "dagster/row_count": figures.rows,
            "dagster/table_name": str(table),
            "delta_version": figures.version,
            "size_bytes": figures.bytes,
            "files": figures.files,
            **(columns or {}),
            **counted,
        },
        data_version=dg.DataVersion(str(figures.version)),
    )
