"""What storage needs of a place for files, on a local disk and in each S3 store: the same is true everywhere."""

from __future__ import annotations

import datetime as dt
import hashlib
from concurrent.futures import ThreadPoolExecutor

import pytest

from lakehouse.errors import StorageError
from lakehouse.storage import files
from lakehouse.storage import s3 as store
from tests.stores import LOCKING

EVERYWHERE = ["local", *LOCKING]
NOW = dt.datetime.now(dt.UTC)


@pytest.fixture(params=EVERYWHERE)
def folder(request, tmp_path, in_store):
    """A fresh folder, or bucket."""
    if request.param == "local":
        return str(tmp_path)
    return f"s3://{in_store(request.getfixturevalue(request.param)).bucket()}/place"


def test_a_file_is_put_whole_and_only_once(folder):
    place = files.join(folder, "a", "x")
    assert files.put(place, b"abc").sha256 == hashlib.sha256(b"abc").hexdigest()
    with pytest.raises(FileExistsError):
        files.put(place, b"abcd")
    assert files.read(place) == b"abc"
    assert files.digest(place) == (3, hashlib.sha256(b"abc").hexdigest())
    assert files.sizes([place, place + "y"]) == {place: 3, place + "y": None}
    assert files.sizes([place]) == {place: 3}


def test_what_is_not_there_is_none(folder):
    place = files.join(folder, "nowhere")
    assert (files.read(place), files.digest(place), files.sizes([place])) == (None, None, {place: None})
    assert (files.names(place), files.folders(place)) == ([], [])
    assert files.delete(place)


def test_a_listing_is_of_one_folder(folder):
    for name in ("x", "b/y", "b/c/z", "d/w"):
        files.put(files.join(folder, *name.split("/")), b"1")
    assert (files.names(folder), files.folders(folder)) == (["x"], ["b", "d"])
    assert (files.names(files.join(folder, "b")), files.folders(files.join(folder, "b"))) == (["y"], ["c"])


def test_more_files_than_a_page_are_listed(folder):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: files.put(files.join(folder, "many", f"{n:04}"), b"1"), range(1_050)))
    assert files.names(files.join(folder, "many")) == [f"{n:04}" for n in range(1_050)]


def test_one_of_many_puts_once(folder):
    place = files.join(folder, "entry")
    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(lambda n: files.put_once(place, f"writer {n}".encode()), range(8)))
    assert won.count(True) == 1
    assert files.read(place) == f"writer {won.index(True)}".encode()
    assert files.names(folder) == ["entry"]  # nothing beside it is left


def test_a_file_is_replaced_whole(folder):
    place = files.join(folder, "x")
    for content in (b"abc", b"d"):
        files.replace(place, content)
        assert files.read(place) == content
    assert files.names(folder) == ["x"]


def test_a_deleted_file_is_gone(folder):
    place = files.join(folder, "x")
    files.put(place, b"abc")
    assert files.delete(place)
    assert files.read(place) is None
    assert files.delete(place)


def test_a_locked_file_stays(locking_store):
    place = f"s3://{locking_store.bucket(locks=True)}/raw/x"
    stored = files.put(place, b"abc", worm=True, until=NOW + dt.timedelta(days=1))
    assert stored.version is not None
    assert not files.delete(place)
    assert files.digest(place, version=stored.version) == (3, hashlib.sha256(b"abc").hexdigest())
    until = store.locked_until(place, stored.version)
    assert until is not None
    assert abs(until - NOW - dt.timedelta(days=1)) < dt.timedelta(seconds=1)


def test_what_was_put_without_a_lock_can_be_locked(locking_store):
    place = f"s3://{locking_store.bucket(locks=True)}/raw/x"
    stored = files.put(place, b"abc")
    assert store.locked_until(place, stored.version) is None
    files.protect(place, stored.version, until=NOW + dt.timedelta(days=1))
    assert store.locked_until(place, stored.version) is not None
    assert not files.delete(place)


def test_without_a_lock_all_versions_of_a_deleted_file_are_gone(locking_store):
    place = f"s3://{locking_store.bucket(locks=True)}/x"
    files.put(place, b"abc")
    locking_store.client().delete_object(Bucket=place.split("/")[2], Key="x")
    files.replace(place, b"another")
    assert files.delete(place)
    assert store.versions_of(place) == []


def test_the_first_version_is_put_back(locking_store):
    place = f"s3://{locking_store.bucket(locks=True)}/x"
    first = files.put(place, b"abc", worm=True, until=NOW + dt.timedelta(days=1))
    files.replace(place, b"forged")
    assert files.read(place) == b"forged"
    store.put_back(place, str(first.version), NOW + dt.timedelta(days=1))
    assert files.read(place) == b"abc"
    assert [each.latest for each in store.versions_of(place)] == [True, False, False]


def test_a_bucket_says_what_it_keeps(locking_store):
    plain, locks = (f"s3://{locking_store.bucket(locks=each)}/x" for each in (False, True))
    assert [store.keeps_versions(each) for each in (plain, locks)] == [False, True]
    assert [store.can_lock(each) for each in (plain, locks)] == [False, True]


@pytest.mark.parametrize("asked", [store.keeps_versions, store.can_lock])
def test_who_may_not_ask_a_bucket_gets_no_answer(locking_store, monkeypatch, asked):
    place = f"s3://{locking_store.bucket(locks=True)}/x"
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody-here")
    with pytest.raises(StorageError, match="refused, or did not answer"):
        asked(place)


def test_a_store_that_refuses_or_is_not_there_is_a_clear_error(locking_store, monkeypatch):
    with pytest.raises(StorageError, match=r"refused, or did not answer \(NoSuchBucket\)") as found:
        files.put("s3://no-such-bucket-here/x", b"abc")
    assert "credentials" in str(found.value)
    bucket = locking_store.bucket()
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    with pytest.raises(StorageError, match="refused") as found:
        files.read(f"s3://{bucket}/x")
    assert "wrong" not in str(found.value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(StorageError, match="did not answer"):
        files.read(f"s3://{bucket}/x")
