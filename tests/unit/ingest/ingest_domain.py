"""A small domain for ingest tests: `order` (key id, entity person) and `line` (key with an occurrence column)."""

from __future__ import annotations

from pathlib import Path

from lakehouse.contract.model import (
    Check,
    CheckKind,
    Column,
    ColumnType,
    Contract,
    EntityKey,
    Logical,
    Project,
    Rule,
    Source,
    Table,
)
from lakehouse.model import TableId, Tier

HEADER = "id,person,amount,note\n"


def _column(name: str, kind: ColumnType, *, category: str = "system.operations", **more) -> Column:
    return Column(id=name, name=name, type=kind, category=category, **more)


TEXT = ColumnType(Logical.STRING)
INTEGER = ColumnType(Logical.INTEGER)
MONEY = ColumnType(Logical.DECIMAL, precision=12, scale=2)


def order_table(*, source: Source | None = None, checks: tuple[Check, ...] = ()) -> Table:
    return Table(
        id=TableId(Tier.STAGED, "shop", "order"),
        odcs_id="order",
        columns=(
            _column("id", INTEGER, required=True),
            _column("person", TEXT, category="user.unique_id"),
            _column("amount", MONEY),
            _column("note", TEXT),
        ),
        key=("id",),
        entity=EntityKey("person", "person", canonical=("trim", "integer"), optional=True),
        sources=(source or Source("shop", pattern="*.csv*"),),
        checks=(
            Check("type_id", CheckKind.ROW, Rule.TYPE, ("id",)),
            Check("required_id", CheckKind.ROW, Rule.REQUIRED, ("id",)),
            Check("type_amount", CheckKind.ROW, Rule.TYPE, ("amount",)),
            *checks,
        ),
    )


def line_table() -> Table:
    return Table(
        id=TableId(Tier.STAGED, "shop", "line"),
        odcs_id="line",
        columns=(
            _column("order", TEXT),
            _column("line", INTEGER, derived="occurrence", derived_over=("order",)),
            _column("article", TEXT),
        ),
        key=("order", "line"),
        sources=(Source("shop"),),
        checks=(Check("required_article", CheckKind.ROW, Rule.REQUIRED, ("article",)),),
    )


def project_of(*tables: Table, version: str = "1.0.0") -> Project:
    return Project(Path("/nowhere"), (Contract("shop", "shop", version, tables),))
