"""What checks mean to a load mode beyond "the row failed": a delete need not pass all, a hidden key is worse than a value.

A delete carries its key, its order and its operation; the rest may be missing or stale, so only checks of these columns
judge it. And a row whose key failed its type, or is missing, could be the row of any key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from lakehouse.contract.model import Rule

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lakehouse.contract.model import Check, Table
    from lakehouse.quality import Judged

_READS = frozenset({Rule.TYPE, Rule.REQUIRED})


class Forgiving:
    """The row checks of one table, as its load mode sees them.

    Args:
        table: the staged table.
        checks: its row checks; a check's place is its bit.
    """

    def __init__(self, table: Table, checks: Sequence[Check]) -> None:
        self._changes = table.changes
        needed = {*table.key, table.order, table.changes.operation if table.changes else None}
        told = [{*check.columns, check.other or check.columns[0]} if check.columns else {""} for check in checks]
        # whose a row is counts for a delete too: one that names nobody cannot be read again from raw
        judged = [columns <= needed or check.rule is Rule.ENTITY for check, columns in zip(checks, told, strict=True)]
        self._of_deletes = sum(1 << bit for bit, counts in enumerate(judged) if counts)
        keys = [check.rule in _READS and bool({*check.columns} & {*table.key}) for check in checks]
        self._of_keys = sum(1 << bit for bit, reads in enumerate(keys) if reads)

    def judge(self, judged: Judged) -> tuple[pl.Series, pl.Series | None]:
        """The failed checks of each row as bits, and which rows are deletes that passed (None: there are none)."""
        if self._changes is None:
            return judged.failed, None
        words = judged.typed[self._changes.operation]
        deletes = words.is_in(list(self._changes.deletes)).fill_null(value=False)
        if not deletes.any():
            return judged.failed, None
        kept = pl.select(pl.when(deletes).then(judged.failed & self._of_deletes).otherwise(judged.failed)).to_series()
        return kept.alias("failed"), deletes & (kept == 0)

    def hides_key(self, failed: pl.Series) -> pl.Series:
        """Which failed rows have no readable key."""
        return failed & self._of_keys != 0
