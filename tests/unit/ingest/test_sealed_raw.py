"""What raw keeps: everything sealed but what the contract lets stay clear, under whose key, and how it opens again."""

from __future__ import annotations

import datetime as dt
import importlib.util
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
import sqlalchemy as sa

from lakehouse import storage
from lakehouse.contract.model import Check, CheckKind, EntityKey, Role, Rule
from lakehouse.errors import StorageError
from lakehouse.ingest import gate, ingest, landing, opener, quarantine, resume
from lakehouse.ingest.rebuild import rebuild
from lakehouse.model import Tier
from lakehouse.privacy import entities, erasures, merging, sealing, vault
from lakehouse.privacy.sealing import KeyKind
from lakehouse.storage import control

pytestmark = pytest.mark.slow

_spec = importlib.util.spec_from_file_location("ingest_domain", Path(__file__).with_name("ingest_domain.py"))
domain = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(domain)
HEADER = domain.HEADER
IS_NAMED = Check("person_is_named", CheckKind.ROW, Rule.ENTITY, ("person",))


@pytest.fixture
def lake(any_lake):
    """On SQLite and on PostgreSQL."""
    return any_lake


@pytest.fixture
def table():
    return domain.order_table(checks=(IS_NAMED,))


def take(lake, table, clock, name: str, content: str | bytes):
    place = landing.folder(lake, table)
    place.mkdir(parents=True, exist_ok=True)
    path = place / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return ingest(lake, domain.project_of(table), table, [path], now=clock)


def raw(lake, table) -> pl.DataFrame:
    return storage.scan(lake, table.id.at(Tier.RAW)).collect().sort("_batch", "_row")


def opened(lake, table) -> pl.DataFrame:
    return pl.concat(opener.opened(lake, table)).sort("_batch", "_row")


def staged(lake, table) -> pl.DataFrame:
    return storage.scan(lake, table.id).collect().sort("_batch", "_row")


def kinds(lake, table) -> list[int]:
    return sealing.heads(raw(lake, table)["_sealed"])["kind"].to_list()


def personal(table, *names: str):
    """The table with these columns personal too."""
    columns = tuple(replace(c, category="user.contact") if c.name in names else c for c in table.columns)
    return replace(table, columns=columns)


def test_raw_shows_nothing_but_places_and_surrogates(lake, table, clock):
    take(lake, table, clock, "a.csv", HEADER + "1,17850.0,1.50,Lovelace\n")
    rows = raw(lake, table)
    assert rows.columns == ["_batch", "_row", "_landed_at", "_entity", "_sealed", "_bad"]
    assert rows["_entity"].to_list() == staged(lake, table)["_entity"].to_list()
    assert b"Lovelace" not in rows["_sealed"].item()


def test_raw_opens_to_the_text_that_was_delivered(lake, table, clock):
    take(lake, table, clock, "a.csv", HEADER + '1, 17850.0,1.50,"x,""y"\n2,,nope,\n3,8\n')
    rows = opened(lake, table)
    assert rows.select("id", "person", "amount", "note").rows() == [
        ("1", " 17850.0", "1.50", 'x,"y'),
        ("2", "", "nope", ""),
        (None, None, None, None),
    ]
    assert rows["_bytes"].to_list() == [None, None, b"3,8"]


def test_a_column_that_may_stay_clear_stands_beside_the_seal(lake, table, clock):
    columns = tuple(replace(c, raw_clear="an amount names nobody") if c.name == "amount" else c for c in table.columns)
    table = replace(table, columns=columns)
    take(lake, table, clock, "a.csv", HEADER + "1,5,1.50,x\n")
    assert raw(lake, table)["amount"].to_list() == ["1.50"]
    assert opened(lake, table).select("amount", "note").rows() == [("1.50", "x")]


def test_a_table_without_an_entity_stays_clear(lake, clock):
    table = domain.line_table()
    take(lake, table, clock, "a.csv", "order,article\nA,pen\n")
    assert raw(lake, table)["article"].to_list() == ["pen"]


def test_rows_are_sealed_under_whom_they_name(lake, table, clock):
    table = personal(table, "note")
    take(lake, table, clock, "a.csv", HEADER + "1,5,1,x\n2,,1,\n3,,1,Ada\n4,5\n")
    assert kinds(lake, table) == [KeyKind.ENTITY, KeyKind.PERIOD, KeyKind.BATCH, KeyKind.BATCH]


def test_an_optional_id_may_be_missing_where_nothing_else_is_personal(lake, table, clock):
    table = personal(table, "note")
    report = take(lake, table, clock, "a.csv", HEADER + "1,,1,\n2,,1,Ada\n3,no id,1,\n")
    assert staged(lake, table)["id"].to_list() == [1]
    assert report.row_checks["person_is_named"] == 2, "a note, and an id that is there and cannot be read"
    assert dict(quarantine.counts(lake, table.id).select("check", "rows").rows()) == {"person_is_named": 2}


