"""Attacks on the vault that once succeeded: cells lost by a reseal, rows closed by a recovery, keys destroyed too early."""

from __future__ import annotations

import dataclasses
import datetime as dt
import importlib.util
import sqlite3
import threading
import time
from pathlib import Path

import polars as pl
import pytest
import sqlalchemy as sa

from lakehouse import storage
from lakehouse.contract.model import EntityKey, Role
from lakehouse.errors import KeyUnavailableError, LakeMismatchError
from lakehouse.ingest import gateway, ingest, landing, merged, opener, reseal
from lakehouse.ingest.rebuild import rebuild
from lakehouse.model import Tier
from lakehouse.privacy import entities, epochs, erasures, merging, rotation, vault
from lakehouse.privacy.keyless import keyless
from lakehouse.storage.control import batch_key_table, to_micros
from tests.integration.restored_lake import keep, mend, require_quiet, restore, settings_in
from tests.stores import bytes_below, remove_at

_spec = importlib.util.spec_from_file_location(
    "ingest_domain", Path(__file__).parents[1] / "unit" / "ingest" / "ingest_domain.py"
)
domain = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(domain)
HEADER = domain.HEADER
BUYERS = "id,person,amount,note,buyer,called\n"


@pytest.fixture
def settings(tmp_path, site):
    # a lock would keep what a reseal is to delete
    return settings_in(tmp_path) if site.is_local else settings_in(tmp_path / "own", site.with_raw)


@pytest.fixture
def lake(settings):
    return storage.create_lake(settings)


def clear(table, *names: str):
    columns = tuple(dataclasses.replace(c, raw_clear="a reason" if c.name in names else None) for c in table.columns)
    return dataclasses.replace(table, columns=columns)


def without(table, name: str):
    columns = tuple(c for c in table.columns if c.name != name)
    checks = tuple(check for check in table.checks if name not in check.columns)
    return dataclasses.replace(table, columns=columns, checks=checks)


def with_buyer():
    """Orders with a further entity."""
    told = {"type": domain.TEXT, "role": "buyer"}
    buyer = domain._column("buyer", told["type"], category="user.unique_id", role="buyer")
    called = domain._column("called", told["type"], category="user.name", role="buyer")
    table = domain.order_table()
    roles = (Role("buyer", "person", "buyer", ("trim", "integer")),)
    return dataclasses.replace(table, columns=(*table.columns, buyer, called), roles=roles)


def take(lake, table, clock, name: str, content: str):
    place = landing.folder(lake, table)
    place.mkdir(parents=True, exist_ok=True)
    (place / name).write_text(content)
    return ingest(lake, domain.project_of(table), table, [place / name], now=clock)


def make_anew(lake, table, **more) -> None:
    rebuild(lake, domain.project_of(table), table, **more)


def staged(lake, table) -> pl.DataFrame:
    return storage.scan(lake, table.id).collect().sort("_batch", "_row")


def destroyed_after(lake) -> list[int]:
    with lake.control.read() as connection:
        return list(connection.execute(sa.select(batch_key_table.c.destroy_after)).scalars())


# --- reseal writes all of raw again


def test_a_reseal_keeps_the_cells_of_columns_that_the_contract_has_no_more(lake, clock):
    table = clear(domain.order_table(), "note")
    take(lake, table, clock, "a.csv", HEADER + "1,5,1.50,MARKER\n")
    before = staged(lake, table)
    fewer = clear(without(table, "amount"))
    make_anew(lake, fewer)
    assert reseal.reseal(lake, domain.project_of(fewer), fewer).columns == ("note",)
    make_anew(lake, clear(table))
    assert staged(lake, table).equals(before)


def test_a_column_may_be_sealed_after_the_contract_has_let_go_of_it(lake, clock):
    table = clear(domain.order_table(), "note")
    take(lake, table, clock, "a.csv", HEADER + "1,5,1.50,MARKER\n")
    before, fewer = staged(lake, table), without(table, "note")
    make_anew(lake, fewer)
    assert reseal.reseal(lake, domain.project_of(fewer), fewer).columns == ("note",)
    assert b"MARKER" not in bytes_below(lake.uri(table.id.at(Tier.RAW)))
    make_anew(lake, clear(table))
    assert staged(lake, table).equals(before)


def test_what_a_former_column_says_of_a_further_entity_stays_under_its_key(lake, clock, forget):
    table = clear(with_buyer(), "note")
    take(lake, table, clock, "a.csv", BUYERS + "1,5,1,x,6,Anna\n2,7,1,y,8,Bob\n")
    fewer = clear(without(table, "called"))
    make_anew(lake, fewer)
    reseal.reseal(lake, domain.project_of(fewer), fewer)
    forget(lake, staged(lake, fewer)["_entity_buyer"].head(1))
    make_anew(lake, clear(table))
    assert staged(lake, table)["called"].to_list() == [None, "Bob"]


