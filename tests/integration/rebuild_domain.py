"""A table with event months and many ways to fail, and what two lakes are compared by."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from lakehouse import storage
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
from lakehouse.ingest import ingest, landing, quarantine
from lakehouse.model import TableId, Tier

if TYPE_CHECKING:
    import polars as pl

HEADER = "id,person,day,amount,note\n"
TEXT, INTEGER, DAY = ColumnType(Logical.STRING), ColumnType(Logical.INTEGER), ColumnType(Logical.DATE)
MONEY = ColumnType(Logical.DECIMAL, precision=12, scale=2)


def column(name: str, kind: ColumnType = TEXT, *, category: str = "system.operations", **more) -> Column:
    return Column(id=more.pop("id", name), name=name, type=kind, category=category, source_name=name, **more)


def row_check(rule: Rule, name: str, **more) -> Check:
    return Check(f"{rule}_{name}", CheckKind.ROW, rule, (name,), **more)


def sale_table(*checks: Check, **more) -> Table:
    """Sales by month; `checks` come after what the columns promise by themselves."""
    table = Table(
        id=TableId(Tier.STAGED, "shop", "sale"),
        odcs_id="shop/sale",
        columns=(
            column("id", INTEGER, required=True),
            column("person", category="user.unique_id"),
            column("day", DAY),
            column("amount", MONEY),
            column("note"),
        ),
        key=("id",),
        entity=EntityKey("person", "person", canonical=("trim", "integer"), optional=True),
        event_time="day",
        layout="time+entity",
        sources=(Source("till", pattern="*.csv"),),
        checks=(
            row_check(Rule.TYPE, "id"),
            row_check(Rule.REQUIRED, "id"),
            row_check(Rule.TYPE, "day"),
            row_check(Rule.TYPE, "amount"),
            *checks,
        ),
    )
    return replace(table, **more)


def project_of(*tables: Table, version: str = "1.0.0") -> Project:
    return Project(Path("/nowhere"), (Contract("shop", "shop", version, tables),))


def take(lake, table: Table, now, *files: tuple[str, str], version: str = "1.0.0"):
    """Ingest files into the table."""
    folder = landing.folder(lake, table)
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / name for name, _ in files]
    for path, (_, content) in zip(paths, files, strict=True):
        path.write_text(content)
    return ingest(lake, project_of(table, version=version), table, paths, now=now)


def rows(lake, table: Table) -> pl.DataFrame:
    """The staged rows, without the surrogates, which are random in each lake."""
    return storage.scan(lake, table.id).drop("_entity").collect().sort("_batch", "_row")


def account(lake, table: Table) -> dict[int, dict[str, int]]:
    """Where each batch's rows are; every batch must balance."""
    found = storage.balance(lake, table.id)
    assert found.unbalanced == ()
    return {line.pop("batch"): {k: n for k, n in line.items() if n} for line in found.rows.to_dicts()}


def pointers(lake, table: Table) -> list[tuple]:
    """The quarantine, without the contract's version."""
    if not storage.exists(lake, quarantine.place(table.id)):
        return []
    found = storage.scan(lake, quarantine.place(table.id)).collect().sort("_batch", "_row")
    return found.select("_batch", "_row", "failed").rows()


def same(one, other, table: Table) -> None:
    """Both lakes have the same rows, accounts, pointers and states of batches."""
    assert rows(one, table).equals(rows(other, table))
    assert account(one, table) == account(other, table)
    assert pointers(one, table) == pointers(other, table)
    columns = ["number", "state", "rows", "reason"]
    assert storage.batches(one, table.id).select(columns).equals(storage.batches(other, table.id).select(columns))
