"""Marks of ended keys: deletes that were delivered, remembered so that late older rows do not bring a key back.

One governed table per staged table, `system/ended/<domain>/<table>`: a keyed hash of the key (never the key), the delete's
order, `_batch`, `_row`. Like quarantine pointers they are committed before the rows they belong to: a run that dies in
between is done again from raw, and the marks of its batches are then replaced by the same ones.
"""

# pyarrow ships without types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
import pyarrow as pa

from lakehouse import storage
from lakehouse.ingest.modes.rules import FRESH, ORDER
from lakehouse.model import BATCH, ROW
from lakehouse.privacy import entities
from lakehouse.storage.read import scan_files

if TYPE_CHECKING:
    from collections.abc import Collection

    from lakehouse.contract.model import Table
    from lakehouse.model import TableId
    from lakehouse.storage import Lake

KEY, AT = "key", "order"
_HASH = "__hash"
SCHEMA = pa.schema([(KEY, pa.string()), (AT, pa.int64()), (BATCH, pa.int64()), (ROW, pa.int64())])
_PLACEMENT = storage.Placement("none", statistics_columns=(BATCH,))


def place(table: TableId) -> storage.SystemTable:
    """The marks of a table."""
    return storage.SystemTable(f"ended/{table.domain}/{table.table}")


def merge(lake: Lake, table: TableId) -> None:
    """Merge the small files of many commits."""
    storage.merge(lake, place(table), _PLACEMENT)


class Marks:
    """The marks of one table, as one gate run sees them.

    Args:
        lake: the lake.
        table: the staged table.
        anew: everything is gated anew, so no mark that is there counts.
    """

    def __init__(self, lake: Lake, table: Table, *, anew: bool) -> None:
        self._lake = lake
        self._table = table
        self._place = place(table.id)
        self._anew = anew

    def of(self, keys: pl.DataFrame, *, besides: Collection[int]) -> pl.DataFrame:
        """The deletes of these keys (distinct): the key's columns, `_batch`, `_row`, ORDER, FRESH.

        Those of batches in `besides` are not given: they are being decided.
        """
        kinds = {**keys.schema, BATCH: pl.Int64, ROW: pl.Int64, ORDER: pl.Int64, FRESH: pl.Boolean}
        if self._anew or keys.is_empty() or not storage.is_there(self._lake, self._place):
            return pl.DataFrame(schema=kinds)
        # A key's own column may be called `key` or `order` too.
        hashed = keys.with_columns(self._hash(keys).alias(_HASH))
        there = storage.scan(self._lake, self._place).filter(~pl.col(BATCH).is_in(list(besides)))
        there = there.select(pl.col(KEY).alias(_HASH), BATCH, ROW, pl.col(AT).alias(ORDER))
        found = there.join(hashed.lazy().select(_HASH), on=_HASH, how="semi").collect(engine="streaming")
        marked = hashed.join(found, on=_HASH, how="inner")
        return marked.select(*keys.columns, BATCH, ROW, ORDER, pl.lit(value=False).alias(FRESH))

    def commit(self, marks: pl.DataFrame, *, batches: Collection[int]) -> None:
        """Let the marks of these batches be exactly these: the key's columns, `_batch`, `_row`, ORDER."""
        there = storage.is_there(self._lake, self._place)
        if marks.is_empty() and not there:
            return
        old = self._files_of(batches) if there else []
        if marks.is_empty() and not old:
            return
        with storage.lease(self._lake, self._place, holder="ended") as held:
            tx = storage.begin(self._lake, self._place, held, SCHEMA, _PLACEMENT)
            try:
                others = ~pl.col(BATCH).is_in(list(batches))
                # looked for again: the lease may have finished what a dead run had begun
                stale = self._files_of(batches) if storage.is_there(self._lake, self._place) else []
                tx.rewrite(stale, lambda path: scan_files([path], SCHEMA).filter(others).collect())
                if marks.height:
                    named = marks.select(self._hash(marks), pl.col(ORDER).alias(AT), BATCH, ROW)
                    tx.write(named.sort(BATCH, ROW))
                tx.commit("ended")
            finally:
                tx.abandon()

    def _files_of(self, batches: Collection[int]) -> list[str]:
        """The files that hold marks of these batches."""
        paths = storage.snapshot(self._lake, self._place).files
        rows = scan_files(paths, SCHEMA, place="path").filter(pl.col(BATCH).is_in(list(batches)))
        return rows.select(pl.col("path").unique()).collect(engine="streaming")["path"].sort().to_list()

    def _hash(self, keys: pl.DataFrame) -> pl.Series:
        """The keyed hash of each row's key: its parts as text, each with its length before it, null told from empty."""
        parts: list[pl.Expr] = []
        for name in self._table.key:
            value = pl.col(name)
            # 0 and -0 are one key, but two texts
            text = (value + 0.0 if keys.schema[name].is_float() else value).cast(pl.String)
            parts.append(pl.concat_str(text.str.len_bytes().cast(pl.String), pl.lit(":"), text).fill_null("-"))
        spelled = keys.select(pl.concat_str(parts, separator="|").alias(KEY)).to_series()
        named = entities.keyed_hash(self._lake, f"ended key of {self._lake.key(self._table.id)}", spelled)
        return named.bin.encode("hex").alias(KEY)
