"""Rows of raw that nobody can open: their entity's key or their month's key is not in the control database.

After a backup was restored these are the rows whose keys were made after it. Rows of erased entities are not counted:
they are meant not to open.
"""

# pyarrow and deltalake ship no or partial types: what they give back is unknown to the checker in every line of this file.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from lakehouse import storage
from lakehouse.model import BATCH, ENTITY, LANDED_AT, SEALED, Tier
from lakehouse.privacy import entities, vault

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lakehouse.contract.model import Table
    from lakehouse.storage import Lake

_MONTH, _WHO, _ROWS, _LAYOUT, _KNOWN = "month", "surrogate", "rows", "layout", "known"
_NONE = pl.DataFrame(schema={_LAYOUT: pl.UInt16, _WHO: pl.String, _KNOWN: pl.Boolean})


def keyless(lake: Lake, table: Table) -> dict[int, int]:
    """How many rows of raw, by batch, have lost a key."""
    raw = table.id.at(Tier.RAW)
    if table.entity is None or not storage.exists(lake, raw):
        return {}
    rows = storage.scan(lake, raw)
    named = [name for name in rows.collect_schema().names() if name == ENTITY or name.startswith(f"{ENTITY}_")]
    said = next((each.raw for each in storage.applied_contracts(lake) if each.home == lake.key(table.id)), None)
    scopes = [each["scope"] for each in said["layouts"]] if said is not None else []
    found: dict[int, int] = {}
    # who stands in a row beside its own entity has a seal of his own; a row that lacks both is counted once, at its worst
    for name in named:
        for batch, count in _without_key(lake, table, rows, name, scopes).items():
            found[batch] = max(found.get(batch, 0), count)
    return dict(sorted(found.items()))


def _without_key(lake: Lake, table: Table, rows: pl.LazyFrame, column: str, scopes: Sequence[str]) -> dict[int, int]:
    """The rows of one column of surrogates that lack a key; a seal's layout says of which scope its keys are."""
    month = pl.col(LANDED_AT).dt.strftime("%Y-%m").alias(_MONTH)
    sealed = SEALED if column == ENTITY else SEALED + column.removeprefix(ENTITY)
    layout = pl.col(sealed).bin.slice(2, 2).bin.reinterpret(dtype=pl.UInt16, endianness="big").alias(_LAYOUT)
    grouped = rows.group_by(BATCH, month, layout, pl.col(column).alias(_WHO)).agg(pl.len().alias(_ROWS))
    counted = grouped.collect(engine="streaming").filter(pl.col(_WHO).is_not_null())
    who = counted[_WHO].unique()
    known = pl.concat([_known(lake, some, scopes) for some in counted.partition_by(_LAYOUT)] or [_NONE])
    gone = who.filter(entities.erased(lake, who))
    raw = table.id.at(Tier.RAW)
    months = [each for each in counted[_MONTH].unique().to_list() if vault.find_period_key(lake, raw, each)]
    counted = counted.join(known, on=[_LAYOUT, _WHO], how="left", nulls_equal=True)
    lacks = pl.col(_KNOWN).is_null() | ~pl.col(_MONTH).is_in(months)
    left = counted.filter(lacks & ~pl.col(_WHO).is_in(gone.implode()))
    return dict(left.group_by(BATCH).agg(pl.col(_ROWS).sum()).sort(BATCH).rows())


def _known(lake: Lake, some: pl.DataFrame, scopes: Sequence[str]) -> pl.DataFrame:
    """Who of the rows of one layout has a data key."""
    number: int | None = some[_LAYOUT].first()  # pyright: ignore[reportAssignmentType] - the column's type is known
    if number is None or number >= len(scopes):
        return _NONE
    found = entities.data_keys(lake, some[_WHO], scope=scopes[number]).select(_WHO)
    return found.with_columns(pl.lit(number, pl.UInt16).alias(_LAYOUT), pl.lit(value=True).alias(_KNOWN)).select(
        _LAYOUT, _WHO, _KNOWN
    )
