"""Load mode `append`: rows with a key that was never seen go on at once, the others when they have been looked up.

What every load mode offers the gate is here too (`Load`).
"""

# pyarrow ships without types.
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false, reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import polars as pl

from lakehouse.ingest.modes.repeats import MOST_SUSPECTS, Repeats
from lakehouse.model import EventKind

if TYPE_CHECKING:
    import pyarrow as pa

    from lakehouse.contract.model import Table
    from lakehouse.ingest.account import Account
    from lakehouse.ingest.modes.standing import Standing


class Load(Protocol):
    """What a load mode does with the rows that passed their checks."""

    def take(self, rows: pl.DataFrame) -> None:
        """Take rows with the contract's types."""
        ...

    def turn_away(self, rows: pl.DataFrame, unreadable: pl.Series | None) -> None:
        """Hear of rows that failed; `unreadable` tells whose key cannot be read, None says it is everyone's."""
        ...

    def settle(self) -> None:
        """Decide what is still open; no more rows come."""
        ...

    def commit(self) -> None:
        """Make visible what must be seen before the rows are."""
        ...


class Appending:
    """The first delivery of a key stays."""

    def __init__(self, table: Table, standing: Standing, account: Account, schema: pa.Schema) -> None:
        self._standing = standing
        self._account = account
        self._schema = schema
        self._displaced: list[pl.DataFrame] = []
        existing = standing.scan(standing.there) if standing.there else None
        self._repeats = Repeats(table, existing=existing, written=self._scan_written)

    def take(self, rows: pl.DataFrame) -> None:
        """Write what is new; the rest waits."""
        self._stage(self._repeats.sift(rows.select(self._schema.names)))
        if self._repeats.waiting > MOST_SUSPECTS:
            self._look_up()

    def turn_away(self, rows: pl.DataFrame, unreadable: pl.Series | None) -> None:
        """Rows that failed mean nothing to others."""

    def settle(self) -> None:
        """Look up what waits, and let what came too early leave."""
        self._look_up()
        displaced = pl.concat(self._displaced) if self._displaced else pl.DataFrame()
        if displaced.height:
            self._account.move(displaced)
            self._standing.apply(displaced, displaced.clear())

    def _look_up(self) -> None:
        if not self._repeats.waiting:
            return
        settled = self._repeats.settle()
        self._stage(settled.fresh)
        self._displaced.append(settled.displaced)
        for kind, counts in (
            (EventKind.DUPLICATE, settled.duplicates),
            (EventKind.CONFLICT, settled.conflicts),
        ):
            for number, count in counts.items():
                self._account.add(number, kind, count)

    def commit(self) -> None:
        """Nothing but the rows."""

    def _stage(self, rows: pl.DataFrame) -> None:
        if rows.height:
            self._standing.rows.write(rows)
            self._account.stage(rows)

    def _scan_written(self) -> pl.LazyFrame:
        return self._standing.scan(self._standing.written)
