"""Replacing a table, or some event months of it, by a stream of Arrow batches, in one commit.

This is how dbt models, features and the copies of purposes are written: readers see the old rows until the commit and
the new ones after it.
"""

# pyarrow and deltalake ship no or partial types: what they give back is unknown to the checker in every line of this file.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
import pyarrow as pa

from lakehouse.contract.arrow import schema as arrow_schema
from lakehouse.errors import SchemaMismatchError, StorageError
from lakehouse.storage.applied import applied_contracts, under
from lakehouse.storage.commits import Transaction, begin
from lakehouse.storage.layout import BODY, FRESH, NO_MONTH, ROWS_PER_LOOSE_FILE, FileName, Placement, month_expression
from lakehouse.storage.read import exists, snapshot
from lakehouse.storage.recovery import lease

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from lakehouse.contract.model import Table
    from lakehouse.model import TableId
    from lakehouse.storage.intents import Applied
    from lakehouse.storage.lake import Lake
    from lakehouse.storage.leases import Held


def replace(
    lake: Lake,
    table: TableId,
    contract: Table,
    reader: pa.RecordBatchReader,
    *,
    months: Sequence[str] | None,
    inputs: Mapping[str, int],
    holder: str = "dbt",
) -> int:
    """Replace all rows, or those of some event months, by what the reader gives.

    Args:
        lake: the lake.
        table: the table.
        contract: its contract, which says schema and layout.
        reader: the new rows, with exactly the contract's columns.
        months: `2011-03`, …; None replaces everything.
        inputs: versions of the tables the rows were made of, noted in the commit.
        holder: a word for people about who works.

    Returns:
        The new version.

    Raises:
        SchemaMismatchError: the reader's columns are not the contract's.
        StorageError: rows of other months than said, or files that span other months.
    """
    schema = arrow_schema(contract, table.tier)
    placement = Placement.of(contract, table.tier)
    _require_reader(reader.schema, schema, where=str(table))
    if months is not None and not placement.by_month:
        raise StorageError("only a table laid out by month can be replaced by month", where=str(table))
    with lease(lake, table, holder=holder) as held:
        tx = begin(lake, table, held, schema, placement, generation=months is None)
        try:
            _stream(tx, reader, placement=placement, months=months)
            if exists(lake, table):
                tx.remove(_outgoing(snapshot(lake, table).files, months, where=str(table)))
            return tx.commit("replace", inputs=inputs, applied=_noted(lake, contract))
        finally:
            tx.abandon()


def replace_all(held: Held, reader: pa.RecordBatchReader, *, placement: Placement, inputs: Mapping[str, int]) -> int:
    """Replace whatever a table holds by what the reader gives, whose schema becomes the table's.

    Args:
        held: the table's lease; taken before the inputs' versions were chosen, it keeps an older result from coming last.
        reader: the new rows.
        placement: how they are laid out.
        inputs: versions of the tables the rows were made of, noted in the commit.

    Returns:
        The new version.
    """
    lake, table = held.lake, held.table
    tx = begin(lake, table, held, reader.schema, placement, generation=True)
    try:
        _stream(tx, reader, placement=placement, months=None)
        if exists(lake, table):
            tx.remove(list(snapshot(lake, table).files))
        return tx.commit("replace", inputs=inputs)
    finally:
        tx.abandon()


def _noted(lake: Lake, contract: Table) -> tuple[Applied, ...]:
    """The contract that the rows stand under from now on, if the lake knows another one."""
    now = under(lake, contract)
    there = next((each for each in applied_contracts(lake) if each.home == now.home), None)
    return () if there is not None and there.fingerprint == now.fingerprint else (now,)


def _stream(
    tx: Transaction, reader: pa.RecordBatchReader, *, placement: Placement, months: Sequence[str] | None
) -> None:
    waiting: pl.DataFrame | None = None
    level = BODY  # rows that come in one piece are in their final order at once
    for chunk in _chunks(reader):
        if waiting is not None:
            level = FRESH
            _put(tx, waiting, placement=placement, months=months, level=level)
        waiting = chunk
    if waiting is not None:
        _put(tx, waiting, placement=placement, months=months, level=level)


def _put(
    tx: Transaction, chunk: pl.DataFrame, *, placement: Placement, months: Sequence[str] | None, level: str
) -> None:
    if months is not None and placement.time_column:
        found = chunk.select(month_expression(placement.time_column).unique())[placement.time_column].to_list()
        known = {int(m[:4]) * 12 + int(m[5:]) - 1 if m != NO_MONTH else None for m in months}
        if set(found) - known:
            raise StorageError(
                "there are rows of other months than are to be replaced",
                where=str(tx.held.table),
                hint="let the model filter by its months, or refresh it in full",
            )
    tx.write(chunk, exact_months=True, level=level)


def _chunks(reader: pa.RecordBatchReader) -> Iterator[pl.DataFrame]:
    """Frames of about a million rows."""
    waiting: list[pa.RecordBatch] = []
    rows = 0
    for batch in reader:
        waiting.append(batch)
        rows += batch.num_rows
        if rows >= ROWS_PER_LOOSE_FILE:
            yield _frame(waiting)
            waiting, rows = [], 0
    if rows:
        yield _frame(waiting)


def _frame(batches: list[pa.RecordBatch]) -> pl.DataFrame:
    frame = pl.from_arrow(pa.Table.from_batches(batches))
    assert isinstance(frame, pl.DataFrame)  # noqa: S101 - for the type checker; a table always gives a frame
    return frame


def _outgoing(paths: Sequence[str], months: Sequence[str] | None, *, where: str) -> list[str]:
    if months is None:
        return list(paths)
    outgoing: list[str] = []
    for path in paths:
        name = FileName.parse(path)
        if name is None or (name.touches(months) and not name.within(months)):
            raise StorageError(
                "a file of the table spans other months too", where=where, hint="refresh the table in full once"
            )
        if name.touches(months):
            outgoing.append(path)
    return outgoing


def _require_reader(given: pa.Schema, wanted: pa.Schema, *, where: str) -> None:
    """Names, order and types must be the contract's; how text is laid out in memory may differ."""
    left = [(item.name, _plain(item.type)) for item in given]
    right = [(item.name, _plain(item.type)) for item in wanted]
    if left == right:
        return
    odd = sorted({name for name, _ in set(left) ^ set(right)})
    named = ", ".join(f"`{name}`" for name in odd) or "the order of columns"
    raise SchemaMismatchError(
        f"the rows differ from the contract in {named}", where=where, hint="cast in the model, or change the contract"
    )


def _plain(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pa.string()
    if pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind):
        return pa.binary()
    return kind
