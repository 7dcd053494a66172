"""A staged table made anew from raw: what its commit removes, and the ledger events that lead from the old account to the new.

The gate judges every batch of raw as if staged were empty; all that differs from an ordinary run is here. Event months can
be replaced alone, because files of a table laid out by month hold one month each; rows of the other months must then be the
same ones as before, else the account of their batches would be wrong.
"""

# pyarrow ships without types.
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false, reportMissingTypeStubs=false

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from lakehouse import storage
from lakehouse.errors import RefusedError
from lakehouse.model import BATCH, ROW, EventKind, LedgerEvent
from lakehouse.storage.layout import FileName, month_filter
from lakehouse.storage.read import scan_files

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lakehouse.contract.model import Table
    from lakehouse.storage import Lake, Snapshot, Transaction

KIND = CAUSE = "rebuild"
#: Kinds that only the gate decides; what was expired or suppressed stays as it is.
_DECIDED = tuple(kind for kind in EventKind if kind not in {EventKind.READ, EventKind.EXPIRED, EventKind.SUPPRESSED})


@dataclass(frozen=True)
class Anew:
    """How a gate run replaces what is staged.

    Attributes:
        months: the event months to replace, None for the whole table.
    """

    months: tuple[str, ...] | None = None

    def replace(self, lake: Lake, table: Table, tx: Transaction) -> None:
        """Let the commit remove what the written files stand for.

        Raises:
            RefusedError: rows of other months than these would change too.
        """
        if not storage.is_there(lake, table.id):
            return
        present = storage.snapshot(lake, table.id)
        if self.months is None:
            tx.remove(present.files)
            return
        self._require_same_elsewhere(present, tx, where=str(table.id))
        tx.discard([file.path for file in tx.files if not _within(file.path, self.months)])
        for path in present.files_for(months=self.months):
            if not _within(path, self.months):
                tx.write(self._elsewhere([path], present).collect(engine="streaming"), exact_months=True)
            tx.remove([path])

    def _require_same_elsewhere(self, present: Snapshot, tx: Transaction, *, where: str) -> None:
        months = self.months or ()
        made = [f"{tx.uri}/{file.path}" for file in tx.files if not _within(file.path, months)]
        kept = [path for path in present.files if not _within(path, months)]
        if not _account(self._elsewhere(made, present)).equals(_account(self._elsewhere(kept, present))):
            raise RefusedError(
                "rows of other months would change too",
                where=where,
                hint="rebuild the whole table: leave out `--from` and `--to`",
            )

    def _elsewhere(self, paths: Sequence[str], present: Snapshot) -> pl.LazyFrame:
        """Rows of these files that are of other months."""
        rows = scan_files(paths, present.schema)
        column = present.time_column or ""
        inside = month_filter(column, self.months or (), rows.collect_schema()[column])
        return rows.filter(~inside.fill_null(value=False))


def net(lake: Lake, table: Table, events: Iterable[LedgerEvent]) -> list[LedgerEvent]:
    """The events that lead from the account in the ledger to the one that these events would give by themselves."""
    wanted: Counter[tuple[int, EventKind]] = Counter()
    for event in events:
        wanted[event.batch, event.kind] += event.count
    decided = pl.col("kind").is_in([kind.value for kind in _DECIDED])
    ledger = storage.read_ledger(lake, table.id)
    told = ledger.filter(decided).group_by("batch", "kind").agg(pl.col("count").sum())
    lost = storage.batches(lake, table.id).filter(pl.col("state") == "lost")["number"]
    # not gated anew, so what is staged of them goes; what was erased or has expired is accounted for as it is
    kept = ledger.filter(~decided, pl.col("batch").is_in(lost.implode()))
    signed = pl.when(pl.col("kind") == EventKind.READ.value).then(pl.col("count")).otherwise(-pl.col("count"))
    for batch, rows in kept.group_by("batch").agg(signed.sum()).rows():
        wanted[batch, EventKind.LOST] += rows
    for batch, kind, count in told.select("batch", "kind", "count").rows():
        wanted[batch, EventKind(kind)] -= count
    return [
        LedgerEvent(batch, table.id, kind, count, CAUSE) for (batch, kind), count in sorted(wanted.items()) if count
    ]


def _within(path: str, months: Sequence[str]) -> bool:
    name = FileName.parse(path)
    return name is not None and name.within(months)


def _account(rows: pl.LazyFrame) -> pl.DataFrame:
    """How many rows of each batch there are, and a digest of which."""
    digest = pl.struct(BATCH, ROW).hash(seed=0).sum()
    return rows.group_by(BATCH).agg(pl.len(), digest.alias("digest")).sort(BATCH).collect(engine="streaming")
