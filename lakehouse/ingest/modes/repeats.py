"""Rows that were delivered before: append by key, the first delivery stays: the one with the lowest batch and row.

An exact repeat of a key's row is a duplicate, a different one a conflict; all contract columns are compared. Rows whose
key is certainly new go on at once. The others wait as suspects until they are looked up by their exact keys, so a filter
may be wrong in one direction: a bit filter of fixed size remembers the keys of this run, and a streaming semi-join asks
the existing table. Memory does not grow with the table, nor with the file.
"""

# pyarrow ships without types.
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportMissingTypeStubs=false

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from lakehouse.ingest.modes.rules import KIND, PLACE
from lakehouse.model import BATCH, ROW, EventKind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lakehouse.contract.model import Table

#: 64 MiB of bits; at 20 million keys about one new key in a thousand becomes a suspect, which costs time only.
_WORDS = 1 << 23
_WORD_SHIFT = np.uint64(64 - 23)
_BITS = tuple(np.uint64(shift) for shift in (0, 6, 12, 18))
_SIX = np.uint64(63)
_ONE = np.uint64(1)
#: Suspects that may wait before they are looked up.
MOST_SUSPECTS = 250_000
_FOUND, _ORDER, _REFERENCE = "__found", "__order", "__reference_"
_WHERE = (BATCH, ROW, PLACE)
_NOWHERE = pl.lit(None, pl.String).alias(PLACE)


class KeyFilter:
    """Remembers 64-bit hashes in fixed memory: may take a new one for a known one, never the reverse."""

    def __init__(self) -> None:
        self._words: np.ndarray | None = None
        #: The first hashes wait here: most runs are one block and need no filter.
        self._waiting: np.ndarray | None = None

    def known(self, hashes: np.ndarray) -> np.ndarray:
        """Which of the hashes were added before."""
        if self._waiting is not None:
            self._insert(self._waiting)
            self._waiting = None
        if self._words is None:
            return np.zeros(hashes.size, dtype=np.bool_)
        places, bits = _bits(hashes)
        return (self._words[places] & bits) == bits

    def add(self, hashes: np.ndarray) -> None:
        """Remember hashes."""
        if self._words is None and self._waiting is None:
            self._waiting = hashes
        else:
            self._insert(hashes)

    def _insert(self, hashes: np.ndarray) -> None:
        if self._words is None:
            self._words = np.zeros(_WORDS, dtype=np.uint64)
        places, bits = _bits(hashes)
        self._words[places] |= bits
        # of two hashes in one word the later wrote over the earlier: these few are put in one by one, at ten times the cost
        lost = (self._words[places] & bits) != bits
        np.bitwise_or.at(self._words, places[lost], bits[lost])


class Rising:
    """A key that has only ever risen: each is new, so a filter is not needed until one does not.

    Numbers that a source counts up are the usual case: without it a tenth of a rebuild goes into the filter.
    """

    def __init__(self, key: Sequence[str]) -> None:
        self._column = key[0] if len(key) == 1 else None
        self._last: Any = None

    @property
    def passed(self) -> bool:
        """Whether rows have gone on without being remembered."""
        return self._last is not None

    def goes_on(self, rows: pl.DataFrame) -> bool:
        """Whether these keys rise too; once they do not, never again."""
        column = None if self._column is None else rows[self._column]
        if column is None or not (column.dtype.is_integer() or column.dtype.is_temporal()) or column.null_count():
            self._column = None
            return False
        if (self._last is not None and column[0] <= self._last) or not (column.shift(-1) > column).all():
            self._column = None
            return False
        self._last = column[-1]
        return True

    def stop(self) -> None:
        """The rows that went on are remembered elsewhere now."""
        self._column = self._last = None


@dataclass(frozen=True)
class Settled:
    """Suspects looked up: rows that go on after all, and repeats by batch.

    A batch that was held or rejected may come after later ones. Its rows go on, and those in their place are `displaced`:
    `_batch`, `_row`, PLACE and KIND.
    """

    fresh: pl.DataFrame
    displaced: pl.DataFrame
    duplicates: dict[int, int]
    conflicts: dict[int, int]


