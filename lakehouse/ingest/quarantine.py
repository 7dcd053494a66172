"""Quarantine: which rows failed which checks, as pointers into raw. Values are never here, raw still has them.

One governed table per staged table, `system/quarantine/<domain>/<table>`: `_batch`, `_row`, `failed` (check names) and
the contract's version. A batch's pointers for one contract version are written once, however often it is gated again.
"""

# pyarrow ships without types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import polars as pl
import pyarrow as pa

from lakehouse import storage
from lakehouse.model import BATCH, ROW

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from lakehouse.contract.model import Check, TableId
    from lakehouse.storage import Lake, Transaction

#: The check that a record fails when it cannot even be split into fields.
READABLE = "record_is_readable"
FAILED, VERSION = "failed", "contract_version"
SCHEMA = pa.schema(
    [
        (BATCH, pa.int64()),
        (ROW, pa.int64()),
        (FAILED, pa.list_(pa.field("element", pa.string()))),
        (VERSION, pa.string()),
    ]
)
#: No order to keep; small files are gathered like any table's.
PLACEMENT = storage.Placement("none", statistics_columns=(BATCH, ROW))


def place(table: TableId) -> storage.SystemTable:
    """The quarantine of a table."""
    return storage.SystemTable(f"quarantine/{table.domain}/{table.table}")


def counts(lake: Lake, table: TableId) -> pl.DataFrame:
    """Quarantined rows by batch and check: `batch`, `check`, `rows`. A row that failed two checks is in both."""
    empty = pl.DataFrame(schema={"batch": pl.Int64, "check": pl.String, "rows": pl.Int64})
    if not storage.is_there(lake, place(table)):
        return empty
    pointers = storage.scan(lake, place(table)).select(pl.col(BATCH).alias("batch"), pl.col(FAILED).alias("check"))
    grouped = pointers.explode("check").group_by("batch", "check").agg(pl.len().cast(pl.Int64).alias("rows"))
    return pl.concat([empty, grouped.sort("batch", "check").collect(engine="streaming")])


class Pointers:
    """The pointers of one gate run; nothing is seen before `commit`, and no lease is taken before there is a pointer."""

    def __init__(
        self, lake: Lake, table: TableId, *, contract_version: str, checks: Sequence[Check], anew: bool = False
    ) -> None:
        self._lake = lake
        self._anew = anew
        self._table = place(table)
        self._version = contract_version
        self._checks = tuple(checks)
        self._stack = ExitStack()
        self._tx: Transaction | None = None
        self._there: Collection[int] = ()
        self._added = False

    def add(self, rows: pl.DataFrame, failed: pl.Series) -> None:
        """Add rows (`_batch`, `_row`) that failed checks, given as bit masks."""
        names = {mask: [c.name for bit, c in enumerate(self._checks) if mask >> bit & 1] for mask in failed.unique()}
        listed = pl.DataFrame(
            {"mask": list(names), FAILED: list(names.values())},
            schema={"mask": failed.dtype, FAILED: pl.List(pl.String)},
        )
        masked = rows.select(BATCH, ROW).with_columns(failed.alias("mask"))
        self._write(masked.join(listed, on="mask", how="left", maintain_order="left").drop("mask"))

    def add_unreadable(self, rows: pl.DataFrame) -> None:
        """Add rows that cannot be split."""
        self._write(rows.select(BATCH, ROW, pl.lit([READABLE], dtype=pl.List(pl.String)).alias(FAILED)))

    def commit(self) -> None:
        """Make the pointers visible; all earlier ones go when the table is made anew."""
        with self._stack:
            if self._anew and storage.is_there(self._lake, self._table):
                self._begin().remove(storage.snapshot(self._lake, self._table).files)
                self._added = True
            if self._tx is not None and self._added:
                self._tx.commit("quarantine")

    def abandon(self) -> None:
        """Forget the pointers."""
        with self._stack:
            if self._tx is not None:
                self._tx.abandon()

    def _write(self, pointers: pl.DataFrame) -> None:
        if pointers.is_empty():
            return
        tx = self._begin()
        fresh = pointers.filter(~pl.col(BATCH).is_in(list(self._there))) if self._there else pointers
        if fresh.height:
            self._added = True
            tx.write(fresh.with_columns(pl.lit(self._version).alias(VERSION)))

    def _begin(self) -> Transaction:
        if self._tx is None:
            held = self._stack.enter_context(storage.lease(self._lake, self._table, holder="quarantine"))
            self._tx = storage.begin(self._lake, self._table, held, SCHEMA, PLACEMENT)
            if storage.is_there(self._lake, self._table) and not self._anew:
                same = pl.col(VERSION) == self._version
                found = storage.scan(self._lake, self._table).filter(same).select(pl.col(BATCH).unique())
                self._there = frozenset(found.collect(engine="streaming")[BATCH].to_list())
        return self._tx
