"""What a key's rows come to: the one rule of each load mode, as pure functions on frames.

`upsert` and `changes` put everything that was ever said of a key in one line, by (order, batch, row), and the last word
stands; with history each word stands until the next. `snapshot` compares a dump with what stands before it. `append` keeps
the first delivery and is in `repeats`. Rows that are there and rows that come in are treated alike, so results cannot
depend on which came first; only among equal rows the one that is there stays, because then no file is written again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import polars as pl

from lakehouse.contract.model import PATH
from lakehouse.model import BATCH, ROW, VALID_FROM, VALID_TO, EventKind

if TYPE_CHECKING:
    from lakehouse.contract.model import Table

#: What rows are decided by, beside their key: when they were true (microseconds), the file they are in, whether they
#: came in just now, whether they end their key, whether the dump's own source delivered them.
ORDER, PLACE, FRESH, DELETE, OWN = "__order", "__place", "__fresh", "__delete", "__own"
KIND: Final = "kind"
_GROUP, _RUN, _FATE = "__group", "__run", "__fate"  # not KIND: a key may be called `kind`
_NEW = ":new"  # a colon is in no column of a contract
_MOMENT = pl.Datetime("us", "UTC")


@dataclass(frozen=True)
class Law:
    """What deciding needs to know of a table.

    Attributes:
        key: the columns that name a thing.
        values: the columns that tell an exact repeat.
        history: whether what has ended stays.
    """

    key: tuple[str, ...]
    values: tuple[str, ...]
    history: bool

    @staticmethod
    def of(table: Table) -> Law:
        """The law of a staged table."""
        # A dump's day is in each of its rows; with history that alone makes no new version.
        day = table.as_of if table.load_mode == "snapshot" and table.history and table.as_of != PATH else None
        values = tuple(c.name for c in table.columns if c.name not in {*table.key, day})
        return Law(table.key, values, table.versioned)


@dataclass(frozen=True)
class Outcome:
    """What becomes of rows. Rows that are in neither frame stay as they are.

    Attributes:
        gone: rows that leave: `_batch`, `_row`, their place if it was given, and `kind` (a ledger word).
        ended: versions whose end has changed: likewise, and `_valid_to`.
        marks: deletes that came in and must be remembered.
    """

    gone: pl.DataFrame
    ended: pl.DataFrame
    marks: pl.DataFrame


def decide(rows: pl.DataFrame, deletes: pl.DataFrame, law: Law) -> Outcome:
    """What stands of some keys: `upsert` and `changes`.

    Args:
        rows: all rows of these keys: key, values, `_batch`, `_row`, ORDER, FRESH, with history `_valid_to`. Values are
            only looked at in rows of one key and order.
        deletes: all deletes of these keys: key, `_batch`, `_row`, ORDER, FRESH.
        law: the table's.
    """
    line = _in_line(rows, deletes, law)
    twin = _twins(line, law)
    repeated = line.filter(twin).with_columns(pl.lit(EventKind.DUPLICATE.value).alias(KIND))
    line = line.filter(~twin) if repeated.height else line
    follows = pl.col(_GROUP).shift(-1).eq(pl.col(_GROUP)).fill_null(value=False)
    if law.history:
        follows &= pl.col(ORDER).shift(-1).eq_missing(pl.col(ORDER))
    word = pl.when(pl.col(DELETE).shift(-1)).then(pl.lit(EventKind.DELETED.value))
    line = line.with_columns(
        pl.when(follows).then(word.otherwise(pl.lit(EventKind.SUPERSEDED.value))).otherwise(None).alias(_FATE)
    )
    lost = line.filter(pl.col(_FATE).is_not_null() & ~pl.col(DELETE))
    last = line.filter(pl.col(_FATE).is_null())
    marks = last.filter(pl.col(DELETE) & pl.col(FRESH)).select(deletes.columns)
    ids = _ids(rows)
    gone = pl.concat([repeated.select(*ids, KIND), lost.select(*ids, pl.col(_FATE).alias(KIND))])
    return Outcome(gone, _ends(last, ids) if law.history else _none(rows, VALID_TO), marks)


def replaced(standing: pl.DataFrame, dump: pl.DataFrame, law: Law, *, at: int) -> Outcome:
    """What a dump does to the rows whose keys it has: `snapshot`.

    Args:
        standing: rows that stand: key, values, `_batch`, `_row`, OWN, with history `_valid_from`.
        dump: the dump's rows, one per key: key, values, `_batch`, `_row`.
        law: the table's.
        at: the dump's order.
    """
    here = _ids(standing)
    pairs = standing.join(dump, on=list(law.key), how="inner", nulls_equal=True, suffix=_NEW)
    same = pl.all_horizontal(pl.col(OWN), *(pl.col(name).eq_missing(pl.col(f"{name}{_NEW}")) for name in law.values))
    told = pairs.with_columns(same.alias("__same"))
    repeats = told.filter(pl.col("__same")).select(
        *(pl.col(f"{name}{_NEW}").alias(name) for name in _ids(dump)), pl.lit(EventKind.DUPLICATE.value).alias(KIND)
    )
    beaten = told.filter(~pl.col("__same"))
    over = _over(beaten.select(*here, *([VALID_FROM] if law.history else [])), law, at=at, kind=EventKind.SUPERSEDED)
    return Outcome(pl.concat([repeats, over.gone.select(repeats.columns)]), over.ended, _none(standing))


def vanished(
    standing: pl.DataFrame, dump: pl.DataFrame, turned_away: pl.DataFrame, law: Law, *, at: int
) -> tuple[int, Outcome]:
    """The rows of the dump's own source that a dump does not show, and what becomes of them if that is believed.

    A key that is in the dump but was turned away (`turned_away` has the keys) has not vanished.
    """
    key = list(law.key)
    own = standing.filter(OWN)
    lost = own.join(dump.select(key), on=key, how="anti", nulls_equal=True)
    lost = lost.join(turned_away.select(key), on=key, how="anti", nulls_equal=True)
    return own.height, _over(lost, law, at=at, kind=EventKind.DELETED)


def _over(rows: pl.DataFrame, law: Law, *, at: int, kind: EventKind) -> Outcome:
    """Rows that were true until `at`."""
    ids = _ids(rows)
    end = pl.lit(at, pl.Int64).cast(_MOMENT)
    # A version that began when it ended was never true.
    stays = pl.col(VALID_FROM).ne_missing(end) if law.history else pl.lit(value=False)
    gone = rows.filter(~stays).select(*ids, pl.lit(kind.value).alias(KIND))
    ended = rows.filter(stays).select(*ids, end.alias(VALID_TO)) if law.history else _none(rows, VALID_TO)
    return Outcome(gone, ended, _none(rows))


def _in_line(rows: pl.DataFrame, deletes: pl.DataFrame, law: Law) -> pl.DataFrame:
    """Everything said of keys of which more than one thing was said, or which were deleted, key by key in order."""
    key = list(law.key)
    said = pl.concat([rows.select(key), deletes.select(key)])
    several = said.select(pl.struct(key).hash(seed=0).is_duplicated().alias("__several")).to_series()
    rows = rows.filter(several.head(rows.height))
    line = pl.concat(
        [
            rows.with_columns(pl.lit(value=False).alias(DELETE)),
            deletes.with_columns(pl.lit(value=True).alias(DELETE)),
        ],
        how="diagonal",
    ).sort(*key, ORDER, BATCH, ROW, maintain_order=True)
    starts = pl.any_horizontal(*(pl.col(name).ne_missing(pl.col(name).shift(1)) for name in key))
    first = pl.int_range(pl.len()) == 0
    return line.with_columns((starts | first).cum_sum().alias(_GROUP))


def _twins(line: pl.DataFrame, law: Law) -> pl.Series:
    """Which rows only repeat another one; of equal rows one that is there stays, else the first."""
    alike = [pl.col(_GROUP).eq(pl.col(_GROUP).shift(1)), pl.col(ORDER).eq_missing(pl.col(ORDER).shift(1))]
    alike += [~pl.col(DELETE), ~pl.col(DELETE).shift(1)]
    close = line.select(pl.all_horizontal(alike).fill_null(value=False).alias("__close")).to_series()
    if not close.any():
        return close
    equal = [pl.col(name).eq_missing(pl.col(name).shift(1)) for name in law.values]
    same = close & line.select(pl.all_horizontal(pl.lit(value=True), *equal).alias("__equal")).to_series()
    runs = line.select(FRESH, (~same).cum_sum().alias(_RUN))
    stays = pl.int_range(pl.len()).over(_RUN) == pl.col(FRESH).cast(pl.Int8).arg_min().over(_RUN)
    return runs.select(~stays).to_series()


def _ends(last: pl.DataFrame, ids: list[str]) -> pl.DataFrame:
    """Each version stands until the next word; those whose end is now another."""
    follows = pl.col(_GROUP).shift(-1).eq(pl.col(_GROUP)).fill_null(value=False)
    end = pl.when(follows).then(pl.col(ORDER).shift(-1)).otherwise(None).cast(_MOMENT)
    told = last.with_columns(end.alias("__end")).filter(~pl.col(DELETE), pl.col("__end").ne_missing(pl.col(VALID_TO)))
    return told.select(*ids, pl.col("__end").alias(VALID_TO))


def _ids(rows: pl.DataFrame) -> list[str]:
    return [name for name in (BATCH, ROW, PLACE) if name in rows.columns]


def _none(rows: pl.DataFrame, *more: str) -> pl.DataFrame:
    kinds = {VALID_TO: _MOMENT}
    return rows.clear().select(*_ids(rows), *(pl.lit(None, kinds[name]).alias(name) for name in more))
