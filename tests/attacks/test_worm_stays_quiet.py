"""What storage itself does to raw is no finding: writers at work, deaths at any point, recoveries, retirements."""

from __future__ import annotations

import datetime as dt
import threading
from contextlib import suppress
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from lakehouse import storage
from lakehouse.errors import StorageError
from lakehouse.storage import chain, files, intents
from lakehouse.storage.protocol import add_columns
from tests.attacks.worm_lake import PLACEMENT, SCHEMA, STAGED, VISIT, data, prove, put, require, rows, said
from tests.integration import restored_lake


def begin(lake, held, **how):
    return storage.begin(lake, VISIT, held, SCHEMA, PLACEMENT, append_only=True, **how)


def test_fences_new_columns_retirements_and_merges(attacked):
    with storage.lease(attacked, VISIT) as held:
        storage.fence(held)
        tx = begin(attacked, held, retires=True)
        tx.write(rows(9))
        tx.remove(storage.snapshot(attacked, VISIT).files[:2])
        tx.commit("retire")
        storage.delete_retired(attacked, VISIT)
        wider = pa.schema([*SCHEMA, ("late", pa.string())])
        add_columns(held, wider, effects=intents.Effects())
        tx = storage.begin(attacked, VISIT, held, wider, PLACEMENT)
        tx.write(rows(10).with_columns(late=pl.lit("x")))
        tx.commit("raw")
    for batch in range(2):
        put(attacked, STAGED, batch)
    assert storage.merge(attacked, STAGED, storage.Placement("entity", "name")) is not None
    require(prove(attacked))
    require(prove(attacked, since=9))


def test_a_file_that_is_about_to_be_committed(attacked):
    with storage.lease(attacked, VISIT) as held:
        tx = begin(attacked, held)
        tx.write(rows(9))
        require(prove(attacked))
        tx.abandon()
        require(prove(attacked))


def test_an_entry_that_waits_in_the_outbox(attacked, monkeypatch):
    def full(*_):
        raise OSError("no space")

    with monkeypatch.context() as failing:
        failing.setattr("lakehouse.storage.files.put_once", full)
        put(attacked, VISIT, 9)
    assert chain.heads(attacked.control)[chain.RAW].waiting == (9,)
    require(prove(attacked))
    data(attacked, VISIT, 5).unlink()
    require(prove(attacked), (str(VISIT), "entry 9, version 5", "is missing"))


def die(*_, **__):
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    "where", ["storage.protocol.delta.commit", "storage.protocol.intents.landed", "storage.protocol.intents.settle"]
)
def test_a_writer_that_died(attacked, monkeypatch, where):
    """Before recovery, and after."""
    with monkeypatch.context() as dying:
        dying.setattr(f"lakehouse.{where}", die)
        with pytest.raises(KeyboardInterrupt):
            put(attacked, VISIT, 9)
    require(prove(attacked))
    require(prove(attacked, since=8))
    put(attacked, VISIT, 10)
    require(prove(attacked))


def test_a_writer_that_died_with_files_written(attacked):
    with suppress(KeyboardInterrupt), storage.lease(attacked, VISIT) as held:
        begin(attacked, held).write(rows(9))
        raise KeyboardInterrupt
    require(prove(attacked))
    with storage.lease(attacked, VISIT):
        require(prove(attacked))
    require(prove(attacked))
    assert len(list(Path(attacked.uri(VISIT)).glob("*.parquet"))) == 4


def test_a_retirement_that_died_before_its_files_were_deleted(attacked, monkeypatch):
    gone = data(attacked, VISIT, 1)
    with suppress(KeyboardInterrupt), storage.lease(attacked, VISIT) as held:
        tx = begin(attacked, held, retires=True)
        tx.remove([str(gone)])
        tx.commit("retire")
        raise KeyboardInterrupt
    assert gone.exists()
    require(prove(attacked))
    put(attacked, VISIT, 9)
    assert not gone.exists()
    require(prove(attacked))


def test_a_lapsed_holder_whose_successor_works(attacked):
    with suppress(StorageError), storage.lease(attacked, VISIT, ttl=dt.timedelta(0)) as slow:
        tx = begin(attacked, slow)
        tx.write(rows(9))
        put(attacked, VISIT, 10)
        with pytest.raises(StorageError):
            tx.commit("raw")
        require(prove(attacked))
    put(attacked, VISIT, 11)
    require(prove(attacked))


@pytest.mark.slow
def test_writers_at_work_raise_no_alarm(attacked):
    stop, trouble = threading.Event(), []

    def work():
        batch = 10
        try:
            while not stop.is_set():
                put(attacked, VISIT, batch)
                batch += 1
                with storage.lease(attacked, VISIT) as held:
                    tx = begin(attacked, held, retires=True)
                    tx.remove(storage.snapshot(attacked, VISIT).files[-1:])
                    tx.commit("retire")
                    storage.delete_retired(attacked, VISIT)
        except BaseException as error:
            trouble.append(error)
            raise

    writer = threading.Thread(target=work)
    writer.start()
    try:
        for turn in range(40):
            require(prove(attacked, since=8 if turn % 2 else 0))
    finally:
        stop.set()
        writer.join()
    assert trouble == []
    require(prove(attacked))


@pytest.mark.parametrize("what", ["db", "lake"])
def test_a_restored_backup_is_found_and_its_recovery_is_clean(tmp_path, what):
    settings = restored_lake.settings_in(tmp_path)
    lake = storage.create_lake(settings)
    restored_lake.take(lake, 0)
    restored_lake.keep(settings, what)
    restored_lake.take(lake, 1, 2)
    restored_lake.restore(settings, what)
    assert said(prove(lake)) != []
    restored_lake.mend(settings)
    lake = restored_lake.require_quiet(settings)
    require(prove(lake))
    restored_lake.take(lake, 1, 2, 3)
    require(prove(lake))
    lake.control.dispose()


def test_files_of_raw_are_read_only_and_may_be_deleted_by_storage(attacked):
    for path in storage.snapshot(attacked, VISIT).files:
        assert Path(path).stat().st_mode & 0o777 == files.READ_ONLY
    logs = sorted(Path(attacked.uri(VISIT), "_delta_log").glob("*.json"))
    assert [path.stat().st_mode & 0o222 for path in logs] == [0] * 5
    with storage.lease(attacked, VISIT) as held:
        tx = begin(attacked, held)
        (written,) = tx.write(rows(9))
        tx.abandon()
    assert not Path(attacked.uri(VISIT), written.path).exists()
