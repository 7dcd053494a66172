"""Which columns a table has in each tier, as an Arrow schema: the one definition of it.

Storage refuses what does not match exactly, the gate builds it, dbt's results are cast to it. No field metadata and
everything nullable: what must be there is a check (`required_…`), not a property of the file.
"""

# pyarrow ships no types: what it gives back is unknown to the checker in every line of this file.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from lakehouse.contract.model import ColumnType, Logical
from lakehouse.model import BAD, BATCH, BYTES, ENTITY, EXTRA, LANDED_AT, ROW, VALID_FROM, VALID_TO, Tier

if TYPE_CHECKING:
    from lakehouse.contract.model import Table

#: Delta keeps microseconds and no other zone.
TIMESTAMP = pa.timestamp("us", tz="UTC")

_PLAIN: dict[Logical, pa.DataType] = {
    Logical.STRING: pa.string(),
    Logical.INTEGER: pa.int64(),
    Logical.FLOAT: pa.float64(),
    Logical.BOOLEAN: pa.bool_(),
    Logical.DATE: pa.date32(),
    Logical.TIMESTAMP: TIMESTAMP,
}


def arrow_type(column_type: ColumnType) -> pa.DataType:
    """The Arrow type of a contract type."""
    if column_type.logical is Logical.DECIMAL:
        return pa.decimal128(column_type.precision or 38, column_type.scale or 0)
    return _PLAIN[column_type.logical]


def schema(table: Table, tier: Tier) -> pa.Schema:
    """The exact columns of `table` in `tier`, the platform's own columns first.

    Raw holds delivered columns as text, and what else was delivered in `_extra`; every other tier holds the contract's
    types. Staged tables with history have `_valid_from` and `_valid_to`.
    """
    landed = [pa.field(BATCH, pa.int64()), pa.field(ROW, pa.int64()), pa.field(LANDED_AT, TIMESTAMP)]
    entity = pa.field(ENTITY, pa.string())
    if tier is Tier.RAW:
        delivered = [pa.field(column.name, pa.string()) for column in table.delivered]
        unsplit = [pa.field(BAD, pa.string()), pa.field(BYTES, pa.binary())]
        return pa.schema([*landed, entity, *delivered, *unsplit, pa.field(EXTRA, pa.string())])
    typed = [pa.field(column.name, arrow_type(column.type)) for column in table.columns]
    if tier is Tier.STAGED:
        valid = [pa.field(VALID_FROM, TIMESTAMP), pa.field(VALID_TO, TIMESTAMP)] if table.versioned else []
        extra = [pa.field(EXTRA, pa.string())] if table.keeps_extra else []
        return pa.schema([*landed, entity, *valid, *typed, *extra])
    known = [pa.field(LANDED_AT, TIMESTAMP)]
    return pa.schema([*([entity] if table.entity else []), *known, *typed])
