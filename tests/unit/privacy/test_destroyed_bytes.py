"""Destroyed keys are gone from every byte that SQLite keeps: file, journal, free pages (trap 17)."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import polars as pl
import pytest
import sqlalchemy as sa

from lakehouse.model import TableId, Tier
from lakehouse.privacy import entities, rotation, vault
from lakehouse.storage.control import batch_key_table, data_key_table

pytestmark = pytest.mark.slow

RAW = TableId(Tier.RAW, "clinic", "visit")


def bytes_of(lake):
    folder = Path(lake.control.engine.url.database).parent
    return b"".join(file.read_bytes() for file in folder.iterdir())


def blobs(lake, table):
    with lake.control.read() as connection:
        return [bytes(blob) for blob in connection.execute(sa.select(table.c.wrapped)).scalars()]


@pytest.mark.parametrize("people", [1, 40, 3000])
def test_destroyed_data_keys_are_in_no_file(lake, people, forget):
    made = entities.with_keys(lake, "c", ("trim",), pl.Series([str(n) for n in range(people)]), scope="main")
    wrapped = blobs(lake, data_key_table)
    assert all(blob in bytes_of(lake) for blob in wrapped[:50])
    gone = made["surrogate"][: max(people // 2, 1)]
    forget(lake, gone)
    assert entities.data_keys(lake, made["surrogate"], scope="main").height == people - gone.len()
    left = set(blobs(lake, data_key_table))
    everything = bytes_of(lake)
    assert not [blob for blob in wrapped if blob not in left and blob in everything]
    assert not [blob for blob in wrapped if blob not in left and blob[12:28] in everything], "not even a part"


def test_destroyed_batch_keys_are_in_no_file(lake):
    for number in range(40):
        days = dt.timedelta(days=number % 2)
        vault.batch_key(lake, number, table=RAW, destroy_after=lake.now() + days - dt.timedelta(hours=1))
    wrapped = blobs(lake, batch_key_table)
    assert vault.destroy_due(lake, lake.now()) == 20
    left, everything = set(blobs(lake, batch_key_table)), bytes_of(lake)
    assert not [blob for blob in wrapped if blob not in left and blob in everything]


def test_what_a_rotation_replaced_is_in_no_file(lake):
    entities.with_keys(lake, "c", ("trim",), pl.Series([str(n) for n in range(500)]), scope="main")
    wrapped = blobs(lake, data_key_table)
    rotation.rotate(lake)
    everything = bytes_of(lake)
    assert not [blob for blob in wrapped if blob in everything]
    assert all(blob in everything for blob in blobs(lake, data_key_table))
