"""Named keys: the same whoever asks, versions stay, what is destroyed is gone; on SQLite and on PostgreSQL."""

from __future__ import annotations

import datetime as dt
import re
from concurrent.futures import ThreadPoolExecutor

import polars as pl
import pytest
import sqlalchemy as sa

from lakehouse.errors import KeyUnavailableError, StorageError
from lakehouse.model import TableId, Tier
from lakehouse.privacy import entities, vault
from lakehouse.storage.control import batch_key_table, data_key_table, period_key_table, secret_table

RAW = TableId(Tier.RAW, "clinic", "visit")
FORMS = ("trim",)


def test_a_secret_is_64_hex_digits_and_stays(any_lake):
    first = vault.secret(any_lake, "entity")
    assert re.fullmatch("[0-9a-f]{64}", first)
    assert vault.secret(any_lake, "entity") == first
    assert vault.secret(any_lake, "file name") != first
    assert vault.secret_version(any_lake, "entity") == 1


def test_a_renewed_secret_is_another_and_the_old_one_stays(any_lake):
    old = vault.secret(any_lake, "token/mail")
    assert vault.renew_secret(any_lake, "token/mail") == 2
    assert vault.secret(any_lake, "token/mail") not in {old, vault.secret(any_lake, "token/post")}
    assert vault.secret(any_lake, "token/mail", version=1) == old
    with pytest.raises(StorageError, match="no version 3"):
        vault.secret(any_lake, "token/mail", version=3)


@pytest.mark.parametrize("name", ["entity", "file name"])
def test_what_everything_is_found_by_is_not_renewed(lake, name):
    with pytest.raises(StorageError, match="cannot be renewed"):
        vault.renew_secret(lake, name)


def test_a_period_key_belongs_to_table_and_month(any_lake):
    assert vault.find_period_key(any_lake, RAW, "2026-11") is None
    key = vault.period_key(any_lake, RAW, "2026-11")
    assert vault.find_period_key(any_lake, RAW, "2026-11") == vault.period_key(any_lake, RAW, "2026-11") == key
    assert len({key, vault.period_key(any_lake, RAW, "2026-12")}) == 2
    assert vault.period_key(any_lake, TableId(Tier.RAW, "clinic", "stay"), "2026-11") != key


def test_a_batch_key_is_destroyed_when_it_is_due(any_lake):
    now = any_lake.now()
    old = vault.batch_key(any_lake, 1, table=RAW, destroy_after=now - dt.timedelta(seconds=1))
    young = vault.batch_key(any_lake, 2, table=RAW, destroy_after=now + dt.timedelta(days=1))
    assert vault.find_batch_key(any_lake, 1) == old
    assert len(old) == 32
    assert vault.destroy_due(any_lake, any_lake.now()) == 1
    assert vault.find_batch_key(any_lake, 1) is None
    assert vault.find_batch_key(any_lake, 2) == young
    assert vault.destroy_due(any_lake, any_lake.now()) == 0


def test_who_makes_a_key_at_once_agrees(any_lake):
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: vault.period_key(any_lake, RAW, "2026-11"), range(16)))
    assert len(set(made)) == 1


@pytest.mark.parametrize("table", [secret_table, period_key_table, batch_key_table, data_key_table], ids=str)
def test_a_row_moved_elsewhere_does_not_open(any_lake, table):
    """What it is a key of is bound to it."""
    make = {
        "secret": lambda n: vault.secret(any_lake, f"token/{n}"),
        "period_key": lambda n: vault.period_key(any_lake, RAW, f"2026-0{n}"),
        "batch_key": lambda n: vault.batch_key(any_lake, n, table=RAW, destroy_after=any_lake.now()),
        "data_key": lambda n: entities.with_keys(any_lake, "c", FORMS, pl.Series(["x"]), scope=f"scope{n}"),
    }[table.name]
    for number in (1, 2):
        make(number)
    with any_lake.control.write("key.make") as connection:
        moved = connection.execute(sa.select(table.c.wrapped).order_by(table.c.wrapped).limit(1)).scalar_one()
        connection.execute(table.update().values(wrapped=moved))
    with pytest.raises(KeyUnavailableError, match="does not open") as caught:
        [make(number) for number in (1, 2)]
    assert bytes(moved).hex() not in str(caught.value)


def test_no_key_is_in_the_database(any_lake):
    plain = [
        bytes.fromhex(vault.secret(any_lake, "entity")),
        bytes.fromhex(vault.period_key(any_lake, RAW, "2026-11")),
        vault.batch_key(any_lake, 1, table=RAW, destroy_after=any_lake.now()),
        bytes.fromhex(
            entities.with_keys(any_lake, "c", FORMS, pl.Series(["x"]), scope="main")["data_key"].item(),
        ),
    ]
    with any_lake.control.read() as connection:
        stored = [
            bytes(blob)
            for table in (secret_table, period_key_table, batch_key_table, data_key_table)
            for blob in connection.execute(sa.select(table.c.wrapped)).scalars()
        ]
    assert len(stored) == 4
    assert not any(key in blob for key in plain for blob in stored)


def test_destroyed_data_keys_are_gone_and_the_erased_are_marked(any_lake, forget):
    ids = pl.Series(["a", "b", "c"])
    main = entities.with_keys(any_lake, "c", FORMS, ids, scope="main").sort("id")
    entities.with_keys(any_lake, "c", FORMS, ids, scope="duty")
    whose = main["surrogate"]
    forget(any_lake, whose[:2], {"main"})
    assert entities.data_keys(any_lake, whose, scope="main")["surrogate"].to_list() == [whose[2]]
    assert entities.data_keys(any_lake, whose, scope="duty").height == 3
    assert entities.erased(any_lake, whose).to_list() == [False, False, False], "another scope is left"
    assert entities.erased(any_lake, whose, scope="main").to_list() == [True, True, False]
    assert entities.erased(any_lake, whose, scope="duty").to_list() == [False, False, False]
    forget(any_lake, whose[:1])
    assert entities.erased(any_lake, whose).to_list() == [True, False, False]
    forget(any_lake, whose[:1])
    assert entities.erased(any_lake, whose, scope="duty").to_list() == [True, False, False]


def test_after_one_scope_is_gone_the_id_has_a_surrogate_and_keys_of_its_own_again(any_lake, forget):
    first = entities.with_keys(any_lake, "c", FORMS, pl.Series(["a"]), scope="main")
    entities.with_keys(any_lake, "c", FORMS, pl.Series(["a"]), scope="duty")
    forget(any_lake, first["surrogate"], {"main"})
    again = entities.with_keys(any_lake, "c", FORMS, pl.Series(["a"]), scope="main")
    assert again["surrogate"].item() != first["surrogate"].item()
    assert entities.data_keys(any_lake, first["surrogate"], scope="duty").height == 1
    assert entities.data_keys(any_lake, first["surrogate"], scope="main").height == 0


def test_erased_keeps_order_and_nulls(any_lake, forget):
    whose = entities.with_keys(any_lake, "c", FORMS, pl.Series(["a", "b"]), scope="main")["surrogate"]
    forget(any_lake, whose[1:])
    asked = pl.Series([whose[1], None, whose[0], whose[1]])
    assert entities.erased(any_lake, asked).to_list() == [True, False, False, True]