def test_rows_that_lose_their_name_by_a_reseal_are_not_gone_at_once(lake, clock):
    table = clear(domain.order_table(), "note")
    take(lake, table, clock, "a.csv", HEADER + "1,5,1,x\n")
    other = dataclasses.replace(clear(table), entity=EntityKey("person", "note", canonical=("integer",)))
    make_anew(lake, other)
    reseal.reseal(lake, domain.project_of(other), other)
    assert vault.destroy_due(lake, lake.now()) == 0
    assert destroyed_after(lake)[0] > to_micros(lake.now())


# --- batches that an older control database has lost


def test_lost_batches_stop_neither_a_reseal_nor_reading_raw(settings, lake, clock):
    table = clear(domain.order_table(), "note")
    take(lake, table, clock, "a.csv", HEADER + "1,5,1,ONE\n")
    keep(settings, "db")
    later = clock + dt.timedelta(days=40)
    content = HEADER + "3,5,1,MARKER\n4,7,1,MARKER\n"
    take(lake, table, later, "b.csv", content)  # an old entity and a new one, in a month of its own
    restore(settings, "db")
    mend(settings)
    lake = require_quiet(settings)
    take(lake, table, later, "b.csv", content)  # makes another key for the same month
    mended = clear(table)
    make_anew(lake, mended, drop_lost=True)
    reseal.reseal(lake, domain.project_of(mended), mended)
    rows = pl.concat(opener.opened(lake, mended)).sort("_batch", "_row")
    assert rows["_bad"].to_list() == [None, opener.LOST, opener.LOST, None, None]
    assert rows["note"].to_list() == ["ONE", None, None, "MARKER", "MARKER"]
    assert b"MARKER" not in bytes_below(lake.uri(table.id.at(Tier.RAW)))


def test_rows_of_another_scope_are_not_taken_for_lost(lake, clock):
    table = domain.order_table()
    take(lake, table, clock, "a.csv", HEADER + "1,5,1,x\n2,6,1,y\n")
    moved = dataclasses.replace(table, scope="accounting")
    make_anew(lake, moved)
    assert keyless(lake, moved) == {}
    take(lake, moved, clock, "b.csv", HEADER + "3,5,1,x\n")
    assert keyless(lake, moved) == {}


# --- keys of batches


