"""Verdicts: which rows failed what, and whether a check passed. Names and counts, never values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import polars as pl

    from lakehouse.contract.model import Check, Severity


@dataclass(frozen=True)
class CheckResult:
    """One check's verdict: `passed` when the failed share is within the contract's tolerance.

    Attributes:
        failed_rows: rows that break the promise; for `row_count` the rows too few or too many.
        rows: rows that were judged.
        share: failed of judged rows, 0 to 1.
    """

    name: str
    passed: bool
    severity: Severity
    failed_rows: int
    rows: int
    share: float
    description: str

    @property
    def blocking(self) -> bool:
        """Whether it failed and must stop what comes after."""
        return not self.passed and self.severity == "error"


@dataclass(frozen=True)
class Judged:
    """Rows and what is wrong with each.

    Attributes:
        typed: the contract's delivered columns, typed, then every other column of the frame as it came.
        failed: per row a mask (UInt64, or UInt128 above 64 checks), bit i is `checks[i]`; 0 is a good row.
        checks: the table's row checks in contract order.
    """

    typed: pl.DataFrame
    failed: pl.Series
    checks: tuple[Check, ...]

    @property
    def clean(self) -> bool:
        """Whether every row passed every check."""
        return not (self.failed != 0).any()

    @property
    def good(self) -> pl.DataFrame:
        """The rows that passed every check."""
        return self.typed if self.clean else self.typed.filter(self.failed == 0)

    def counts(self) -> dict[str, int]:
        """Failed rows by check name, every check present."""
        return dict(zip((check.name for check in self.checks), failed_counts(self.failed, self.checks), strict=True))


def failed_counts(failed: pl.Series, checks: Sequence[Check]) -> list[int]:
    """Failed rows per check, from masks."""
    masks = failed.filter(failed != 0).value_counts(name="rows")
    pairs: list[tuple[int, int]] = masks.rows()
    return [sum(rows for mask, rows in pairs if mask >> place & 1) for place in range(len(checks))]


def names_of(mask: int, checks: Iterable[Check]) -> tuple[str, ...]:
    """The names of the checks that a row's mask stands for."""
    return tuple(check.name for place, check in enumerate(checks) if mask >> place & 1)


def verdict(check: Check, *, failed: int, rows: int) -> CheckResult:
    """A check's result from counts: passed when the failed share is at most the tolerance; no rows, nothing failed.

    A check without a tolerance passes when nothing failed, as one with tolerance 0 does; what a failure then means
    differs (`Check.tolerance`).
    """
    # Exact counts divided once: 3 of 30 is the same double as the contract's 0.1, so a share on the line passes.
    share = min(1.0, failed / rows) if rows else float(failed > 0)
    return CheckResult(
        name=check.name,
        passed=share <= (check.tolerance or 0.0),
        severity=check.severity,
        failed_rows=failed,
        rows=rows,
        share=share,
        description=check.description,
    )
