"""The surrogates of delivered rows: whose rows they are, by the contract's entity."""

# pyarrow ships without types.
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportMissingTypeStubs=false

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from lakehouse.model import ENTITY
from lakehouse.privacy import entities

if TYPE_CHECKING:
    from lakehouse.contract.model import Table
    from lakehouse.storage import Lake


def of_rows(lake: Lake, table: Table, frame: pl.DataFrame) -> pl.Series:
    """The `_entity` of rows as they were delivered."""
    if table.entity is None or table.entity.key is None:
        return pl.Series(ENTITY, [None] * frame.height, dtype=pl.String)
    words = list(table.column(table.entity.key).null_words)
    ids = frame.select(pl.when(~pl.col(table.entity.key).is_in(words)).then(pl.col(table.entity.key))).to_series()
    return entities.resolve(lake, table.entity.type, table.entity.canonical, ids).alias(ENTITY)
