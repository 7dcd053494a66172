"""Occurrence columns: which repeat of some columns' text a row is within its file, counted from 1.

The number goes on from block to block, so what has been counted in the current file is kept here. It counts every record
that can be split, also those that a check turns away: the same file gives the same numbers whatever the checks say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from lakehouse.model import BATCH

if TYPE_CHECKING:
    from lakehouse.contract.model import Column, Table

_BEFORE = "__before"


class Occurrence:
    """Numbers the derived columns of one table, file after file."""

    def __init__(self, table: Table) -> None:
        self._columns = tuple(column for column in table.columns if column.derived == "occurrence")
        self._batch: int | None = None
        self._counted: dict[str, pl.DataFrame] = {}

    def number(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows (text, batch by batch) with their derived columns."""
        if not self._columns or rows.is_empty():
            return rows
        last: int = rows[BATCH][-1]
        for column in self._columns:
            rows = self._numbered(rows, column)
        tail = rows if self._batch == last else rows.filter(pl.col(BATCH) == last)
        for column in self._columns:
            self._remember(tail, column, batch=last)
        self._batch = last
        return rows

    def _numbered(self, rows: pl.DataFrame, column: Column) -> pl.DataFrame:
        over = [BATCH, *column.derived_over]
        rows = rows.with_columns((pl.int_range(pl.len(), dtype=pl.Int64).over(over) + 1).alias(column.name))
        before = self._counted.get(column.name)
        if before is None or self._batch not in rows[BATCH]:
            return rows
        joined = rows.join(before, on=over, how="left", nulls_equal=True, maintain_order="left")
        return joined.with_columns(pl.col(column.name) + pl.col(_BEFORE).fill_null(0)).drop(_BEFORE)

    def _remember(self, rows: pl.DataFrame, column: Column, *, batch: int) -> None:
        over = [BATCH, *column.derived_over]
        counted = rows.filter(pl.col(BATCH) == batch).group_by(over).agg(pl.len().cast(pl.Int64).alias(_BEFORE))
        before = self._counted.get(column.name)
        if before is not None and self._batch == batch:
            counted = pl.concat([before, counted]).group_by(over).agg(pl.col(_BEFORE).sum())
        self._counted[column.name] = counted
