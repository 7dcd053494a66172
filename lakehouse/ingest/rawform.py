"""What raw's columns are called: raw is never rewritten, so a column keeps the name it was first given.

Contracts rename, add and remove columns; `columns` maps their ids to raw's names, `order` is raw's own order, `late` are
the columns that raw got after rows had come in. Their text may stand in `_extra` of older rows, where a contract that did
not know them let unknown columns in. `entity` tells whose surrogates raw's `_entity` holds.
"""

# pyarrow ships without types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa

from lakehouse.contract import arrow
from lakehouse.model import EXTRA, Tier

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lakehouse.contract.model import Column, Table

MIXED = "mixed"


@dataclass(frozen=True)
class RawForm:
    """One table's raw columns beside its contract's."""

    contract: pa.Schema
    schema: pa.Schema
    names: Mapping[str, str]
    late: Mapping[str, str]
    #: Raw's surrogates are of another entity than the contract's, at least in part.
    stale_entity: bool = False

    @staticmethod
    def of(table: Table, said: Mapping[str, Any] | None) -> RawForm:
        """The form of a table's raw; `said` is what the lake knows of it, None when there is no raw yet."""
        contract = arrow.schema(table, Tier.RAW)
        if not said:
            return RawForm(contract, contract, {name: name for name in contract.names}, {})
        known: Mapping[str, str] = said["columns"]
        names = {column.name: known[column.id] for column in table.delivered if column.id in known}
        own = {name: name for name in contract.names if name not in {column.name for column in table.delivered}}
        late = {c.name: c.path for c in table.delivered if c.id in said["late"]}
        kinds = {names.get(item.name, item.name): item.type for item in contract}
        schema = pa.schema([pa.field(name, kinds.get(name, pa.string())) for name in said["order"]])
        return RawForm(contract, schema, {**own, **names}, late, said["entity"] != entity_digest(table))

    @property
    def _plain(self) -> bool:
        """Whether raw is just as the contract has it."""
        same = all(name == raw for name, raw in self.names.items())
        return same and not self.late and self.schema.names == self.contract.names

    def outward(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Rows with the contract's names as raw keeps them."""
        if self._plain:
            return frame
        inverse = {raw: name for name, raw in self.names.items()}
        return frame.select(
            pl.col(inverse[name]).alias(name) if name in inverse else pl.lit(None, pl.String).alias(name)
            for name in self.schema.names
        )

    def inward(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        """Raw's rows with the contract's names."""
        if self._plain:
            return rows
        return rows.select(self._read(name) for name in self.contract.names)

    def _read(self, name: str) -> pl.Expr:
        if name not in self.names:
            return pl.lit(None, pl.String).alias(name)
        text = pl.col(self.names[name]).alias(name)
        if name not in self.late:
            return text
        key = self.late[name].replace("\\", "\\\\").replace("'", "\\'")
        return pl.coalesce(text, pl.col(EXTRA).str.json_path_match(f"$['{key}']")).alias(name)


def first(table: Table) -> dict[str, Any]:
    """What is known of raw when its first rows come in."""
    return {
        "columns": {column.id: column.name for column in table.delivered},
        "order": arrow.schema(table, Tier.RAW).names,
        "late": [],
        "entity": entity_digest(table),
        "replay": False,
    }


def extended(said: Mapping[str, Any], table: Table) -> dict[str, Any]:
    """The same with the columns that a contract adds, at the end, under names that raw does not have."""
    columns, order, late = dict(said["columns"]), list(said["order"]), list(said["late"])
    for column in table.delivered:
        if column.id not in columns:
            columns[column.id] = _free(column, order)
            order.append(columns[column.id])
            late.append(column.id)
    entity = said["entity"] if said["entity"] == entity_digest(table) else MIXED
    return {**said, "columns": columns, "order": order, "late": late, "entity": entity}


def entity_digest(table: Table) -> str:
    """A digest of how a row's surrogate is found."""
    entity = table.entity
    if entity is None or entity.key is None:
        return ""
    key = table.column(entity.key)
    said = repr((entity.type, key.id, sorted(entity.canonical), sorted(key.null_words)))
    return hashlib.sha256(said.encode()).hexdigest()[:16]


def _free(column: Column, taken: list[str]) -> str:
    name, number = column.name, 1
    while name in taken:
        number += 1
        name = f"{column.name}_{number}"
    return name
