"""Entities and their keys in bulk: made once, found again, agreed upon; on SQLite and on PostgreSQL."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import polars as pl
import sqlalchemy as sa

from lakehouse.privacy import entities
from lakehouse.storage.control import alias_table, data_key_table, entity_table

FORMS = ("trim", "integer")
HEX = r"^[0-9a-f]{%d}$"


def count(lake, table):
    with lake.control.read() as connection:
        return connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()


def test_each_readable_id_has_a_surrogate_and_a_key(any_lake):
    values = pl.Series(["17850.0", "17850", None, "abc", "12346", "12346"])
    made = entities.with_keys(any_lake, "customer", FORMS, values, scope="main").sort("id")
    assert made.columns == ["id", "surrogate", "data_key"]
    assert made["id"].to_list() == ["12346", "17850", "17850.0"]
    assert made["surrogate"].str.contains(HEX % 32).all()
    assert made["data_key"].str.contains(HEX % 64).all()
    assert made["surrogate"].n_unique() == made["data_key"].n_unique() == 2
    again = entities.with_keys(any_lake, "customer", FORMS, values, scope="main").sort("id")
    assert again.equals(made)
    resolved = entities.resolve(any_lake, "customer", FORMS, values)
    assert resolved.to_list() == [made["surrogate"][1], made["surrogate"][1], None, None, *[made["surrogate"][0]] * 2]


def test_each_scope_has_a_key_of_its_own(any_lake):
    one, other = (entities.with_keys(any_lake, "c", FORMS, pl.Series(["1"]), scope=s) for s in ("main", "duty"))
    assert one["surrogate"].item() == other["surrogate"].item()
    assert one["data_key"].item() != other["data_key"].item()
    assert entities.data_keys(any_lake, one["surrogate"], scope="duty").rows() == [
        (one["surrogate"].item(), other["data_key"].item())
    ]
    assert entities.data_keys(any_lake, one["surrogate"], scope="none").rows() == []


def test_no_readable_id_makes_nothing(any_lake):
    made = entities.with_keys(any_lake, "c", FORMS, pl.Series([None, "abc"], dtype=pl.String), scope="main")
    assert made.height == 0
    assert made.schema == {"id": pl.String, "surrogate": pl.String, "data_key": pl.String}
    assert count(any_lake, entity_table) == 0


def test_some_known_some_new_some_without_a_key(any_lake):
    entities.with_keys(any_lake, "c", FORMS, pl.Series([str(n) for n in range(100)]), scope="main")
    entities.resolve(any_lake, "c", FORMS, pl.Series([str(n) for n in range(150)]))
    made = entities.with_keys(any_lake, "c", FORMS, pl.Series([str(n) for n in range(300)]), scope="main")
    assert made["data_key"].n_unique() == made["surrogate"].n_unique() == 300
    assert count(any_lake, entity_table) == count(any_lake, data_key_table) == 300


def test_a_large_delivery_comes_in_portions(any_lake, monkeypatch):
    monkeypatch.setattr(entities, "_PORTION", 7)
    values = pl.Series([str(n) for n in range(50)])
    made = entities.with_keys(any_lake, "c", FORMS, values, scope="main").sort("id")
    monkeypatch.undo()
    assert made.height == 50
    assert entities.with_keys(any_lake, "c", FORMS, values, scope="main").sort("id").equals(made)


def test_who_meets_the_same_people_at_once_agrees(any_lake):
    """Overlapping deliveries in different orders: nobody waits for ever, the first insert stays."""
    deliveries = [pl.Series([str(n) for n in range(start, start + 400)]) for start in range(0, 800, 100)]
    with ThreadPoolExecutor(4) as pool:
        made = list(
            pool.map(
                lambda each: entities.with_keys(any_lake, "c", FORMS, each.shuffle(seed=1), scope="main"), deliveries
            )
        )
    together = pl.concat(made).unique()
    assert together.height == together["id"].n_unique() == 1100


def test_merged_ids_share_surrogate_and_key(any_lake):
    made = entities.with_keys(any_lake, "c", FORMS, pl.Series(["1", "2"]), scope="main").sort("id")
    one, two = (bytes.fromhex(text) for text in made["surrogate"])
    with any_lake.control.write("entity.add") as connection:
        connection.execute(entity_table.update().where(entity_table.c.surrogate == two).values(surrogate=one))
        connection.execute(alias_table.insert().values(surrogate=two, other=one, cause="merged"))
        connection.execute(alias_table.insert().values(surrogate=one, other=two, cause="form"))
    now = entities.with_keys(any_lake, "c", FORMS, pl.Series(["1", "2"]), scope="main")
    assert set(now["surrogate"]) == {one.hex()}
    assert set(now["data_key"]) == {made["data_key"][0]}
    fresh = entities.with_keys(any_lake, "c", FORMS, pl.Series(["1", "2"]), scope="duty")
    assert fresh["data_key"].n_unique() == 1
    assert entities.aliases(any_lake, made["surrogate"]).rows() == [(two.hex(), one.hex())]


def test_a_name_and_an_id_of_the_same_text_show_no_link(any_lake):
    assert entities.name_hash(any_lake, "7.csv") == entities.name_hash(any_lake, "7.csv")
    assert entities.name_hash(any_lake, "7.csv") != entities.name_hash(any_lake, "8.csv")
    assert entities.keyed_hash(any_lake, "c", pl.Series(["7.csv"])).item().hex() != entities.name_hash(
        any_lake, "7.csv"
    )
