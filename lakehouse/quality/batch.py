"""Batch checks: null shares and row counts of one batch, judged before its commit, which they hold.

Blocks are counted as they stream by and then forgotten. A null share is of the rows that passed every row check, since
those are what staged would get; a row count is of all rows read, so that a batch of bad rows is not called short.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lakehouse.contract.model import Check, CheckKind, Rule
from lakehouse.quality.drift import MISSING, UNKNOWN, VALUES
from lakehouse.quality.result import CheckResult, failed_counts, verdict
from lakehouse.quality.rules import lengths, mistake, subject

if TYPE_CHECKING:
    import polars as pl

    from lakehouse.contract.model import Table


class BatchCounts:
    """What a batch's rows add up to: rows read, rows good, nulls among the good, failed rows per row check."""

    def __init__(self, table: Table) -> None:
        self.rows = 0
        self.good = 0
        self.checks = table.checks_of(CheckKind.ROW)
        self.failed: dict[str, int] = {check.name: 0 for check in self.checks}
        shares = [check for check in table.checks_of(CheckKind.BATCH) if check.rule is Rule.NULL_SHARE]
        self.nulls: dict[str, int] = {subject(check, table).name: 0 for check in shares}
        #: In which ways rows differed from the contract; empty for a table that freezes all of it.
        self.drift: dict[str, int] = {}

    def add(self, typed: pl.DataFrame, failed: pl.Series) -> None:
        """Counts one block, as `RowPass.judge` gave it; derived columns may have been added."""
        counts = failed_counts(failed, self.checks)
        bad = int((failed != 0).sum()) if any(counts) else 0
        good = typed.filter(failed == 0) if bad else typed
        self.rows += typed.height
        self.good += good.height
        for check, count in zip(self.checks, counts, strict=True):
            self.failed[check.name] += count
        for name in self.nulls:
            self.nulls[name] += good[name].null_count()
        for name in (UNKNOWN, MISSING, VALUES):
            if name in typed.columns:
                self.drift[name] = self.drift.get(name, 0) + int(typed[name].sum())


def check_batch(table: Table, counts: BatchCounts) -> list[CheckResult]:
    """The verdicts of the table's batch checks, in contract order.

    Raises:
        ContractError: a check cannot be judged on a batch.
    """
    return [_judged(check, table, counts) for check in table.checks_of(CheckKind.BATCH)]


def row_results(table: Table, counts: BatchCounts) -> list[CheckResult]:
    """The verdicts of the table's row checks over a batch: shares of all rows read."""
    checks = table.checks_of(CheckKind.ROW)
    return [verdict(check, failed=counts.failed[check.name], rows=counts.rows) for check in checks]


def row_count(check: Check, rows: int) -> CheckResult:
    """The verdict of a row count: failed rows are those too few or too many."""
    least, most = lengths(check)
    failed = max(0, (least or 0) - rows, rows - (rows if most is None else most))
    return verdict(check, failed=failed, rows=rows)


def _judged(check: Check, table: Table, counts: BatchCounts) -> CheckResult:
    match check.rule:
        case Rule.ROW_COUNT:
            return row_count(check, counts.rows)
        case Rule.NULL_SHARE:
            return verdict(check, failed=counts.nulls[subject(check, table).name], rows=counts.good)
        case Rule.TYPE:
            types = [one.name for one in table.checks_of(CheckKind.ROW) if one.rule is Rule.TYPE]
            return verdict(check, failed=sum(counts.failed[name] for name in types), rows=counts.rows)
        case _:
            raise mistake(check, f"rule `{check.rule}` does not judge a batch")
