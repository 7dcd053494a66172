"""Load mode `snapshot`: a file is a full dump of its source, and what it does not show has ended.

Dumps are applied in the order of their delivery times, whatever order they came in; one that is older than a dump which
has been applied sends the gate through all of them again. Deletes are held when a row of the dump has no readable key, or
when more rows than the contract tolerates would vanish: what is in such a dump is believed, what is not in it is not.
"""

# pyarrow ships without types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import polars as pl

from lakehouse import storage
from lakehouse.contract.model import PATH
from lakehouse.ingest.modes.rules import FRESH, KIND, ORDER, OWN, PLACE, Law, Outcome, decide, replaced, vanished
from lakehouse.ingest.modes.versions import MOMENT, Orders, opened, without
from lakehouse.ingest.quarantine import counts as quarantine_counts
from lakehouse.model import BATCH, ROW, VALID_FROM, VALID_TO, EventKind

if TYPE_CHECKING:
    from collections.abc import Collection

    import pyarrow as pa

    from lakehouse.contract.model import Table
    from lakehouse.ingest.account import Account
    from lakehouse.ingest.modes.standing import Standing
    from lakehouse.storage import Lake

#: Rows of a dump and of the table that are compared at a time.
MOST_ROWS = 1_000_000
HELD = "deletes held"


class LateDumpError(Exception):
    """A dump is older than one that has been applied: all of them must be gone through again."""


@dataclass
class _Dump:
    """What is known of one dump."""

    number: int
    files: list[str] = field(default_factory=list[str])
    rows: int = 0
    lowest: int | None = None
    order: int | None = None
    turned_away: list[pl.DataFrame] = field(default_factory=list[pl.DataFrame])
    unreadable: bool = False

    def meet(self, low: int | None, high: int | None) -> None:
        """Widen the orders that rows of the dump name."""
        if low is not None and high is not None:
            self.lowest = low if self.lowest is None else min(self.lowest, low)
            self.order = high if self.order is None else max(self.order, high)


