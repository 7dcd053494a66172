"""Surrogates whose rows are another's: since two ids were merged, or since the contract finds entities in another way.

Raw keeps the surrogate that a row was sealed under; what is staged shows the other. Whoever erases the other has to destroy
the keys of the first too, so an alias stays as long as they do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
import sqlalchemy as sa

from lakehouse.privacy import entities
from lakehouse.storage import bulk
from lakehouse.storage.control import alias_table

if TYPE_CHECKING:
    from lakehouse.storage import Lake

_BYTES = sa.LargeBinary(16)


def merged(lake: Lake, surrogates: pl.Series) -> pl.Series:
    """The surrogates, of merged entities the one that stayed."""
    others = entities.aliases(lake, surrogates)
    return surrogates if others.is_empty() else surrogates.replace(others["surrogate"], others["other"])


def note_reformed(lake: Lake, before: pl.Series, now: pl.Series) -> None:
    """Note whose rows are whose since the contract finds entities in another way; row by row, nulls are left out."""
    pairs = pl.DataFrame({"surrogate": before, "other": now}).drop_nulls().unique()
    pairs = pairs.filter(pl.col("surrogate") != pl.col("other"))
    if pairs.is_empty():
        return
    bits = pairs.select(pl.all().str.decode("hex"))
    columns = {"surrogate": _BYTES, "other": _BYTES, "cause": sa.Text()}
    with lake.control.write("entity.reformed") as connection:
        listed = bulk.listed(connection, "new_alias", columns, ((*row, "form") for row in bits.rows()))
        bulk.insert_listed(connection, alias_table, listed)
