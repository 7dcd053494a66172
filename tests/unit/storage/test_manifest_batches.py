"""The batch manifest: a delivered file is one batch, however often it comes."""

from __future__ import annotations

import pytest

from lakehouse import storage
from lakehouse.errors import StorageError


def reserve(lake, visits, clock, **other):
    values = {"source": "s", "name_hash": "n", "sha256": "c", "size": 9, "landed_at": clock, "delivered_at": clock}
    return storage.reserve(lake, visits.RAW, **{**values, **other})


def test_the_same_file_is_the_same_batch(lake, visits, clock):
    first = reserve(lake, visits, clock)
    assert reserve(lake, visits, clock) == first
    assert (first.state, first.landed_at, first.delivered_at) == ("reserved", clock, clock)
    assert reserve(lake, visits, clock, sha256="d").number > first.number
    assert storage.batches(lake, visits.RAW)["number"].to_list() == [1, 2]
    assert storage.batches(lake, visits.VISITS).height == 0


def test_a_rejected_file_says_why(lake, visits, clock):
    batch = reserve(lake, visits, clock)
    storage.reject(lake, batch, "no header")
    found = storage.get_batch(lake, batch.number)
    assert (found.state, found.reason) == ("rejected", "no header")


def test_a_batch_in_the_lake_cannot_be_rejected(lake, visits, clock):
    batch = reserve(lake, visits, clock)
    visits.put(lake, visits.rows(1), batches=[storage.BatchUpdate(batch.number, "raw", 4)])
    with pytest.raises(StorageError, match="in the lake already"):
        storage.reject(lake, batch, "late")
    visits.put(lake, visits.rows(1), batches=[storage.BatchUpdate(batch.number, "held", reason="row_count")])
    assert storage.get_batch(lake, batch.number).reason == "row_count"


def test_an_unknown_batch_is_an_error(lake):
    with pytest.raises(StorageError):
        storage.get_batch(lake, 7)


def test_files_of_one_reservation_are_numbered_in_their_order_and_known_ones_keep_their_number(lake, visits, clock):
    def file(name: str) -> storage.Delivered:
        return storage.Delivered("s", name, "c", 9, clock)

    (second,) = storage.reserve_all(lake, visits.RAW, [file("b")])
    found = storage.reserve_all(lake, visits.RAW, [file("z"), file("b"), file("a"), file("z")])
    assert [batch.number for batch in found] == [2, second.number, 3, 2]
    assert storage.reserve(lake, visits.RAW, source="s", name_hash="a", sha256="c", size=9, landed_at=clock).number == 3


def test_batches_of_one_commit_are_told_different_things(lake, visits, clock):
    numbers = [reserve(lake, visits, clock, name_hash=name).number for name in "abc"]
    updates = [
        storage.BatchUpdate(numbers[0], "staged", 4, as_of=7),
        storage.BatchUpdate(numbers[1], "held", 2, "row_count", "terms"),
        storage.BatchUpdate(numbers[2], "staged", 1, "deletes held"),
    ]
    visits.put(lake, visits.rows(1), batches=updates)
    names = ("state", "rows", "reason", "terms", "as_of")
    assert storage.batches(lake, visits.RAW).select(names).rows() == [
        ("staged", 4, None, None, 7),
        ("held", 2, "row_count", "terms", None),
        ("staged", 1, "deletes held", None, None),
    ]
