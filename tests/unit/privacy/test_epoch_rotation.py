"""Rotation: everything opens before, meanwhile and after; nothing made meanwhile is lost; the old epoch dies in time."""

from __future__ import annotations

import dataclasses
import datetime as dt
from pathlib import Path

import polars as pl
import pytest
import sqlalchemy as sa

from lakehouse import storage
from lakehouse.errors import KeyUnavailableError, StorageError
from lakehouse.model import TableId, Tier
from lakehouse.privacy import entities, epochs, purposes, rotation, vault
from lakehouse.storage.control import data_key_table, epoch_table

pytestmark = pytest.mark.slow

RAW = TableId(Tier.RAW, "clinic", "visit")
IDS = pl.Series([str(number) for number in range(60)])


def everything(lake):
    """All keys there are, asked for by those who use them."""
    return (
        entities.with_keys(lake, "c", ("trim",), IDS, scope="main").sort("id").rows(),
        entities.with_keys(lake, "c", ("trim",), IDS[:5], scope="duty").sort("id").rows(),
        vault.secret(lake, "entity"),
        vault.secret(lake, "token/mail"),
        vault.period_key(lake, RAW, "2026-11"),
        vault.batch_key(lake, 7, table=RAW, destroy_after=lake.now() + dt.timedelta(days=1)),
    )


def wrapped_by(lake):
    with lake.control.read() as connection:
        return {
            number
            for table, _ in purposes.TABLES
            for number in connection.execute(sa.select(table.c.epoch).distinct()).scalars()
        }


def states(lake):
    with lake.control.read() as connection:
        rows = connection.execute(sa.select(epoch_table).order_by(epoch_table.c.number)).all()
    return {row.number: row.state for row in rows}


def without_backups(lake):
    return dataclasses.replace(lake, backup_days=0)


def test_everything_opens_after_a_rotation_and_is_wrapped_by_the_new_epoch(any_lake, monkeypatch):
    monkeypatch.setattr(rotation, "PORTION", 7)
    before = everything(any_lake)
    told = []
    done = rotation.rotate(any_lake, lambda *figures: told.append(figures))
    assert (done.epoch, done.rewrapped, done.resumed) == (2, 69, False)
    assert told[-1] == (69, 69)
    assert wrapped_by(any_lake) == {2}
    assert everything(any_lake) == before
    assert states(any_lake) == {1: "old", 2: "current"}


def test_the_old_epoch_is_destroyed_when_no_backup_needs_it(any_lake):
    before = everything(any_lake)
    done = rotation.rotate(any_lake)
    assert (done.scheduled[1] - any_lake.now()).days in {29, 30}
    assert rotation.destroy_due(any_lake) == ()
    assert set(rotation.rotate(without_backups(any_lake)).scheduled) == {1, 2}
    assert rotation.destroy_due(any_lake) == (2,)
    assert states(any_lake) == {1: "old", 2: "destroyed", 3: "current"}
    with any_lake.control.read() as connection:
        blob, used = connection.execute(
            sa.select(epoch_table.c.wrapped, epoch_table.c.provider_version).where(epoch_table.c.number == 2)
        ).one()
    assert blob is None
    assert f"{used} destroyed" in any_lake.key_file.read_text()
    with pytest.raises(KeyUnavailableError, match="epoch 2 of the keys is destroyed"):
        epochs.cipher(any_lake, 2)
    assert rotation.destroy_due(any_lake) == ()
    assert everything(any_lake) == before


def test_a_backup_of_the_database_opens_nothing_once_its_epoch_is_destroyed(lake, monkeypatch):
    everything(lake)
    file = Path(lake.control.engine.url.database)
    backup = file.read_bytes()
    rotation.rotate(without_backups(lake))
    assert rotation.destroy_due(lake) == (1,)
    lake.control.dispose()
    file.write_bytes(backup)
    monkeypatch.setattr(epochs, "_opened", {})
    with pytest.raises(KeyUnavailableError, match="version 1 was destroyed"):
        vault.secret(lake, "entity")


def test_an_interrupted_rotation_goes_on(any_lake, monkeypatch):
    monkeypatch.setattr(rotation, "PORTION", 7)
    before = everything(any_lake)

    def stop(done, _):
        if done > 30:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rotation.rotate(any_lake, stop)
    assert wrapped_by(any_lake) == {1, 2}
    assert everything(any_lake) == before, "readers are not concerned"
    assert rotation.scheduled(any_lake) == {}
    done = rotation.rotate(any_lake)
    assert (done.epoch, done.resumed) == (2, True)
    assert 0 < done.rewrapped < 69
    assert wrapped_by(any_lake) == {2}
    assert everything(any_lake) == before