def test_an_id_that_must_be_there_and_cannot_be_read_is_quarantined(lake, table, clock):
    table = replace(table, entity=EntityKey("person", "person", canonical=("integer",)))
    report = take(lake, table, clock, "a.csv", HEADER + "1,5,1,\n2,five,1,\n3,,1,\n")
    assert report.row_checks["person_is_named"] == 2
    assert kinds(lake, table) == [KeyKind.ENTITY, KeyKind.BATCH, KeyKind.BATCH]


def test_null_words_are_no_id(lake, table, clock):
    columns = tuple(replace(c, null_words=("", "?")) if c.name == "person" else c for c in table.columns)
    table = replace(table, columns=columns, entity=EntityKey("person", "person", optional=True))
    take(lake, table, clock, "a.csv", HEADER + "1,?,1,\n")
    assert raw(lake, table)["_entity"].to_list() == [None]
    assert staged(lake, table)["id"].to_list() == [1]


def test_batch_keys_live_as_long_as_the_contract_says(lake, table, clock):
    table = replace(table, quarantine_days=7)
    take(lake, table, clock, "a.csv", HEADER + "1,5\n")
    with lake.control.read() as connection:
        due = connection.execute(sa.select(control.batch_key_table.c.destroy_after)).scalar_one()
    assert storage.from_micros(due) == clock + dt.timedelta(days=7)


def test_after_its_days_a_quarantined_row_stays_closed_and_counted(lake, table, clock):
    take(lake, table, clock, "a.csv", HEADER + "1,5,1,x\n2,5\n")
    assert vault.destroy_due(lake, clock) == 0
    with lake.control.write("key.destroy") as connection:
        connection.execute(control.batch_key_table.delete())
    assert opened(lake, table)["_bad"].to_list() == [None, opener.DESTROYED]
    assert opened(lake, table)["_bytes"].to_list() == [None, None]
    rebuild(lake, domain.project_of(table), table)
    assert storage.balance(lake, table.id).unbalanced == ()
    assert storage.balance(lake, table.id).rows["quarantined"].sum() == 1


def test_rows_of_an_erased_entity_stay_closed_and_are_counted(lake, table, clock, forget):
    take(lake, table, clock, "a.csv", HEADER + "1,5,1,x\n2,6,1,y\n3,5,nope,z\n")
    gone = staged(lake, table)["_entity"].to_list()[0]
    forget(lake, pl.Series([gone]))
    rebuild(lake, domain.project_of(table), table)
    assert staged(lake, table)["id"].to_list() == [2]
    balance = storage.balance(lake, table.id)
    assert balance.unbalanced == ()
    assert balance.rows.select("staged", "erased", "quarantined").rows() == [(1, 2, 0)]


def test_a_key_that_is_missing_without_a_reason_stops_everything(lake, table, clock):
    take(lake, table, clock, "a.csv", HEADER + "1,5,1,x\n")
    with lake.control.write("key.destroy") as connection:
        connection.execute(control.data_key_table.delete())
    with pytest.raises(StorageError, match="keys of 1 rows are missing") as error:
        rebuild(lake, domain.project_of(table), table)
    assert "recover" in error.value.hint
    assert staged(lake, table)["id"].to_list() == [1]


def test_a_blob_moved_to_another_row_does_not_open(lake, table, clock):
    take(lake, table, clock, "a.csv", HEADER + "1,5,1,x\n2,5,1,y\n")
    rows = raw(lake, table)
    said = storage.applied_contracts(lake)[0].raw
    reader = opener.Opener(lake, table, opener.RawForm.of(table, said))
    with pytest.raises(StorageError, match="does not open in its place"):
        reader.open(rows.with_columns(pl.col("_sealed").reverse()))


def with_counterparty(table):
    """Columns `payee` and `memo` of a further entity."""
    more = (
        replace(table.columns[1], id="payee", name="payee", category="user.financial", role="payee"),
        replace(table.columns[1], id="memo", name="memo", category="user.financial", role="payee"),
    )
    return replace(table, columns=(*table.columns, *more), roles=(Role("payee", "account", "payee", ("trim",)),))


BOTH = "id,person,amount,note,payee,memo\n"


def test_cells_of_a_further_entity_have_a_seal_of_their_own(lake, table, clock):
    table = with_counterparty(table)
    take(lake, table, clock, "a.csv", BOTH + "1,5,1,x,AC1,rent\n2,5,1,y,,loose\n")
    rows = raw(lake, table)
    assert rows["_sealed_payee"].is_null().to_list() == [False, True]
    assert opened(lake, table).select("note", "payee", "memo").rows() == [("x", "AC1", "rent"), ("y", "", "loose")]
    assert staged(lake, table)["_entity_payee"].is_null().to_list() == [False, True]


