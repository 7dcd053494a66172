"""The verdict on a version of a table, recorded before anything downstream may read it.

Checks that the gate made before its commit come in as counts; table checks, and every check of a table that dbt or a
feature function built, are judged here on the committed version. `storage.require_passed` answers from what is recorded.
"""

# pyarrow ships no types: schemas and readers are unknown to the checker where they pass through.
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace

import polars as pl

from lakehouse import quality, storage
from lakehouse.contract import arrow
from lakehouse.contract.model import Check, CheckKind, Project, Rule, Table
from lakehouse.ingest import quarantine
from lakehouse.ingest.report import IngestReport
from lakehouse.model import TableId, Tier
from lakehouse.orchestration.checks import Outcome, is_blocking
from lakehouse.quality import CheckResult
from lakehouse.storage import Lake
from lakehouse.transform.dbt_schema import dbt_test_name


def ingest_outcomes(lake: Lake, table: Table, report: IngestReport) -> list[Outcome]:
    """Row and batch checks as the gate counted them, over all batches of the run.

    A row check with a tolerance passes when every batch of the table is within it, so a suspect batch is not forgotten
    when the next run brings good rows, or none: the contract has to accept it. A run that judged no row counts what
    stands instead, which is how a run that died before its verdict is made good.
    """
    if not report.row_checks and not report.batch_checks:
        return standing_outcomes(lake, table)
    rows = sum(batch.rows for batch in report.batches)
    return [
        *_row_outcomes(lake, table, failed=report.row_checks, rows=rows),
        *_combined(table.checks_of(CheckKind.BATCH), report.batch_checks),
    ]


def standing_outcomes(lake: Lake, table: Table) -> list[Outcome]:
    """Row and batch checks over every staged batch, counted again from the manifest and the quarantine."""
    batches = storage.batches(lake, table.id)
    staged = batches.filter(pl.col("state") == "staged").select(batch="number", read="rows")
    rows = int(staged["read"].sum())
    counted = quarantine.counts(lake, table.id).join(staged, on="batch").group_by("check").agg(pl.col("rows").sum())
    held = int((batches["state"] == "held").sum())
    # INVARIANT: the gate stages no batch that fails a batch check, so what is staged has passed.
    note = f"{held} batches are held" if held else ""
    return [
        *_row_outcomes(lake, table, failed=dict(counted.rows()), rows=rows),
        *(
            Outcome(check, passed=True, failed_rows=0, rows=rows, note=note)
            for check in table.checks_of(CheckKind.BATCH)
        ),
    ]


def _row_outcomes(lake: Lake, table: Table, *, failed: Mapping[str, int], rows: int) -> list[Outcome]:
    suspect = _suspect_batches(lake, table)
    return [
        Outcome(
            check,
            passed=not (failed if check.tolerance is None else suspect).get(check.name),
            failed_rows=failed.get(check.name, 0),
            rows=rows,
            note=f"{suspect[check.name]} staged batches are beyond the tolerance" if suspect.get(check.name) else "",
        )
        for check in table.checks_of(CheckKind.ROW)
    ]


def judge(
    lake: Lake,
    project: Project,
    table: Table,
    *,
    earlier: Sequence[Outcome] = (),
    failed_tests: Collection[str] = (),
) -> list[Outcome]:
    """Judge the table's present version after its commit and record the verdict before anything downstream.

    Args:
        lake: the lake.
        project: every contract, for the tables that foreign keys point to.
        table: a staged, curated or feature table that exists.
        earlier: outcomes that the pass before the commit gave (row and batch checks of staged tables).
        failed_tests: dbt's tests that failed on this version. One that a check became fails that check; of any other
            the verdict keeps the name.

    Returns:
        The outcome of every check that was judged now.
    """
    version = storage.snapshot(lake, table.id).version
    outcomes = _table_outcomes(lake, project, table, version)
    if table.id.tier is not Tier.STAGED:
        outcomes = [*_built_outcomes(lake, project, table, version), *outcomes]
    outcomes = [_tested(outcome, table, failed_tests) for outcome in outcomes]
    # A batch check holds its batch: the rows it speaks of are not in this version.
    about = [
        outcome.check
        for outcome in (*earlier, *outcomes)
        if not outcome.passed and not (table.id.tier is Tier.STAGED and outcome.check.kind is CheckKind.BATCH)
    ]
    failed = [check.name for check in about if is_blocking(table, check)]
    storage.record_verdict(lake, table.id, version, [*failed, *own_tests(table, failed_tests)])
    return outcomes


