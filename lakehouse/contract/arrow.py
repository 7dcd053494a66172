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
from lakehouse.model import (
    BAD,
    BATCH,
    BYTES,
    ENTITY,
    EXTRA,
    LANDED_AT,
    ROW,
    SEALED,
    VALID_FROM,
    VALID_TO,
    Tier,
    entity_of,
    sealed_of,
    token_of,
)

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

    Raw is what the first delivery makes of it: of a table with an entity the seals and the columns that stay clear, else
    what `delivered` gives. Every other tier holds the contract's types, and a token for each value of a pseudonym domain. Staged tables with history have `_valid_from` and `_valid_to`.
    """
    if tier is Tier.RAW:
        return _raw(table)
    landed = [pa.field(BATCH, pa.int64()), pa.field(ROW, pa.int64()), pa.field(LANDED_AT, TIMESTAMP)]
    entity = pa.field(ENTITY, pa.string())
    typed = [pa.field(column.name, arrow_type(column.type)) for column in table.columns]
    typed += [pa.field(token_of(column.name), pa.string()) for column in table.tokenised]
    roles = [pa.field(entity_of(role.name), pa.string()) for role in table.roles]
    if tier is Tier.STAGED:
        valid = [pa.field(VALID_FROM, TIMESTAMP), pa.field(VALID_TO, TIMESTAMP)] if table.versioned else []
        extra = [pa.field(EXTRA, pa.string())] if table.keeps_extra else []
        return pa.schema([*landed, entity, *roles, *valid, *typed, *extra])
    known = [pa.field(LANDED_AT, TIMESTAMP)]
    return pa.schema([*([entity] if table.entity else []), *roles, *known, *typed])


def delivered(table: Table) -> pa.Schema:
    """The columns of rows between file and gate: what was delivered as text, and what else was in `_extra`."""
    columns = [pa.field(column.name, pa.string()) for column in table.delivered]
    unsplit = [pa.field(BAD, pa.string()), pa.field(BYTES, pa.binary())]
    return pa.schema([*_named(table), *columns, *unsplit, pa.field(EXTRA, pa.string())])


def _named(table: Table) -> list[pa.Field]:
    landed = [pa.field(BATCH, pa.int64()), pa.field(ROW, pa.int64()), pa.field(LANDED_AT, TIMESTAMP)]
    roles = [pa.field(entity_of(role.name), pa.string()) for role in table.roles]
    return [*landed, pa.field(ENTITY, pa.string()), *roles]


def _raw(table: Table) -> pa.Schema:
    if not table.sealed:
        return delivered(table)
    seals = [pa.field(name, pa.binary()) for name in (SEALED, *(sealed_of(role.name) for role in table.roles))]
    clear = [pa.field(column.name, pa.string()) for column in table.delivered if column.raw_clear]
    return pa.schema([*_named(table), *seals, *clear, pa.field(BAD, pa.string())])
