"""Surrogates are real: stable per canonical id, random, and nothing in the control database tells the id."""

from __future__ import annotations

import gc
import hmac
import re
import tracemalloc

import polars as pl
import pytest
import sqlalchemy as sa

from lakehouse.contract.canonical import KNOWN_ANSWERS
from lakehouse.privacy import entities, vault
from lakehouse.storage.control import entity_table

FORMS = ("trim", "integer")


@pytest.mark.parametrize(("forms", "delivered", "expected"), KNOWN_ANSWERS)
def test_the_polars_twin_gives_the_known_answers(forms, delivered, expected):
    frame = pl.DataFrame({"id": [delivered]})
    assert frame.select(entities.canonical_form(pl.col("id"), forms)).item() == expected


def test_one_customer_has_one_surrogate_however_it_is_written(lake):
    values = pl.Series(["17850.0", "17850", " 017850 ", None, "abc", "", "12346"])
    first = entities.resolve(lake, "customer", FORMS, values).to_list()
    assert first[0] == first[1] == first[2]
    assert re.fullmatch("[0-9a-f]{32}", first[0])
    assert first[3:6] == [None, None, None]
    assert first[6] not in {None, first[0]}
    assert entities.resolve(lake, "customer", FORMS, values).to_list() == first


def test_types_do_not_share_surrogates_or_hashes(lake):
    value = pl.Series(["17850"])
    one = entities.resolve(lake, "customer", FORMS, value).item()
    other = entities.resolve(lake, "account", FORMS, value).item()
    assert one != other
    with lake.control.read() as connection:
        hashes = connection.execute(sa.select(entity_table.c.keyed_hash)).scalars().all()
    assert len(set(hashes)) == 2


def test_the_keyed_hash_is_hmac_sha256_of_type_and_canonical_id(lake):
    entities.resolve(lake, "customer", FORMS, pl.Series(["17850.0"]))
    key = vault.secret(lake, vault.ENTITY_SECRET)
    with lake.control.read() as connection:
        stored = connection.execute(sa.select(entity_table.c.keyed_hash)).scalar_one()
    assert stored == hmac.digest(key.encode(), b"customer:17850", "sha256")


def test_many_ids_resolve_in_order(lake):
    values = pl.Series([str(number % 25_000) for number in range(60_000)])
    found = entities.resolve(lake, "customer", FORMS, values)
    pairs = pl.DataFrame({"id": values, "surrogate": found}).unique()
    assert pairs.height == 25_000
    assert pairs["surrogate"].n_unique() == 25_000


def test_nothing_of_what_was_looked_up_stays_in_memory(lake):
    def look_up(number):
        ids = pl.Series([str(number * 20_000 + place) for place in range(20_000)])
        entities.with_keys(lake, "customer", FORMS, ids, scope="main")

    look_up(0)
    gc.collect()
    tracemalloc.start()
    try:
        for number in range(1, 6):
            look_up(number)
        gc.collect()
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # the keyed hashes of one look-up are 640 KB; SQLAlchemy kept those of the last five hundred
    assert kept < 500_000


def test_no_ids_need_no_key(lake):
    found = entities.resolve(lake, "customer", FORMS, pl.Series([None, None], dtype=pl.String))
    assert found.to_list() == [None, None]
    assert not lake.key_file.exists()
