"""What raw's columns are called and what its seals hold: raw is never rewritten, so both stay as they were first said.

Contracts rename, add and remove columns; `columns` maps their ids to raw's names, `order` is raw's own columns in order,
`late` are the columns that raw got after rows had come in. Their text may stand in `_extra` of older rows, where a contract
that did not know them let unknown columns in. `layouts` says which cells, by raw's names, a seal of each number holds and
under which scope's keys; a changed contract adds one. `entity` tells whose surrogates raw's `_entity` holds.
"""

# pyarrow ships without types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa

from lakehouse.contract import arrow
from lakehouse.model import BYTES, ENTITY, EXTRA, SEALED, Tier, entity_of, sealed_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lakehouse.contract.model import Column, Table

MIXED = "mixed"
#: The role of a row's own entity.
OWN = ""


@dataclass(frozen=True)
class Layout:
    """What seals of one number hold: raw's names of the cells, in order, under a scope's keys."""

    columns: tuple[str, ...]
    scope: str


@dataclass(frozen=True)
class RawForm:
    """One table's raw columns beside its contract's.

    Attributes:
        contract: rows as the gateway and the gate have them, see `contract.arrow.delivered`.
        schema: raw's own columns.
        names: the contract's name of a column -> raw's, where rows can have it.
        late: the contract's name -> the delivered name under which older rows may have it in `_extra`.
        layouts: what seals of each number hold.
        seals: role -> number of the layout to seal with; nothing where rows stay clear.
        stale_entity: raw's surrogates are of other entities than the contract's, at least in part.
    """

    contract: pa.Schema
    schema: pa.Schema
    names: Mapping[str, str]
    late: Mapping[str, str] = field(default_factory=dict[str, str])
    layouts: tuple[Layout, ...] = ()
    seals: Mapping[str, int] = field(default_factory=dict[str, int])
    stale_entity: bool = False

    @staticmethod
    def of(table: Table, said: Mapping[str, Any] | None, *, former: bool = False) -> RawForm:
        """The form of a table's raw; `said` is what the lake knows of it, None when there is no raw yet.

        With `former` also with the cells of columns that the contract has no more: who writes raw again must not lose them.
        """
        said = first(table) if said is None else with_layouts(said, table, former=former)
        gone = _former(table, said) if former else {}
        contract = pa.schema([*arrow.delivered(table), *(pa.field(name, pa.string()) for name in gone)])
        known: Mapping[str, str] = said["columns"]
        names = {column.name: known[column.id] for column in table.delivered if column.id in known}
        told = {*gone, *(column.name for column in table.delivered)}
        own = {name: name for name in contract.names if name not in told}
        late = {c.name: c.path for c in table.delivered if c.id in said["late"]}
        kinds = {item.name: item.type for item in contract}
        platform = {name: kinds[name] for name in own}
        schema = pa.schema([pa.field(name, platform.get(name, _kind(name))) for name in said["order"]])
        layouts = tuple(Layout(tuple(each["columns"]), each["scope"]) for each in said["layouts"])
        seals = {role: layouts.index(layout) for role, layout in _wanted(table, said, former=former).items()}
        stale = said["entity"] != entity_digest(table)
        return RawForm(contract, schema, {**own, **names, **gone}, late, layouts, seals, stale)

    @property
    def sealed(self) -> tuple[str, ...]:
        """Raw's names of everything that is sealed now."""
        return self.layouts[self.seals[OWN]].columns if self.seals else ()

    def outward(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Rows with the contract's names under raw's names."""
        renamed = {name: raw for name, raw in self.names.items() if name != raw and name in frame.columns}
        return frame.rename(renamed) if renamed else frame

    def inward(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Rows under raw's names with the contract's names, and nothing else."""
        return rows.select(self._read(name, rows.columns) for name in self.contract.names)

    def _read(self, name: str, there: list[str]) -> pl.Expr:
        raw = self.names.get(name)
        missing = pl.lit(None, pl.Binary if name == BYTES else pl.String)
        text = (pl.col(raw) if raw in there else missing).alias(name)
        if name not in self.late or EXTRA not in there:
            return text
        key = self.late[name].replace("\\", "\\\\").replace("'", "\\'")
        return pl.coalesce(text, pl.col(EXTRA).str.json_path_match(f"$['{key}']")).alias(name)


def first(table: Table) -> dict[str, Any]:
    """What is known of raw when its first rows come in."""
    said = {
        "columns": {column.id: column.name for column in table.delivered},
        "order": arrow.schema(table, Tier.RAW).names,
        "late": [],
        "layouts": [],
        "entity": entity_digest(table),
        "replay": False,
    }
    return with_layouts(said, table)


def extended(said: Mapping[str, Any], table: Table) -> dict[str, Any]:
    """The same with the columns that a contract adds, at the end, under names that raw does not have."""
    columns, order, late = dict(said["columns"]), list(said["order"]), list(said["late"])
    for column in table.delivered:
        if column.id not in columns:
            columns[column.id] = _free(column, {*order, *columns.values()})
            late.append(column.id)
    own = [item.name for item in arrow.schema(table, Tier.RAW) if item.name.startswith("_")]
    clear = [columns[column.id] for column in table.delivered if column.raw_clear or not table.sealed]
    order += [name for name in (*own, *clear) if name not in order]
    entity = said["entity"] if said["entity"] == entity_digest(table) else MIXED
    return with_layouts({**said, "columns": columns, "order": order, "late": late, "entity": entity}, table)


def with_layouts(said: Mapping[str, Any], table: Table, *, former: bool = False) -> dict[str, Any]:
    """The same with the layouts that the contract seals with; numbers that are in use keep their meaning."""
    layouts: list[dict[str, Any]] = list(said["layouts"])
    for layout in _wanted(table, said, former=former).values():
        entry = {"columns": list(layout.columns), "scope": layout.scope}
        if entry not in layouts:
            layouts.append(entry)
    return {**said, "layouts": layouts}


def _wanted(table: Table, said: Mapping[str, Any], *, former: bool = False) -> dict[str, Layout]:
    """Role -> what is sealed under it. A role's cells are among the row's own too: that is where they go without its id."""
    if not table.sealed:
        return {}
    known, order = said["columns"], frozenset(said["order"])
    # a column that may stay clear is sealed until raw has it, see `lakehouse apply`
    cells = [c for c in table.delivered if c.id in known and not (c.raw_clear and known[c.id] in order)]
    gone = tuple(_former(table, said).values()) if former else ()
    found = {OWN: Layout((*(known[column.id] for column in cells), *gone, EXTRA, BYTES), table.scope)}
    for role in table.roles:
        theirs = _ever_beside(said, known[table.column(role.key).id]) if gone else frozenset[str]()
        names = (*(known[c.id] for c in cells if c.role == role.name), *(name for name in gone if name in theirs))
        found[role.name] = Layout(names, table.scope)
    return found


def _former(table: Table, said: Mapping[str, Any]) -> dict[str, str]:
    """Raw's columns that the contract has no more, under names that no contract gives."""
    present = {column.id for column in table.delivered}
    return {f"__former_{raw}": raw for id_, raw in said["columns"].items() if id_ not in present}


def _ever_beside(said: Mapping[str, Any], key: str) -> frozenset[str]:
    """Raw's columns that were ever sealed under the role of this key; only a row's own seal holds what is unknown."""
    roles = (each["columns"] for each in said["layouts"] if EXTRA not in each["columns"])
    return frozenset(name for columns in roles if key in columns for name in columns)


def entity_digest(table: Table) -> str:
    """A digest of how a row's surrogates are found."""
    entity = table.entity
    if entity is None or entity.key is None:
        return ""
    ways = [(ENTITY, entity.type, entity.key, entity.canonical)]
    ways += [(entity_of(role.name), role.type, role.key, role.canonical) for role in table.roles]
    told = [
        (name, kind, table.column(key).id, sorted(forms), sorted(table.column(key).null_words))
        for name, kind, key, forms in ways
    ]
    return hashlib.sha256(repr(told).encode()).hexdigest()[:16]


def _kind(name: str) -> pa.DataType:
    """The type of a column of raw that the contract's rows do not have."""
    if name in {BYTES, SEALED} or name.startswith(sealed_of("")):
        return pa.binary()
    return pa.string()


def _free(column: Column, taken: set[str]) -> str:
    name, number = column.name, 1
    while name in taken:
        number += 1
        name = f"{column.name}_{number}"
    return name