def test_keys_made_meanwhile_are_kept(any_lake, monkeypatch):
    """Another process took the old epoch before the rotation began and inserts afterwards: it wraps again."""
    everything(any_lake)
    stale = epochs.current(any_lake)
    rotation.rotate(any_lake)
    seen = iter([stale])
    real = epochs.current
    monkeypatch.setattr(epochs, "current", lambda lake: next(seen, None) or real(lake))
    new = entities.with_keys(any_lake, "c", ("trim",), pl.Series(["new"]), scope="main")
    seen = iter([stale])
    period = vault.period_key(any_lake, RAW, "2027-01")
    monkeypatch.undo()
    assert wrapped_by(any_lake) == {2}
    assert entities.with_keys(any_lake, "c", ("trim",), pl.Series(["new"]), scope="main").equals(new)
    assert vault.period_key(any_lake, RAW, "2027-01") == period


def test_what_is_destroyed_between_portions_does_not_come_back(any_lake, monkeypatch, forget):
    monkeypatch.setattr(rotation, "PORTION", 7)
    made = sorted(everything(any_lake)[0], key=lambda row: row[1])
    gone = pl.Series([made[0][1], made[-1][1]])

    def erase_when_some_are_done(done, _):
        if 12 < done < 25:
            forget(any_lake, gone, {"main"})

    rotation.rotate(any_lake, erase_when_some_are_done)
    assert entities.data_keys(any_lake, gone, scope="main").height == 0
    assert entities.data_keys(any_lake, pl.Series([row[1] for row in made]), scope="main").height == len(made) - 2


@pytest.mark.postgres
@pytest.mark.slow
def test_what_is_destroyed_within_a_portion_does_not_come_back(postgres_url, lake_settings, monkeypatch, forget):
    """On SQLite a portion is one statement; on PostgreSQL others work between its reading and its writing."""
    lake = storage.create_lake(dataclasses.replace(lake_settings, control_url=postgres_url))
    made = everything(lake)[0]
    gone, real, once = pl.Series([made[3][1]]), rotation._by, iter([True])

    def with_an_erasure(*given):
        anew = real(*given)

        def call(*row):
            if len(row) == 3 and next(once, False):  # surrogate, scope, wrapped
                forget(lake, gone)
            return anew(*row)

        return call

    monkeypatch.setattr(rotation, "_by", with_an_erasure)
    rotation.rotate(lake)
    assert next(once, None) is None
    assert entities.data_keys(lake, gone, scope="main").height == 0
    assert entities.data_keys(lake, pl.Series([row[1] for row in made]), scope="main").height == len(made) - 1
    lake.control.dispose()


def test_a_key_that_does_not_open_stops_the_rotation_with_a_clear_word(any_lake):
    everything(any_lake)
    with any_lake.control.write("key.make") as connection:
        connection.execute(data_key_table.update().where(data_key_table.c.scope == "duty").values(wrapped=b"x" * 60))
    with pytest.raises(KeyUnavailableError, match="a wrapped data key does not open"):
        rotation.rotate(any_lake)
    assert rotation.scheduled(any_lake) == {}


def test_an_epoch_that_still_wraps_is_first_emptied_then_destroyed(any_lake):
    """A row of the old epoch that came in by a restored table, say."""
    before = everything(any_lake)
    old = epochs.current(any_lake)
    rotation.rotate(without_backups(any_lake))
    whose = bytes.fromhex(before[0][0][1])
    blob = old.wrap(bytes.fromhex(before[0][0][2]), purposes.data_key(whose, "main"))
    with any_lake.control.write("key.make") as connection:
        late = data_key_table.update().where(data_key_table.c.surrogate == whose, data_key_table.c.scope == "main")
        connection.execute(late.values(epoch=1, wrapped=blob))
    assert rotation.destroy_due(any_lake) == (1,)
    assert everything(any_lake) == before


def test_an_epoch_is_never_destroyed_while_it_wraps(any_lake, monkeypatch):
    everything(any_lake)
    rotation.rotate(without_backups(any_lake))
    with any_lake.control.write("key.make") as connection:
        connection.execute(data_key_table.update().values(epoch=1))
    monkeypatch.setattr(rotation, "_rewrap", lambda *_: 0)
    with pytest.raises(StorageError, match="still wraps keys"):
        rotation.destroy_due(any_lake)
    assert states(any_lake)[1] == "old"


def test_an_unknown_epoch_is_a_clear_error(any_lake):
    with pytest.raises(KeyUnavailableError, match="epoch 9 of the keys is unknown"):
        epochs.cipher(any_lake, 9)


def test_a_vault_without_any_key_is_rotated(any_lake):
    assert rotation.rotate(any_lake).epoch == 2
    assert vault.secret(any_lake, "entity")