class Dumps:
    """The newest dump of each source stands."""

    def __init__(
        self, lake: Lake, table: Table, standing: Standing, account: Account, schema: pa.Schema, *, anew: bool
    ) -> None:
        self._lake = lake
        self._table = table
        self._law = Law.of(table)
        values = tuple(column.name for column in table.columns if column.name not in table.key)
        self._within = Law(table.key, values, history=False)
        self._standing = standing
        self._account = account
        self._names = schema.names
        self._orders = Orders(lake, table)
        self._dumps: dict[int, _Dump] = {}
        self._anew = anew

    def take(self, rows: pl.DataFrame) -> None:
        """Write the rows of each dump apart."""
        rows = self._orders.add(rows).with_columns(pl.lit(value=True).alias(FRESH))
        if self._law.history:
            rows = opened(rows)
        none = _no_deletes(rows, self._law)
        for part in rows.partition_by(BATCH, maintain_order=True):
            dump = self._dump(part[BATCH][0])
            dump.meet(*part.select(pl.col(ORDER).min().alias("low"), pl.col(ORDER).max().alias("high")).row(0))
            gone = decide(part.with_columns(pl.lit(0, pl.Int64).alias(ORDER)), none, self._within).gone
            self._account.drop(gone)
            kept = without(part, gone).select(self._names)
            self._account.stage(kept)
            dump.rows += kept.height
            self._standing.rows.wait()
            dump.files += [f"{self._standing.rows.tx.uri}/{f.path}" for f in self._standing.rows.tx.write(kept)]

    def turn_away(self, rows: pl.DataFrame, unreadable: pl.Series | None) -> None:
        """Keys of rows that failed are in the dump nevertheless; a row without a readable key could be any."""
        for number in rows[BATCH].unique() if unreadable is None else rows.filter(unreadable)[BATCH].unique():
            self._dump(number).unreadable = True
        if unreadable is not None:
            for part in rows.filter(~unreadable).select(BATCH, *self._law.key).partition_by(BATCH):
                self._dump(part[BATCH][0]).turned_away.append(part.select(self._law.key))

    def settle(self) -> None:
        """Apply the dumps in their order.

        Raises:
            LateDumpError: one of them is older than what has been applied.
        """
        if not self._account.tallies:
            return
        numbers = pl.DataFrame({BATCH: list(self._account.tallies)}, schema={BATCH: pl.Int64})
        deliveries = self._orders.deliveries(numbers)
        dumps = [self._dump(number) for number in self._account.tallies]
        if self._table.order == PATH:
            told = dict(deliveries.select(BATCH, ORDER).rows())
            for dump in dumps:
                dump.order = dump.lowest = told.get(dump.number)
        newest = None if self._anew else _newest(self._lake, self._table, but=self._account.tallies)
        for dump in sorted(dumps, key=lambda dump: (dump.order or 0, dump.number)):
            self._account.tallies[dump.number].as_of = dump.order
            if dump.order is None or newest is None or (dump.order, dump.number) > newest.order:
                self._apply(dump, deliveries)
            elif newest.alone and not self._law.history:
                self._supersede(dump)
            else:
                raise LateDumpError
            del self._dumps[dump.number]

    def commit(self) -> None:
        """Nothing but the rows."""

    def _dump(self, number: int) -> _Dump:
        return self._dumps.setdefault(number, _Dump(number))

    def _apply(self, dump: _Dump, deliveries: pl.DataFrame) -> None:
        """Let the dump be the table, as far as it is to be believed."""
        tally = self._account.tallies[dump.number]
        if dump.order is None:
            tally.reason = f"{HELD}: no row says when the dump was true"
            return
        if self._law.history and dump.lowest != dump.order:
            self._date(dump)
        source = deliveries.filter(pl.col(BATCH) == dump.number)["source"].item()
        own = deliveries.filter(pl.col("source") == source)[BATCH]
        told = [self._compared(dump, share, own) for share in self._shares(dump)]
        lost = sum(each.lost.gone.height + each.lost.ended.height for each in told)
        reason = self._doubt(dump, lost=lost, rows=sum(each.own for each in told))
        tally.reason = f"{HELD}: {reason}" if reason else None
        outcomes = [each.present for each in told] + ([] if reason else [each.lost for each in told])
        gone = pl.concat([*(each.within for each in told), *(each.gone for each in outcomes)])
        self._account.move(gone)
        self._standing.apply(gone, pl.concat([each.ended for each in outcomes]))

    def _supersede(self, dump: _Dump) -> None:
        """A dump that came too late to matter: a later one of the only source has said everything."""
        rows = self._standing.scan(dump.files).select(BATCH, ROW, PLACE)
        gone = rows.with_columns(pl.lit(EventKind.SUPERSEDED.value).alias(KIND)).collect()
        self._account.move(gone)
        self._standing.apply(gone, gone.clear().with_columns(pl.lit(None, MOMENT).alias(VALID_TO)))

    def _doubt(self, dump: _Dump, *, lost: int, rows: int) -> str | None:
        """Why what is not in the dump is not believed to have ended, if it is not."""
        if not lost:
            return None
        if dump.unreadable:
            return "a row has no readable key"
        if lost > self._table.vanish_tolerance * rows:
            return f"{lost} of {rows} rows would vanish"
        return None

    def _compared(self, dump: _Dump, share: pl.Expr, own: pl.Series) -> _Compared:
        """Some of the dump's keys beside the same of the table."""
        columns = [*self._law.key, *self._within.values, BATCH, ROW, PLACE]
        rows = self._standing.scan(dump.files).filter(share).select(columns).collect(engine="streaming")
        dated = rows.with_columns(pl.lit(0, pl.Int64).alias(ORDER), pl.lit(value=True).alias(FRESH))
        within = decide(dated, _no_deletes(dated, self._law), self._within).gone
        rows = without(rows, within)
        more = [VALID_FROM] if self._law.history else []
        live = self._live().filter(share).select(*columns, *more).collect(engine="streaming")
        live = live.with_columns(pl.col(BATCH).is_in(own.implode()).alias(OWN))
        away = pl.concat([rows.clear().select(self._law.key), *dump.turned_away])
        at = dump.order or 0
        count, lost = vanished(live, rows, away, self._law, at=at)
        return _Compared(within, replaced(live, rows, self._law, at=at), lost, count)

    def _live(self) -> pl.LazyFrame:
        """What stands before the next dump."""
        waiting = {path for dump in self._dumps.values() for path in dump.files}
        rows = self._standing.scan(p for p in (*self._standing.there, *self._standing.written) if p not in waiting)
        return rows.filter(pl.col(VALID_TO).is_null()) if self._law.history else rows

    def _shares(self, dump: _Dump) -> list[pl.Expr]:
        """Conditions that share out the keys."""
        standing = self._live().select(pl.len()).collect(engine="streaming").item()
        shares = max(1, -(-max(standing, dump.rows) // MOST_ROWS))
        if shares == 1:
            return [pl.lit(value=True)]
        return [pl.struct(self._law.key).hash(seed=0) % shares == share for share in range(shares)]

    def _date(self, dump: _Dump) -> None:
        """Let all rows of a dump be true from the same moment: rows of one dump may name several."""
        moment = pl.lit(dump.order, pl.Int64).cast(MOMENT).alias(VALID_FROM)
        before = set(self._standing.written)
        names = self._names

        def dated(path: str) -> pl.DataFrame:
            return self._standing.scan([path]).select(names).with_columns(moment).collect()

        self._standing.rows.tx.rewrite(dump.files, dated)
        others = before - set(dump.files)
        dump.files = [path for path in self._standing.written if path not in others]


@dataclass(frozen=True)
class _Compared:
    """What some of a dump's keys come to: rows it repeats itself, rows it has, rows it lacks of so many of its own."""

    within: pl.DataFrame
    present: Outcome
    lost: Outcome
    own: int


def _no_deletes(rows: pl.DataFrame, law: Law) -> pl.DataFrame:
    return rows.clear().select(*law.key, BATCH, ROW, ORDER, FRESH)


@dataclass(frozen=True)
class _Newest:
    """The newest dump that has been applied; `alone` if the table is this dump, whatever dumps came before it.

    Then all are of one source, its deletes were not held, and none of its rows went to quarantine: for the key of such a
    row an older dump still has the last word.
    """

    order: tuple[int, int]
    alone: bool


def _newest(lake: Lake, table: Table, *, but: Collection[int]) -> _Newest | None:
    there = storage.batches(lake, table.id)
    applied = there.filter(
        pl.col("state") == "staged", pl.col("as_of").is_not_null(), ~pl.col("number").is_in(list(but))
    )
    if applied.is_empty():
        return None
    as_of, number, reason = applied.sort("as_of", "number").select("as_of", "number", "reason").row(-1)
    alone = there["source"].n_unique() == 1 and reason is None
    if alone:
        turned_away = quarantine_counts(lake, table.id)
        alone = turned_away.filter(pl.col("batch") == number).is_empty()
    return _Newest((as_of, number), alone=alone)