def test_erasing_a_further_entity_empties_its_cells_only(lake, table, clock, forget):
    table = with_counterparty(table)
    take(lake, table, clock, "a.csv", BOTH + "1,5,1,x,AC1,rent\n2,6,1,y,AC2,food\n")
    gone = staged(lake, table)["_entity_payee"].to_list()[0]
    forget(lake, pl.Series([gone]))
    rebuild(lake, domain.project_of(table), table)
    assert staged(lake, table).select("note", "payee", "memo").rows() == [("x", None, None), ("y", "AC2", "food")]


def test_a_run_that_died_between_its_commits_gives_the_same_from_raw(lake, table, clock, monkeypatch):
    table = personal(table, "note")
    content = HEADER + "1,5,1,x\n2,,1,\n3,,1,Ada\n4,5\n5,6,nope,y\n"
    with monkeypatch.context() as dying:
        dying.setattr(gate.Gate, "close", lambda self, version: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            take(lake, table, clock, "a.csv", content)
    assert not storage.exists(lake, table.id)
    report = resume(lake, domain.project_of(table), table)
    assert [(b.rows, b.staged, b.quarantined) for b in report.batches] == [(5, 2, 3)]
    assert staged(lake, table)["id"].to_list() == [1, 2]


def test_a_month_has_its_own_period_key(lake, table, clock):
    take(lake, table, clock, "a.csv", HEADER + "1,5,1,x\n")
    take(lake, table, clock + dt.timedelta(days=40), "b.csv", HEADER + "2,5,1,x\n")
    with lake.control.read() as connection:
        months = connection.execute(sa.select(control.period_key_table.c.month)).scalars().all()
    assert len(set(months)) == 2
    assert opened(lake, table)["note"].to_list() == ["x", "x"]


def test_a_changed_scope_seals_later_rows_under_other_keys_and_opens_both(lake, table, clock):
    take(lake, table, clock, "a.csv", HEADER + "1,5,1,x\n")
    later = replace(table, scope="accounting")
    take(lake, later, clock, "b.csv", HEADER + "2,5,1,y\n")
    with lake.control.read() as connection:
        scopes = connection.execute(sa.select(control.data_key_table.c.scope)).scalars().all()
    assert sorted(scopes) == ["accounting", "main"]
    assert opened(lake, later)["note"].to_list() == ["x", "y"]


def test_rows_of_an_erased_scope_stay_closed_and_the_others_open(lake, table, clock, forget):
    take(lake, table, clock, "a.csv", HEADER + "1,5,1,x\n2,6,1,y\n")
    later = replace(table, scope="accounting")
    take(lake, later, clock, "b.csv", HEADER + "3,5,1,z\n")
    gone = staged(lake, table)["_entity"].to_list()[0]
    forget(lake, pl.Series([gone]), {"main"})
    rebuild(lake, domain.project_of(later), later)
    assert staged(lake, later)["id"].to_list() == [2, 3]
    assert storage.balance(lake, table.id).unbalanced == ()
    take(lake, table, clock, "c.csv", HEADER + "4,5,1,again\n")
    rebuild(lake, domain.project_of(table), table)
    assert staged(lake, table)["id"].to_list() == [2, 3, 4]
    assert gone not in staged(lake, table).filter(pl.col("id") == 4)["_entity"].to_list()


def test_erasing_the_entity_that_stayed_erases_the_rows_of_the_merged_one(lake, table, clock):
    take(lake, table, clock, "a.csv", HEADER + "1,5,1,x\n2,6,1,y\n3,7,1,z\n")
    merging.merge(lake, merging.find(lake, "person", [("trim", "integer")], ("5", "6")))
    rebuild(lake, domain.project_of(table), table)
    name = entities.keyed_hash(lake, "person", pl.Series(["6"])).item()
    erasures.record(lake, [erasures.Erasure("person", name, (), None, 1)])
    rebuild(lake, domain.project_of(table), table)
    assert staged(lake, table)["id"].to_list() == [3]
    assert storage.balance(lake, table.id).rows["erased"].sum() == 2


def test_the_next_ingest_destroys_batch_keys_that_are_due(lake, table, clock):
    take(lake, replace(table, quarantine_days=1), lake.now() - dt.timedelta(days=2), "a.csv", HEADER + "1,5,1,x\n2,5\n")
    take(lake, table, lake.now(), "b.csv", HEADER + "3,5,1,x\n4,5\n")
    assert opened(lake, table)["_bad"].is_null().to_list() == [True, False, True, False]
    assert opened(lake, table)["_bad"].to_list()[1] == opener.DESTROYED
    assert opened(lake, table)["_bytes"].to_list()[3] == b"4,5"