def test_a_file_that_is_taken_long_after_it_was_first_seen_has_its_days_of_quarantine(lake, clock, monkeypatch):
    table, content = domain.order_table(), HEADER + "broken\n"
    with monkeypatch.context() as dying:
        dying.setattr(gateway._Intake, "_commit", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            take(lake, table, clock, "a.csv", HEADER + "1,5,1,x\n")
    later = clock + dt.timedelta(days=45)
    take(lake, table, later, "a.csv", HEADER + "1,5,1,x\n")
    take(lake, table, later, "b.csv", content)
    assert storage.batches(lake, table.id)["landed_at"].to_list() == [later, later]
    assert destroyed_after(lake) == [to_micros(later + dt.timedelta(days=30))]


# --- one connection at a time


def test_a_replay_waits_for_no_writer_that_waits_for_it(settings, lake, monkeypatch):
    """Looking through all surrogates for a mark, with a writer that is about to commit."""
    vault.secret(lake, "entity")
    monkeypatch.setattr(erasures, "_MANY", 2)
    rows = [{"surrogate": bytes([n]) * 16, "scope": "main", "epoch": 1, "wrapped": b"w"} for n in range(5)]
    with lake.control.write("key.make") as connection:
        connection.execute(storage.control.data_key_table.insert(), rows)
    marks, waited = vault.marks, []

    def marks_beside_a_writer(*asked):
        writer = sqlite3.connect(settings.control_url.removeprefix("sqlite:///"), timeout=5, check_same_thread=False)
        writer.isolation_level = None
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("UPDATE lake SET ready = ready")
        done = threading.Thread(target=lambda: writer.execute("COMMIT"))
        done.start()
        time.sleep(0.05)
        found = marks(*asked)
        done.join()
        waited.append(writer.in_transaction)
        writer.close()
        return found

    gone = marks(lake, pl.Series([rows[4]["surrogate"].hex()])).to_list()
    monkeypatch.setattr(vault, "marks", marks_beside_a_writer)
    event = erasures.Erasure("person", b"\1" * 32, tuple(gone), None, 5)
    assert erasures.returned(lake, [event]) == 1
    assert waited == [False, False, False]


# --- whose database is it


def test_a_database_of_a_lake_elsewhere_does_not_ask_for_a_new_lake(settings, lake):
    remove_at(f"{settings.lake}/lake.json")
    for other in (f"{settings.lake}-empty", settings.lake):
        for use in (storage.create_lake, storage.open_lake):
            with pytest.raises(LakeMismatchError, match="belongs to a lake") as caught:
                use(dataclasses.replace(settings, lake=other))
            assert "LAKEHOUSE_CONTROL_URL" in caught.value.hint


def test_an_error_of_the_database_shows_no_parameters(lake):
    row = {"surrogate": b"S" * 16, "scope": "main", "epoch": 1, "wrapped": b"MARKER"}
    with lake.control.write("key.make") as connection:
        connection.execute(storage.control.data_key_table.insert(), row)
    with lake.control.write("key.make") as connection, pytest.raises(sa.exc.IntegrityError) as caught:
        connection.execute(storage.control.data_key_table.insert(), row)
    assert "MARKER" not in str(caught.value)


# --- merged ids


def test_no_id_leads_to_an_erased_surrogate_though_several_did(lake, clock):
    table = domain.order_table()
    take(lake, table, clock, "a.csv", HEADER + "1,5,1,x\n2,6,1,y\n")
    pair = merging.find(lake, "person", {("trim", "integer")}, ("5", "6"))
    merging.merge(lake, pair)
    marks = tuple(vault.marks(lake, pl.Series([pair.first, pair.second])).to_list())
    of_six = entities.keyed_hash(lake, "person", pl.Series(["6"])).item()
    erasures.record(lake, [erasures.Erasure("person", of_six, marks, None, 5)])
    take(lake, table, clock, "b.csv", HEADER + "3,5,1,z\n")
    make_anew(lake, table)  # the new row's key is not taken for the one that was destroyed
    left = staged(lake, table)
    assert left["id"].to_list() == [3]
    assert not left["_entity"].is_in([pair.first, pair.second]).any()


@pytest.mark.parametrize("known", ["id", "mark"])
def test_who_was_merged_is_forgotten_whole(lake, clock, known):
    """The rows that were sealed under the first id's key do not open any more, whatever of the entity the erasure names."""
    table = domain.order_table()
    take(lake, table, clock, "a.csv", HEADER + "1,5,1,x\n2,6,1,y\n3,7,1,z\n")
    pair = merging.find(lake, "person", {("trim", "integer")}, ("5", "6"))
    merging.merge(lake, pair)
    of_six = entities.keyed_hash(lake, "person", pl.Series(["6"])).item() if known == "id" else b""
    marks = tuple(vault.marks(lake, pl.Series([pair.second])).to_list()) if known == "mark" else ()
    erasures.record(lake, [erasures.Erasure("person", of_six, marks, None, 5)])
    make_anew(lake, table)
    assert staged(lake, table)["id"].to_list() == [3]


def test_no_id_leads_to_a_surrogate_that_is_known_by_its_mark_alone(lake, clock):
    table = domain.order_table()
    take(lake, table, clock, "a.csv", HEADER + "1,5,1,x\n")
    mark = tuple(vault.marks(lake, staged(lake, table)["_entity"]).to_list())
    erasures.record(lake, [erasures.Erasure("", b"", mark, None, 5)])
    take(lake, table, clock, "b.csv", HEADER + "2,5,1,y\n")
    make_anew(lake, table)
    assert staged(lake, table)["id"].to_list() == [2]


def test_a_merge_that_died_before_a_table_knew_is_finished_by_the_next_merge(lake, clock):
    table = domain.order_table()
    take(lake, table, clock, "a.csv", HEADER + "1,5,1,x\n2,6,1,y\n3,7,1,z\n")
    project = domain.project_of(table)
    merging.merge(lake, merged.plan(lake, project, "person", ("5", "6")).pair)
    handover = merged.plan(lake, project, "person", ("6", "7"))
    assert [rows for _, rows in handover.rows] == [2]
    merged.apply(lake, project, handover)
    assert staged(lake, table)["_entity"].n_unique() == 1


# --- a backup from before the last destroyed epoch


def test_a_database_whose_keys_are_all_destroyed_is_not_recovered(settings, clock):
    settings = dataclasses.replace(settings, backup_days=0)
    lake, table = storage.create_lake(settings), domain.order_table()
    take(lake, table, clock, "a.csv", HEADER + "1,5,1,x\n")
    keep(settings, "db")
    rotation.rotate(lake)
    time.sleep(0.01)
    assert rotation.destroy_due(lake) == (1,)
    restore(settings, "db")
    epochs._opened.clear()
    with pytest.raises(KeyUnavailableError, match="was destroyed"):
        mend(settings)
    # as before, so that a newer backup can be restored
    with pytest.raises(LakeMismatchError, match="control database is older"):
        storage.open_lake(settings)


# --- erased while somebody delivers


def test_no_key_is_made_for_who_is_erased_while_it_is_looked_up(lake, clock, monkeypatch):
    table = domain.order_table()
    take(lake, table, clock, "a.csv", HEADER + "1,5,1,x\n")
    who = staged(lake, table)["_entity"]
    known = entities.keyed_hash(lake, "person", pl.Series(["5"])).item()
    look_up = entities._look_up

    def and_then_erase(*asked):
        found = look_up(*asked)
        monkeypatch.setattr(entities, "_look_up", look_up)
        erasures.record(lake, [erasures.Erasure("person", known, tuple(vault.marks(lake, who).to_list()), None, 5)])
        return found

    monkeypatch.setattr(entities, "_look_up", and_then_erase)
    found = entities.with_keys(lake, "person", ("trim", "integer"), pl.Series(["5"]), scope="accounting")
    assert found["surrogate"].to_list() != who.to_list()
    assert entities.data_keys(lake, who, scope="accounting").is_empty()
