"""What actors of the protocol machine do: deliver batches, erase a key, merge, rebuild, sweep, flush, recover.

Each is written as its caller in the lakehouse writes it, with no care for what others do at the same time. A commit carries
the operation's number in its inputs, so the model can tell in the log whose it is.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa

from lakehouse import storage
from lakehouse.model import EventKind, LedgerEvent, TableId, Tier
from lakehouse.storage import delta, files, layout, protocol, recovery
from lakehouse.storage.recovery import delete_retired

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.property.protocol_actors import Actor

STAGED = TableId(Tier.STAGED, "clinic", "visit")
RAW = STAGED.at(Tier.RAW)
SCHEMA = pa.schema([("_batch", pa.int64()), ("_row", pa.int64()), ("_entity", pa.string())])
LOOSE = storage.Placement("none", "_entity", None, ("_batch",))
LAID_OUT = storage.Placement("entity", "_entity", None, ("_batch",))


@dataclass(frozen=True)
class Row:
    batch: int
    row: int
    key: str


@dataclass
class Work:
    """One operation, as far as the model has to know it.

    Attributes:
        number: stands in the commit's inputs.
        kind: what it does.
        batch: of a delivery: its batch.
        key: of an erasure: the key.
        events: what its commit tells the ledger.
        version: what its commit returned.
    """

    number: int
    kind: str
    actor: Actor | None = None
    batch: int = 0
    key: str = ""
    events: list[LedgerEvent] = field(default_factory=list)
    version: int | None = None


class Desk:
    """The table, its batches, and how each operation is done."""

    def __init__(self, lake: storage.Lake, table: TableId) -> None:
        self.lake, self.table = lake, table
        self.raw = table.tier is Tier.RAW
        self.placement = LOOSE if self.raw else LAID_OUT
        self.rows: dict[int, list[Row]] = {}
        self.works: list[Work] = []

    def arrives(self, keys: str) -> int:
        """A new batch with a row for each key; returns its number."""
        name = str(len(self.rows))
        known = {"name_hash": name, "sha256": name, "size": 1, "landed_at": self.lake.now()}
        number = storage.reserve(self.lake, STAGED, source="s", **known).number
        self.rows[number] = [Row(number, row, key) for row, key in enumerate(keys)]
        return number

    def new(self, kind: str, **what: Any) -> Work:
        self.works.append(Work(len(self.works) + 1, kind, **what))
        return self.works[-1]

    def does(self, work: Work) -> Callable[[object], Any]:
        return lambda _: getattr(self, work.kind)(work)

    def deliver(self, work: Work) -> None:
        with storage.lease(self.lake, self.table, holder="writer") as held:
            if storage.get_batch(self.lake, work.batch).state != "reserved":
                return
            tx = self._begin(held)
            rows = self.rows[work.batch]
            try:
                tx.write(frame(rows))
                work.events = [self._event(work, work.batch, EventKind.READ, len(rows))]
                done = [storage.BatchUpdate(work.batch, "raw" if self.raw else "staged", len(rows))]
                work.version = tx.commit(
                    "raw" if self.raw else "stage", events=work.events, batches=done, inputs={"op": work.number}
                )
            finally:
                tx.abandon()

    def erase(self, work: Work) -> None:
        """Fence, rewrite the files with the key, delete what is not referenced any more; raw by retirement."""
        with storage.lease(self.lake, self.table, holder="eraser") as held:
            if storage.fence(held) is None:
                return
            current = storage.snapshot(self.lake, self.table)
            found = {path: pl.read_parquet(path) for path in current.files}
            gone = {path: rows.filter(_entity=work.key) for path, rows in found.items()}
            touched = [path for path, rows in gone.items() if rows.height]
            if touched:
                count = pl.concat(gone.values())["_batch"].value_counts().sort("_batch").rows()
                work.events = [self._event(work, batch, EventKind.ERASED, rows) for batch, rows in count]
                tx = self._begin(held, append_only=self.raw, retires=self.raw)
                try:
                    tx.rewrite(touched, lambda path: found[path].filter(pl.col("_entity") != work.key))
                    kind = protocol.RETIRE if self.raw else "erase"
                    work.version = tx.commit(kind, events=work.events, inputs={"op": work.number})
                finally:
                    tx.abandon()
            self._delete()

    def two_changes(self, work: Work) -> None:
        """An abandoned change, then a fence, under one lease."""
        with storage.lease(self.lake, self.table, holder="writer") as held:
            tx = self._begin(held)
            try:
                tx.write(frame([Row(0, 0, "never")]))
            finally:
                tx.abandon()
            storage.fence(held)

    def rebuild(self, work: Work) -> None:
        """All rows anew in another layout: a new generation."""
        with storage.lease(self.lake, self.table, holder="rebuild") as held:
            if not storage.exists(self.lake, self.table):
                return
            current = storage.snapshot(self.lake, self.table)
            placement = LOOSE if work.number % 2 else LAID_OUT
            tx = storage.begin(self.lake, self.table, held, SCHEMA, placement, generation=True)
            try:
                if current.rows:
                    tx.write(current.scan().collect(), level=layout.BODY)
                tx.remove(current.files)
                work.version = tx.commit("replace", inputs={"op": work.number})
            finally:
                tx.abandon()

    def merge(self, work: Work) -> None:
        storage.merge(self.lake, self.table, self.placement)

    def flush(self, work: Work) -> None:
        storage.flush_outbox(self.lake)

    def recover(self, work: Work) -> None:
        with storage.lease(self.lake, self.table, holder="recovery") as held:
            recovery.recover(self.lake, self.table, held)

    def recover_ledger(self, work: Work) -> None:
        with storage.lease(self.lake, storage.LEDGER, holder="recovery") as held:
            recovery.recover(self.lake, storage.LEDGER, held)

    def recover_if_dirty(self, work: Work) -> None:
        recovery.recover_if_dirty(self.lake, self.table)

    def sweep(self, work: Work) -> None:
        """Delete the files that the log has removed, as a holder who has fenced."""
        with storage.lease(self.lake, self.table, holder="sweep") as held:
            if storage.fence(held) is not None:
                self._delete()

    def unreferenced(self) -> list[Path]:
        """What somebody's careless vacuum would take: what the table does not reference; in raw only what it never did."""
        uri, handle = self.lake.uri(self.table), delta.handle(self.lake.uri(self.table))
        if handle is None:
            return []
        kept = set(delta.active(handle)["path"].to_list())
        kept |= delta.ever_added(uri, handle) if self.raw else set()
        return [Path(uri, name) for name in files.names(uri) if name not in kept]

    def _delete(self) -> None:
        if self.raw:
            delete_retired(self.lake, self.table)
            return
        uri, handle = self.lake.uri(self.table), delta.handle(self.lake.uri(self.table))
        gone = delta.ever_added(uri, handle) - set(delta.active(handle)["path"].to_list())
        for name in sorted(gone.intersection(files.names(uri))):
            files.delete(files.join(uri, name))

    def _begin(self, held: storage.Held, **how: Any) -> storage.Transaction:
        how = {"append_only": self.raw, **how}
        return storage.begin(self.lake, self.table, held, SCHEMA, self.placement, **how)

    def _event(self, work: Work, batch: int, kind: EventKind, count: int) -> LedgerEvent:
        return LedgerEvent(batch, self.table, kind, count, f"op-{work.number}")


def frame(rows: Sequence[Row]) -> pl.DataFrame:
    data = [(each.batch, each.row, each.key) for each in rows]
    return pl.DataFrame(data, schema={"_batch": pl.Int64, "_row": pl.Int64, "_entity": pl.String}, orient="row")
