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
