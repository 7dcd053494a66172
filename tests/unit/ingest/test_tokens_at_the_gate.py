"""Tokens beside staged values: the same in every table of a domain, never in raw, renewed by a rebuild."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from lakehouse import storage
from lakehouse.contract.change import Effect, Kind
from lakehouse.contract.model import Role
from lakehouse.ingest import ingest, landing, migration
from lakehouse.ingest.rebuild import rebuild
from lakehouse.ingest.tokenising import text_of
from lakehouse.model import TableId, Tier
from lakehouse.privacy import tokens, vault
from lakehouse.storage.applied import put

pytestmark = pytest.mark.slow

_spec = importlib.util.spec_from_file_location("ingest_domain", Path(__file__).with_name("ingest_domain.py"))
domain = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(domain)
HEADER = domain.HEADER


def with_domain(table, **columns):
    """The table with tokens: column name -> (type, canonical form)."""
    made = [
        replace(
            column, type=columns[column.name][0], canonical=(columns[column.name][1],), pseudonym_domain="shop.person"
        )
        if column.name in columns
        else column
        for column in table.columns
    ]
    return replace(table, columns=tuple(made))


ORDERS = with_domain(domain.order_table(), person=(domain.TEXT, "integer"))
BILLS = replace(
    with_domain(domain.order_table(), person=(domain.MONEY, "integer")),
    id=TableId(Tier.STAGED, "shop", "bill"),
    odcs_id="bill",
)
BOTH = domain.project_of(ORDERS, BILLS)


def take(lake, table, clock, content: str, *, name: str = "a.csv", project=BOTH):
    place = landing.folder(lake, table)
    place.mkdir(parents=True, exist_ok=True)
    (place / name).write_text(HEADER + content)
    return ingest(lake, project, table, [place / name], now=clock)


def staged(lake, table) -> pl.DataFrame:
    return storage.scan(lake, table.id).collect().sort("_batch", "_row")


def joined(lake) -> int:
    orders, bills = (staged(lake, each).select("person__token") for each in (ORDERS, BILLS))
    return orders.join(bills, on="person__token").height


def test_a_person_has_one_token_in_every_table_of_the_domain(lake, clock):
    assert "person__token" not in {column.name for column in ORDERS.columns}
    take(lake, ORDERS, clock, "1,17850.0,1,x\n2, 017850,1,x\n3,,1,\n4,abc,1,x\n")
    bills = replace(BILLS, checks=(*BILLS.checks, replace(BILLS.checks[0], name="type_person", columns=("person",))))
    take(lake, bills, clock, "1,17850.00,1,x\n", project=domain.project_of(ORDERS, bills))
    found = staged(lake, ORDERS)["person__token"].to_list()
    assert found[0] == found[1] == staged(lake, BILLS)["person__token"].item()
    assert found[0] == tokens.tokens(lake, "shop.person", ("integer",), pl.Series(["17850"])).item()
    assert found[2:] == [None, None]


def test_no_token_is_in_raw(lake, clock):
    take(lake, ORDERS, clock, "1,17850,1,x\n")
    token = staged(lake, ORDERS)["person__token"].item()
    assert not [name for name in storage.snapshot(lake, ORDERS.id.at(Tier.RAW)).schema.names if "token" in name]
    files = [path for path in Path(lake.root).rglob("*") if path.is_file() and "/raw/" in str(path)]
    assert files
    assert not [path for path in files if token.encode() in path.read_bytes()]


def test_a_renewed_key_counts_once_the_tables_are_made_anew(lake, clock):
    project = domain.project_of(ORDERS, replace(BILLS, columns=ORDERS.columns))
    orders, bills = project.tables
    for table in (orders, bills):
        take(lake, table, clock, "1,17850,1,x\n2,2,1,x\n", project=project)
    before = staged(lake, orders)["person__token"].to_list()
    assert migration.plan(lake, project) == ()
    assert vault.renew_secret(lake, tokens.secret_name("shop.person")) == 2

    steps = migration.plan(lake, project)
    assert [(step.table.id.table, step.effect) for step in steps] == [
        ("order", Effect.REBUILD),
        ("bill", Effect.REBUILD),
    ]
    assert [change.kind for step in steps for change in step.changes] == [Kind.TOKEN, Kind.TOKEN]
    take(lake, orders, clock, "3,17850,1,x\n", name="b.csv", project=project)
    assert staged(lake, orders)["person__token"].to_list() == [*before, before[0]]

    for step in steps:
        migration.apply(lake, project, step)
    after = staged(lake, orders)["person__token"].to_list()
    assert set(after).isdisjoint(before)
    assert after[0] == after[2]
    assert staged(lake, bills)["person__token"].to_list() == after[:2]
    assert migration.plan(lake, project) == ()


def test_rows_whose_key_nobody_noted_are_made_anew(lake, clock):
    take(lake, ORDERS, clock, "1,17850,1,x\n", project=domain.project_of(ORDERS))
    [row] = storage.applied_contracts(lake)
    put(lake, [replace(row, raw={name: said for name, said in row.raw.items() if name != "tokens"})])
    [step] = migration.plan(lake, domain.project_of(ORDERS))
    assert [(change.kind, change.effect) for change in step.changes] == [(Kind.TOKEN, Effect.REBUILD)]
    migration.apply(lake, domain.project_of(ORDERS), step)
    assert migration.plan(lake, domain.project_of(ORDERS)) == ()


def test_a_repeated_row_is_a_repeat_whatever_its_token(lake, clock):
    take(lake, ORDERS, clock, "1,17850,1,x\n")
    vault.renew_secret(lake, tokens.secret_name("shop.person"))
    report = take(lake, ORDERS, clock, "1,17850,1,x\n", name="b.csv")
    assert report.batches[0].duplicate == 1


def test_a_rebuild_gives_the_tokens_of_a_fresh_ingest(lake, clock):
    take(lake, ORDERS, clock, "1,17850,1,x\n2,,1,\n")
    before = staged(lake, ORDERS)
    rebuild(lake, BOTH, ORDERS)
    assert staged(lake, ORDERS).equals(before)


def test_another_form_is_a_planned_migration(lake, clock):
    trim = replace(ORDERS, entity=replace(ORDERS.entity, canonical=("trim",)))
    take(lake, trim, clock, "1,17850,1,x\n2,17850.0,1,x\n", project=domain.project_of(trim))
    assert staged(lake, trim)["_entity"].n_unique() == 2

    project = domain.project_of(ORDERS)
    [step] = migration.plan(lake, project)
    assert (step.effect, step.rows) == (Effect.REBUILD, 2)
    assert [change.kind for change in step.changes] == [Kind.ENTITY]
    assert "surrogates are found anew" in step.changes[0].text
    migration.apply(lake, project, step)
    rows = staged(lake, ORDERS)
    assert rows["_entity"].n_unique() == 1
    assert rows["_entity"].null_count() == 0


def test_another_spelling_of_tokens_is_a_planned_migration(lake, clock):
    trim = with_domain(ORDERS, person=(domain.TEXT, "trim"))
    take(lake, trim, clock, "1,17850,1,x\n2,17850.0,1,x\n", project=domain.project_of(trim))
    assert staged(lake, trim)["person__token"].n_unique() == 2
    [step] = migration.plan(lake, domain.project_of(ORDERS))
    assert [(change.kind, change.effect) for change in step.changes] == [(Kind.TOKEN, Effect.REBUILD)]
    migration.apply(lake, domain.project_of(ORDERS), step)
    assert staged(lake, ORDERS)["person__token"].n_unique() == 1


def test_other_roles_are_a_planned_migration(lake, clock):
    plain = domain.order_table()
    take(lake, plain, clock, "1,7,1,a\n2,7,1,b\n3,7,1,\n", project=domain.project_of(plain))
    note = [replace(each, role="clerk") if each.name == "note" else each for each in plain.columns]
    other = replace(plain, columns=tuple(note), roles=(Role("clerk", "clerk", "note"),))
    project = domain.project_of(other)
    [step] = migration.plan(lake, project)
    assert step.effect is Effect.REBUILD
    migration.apply(lake, project, step)
    rows = staged(lake, other)
    assert rows["_entity_clerk"].n_unique() == 3
    assert rows["_entity_clerk"].null_count() == 1


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        (pl.Series([17850, None]), ["17850", None]),
        (pl.Series(["17850.00"]).cast(pl.Decimal(12, 2)), ["17850.00"]),
        (pl.Series([True]), ["true"]),
        (pl.Series(["2011-03-01"]).str.to_date(), ["2011-03-01"]),
        (pl.Series(["2011-03-01 04:05:06"]).str.to_datetime(time_zone="UTC"), ["2011-03-01T04:05:06.000000Z"]),
    ],
)
def test_typed_values_have_one_text(values, texts):
    assert text_of(values).to_list() == texts
