"""What goes wrong with real files, in a share that one chooses, counted exactly.

A faulted row has one fault: an empty key, a date that is none, a word where a number should be, the row once more in a
later file, an id that nobody knows, a row delivered days late. Which of them a table can have follows from its contract.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from lakehouse.contract.model import Logical, Rule
from lakehouse.demo import values
from lakehouse.demo.rows import FILE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy.typing as npt

    from lakehouse.contract.model import Table

_BAD_DATES = ("2011-02-30 10:00:00", "31/12/2010 08:26", "0000-00-00", "not known", "2011-13-01 00:00:00", "40513.35")
_BAD_NUMBERS = ("six", "n/a", "1O", "12,50", "#REF!", "--", "1.2.3")
_MOST_FILES_LATE = 7


class Fault(StrEnum):
    """Kinds of faults, in the words of the summary."""

    MISSING_KEY = "missing key"
    BAD_DATE = "bad date"
    WRONG_TYPE = "wrong type"
    DUPLICATE = "duplicate"
    ORPHAN = "orphan"
    LATE = "late row"


@dataclass(frozen=True)
class Faulter:
    """Puts faults into blocks of one table.

    Args:
        table: its contract.
        share: part of the rows that get a fault.
        files: how many files the table is delivered in.
        strangers: makes ids that nobody knows, by column; a column is an orphan's only when it is here.
    """

    table: Table
    share: float
    files: int
    strangers: Mapping[str, Callable[[np.random.Generator, int], pl.Series]]

    def possible(self) -> tuple[tuple[Fault, tuple[str, ...]], ...]:
        """Each kind of fault that this table can have, with the columns it can be in."""
        table, delivered = self.table, {column.name: column for column in self.table.delivered}
        numbers = {Logical.INTEGER, Logical.DECIMAL, Logical.FLOAT}
        times = {Logical.DATE, Logical.TIMESTAMP}
        repeats_count = any(column.derived for column in table.columns)
        found = (
            (Fault.MISSING_KEY, tuple(name for name in table.key if name in delivered and delivered[name].required)),
            (Fault.BAD_DATE, tuple(name for name, column in delivered.items() if column.type.logical in times)),
            (Fault.WRONG_TYPE, tuple(name for name, column in delivered.items() if column.type.logical in numbers)),
            (Fault.DUPLICATE, table.key if table.key and (self.files > 1 or not repeats_count) else ()),
            (Fault.ORPHAN, tuple(self.strangers)),
            (Fault.LATE, (FILE,) if self.files > 1 else ()),
        )
        return tuple((kind, columns) for kind, columns in found if columns)

    def apply(self, rng: np.random.Generator, block: pl.DataFrame) -> tuple[pl.DataFrame, Counter[Fault]]:
        """The block with faults, and how many of each; copies and late rows carry a later file number."""
        kinds = self.possible()
        wanted = round(len(block) * self.share)
        counts: Counter[Fault] = Counter()
        if not kinds or not wanted:
            return block, counts
        chosen = rng.choice(len(block), wanted, replace=False)
        for (kind, columns), rows in zip(kinds, np.array_split(chosen, len(kinds)), strict=True):
            block, done = self._inject(rng, block, kind, columns, rows)
            counts[kind] += done
        return block, counts

    def _inject(
        self,
        rng: np.random.Generator,
        block: pl.DataFrame,
        kind: Fault,
        columns: tuple[str, ...],
        rows: npt.NDArray[np.int64],
    ) -> tuple[pl.DataFrame, int]:
        if kind is Fault.LATE or (kind is Fault.DUPLICATE and self.files > 1):
            return self._moved(rng, block, rows, copy=kind is Fault.DUPLICATE)
        if kind is Fault.DUPLICATE:
            return pl.concat([block, block[pl.Series(rows)]]), len(rows)
        for name, some in zip(columns, np.array_split(rows, len(columns)), strict=True):
            made = self._wrong(rng, kind, name, len(some))
            block = block.with_columns(values.replaced(block[name], some, made).alias(name))
        return block, len(rows)

    def _wrong(self, rng: np.random.Generator, kind: Fault, name: str, rows: int) -> pl.Series:
        match kind:
            case Fault.MISSING_KEY:
                return pl.Series([None] * rows, dtype=pl.String)
            case Fault.BAD_DATE:
                return values.pick(_BAD_DATES, rng.integers(0, len(_BAD_DATES), rows))
            case Fault.ORPHAN:
                return self.strangers[name](rng, rows)
            case _:
                return values.pick(_BAD_NUMBERS, rng.integers(0, len(_BAD_NUMBERS), rows))

    def _moved(
        self, rng: np.random.Generator, block: pl.DataFrame, rows: npt.NDArray[np.int64], *, copy: bool
    ) -> tuple[pl.DataFrame, int]:
        """Rows (or copies of them) that come some files later; rows of the last file have no later one."""
        numbers = block[FILE].to_numpy()
        rows = rows[numbers[rows] < self.files - 1]
        later = np.minimum(numbers[rows] + rng.integers(1, _MOST_FILES_LATE + 1, len(rows)), self.files - 1)
        if copy:
            copies = block[pl.Series(rows)].with_columns(pl.Series(FILE, later.astype(np.int32)))
            return pl.concat([block, copies]), len(rows)
        moved = numbers.copy()
        moved[rows] = later
        return block.with_columns(pl.Series(FILE, moved)), len(rows)


def orphan_columns(table: Table) -> tuple[str, ...]:
    """Columns whose values must be known elsewhere."""
    return tuple(
        dict.fromkeys(
            check.columns[0] for check in table.checks if check.rule is Rule.FOREIGN_KEY and len(check.columns) == 1
        )
    )
