"""Files that were written but never committed: they go, in raw too; what was committed, or still may be, stays."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from lakehouse import storage
from lakehouse.errors import FencedOutError, SchemaMismatchError, StorageError
from lakehouse.storage import delta
from lakehouse.storage.intents import open_intents


def on_disk(lake, table) -> set[str]:
    return {path.name for path in Path(lake.uri(table)).glob("*.parquet")}


def begin(lake, visits, held, *, schema=None):
    wanted = schema or visits.SCHEMA
    return storage.begin(lake, visits.RAW, held, wanted, visits.LOOSE, append_only=True)


def put_raw(lake, visits, batch: int) -> int:
    return visits.put(lake, visits.rows(batch), table=visits.RAW, placement=visits.LOOSE)


def test_an_abandoned_raw_write_leaves_no_file(lake, visits):
    put_raw(lake, visits, 1)
    before = on_disk(lake, visits.RAW)
    with storage.lease(lake, visits.RAW) as held:
        tx = begin(lake, visits, held)
        tx.write(visits.rows(2))
        tx.abandon()
    assert on_disk(lake, visits.RAW) == before


def test_abandoning_after_a_commit_deletes_nothing(lake, visits):
    with storage.lease(lake, visits.RAW) as held:
        tx = begin(lake, visits, held)
        (written,) = tx.write(visits.rows(1))
        tx.commit("raw")
        tx.abandon()
    assert on_disk(lake, visits.RAW) == {written.path}


def test_a_refused_commit_leaves_no_file_once_it_is_abandoned(lake, visits):
    import polars as pl
    import pyarrow as pa

    put_raw(lake, visits, 1)
    before = on_disk(lake, visits.RAW)
    other = pa.schema([pa.field(i.name, pa.int64() if i.name == "weight" else i.type) for i in visits.SCHEMA])
    with storage.lease(lake, visits.RAW) as held:
        tx = begin(lake, visits, held, schema=other)
        tx.write(visits.rows(2).with_columns(pl.col("weight").cast(pl.Int64)))
        with pytest.raises(SchemaMismatchError):
            tx.commit("raw")
        tx.abandon()
    assert on_disk(lake, visits.RAW) == before


def test_a_commit_of_unknown_outcome_keeps_its_files_until_recovery_knows(lake, visits, monkeypatch):
    """The store took the commit and never answered: the files are the table's, whatever the writer believes."""
    original, answers = delta.commit, []

    def deaf(uri, change, table):
        if not answers:
            answers.append(change.version)
            original(uri, change, table)
        raise StorageError("time-out")

    with monkeypatch.context() as patch:
        patch.setattr(delta, "commit", deaf)
        patch.setattr(delta, "entry", lambda *_: None)  # nor can the log be read
        with storage.lease(lake, visits.RAW) as held:
            tx = begin(lake, visits, held)
            (written,) = tx.write(visits.rows(1))
            with pytest.raises(StorageError, match="could not be committed"):
                tx.commit("raw")
            tx.abandon()
            assert on_disk(lake, visits.RAW) == {written.path}
    with storage.lease(lake, visits.RAW) as held:
        storage.recover(lake, visits.RAW, held)
    assert on_disk(lake, visits.RAW) == {written.path}
    assert storage.snapshot(lake, visits.RAW).rows == 4
    assert open_intents(lake, visits.RAW) == []


@pytest.mark.parametrize("committed", [0, 1], ids=["first-commit", "later-commit"])
def test_a_lapsed_holder_that_lives_cannot_commit_what_recovery_deleted(lake, visits, committed):
    """His files are taken from under him: his open change fails, and he writes no further ones."""
    for batch in range(committed):
        put_raw(lake, visits, batch)
    with storage.lease(lake, visits.RAW, ttl=dt.timedelta(0)) as slow:
        tx = begin(lake, visits, slow)
        (late,) = tx.write(visits.rows(9))
        with storage.lease(lake, visits.RAW) as held:
            storage.recover(lake, visits.RAW, held)
            assert late.path not in on_disk(lake, visits.RAW)
        put_raw(lake, visits, 2)
        with pytest.raises((FencedOutError, StorageError)):
            tx.commit("raw")
        with pytest.raises(FencedOutError):
            begin(lake, visits, slow).write(visits.rows(9))
    assert storage.snapshot(lake, visits.RAW).rows == 4 * (committed + 1)
    assert len(on_disk(lake, visits.RAW)) == committed + 1


def test_files_of_the_present_holder_and_of_nobody_are_left_alone(lake, visits):
    put_raw(lake, visits, 1)
    stranger = Path(lake.uri(visits.RAW), "by-hand.parquet")
    stranger.write_bytes(b"x")
    with storage.lease(lake, visits.RAW) as held:
        tx = begin(lake, visits, held)
        (own,) = tx.write(visits.rows(2))
        storage.recover(lake, visits.RAW, held)
        assert {own.path, stranger.name} <= on_disk(lake, visits.RAW)
        tx.commit("raw")


def test_what_a_dead_holder_left_is_recovered_without_a_change(lake, visits):
    from lakehouse.storage.control import lease_table
    from lakehouse.storage.leases import _boot

    version = put_raw(lake, visits, 1)
    before = on_disk(lake, visits.RAW)
    storage.recover_if_dirty(lake, visits.RAW)
    assert storage.snapshot(lake, visits.RAW).version == version  # nothing to do: no fence
    orphan = Path(lake.uri(visits.RAW), f"{1:012d}-{'0' * 12}-00000-t0-all.parquet")
    orphan.write_bytes(b"half a file")
    with lake.control.engine.begin() as connection:
        gone = f"{_boot()}:999999999:1/x/ingest"
        connection.execute(lease_table.update().values(holder=gone, expires=2**60, dirty=True))
    storage.recover_if_dirty(lake, visits.RAW)
    assert on_disk(lake, visits.RAW) == before
    with storage.lease(lake, visits.RAW):  # somebody alive is at work: left to him
        storage.recover_if_dirty(lake, visits.RAW)
