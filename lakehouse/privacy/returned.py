"""Rows of erased entities in staged, curated and features: an older lake that was restored brings them back in clear."""

# pyarrow and deltalake ship no or partial types: what they give back is unknown to the checker in every line of this file.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownLambdaType=false

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import polars as pl

from lakehouse import storage
from lakehouse.model import BATCH, ENTITY, EventKind, LedgerEvent, Tier
from lakehouse.privacy import entities
from lakehouse.storage.read import scan_files

if TYPE_CHECKING:
    from lakehouse.contract.model import Table
    from lakehouse.storage import Lake, Snapshot

CAUSE = "recover"
_WHO, _ROWS, _FILE = "surrogate", "rows", "file"


def erased_rows(lake: Lake, table: Table) -> int:
    """How many rows of a table name an entity of which nothing is to be left, as theirs or as a further one."""
    if not storage.exists(lake, table.id):
        return 0
    present = storage.snapshot(lake, table.id)
    named = [name for name in present.schema.names if name == ENTITY or name.startswith(f"{ENTITY}_")]
    return sum(int(_of_erased(lake, present, column)[_ROWS].sum()) for column in named)


def remove_erased(lake: Lake, table: Table) -> int:
    """Remove the rows that are an erased entity's own; returns how many. The ledger counts them as erased.

    Cells of a further entity stay, they go when the table is made anew.
    """
    with storage.lease(lake, table.id, holder=CAUSE) as held:
        present = storage.snapshot(lake, table.id)
        if ENTITY not in present.schema.names:
            return 0
        found = _of_erased(lake, present, ENTITY)
        if found.is_empty():
            return 0
        gone, schema = found[_WHO].unique(), present.schema
        stays = ~pl.col(ENTITY).is_in(gone.implode()).fill_null(value=False)
        tx = storage.begin(lake, table.id, held, schema, storage.Placement.of(table, table.id.tier))
        try:
            paths = found[_FILE].unique(maintain_order=True).to_list()
            tx.rewrite(paths, lambda path: scan_files([path], schema).filter(stays).collect())
            tx.commit(CAUSE, events=_events(table, found))
        finally:
            tx.abandon()
    return int(found[_ROWS].sum())


def _of_erased(lake: Lake, present: Snapshot, column: str) -> pl.DataFrame:
    """Rows of erased entities by surrogate, file and, where the ledger counts them, batch."""
    rows = scan_files(present.files, present.schema, place=_FILE).filter(pl.col(column).is_not_null())
    by = [_FILE, BATCH] if BATCH in present.schema.names else [_FILE]
    counted = rows.group_by(pl.col(column).alias(_WHO), *by).agg(pl.len().cast(pl.Int64).alias(_ROWS))
    found = counted.collect(engine="streaming")
    return found.filter(entities.erased(lake, found[_WHO]))


def _events(table: Table, found: pl.DataFrame) -> list[LedgerEvent]:
    if table.id.tier is not Tier.STAGED or BATCH not in found.columns:
        return []
    counts: Counter[int] = Counter()
    for batch, rows in found.select(BATCH, _ROWS).rows():
        counts[batch] += rows
    return [
        LedgerEvent(batch, table.id, kind, count, CAUSE)
        for batch, rows in sorted(counts.items())
        for kind, count in ((EventKind.STAGED, -rows), (EventKind.ERASED, rows))
    ]
