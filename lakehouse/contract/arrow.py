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
from lakehouse.model import BAD, BATCH, BYTES, ENTITY, LANDED_AT, ROW, Tier

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

    Raw holds delivered columns as text; every other tier holds the contract's types.
    """
    landed = [pa.field(BATCH, pa.int64()), pa.field(ROW, pa.int64()), pa.field(LANDED_AT, TIMESTAMP)]
    entity = pa.field(ENTITY, pa.string())
    if tier is Tier.RAW:
        delivered = [pa.field(column.name, pa.string()) for column in table.delivered]
        return pa.schema([*landed, entity, *delivered, pa.field(BAD, pa.string()), pa.field(BYTES, pa.binary())])
    typed = [pa.field(column.name, arrow_type(column.type)) for column in table.columns]
    if tier is Tier.STAGED:
        return pa.schema([*landed, entity, *typed])
    known = [pa.field(LANDED_AT, TIMESTAMP)]
    return pa.schema([*([entity] if table.entity else []), *known, *typed])
