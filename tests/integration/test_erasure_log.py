"""The erasure log and the chains: no backup brings a key back, and no entry is changed, left out or put in unnoticed."""

from __future__ import annotations

import dataclasses

import polars as pl
import pytest
import sqlalchemy as sa

from lakehouse import storage
from lakehouse.errors import LakeMismatchError, StorageError
from lakehouse.privacy import erasures, vault
from lakehouse.privacy.erasures import Erasure, record
from lakehouse.storage import chain
from lakehouse.storage.control import data_key_table, entity_table, tombstone_table
from lakehouse.storage.restored import compare
from tests.integration.restored_lake import EVERYWHERE, keep, land, mend, require_quiet, restore, settings_anywhere
from tests.stores import read_at, remove_at, write_at

pytestmark = pytest.mark.parametrize(("any_place", "control"), EVERYWHERE, indirect=["any_place"])


@pytest.fixture
def control():
    """Parametrised by each test."""


@pytest.fixture
def settings(site, control, request, monkeypatch):
    # no lock would let an older lake be put back
    yield from settings_anywhere(site.with_raw, request, monkeypatch, control)


@pytest.fixture
def lake(settings):
    return storage.create_lake(settings)


# --- erasures


def erase(lake, who: str) -> Erasure:
    """Forget an entity of which the database has the given surrogate."""
    mark = vault.marks(lake, pl.Series([who])).to_list()[0]
    return Erasure("patient", b"\1" * 32, (mark,), None, 5)


def add_entity(lake, who: str, *scopes: str) -> None:
    with lake.control.write("entity.add") as connection:
        connection.execute(
            entity_table.insert().values(keyed_hash=b"\1" * 32, type="patient", surrogate=bytes.fromhex(who))
        )
        for scope in scopes:
            key = {"surrogate": bytes.fromhex(who), "scope": scope, "epoch": 1, "wrapped": b"w"}
            connection.execute(data_key_table.insert().values(**key))


def keys(lake) -> list[str]:
    with lake.control.read() as connection:
        return list(connection.execute(sa.select(data_key_table.c.scope).order_by(data_key_table.c.scope)).scalars())


WHO = "ab" * 16


def test_no_restored_database_brings_a_key_back(settings, lake, tmp_path):
    add_entity(lake, WHO, "accounting", "main")
    event = erase(lake, WHO)
    keep(settings, "db")
    record(lake, [event])
    assert keys(lake) == []
    restore(settings, "db")
    with pytest.raises(LakeMismatchError, match="control database is older"):
        storage.open_lake(settings)
    opened, _ = compare(settings)
    assert erasures.returned(opened, erasures.logged(opened)) == 1
    mend(settings)
    lake = require_quiet(settings)
    assert keys(lake) == []
    with lake.control.read() as connection:
        assert connection.execute(sa.select(entity_table)).all() == []
        assert connection.execute(sa.select(tombstone_table.c.erased_at)).scalars().all() == [5]


def test_scopes_under_a_duty_keep_their_keys(lake):
    add_entity(lake, WHO, "accounting", "main")
    record(lake, [dataclasses.replace(erase(lake, WHO), scopes=("main",))])
    assert keys(lake) == ["accounting"]
    logged = read_at(chain.place(lake.root, chain.ERASURE, 1)).decode()
    assert WHO not in logged
    assert erasures.logged(lake)[0].scopes == ("main",)


def test_a_surrogate_that_the_id_does_not_lead_to_is_found_by_its_mark(lake):
    add_entity(lake, WHO, "main")
    record(lake, [dataclasses.replace(erase(lake, WHO), keyed_hash=b"\2" * 32)])
    assert keys(lake) == []


def test_an_older_lake_does_not_lose_the_erasure_log(settings, lake, tmp_path):
    add_entity(lake, WHO, "main")
    event = erase(lake, WHO)
    keep(settings, "lake")
    keep(settings, "db")
    record(lake, [event])
    restore(settings, "lake")
    with pytest.raises(LakeMismatchError, match="lake is older"):
        storage.open_lake(settings)
    mend(settings)
    lake = require_quiet(settings)
    assert keys(lake) == []
    restore(settings, "db")  # and now the older database too
    mend(settings)
    assert keys(require_quiet(settings)) == []


# --- chains


def test_an_entry_waits_when_the_lake_cannot_be_written(settings, lake, monkeypatch):
    land(lake, 0)

    def full(*_):
        raise OSError("no space")

    with monkeypatch.context() as failing:
        failing.setattr("lakehouse.storage.files.put_once", full)
        land(lake, 1)  # committed all the same
        assert chain.heads(lake.control)[chain.RAW].waiting == (2,)
        assert storage.open_lake(settings).id == lake.id
    assert chain.verify(lake.root, lake.control, chain.RAW).findings == ()
    lake = require_quiet(settings)  # opening has written it
    assert chain.heads(lake.control)[chain.RAW].waiting == ()


def change_entry(lake, number: int, change) -> None:
    change(chain.place(lake.root, chain.RAW, number))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            lambda place: write_at(place, read_at(place).replace(b'"rows":20', b'"rows":21')),
            "2 of chain `raw` was changed",
        ),
        (remove_at, "is missing"),
        (lambda place: write_at(place, b"{"), "is not readable"),
        (lambda place: write_at(place, read_at(place) + b" "), "is not readable"),
        (
            lambda place: write_at(place, read_at(place.replace("2.json", "1.json"))),
            "another entry under this name",
        ),
    ],
    ids=["changed", "removed", "cut", "padded", "replaced"],
)
def test_a_tampered_chain_is_found(lake, change, says):
    for number in range(3):
        land(lake, number)
    assert chain.verify(lake.root, lake.control, chain.RAW).number == 3
    change_entry(lake, 2, change)
    found = chain.verify(lake.root, lake.control, chain.RAW).findings
    assert any(says in each.message for each in found)
    assert all(each.code == "chain_raw" for each in found)


def test_an_entry_too_many_is_found(settings, lake):
    land(lake, 0)
    write_at(chain.place(lake.root, chain.RAW, 2), b"{}")
    found = chain.verify(lake.root, lake.control, chain.RAW).findings
    assert any("unknown to the control database" in each.message for each in found)
    with pytest.raises(LakeMismatchError):
        storage.open_lake(settings)


def test_another_entry_under_the_number_of_a_waiting_one_stops_the_flush(lake, monkeypatch):
    land(lake, 0)
    with monkeypatch.context() as waiting:
        waiting.setattr("lakehouse.storage.intents.chain.deliver", lambda *_: None)
        land(lake, 1)
    write_at(chain.place(lake.root, chain.RAW, 2), b"{}")
    with pytest.raises(StorageError, match="another entry 2"):
        chain.flush(lake.root, lake.control)
