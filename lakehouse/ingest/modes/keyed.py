"""Load modes `upsert` and `changes`: the last word about a key stands, deletes leave a mark.

Rows are written as they come, so a large file streams; what they come to beside each other and beside what is there is
decided at the end on few columns, some keys at a time, and files are rewritten once. Values are read again only of rows
of one key and one order, which may be repeats.
"""

# pyarrow ships without types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from lakehouse.ingest.modes.ended import Marks
from lakehouse.ingest.modes.repeats import with_keys
from lakehouse.ingest.modes.rules import FRESH, ORDER, PLACE, Law, decide
from lakehouse.ingest.modes.versions import Orders, closed, opened, without
from lakehouse.model import BATCH, ROW, VALID_TO, EventKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa

    from lakehouse.contract.model import Table
    from lakehouse.ingest.account import Account
    from lakehouse.ingest.modes.rules import Outcome
    from lakehouse.ingest.modes.standing import Standing
    from lakehouse.storage import Lake

#: Rows that come in are decided so many at a time; with them all rows of their keys are in memory.
MOST_ROWS = 1_000_000


class Keyed:
    """The last word about a key stands."""

    def __init__(
        self, lake: Lake, table: Table, standing: Standing, account: Account, schema: pa.Schema, *, anew: bool
    ) -> None:
        self._table = table
        self._law = Law.of(table)
        self._standing = standing
        self._account = account
        self._names = schema.names
        self._kinds = pl.Schema(schema)
        self._orders = Orders(lake, table)
        self._marks = Marks(lake, table, anew=anew)
        self._deletes: list[pl.DataFrame] = []
        self._marked: list[pl.DataFrame] = []
        self._written = 0

    def take(self, rows: pl.DataFrame) -> None:
        """Write what the block itself leaves standing."""
        rows = self._orders.add(rows).with_columns(pl.lit(value=True).alias(FRESH))
        if self._law.history:
            rows = opened(rows)
        ends = self._ends(rows)
        deletes = rows.filter(ends).select(*self._law.key, BATCH, ROW, ORDER, FRESH)
        self._deletes.append(deletes)
        if deletes.height:
            rows = rows.filter(~ends)
            for number, count in deletes[BATCH].value_counts().rows():
                self._account.add(number, EventKind.DELETED, count)
        outcome = decide(rows, deletes, self._law)
        self._account.drop(outcome.gone)
        rows = closed(without(rows, outcome.gone), outcome.ended).select(self._names)
        if rows.height:
            self._standing.rows.write(rows)
            self._account.stage(rows)
            self._written += rows.height

    def turn_away(self, rows: pl.DataFrame, unreadable: pl.Series | None) -> None:
        """Rows that failed say nothing about their keys."""

    def settle(self) -> None:
        """Decide what all rows come to, and rewrite the files that are touched."""
        if not self._deletes:
            return
        written = self._standing.written
        deletes = pl.concat(self._deletes)
        gone: list[pl.DataFrame] = []
        ended: list[pl.DataFrame] = []
        for share in _shares(self._written + deletes.height, self._law.key):
            outcome = self._decided(written, deletes, share)
            gone.append(outcome.gone)
            ended.append(outcome.ended)
            self._marked.append(outcome.marks)
        if not gone:
            return
        leaving, closing = pl.concat(gone), pl.concat(ended)
        self._account.move(leaving)
        self._standing.apply(leaving, closing)

    def commit(self) -> None:
        """The marks of deletes, before the rows that they end are gone."""
        if self._table.load_mode == "changes":
            marks = pl.concat(self._marked) if self._marked else pl.DataFrame()
            self._marks.commit(marks, batches=list(self._account.tallies))

    def _ends(self, rows: pl.DataFrame) -> pl.Series:
        changes = self._table.changes
        if changes is None:
            return pl.repeat(value=False, n=rows.height, dtype=pl.Boolean, eager=True)
        return rows[changes.operation].is_in(list(changes.deletes)).fill_null(value=False)

    def _decided(self, written: list[str], deletes: pl.DataFrame, share: pl.Expr) -> Outcome:
        """What some of the keys come to, of everything that is known of them."""
        key = list(self._law.key)
        light = [*key, *self._orders.columns, BATCH, ROW, PLACE, *([VALID_TO] if self._law.history else [])]
        light = list(dict.fromkeys(light))
        new = self._standing.scan(written).filter(share).select(light).collect(engine="streaming")
        ending = deletes.filter(share)
        keys = pl.concat([new.select(key), ending.select(key)]).unique()
        there = self._standing.there
        old = with_keys(self._standing.scan(there), keys, key, columns=light) if there else new.clear()
        marks = self._marks.of(keys, besides=list(self._account.tallies)) if self._table.changes else ending.clear()
        rows = pl.concat([_as_fresh(new, fresh=True), _as_fresh(old, fresh=False)])
        rows = self._with_values(self._orders.add(rows))
        return decide(rows, pl.concat([ending, marks.select(ending.columns)]), self._law)

    def _with_values(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows with their values where these matter: beside another row of the same key and order."""
        close = rows.select(pl.struct(*self._law.key, ORDER).hash(seed=0).is_duplicated()).to_series()
        values = [name for name in self._law.values if name not in rows.columns]
        twins = rows.filter(close).select(BATCH, ROW, PLACE)
        if twins.is_empty() or not values:
            return rows.with_columns(pl.lit(None, self._kinds[name]).alias(name) for name in values)
        scan = self._standing.scan(twins[PLACE].unique().sort()).select(BATCH, ROW, *values)
        found = scan.join(twins.lazy().select(BATCH, ROW), on=[BATCH, ROW], how="semi").collect(engine="streaming")
        return rows.join(found, on=[BATCH, ROW], how="left", maintain_order="left")


def _as_fresh(rows: pl.DataFrame, *, fresh: bool) -> pl.DataFrame:
    return rows.with_columns(pl.lit(value=fresh).alias(FRESH))


def _shares(rows: int, key: Sequence[str]) -> Iterator[pl.Expr]:
    """Conditions that share out the keys of so many rows."""
    shares = -(-rows // MOST_ROWS)
    for share in range(shares):
        yield pl.struct(key).hash(seed=0) % shares == share if shares > 1 else pl.lit(value=True)