def judge_referring(lake: Lake, project: Project, table: Table) -> list[tuple[Table, list[Outcome]]]:
    """Judge staged tables again whose foreign keys point to this one, which has just changed.

    Files land in any order: whoever came before what it refers to has failed, and would stay so until its own next file.
    A table whose rows can vanish may also leave others behind.

    Returns:
        Each table that was judged, with the outcomes of those foreign keys.
    """
    found: list[tuple[Table, list[Outcome]]] = []
    for other in project.tables:
        keys = {check.name for check in other.checks if check.rule is Rule.FOREIGN_KEY and check.target == table.id}
        if not keys or other.id == table.id or other.id.tier is not Tier.STAGED or not storage.exists(lake, other.id):
            continue
        if table.load_mode != "append" or keys & set(storage.failed_checks(lake, other.id) or ()):
            outcomes = judge(lake, project, other, earlier=standing_outcomes(lake, other))
            found.append((other, [outcome for outcome in outcomes if outcome.check.name in keys]))
    return found


def own_tests(table: Table, failed_tests: Collection[str]) -> list[str]:
    """The failed tests that somebody wrote for dbt alone: no check of the contract shows them."""
    made = {dbt_test_name(table.id, check.name) for check in table.checks}
    return sorted(set(failed_tests) - made)


def _tested(outcome: Outcome, table: Table, failed_tests: Collection[str]) -> Outcome:
    """The outcome, failed when dbt's test of the same rule failed: where two judges differ, the stricter one counts."""
    if not outcome.passed or dbt_test_name(table.id, outcome.check.name) not in failed_tests:
        return outcome
    return replace(outcome, passed=False, note="dbt's test of this rule failed")


def _table_outcomes(lake: Lake, project: Project, table: Table, version: int) -> list[Outcome]:
    outcomes = _combined(
        [check for check in table.checks_of(CheckKind.TABLE) if check.rule is not Rule.CONSERVED],
        quality.check_table(table, _scanner(lake, project, table, version)),
    )
    conserved = [check for check in table.checks_of(CheckKind.TABLE) if check.rule is Rule.CONSERVED]
    return [*outcomes, *(_conserved(lake, table, check) for check in conserved)]


def _built_outcomes(lake: Lake, project: Project, table: Table, version: int) -> list[Outcome]:
    """Row and batch checks of a table that dbt or a feature function built."""
    wanted = [check for check in table.checks if check.kind is not CheckKind.TABLE]
    return _combined(wanted, quality.check_rows(table, _scanner(lake, project, table, version)(table.id)))


def _conserved(lake: Lake, table: Table, check: Check) -> Outcome:
    """Every batch's rows are accounted for; `rows` and `failed_rows` count batches here."""
    balance = storage.balance(lake, table.id)
    unbalanced = len(balance.unbalanced)
    return Outcome(check, passed=unbalanced == 0, failed_rows=unbalanced, rows=balance.rows.height)


def _scanner(lake: Lake, project: Project, table: Table, version: int) -> Callable[[TableId], pl.LazyFrame]:
    """Scans `table` at the judged version, and other tables as they are; a missing table has no rows."""

    def scan(wanted: TableId) -> pl.LazyFrame:
        if wanted == table.id:
            return storage.scan(lake, wanted, version=version)
        if storage.exists(lake, wanted):
            return storage.scan(lake, wanted)
        nothing = arrow.schema(project.table(wanted), wanted.tier).empty_table()
        return pl.DataFrame(nothing).lazy()

    return scan


def _combined(checks: Iterable[Check], results: Iterable[CheckResult]) -> list[Outcome]:
    """One outcome per check; several results of one check (one per batch) pass together or fail together."""
    by_name: dict[str, list[CheckResult]] = {}
    for result in results:
        by_name.setdefault(result.name, []).append(result)
    return [
        Outcome(
            check,
            passed=all(result.passed for result in by_name.get(check.name, ())),
            failed_rows=sum(result.failed_rows for result in by_name.get(check.name, ())),
            rows=sum(result.rows for result in by_name.get(check.name, ())),
        )
        for check in checks
    ]


def _suspect_batches(lake: Lake, table: Table) -> dict[str, int]:
    """Check name -> staged batches with a larger share of quarantined rows than the contract tolerates."""
    named = [check for check in table.checks_of(CheckKind.ROW) if check.tolerance is not None]
    limits = {check.name: check.tolerance for check in named}
    if not limits:
        return {}
    staged = storage.batches(lake, table.id).filter(pl.col("state") == "staged").select(batch="number", read="rows")
    limit = pl.DataFrame(
        {"check": list(limits), "limit": list(limits.values())}, schema_overrides={"limit": pl.Float64}
    )
    beyond = (
        quarantine.counts(lake, table.id)
        .join(limit, on="check")
        .join(staged, on="batch")
        .filter(pl.col("rows") / pl.col("read") > pl.col("limit"))
    )
    return dict(beyond.group_by("check").len().rows())
