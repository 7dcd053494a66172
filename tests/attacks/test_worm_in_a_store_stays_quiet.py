"""What storage itself does to raw in a bucket with object lock is no finding: deaths, orphans, retirements, checkpoints."""

from __future__ import annotations

import datetime as dt
import shutil
import time

import pytest

from lakehouse import storage
from lakehouse.errors import StorageError
from lakehouse.storage import chain, intents, s3
from lakehouse.storage.control import ControlDatabase
from tests.attacks import worm_store
from tests.attacks.worm_lake import PLACEMENT, SCHEMA, VISIT, prove, put, require, rows
from tests.attacks.worm_store import refused


@pytest.fixture
def own(locking_store, tmp_path):
    made = worm_store.make(locking_store, tmp_path)
    yield made
    made.lake.control.dispose()


DEATHS = (
    *("file.put.before", "file.put.after", "commit.intent.before", "commit.intent.after", "commit.delta.before"),
    *("commit.delta.after", "file.protect.before", "file.protect.after", "commit.done.before", "commit.done.after"),
    *("chain.flush.before", "chain.flush.after"),
)


def test_a_death_at_any_point_and_another_run(own, monkeypatch):
    """Files that were never committed stay under their lock, given up; the commit is there once, locked, and in the chain."""
    for number, where in enumerate(DEATHS, start=10):
        with monkeypatch.context() as patched:
            worm_store.dying(patched, where)
            with pytest.raises(KeyboardInterrupt):
                put(own.lake, VISIT, number)
            require(prove(own.lake))
        worm_store.recover_after_death(own.lake, monkeypatch)
    own.require_quiet()
    with own.lake.control.read() as connection:
        given_up = intents.given_up(connection)[str(VISIT)]
    committed = {int(n) for n in storage.scan(own.lake, VISIT).collect()["_batch"].unique()}
    landed = {number for number, where in enumerate(DEATHS, start=10) if DEATHS.index(where) >= 5}
    assert committed == {1, 3, 5} | landed
    assert len(given_up) == 4  # the files of `file.put.after` to `commit.delta.before`
    for path in given_up:
        assert s3.versions_of(f"{own.lake.uri(VISIT)}/{path}") != []


def test_what_is_abandoned_under_its_lock_is_given_up(own):
    """A file that turns out broken halfway, or a command that fails, leaves rows behind that nobody can delete."""
    with storage.lease(own.lake, VISIT) as held:
        tx = storage.begin(own.lake, VISIT, held, SCHEMA, PLACEMENT, append_only=True)
        one, other = (tx.write(rows(9))[0] for _ in range(2))
        tx.discard([one.path])
        tx.abandon()
    require(prove(own.lake))
    with own.lake.control.read() as connection:
        assert intents.given_up(connection)[str(VISIT)] == {one.path, other.path}
    with storage.lease(own.lake, VISIT):
        pass
    own.require_quiet()


def test_a_commit_that_is_recovered_much_later_was_locked_in_time(own, monkeypatch):
    """Its lock counts from when the file was put, its entry from the recovery."""
    with monkeypatch.context() as patched:
        worm_store.dying(patched, "file.protect.before")
        with pytest.raises(KeyboardInterrupt):
            put(own.lake, VISIT, 9)
    later, micros = dt.timedelta(hours=12), ControlDatabase.micros

    def shifted(self, connection) -> int:
        return micros(self, connection) + later // dt.timedelta(microseconds=1)

    with monkeypatch.context() as patched:
        patched.setattr(ControlDatabase, "micros", shifted)
        with storage.lease(own.lake, VISIT):
            pass
    assert chain.heads(own.lake.control)[chain.RAW].number == 6
    own.require_quiet()


def test_a_normal_life_with_checkpoints(own):
    for batch in range(10, 18):
        put(own.lake, VISIT, batch)
        if batch == 15:
            own.table(VISIT).create_checkpoint()
    assert any("checkpoint" in uri for uri in own.objects(VISIT))
    own.require_quiet()
    own.hide_at_once(*own.objects(VISIT))
    assert own.recover() == 12 + 11
    own.require_quiet()  # from the log alone: a checkpoint is no evidence
    put(own.lake, VISIT, 19)
    own.require_quiet()