class Repeats:
    """Finds repeats among the rows of one transaction.

    Args:
        table: the staged table.
        existing: its rows before this transaction with their PLACE, None when there are none.
        written: gives the rows that this transaction has written so far, likewise.
    """

    def __init__(self, table: Table, *, existing: pl.LazyFrame | None, written: Callable[[], pl.LazyFrame]) -> None:
        self._key = list(table.key)
        self._columns = [column.name for column in table.columns if column.name not in table.key]
        self._existing = existing
        self._written = written
        self._filter = KeyFilter()
        self._rising = Rising(self._key)
        self._suspects: list[pl.DataFrame] = []

    @property
    def waiting(self) -> int:
        """How many suspects wait to be looked up."""
        return sum(frame.height for frame in self._suspects)

    def sift(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows whose key is certainly new; the others become suspects."""
        if not self._key or rows.is_empty():
            return rows
        if self._existing is None and self._rising.goes_on(rows):
            return rows
        if self._rising.passed:
            self._remember()
        hashes = self._hashes(rows)
        numbers = hashes.to_numpy()
        first = hashes.is_first_distinct()
        fresh = first & ~pl.Series(self._filter.known(numbers))
        if self._existing is not None:
            fresh &= ~self._exist(rows)
        self._filter.add(numbers)
        if fresh.all():
            return rows
        self._suspects.append(_compact(rows.filter(~fresh)))
        return rows.filter(fresh)

    def settle(self) -> Settled:
        """Look all suspects up by their exact keys. Whatever was sifted must be written by now."""
        if not self._suspects:
            return Settled(pl.DataFrame(), pl.DataFrame(), {}, {})
        suspects = pl.concat(self._suspects).sort(BATCH, ROW, maintain_order=True).with_row_index(_ORDER)
        self._suspects = []
        keys = suspects.select(self._key).unique()
        pools = [self._written()] if self._existing is None else [self._existing, self._written()]
        there = pl.concat([self._reference(pool, keys) for pool in pools])
        judged = self._compare(suspects, there)
        batch, row = pl.col(_REFERENCE + BATCH), pl.col(_REFERENCE + ROW)
        earlier = (pl.col(BATCH) < batch) | ((pl.col(BATCH) == batch) & (pl.col(ROW) < row))
        firsts = judged.filter(pl.col(_FOUND).is_null() | earlier).unique(self._key, keep="first", maintain_order=True)
        fresh = firsts.select(suspects.columns)
        later = suspects.join(fresh, on=_ORDER, how="anti")
        others = there.join(fresh, on=self._key, how="anti", nulls_equal=True)
        repeats = self._compare(later, pl.concat([self._renamed(fresh.with_columns(_NOWHERE)), others]))
        same = pl.all_horizontal(
            [pl.lit(value=True), *(pl.col(name).eq_missing(pl.col(_REFERENCE + name)) for name in self._columns)]
        )
        kind = pl.when(same).then(pl.lit(EventKind.DUPLICATE.value)).otherwise(pl.lit(EventKind.CONFLICT.value))
        displaced = firsts.filter(pl.col(_FOUND).is_not_null())
        counts = repeats.group_by(BATCH).agg(same.sum().alias("duplicate"), (~same).sum().alias("conflict"))
        numbers = counts[BATCH].to_list()
        return Settled(
            fresh.drop(_ORDER),
            displaced.select(*(pl.col(_REFERENCE + name).alias(name) for name in _WHERE), kind.alias(KIND)),
            dict(zip(numbers, counts["duplicate"].to_list(), strict=True)),
            dict(zip(numbers, counts["conflict"].to_list(), strict=True)),
        )

    def _hashes(self, rows: pl.DataFrame) -> pl.Series:
        return rows.select(pl.struct(self._key).hash(seed=0)).to_series()

    def _remember(self) -> None:
        """Put the keys of all rows that went on as rising ones into the filter."""
        self._rising.stop()
        for frame in self._written().select(self._key).collect_batches(chunk_size=MOST_SUSPECTS):
            self._filter.add(self._hashes(frame).to_numpy())

    def _exist(self, rows: pl.DataFrame) -> pl.Series:
        """Which rows' keys are in the existing table."""
        keys = rows.select(self._key)
        there = with_keys(self._existing, keys, self._key, columns=self._key) if self._existing is not None else keys
        marked = keys.join(
            there.unique().with_columns(pl.lit(value=True).alias(_FOUND)),
            on=self._key,
            how="left",
            nulls_equal=True,
            maintain_order="left",
        )
        return marked[_FOUND].is_not_null()

    def _reference(self, pool: pl.LazyFrame, keys: pl.DataFrame) -> pl.DataFrame:
        # Keys first: most suspects are none, and whole rows of a large table are only read for those that are there.
        there = with_keys(pool, keys, self._key, columns=self._key).unique()
        return self._renamed(with_keys(pool, there, self._key, columns=[*self._key, *self._columns, *_WHERE]))

    def _renamed(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Rows that others are compared with."""
        renamed = [pl.col(name).alias(_REFERENCE + name) for name in (*self._columns, *_WHERE)]
        return rows.select(*self._key, *renamed, pl.lit(value=True).alias(_FOUND))

    def _compare(self, rows: pl.DataFrame, there: pl.DataFrame) -> pl.DataFrame:
        # A displaced row is still there until the end: the earliest of a key is the one that stays.
        once = there.sort(_REFERENCE + BATCH, _REFERENCE + ROW).unique(self._key, keep="first", maintain_order=True)
        return rows.join(once, on=self._key, how="left", nulls_equal=True, maintain_order="left")


def with_keys(pool: pl.LazyFrame, keys: pl.DataFrame, key: Sequence[str], *, columns: Sequence[str]) -> pl.DataFrame:
    """The pool's rows that have one of these keys. The range of each column lets row groups be skipped."""
    if keys.is_empty():
        return pool.select(columns).collect_schema().to_frame()
    ranges = [
        pl.col(name).is_between(
            pl.lit(keys[name].min(), keys.schema[name]), pl.lit(keys[name].max(), keys.schema[name])
        )
        for name in key
        if not keys[name].null_count() and keys.schema[name] != pl.Boolean
    ]
    near = pool.filter(ranges) if ranges else pool
    matched = near.select(columns).join(keys.lazy(), on=list(key), how="semi", nulls_equal=True)
    return matched.collect(engine="streaming")


def _compact(rows: pl.DataFrame) -> pl.DataFrame:
    """The same rows in memory of their own: a few filtered rows would keep all text of their block alive."""
    return pl.DataFrame(rows.to_arrow(compat_level=pl.CompatLevel.oldest()), schema=rows.schema)


def _bits(hashes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The word and the four bits in it that stand for each hash."""
    bits = _ONE << ((hashes >> _BITS[0]) & _SIX)
    for shift in _BITS[1:]:
        bits |= _ONE << ((hashes >> shift) & _SIX)
    return hashes >> _WORD_SHIFT, bits