def retired(own) -> str:
    """A file that a retirement has taken out."""
    gone = own.data(VISIT, 1)
    with storage.lease(own.lake, VISIT) as held:
        tx = storage.begin(own.lake, VISIT, held, SCHEMA, PLACEMENT, append_only=True, retires=True)
        tx.write(rows(3))
        tx.remove([gone])
        tx.commit("retire")
        assert storage.delete_retired(own.lake, VISIT) == 0
    return gone


def test_retired_files_stay_under_their_lock_and_are_no_finding(own):
    gone = retired(own)
    assert gone in own.objects(VISIT)
    own.require_quiet()
    assert refused(own.client.delete_object, **own.at(gone), VersionId=own.versions(gone)[-1].id)
    own.flip(gone)
    own.hide(gone)
    own.require_quiet()  # nobody wants it any more
    assert own.recover() == 0


def test_retired_files_are_deleted_when_their_lock_has_ended(locking_store, tmp_path, monkeypatch):
    own = worm_store.make(locking_store, tmp_path, filled=False)
    with monkeypatch.context() as short:
        short.setattr(storage.Lake, "locked_until", lambda _, now: now + dt.timedelta(seconds=4))
        put(own.lake, VISIT, 1)
        put(own.lake, VISIT, 3)
    gone = retired(own)
    assert gone in own.objects(VISIT)
    assert codes(own) == {"raw_lock"}  # that it was short is seen, of what is still in the table
    time.sleep(4)
    assert codes(own) == {"raw_lock", "raw_file_stays"}
    with storage.lease(own.lake, VISIT, holder="maintain"):
        assert storage.delete_retired(own.lake, VISIT) == 1
    assert own.versions(gone) == []
    assert codes(own) == {"raw_lock"}
    own.lake.control.dispose()


def codes(own) -> set[str]:
    return {each.code for each in prove(own.lake).findings}


@pytest.mark.parametrize("older", ["database", "lake"])
def test_a_restored_backup_is_recovered_also_where_raw_is_locked(own, tmp_path, older):
    database = tmp_path / "control" / "control.db"
    shutil.copy(database, tmp_path / "backup.db")
    bucket = own.at(own.lake.root)["Bucket"]
    lake = {each: own.read(f"s3://{bucket}/{each}") for each in _keys(own, bucket)}
    put(own.lake, VISIT, 7)
    own.lake.control.dispose()
    if older == "database":
        shutil.copy(tmp_path / "backup.db", database)
    else:
        for each in _keys(own, bucket):
            own.client.delete_object(Bucket=bucket, Key=each)
        for each, content in lake.items():
            own.client.put_object(Bucket=bucket, Key=each, Body=content)
    own.flip(own.data(VISIT, 1))
    code, document = own.run("recover", "--yes")
    if older == "lake":  # entries of the chain are gone: whether a backup or an attack, it proves nothing
        assert (code, "was cut" in document["error"]) == (3, True)
        storage.s3.put_back(own.data(VISIT, 1), own.versions(own.data(VISIT, 1))[-1].id, None)
        code, document = own.run("recover", "--yes")
    assert (code, document["done"], document["older"]) == (0, True, "control database" if older != "lake" else "lake")
    own.require_quiet()


def _keys(own, bucket: str) -> list[str]:
    return [each["Key"] for each in own.client.list_objects_v2(Bucket=bucket).get("Contents", ())]


def test_a_lock_needs_a_bucket_of_its_own_that_can(locking_store, tmp_path, monkeypatch):
    with pytest.raises(StorageError, match="made without object lock"):
        worm_store.make(locking_store, tmp_path, locks=False)
    same = locking_store.bucket(locks=True)
    shutil.rmtree(tmp_path / "control")
    monkeypatch.setattr(type(locking_store), "bucket", lambda *_, **__: same)
    with pytest.raises(StorageError, match="in one bucket with"):
        worm_store.make(locking_store, tmp_path)
