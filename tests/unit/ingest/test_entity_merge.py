"""Two ids that are one person: staged shows one entity, raw stays as it is, and a merge cannot go in circles."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
import sqlalchemy as sa

from lakehouse import storage
from lakehouse.contract.model import Role
from lakehouse.errors import RefusedError, UsageError
from lakehouse.ingest import ingest, landing, merged
from lakehouse.ingest.rebuild import rebuild
from lakehouse.model import Tier
from lakehouse.privacy import entities, merging
from lakehouse.storage.control import alias_table

pytestmark = pytest.mark.slow

_spec = importlib.util.spec_from_file_location("ingest_domain", Path(__file__).with_name("ingest_domain.py"))
domain = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(domain)
HEADER = domain.HEADER
TABLE = domain.order_table()
PROJECT = domain.project_of(TABLE)
FORMS = ("trim", "integer")


def take(lake, clock, content: str, *, name: str = "a.csv", table=TABLE):
    place = landing.folder(lake, table)
    place.mkdir(parents=True, exist_ok=True)
    (place / name).write_text(HEADER + content)
    return ingest(lake, domain.project_of(table), table, [place / name], now=clock)


def whose(lake, table=TABLE, column: str = "_entity") -> list[str | None]:
    return storage.scan(lake, table.id).collect().sort("_batch", "_row")[column].to_list()


def merge(lake, first: str, second: str, *, table=TABLE):
    project = domain.project_of(table)
    handover = merged.plan(lake, project, "person", (first, second))
    merged.apply(lake, project, handover)
    return [(each.id.table, rows) for each, rows in handover.rows]


def aliases(lake) -> list[tuple[str, str, str]]:
    with lake.control.read() as connection:
        rows = connection.execute(sa.select(alias_table)).all()
    return sorted((row.surrogate.hex(), row.other.hex(), row.cause) for row in rows)


def test_the_first_ones_rows_are_the_seconds(lake, clock):
    take(lake, clock, "1,7,1,x\n2,8,1,x\n3,9,1,x\n")
    seven, eight, nine = whose(lake)
    plan = merged.plan(lake, PROJECT, "person", ("7", "8"))
    assert [(table.id.table, rows) for table, rows in plan.rows] == [("order", 1)]
    assert whose(lake) == [seven, eight, nine]
    merged.apply(lake, PROJECT, plan)
    assert whose(lake) == [eight, eight, nine]
    assert aliases(lake) == [(seven, eight, "merged")]
    raw = storage.scan(lake, TABLE.id.at(Tier.RAW)).collect().sort("_row")
    assert raw["_entity"].to_list() == [seven, eight, nine]
    take(lake, clock, "4,7.0,1,x\n5,8,1,x\n", name="b.csv")
    assert whose(lake)[3:] == [eight, eight]
    assert storage.balance(lake, TABLE.id).unbalanced == ()


def test_again_there_is_nothing_to_do(lake, clock):
    take(lake, clock, "1,7,1,x\n2,8,1,x\n")
    assert merge(lake, "7", "8") == [("order", 1)]
    before = aliases(lake)
    assert merge(lake, "7", "8") == []
    assert merge(lake, "8", "7") == []
    assert aliases(lake) == before


def test_whoever_died_after_the_vault_knew_goes_on(lake, clock):
    take(lake, clock, "1,7,1,x\n2,8,1,x\n")
    _, eight = whose(lake)
    merging.merge(lake, merging.find(lake, "person", [FORMS], ("7", "8")))
    assert merge(lake, "7", "8") == [("order", 1)]
    assert whose(lake) == [eight, eight]


def test_a_chain_is_one_step_and_a_circle_none(lake, clock):
    take(lake, clock, "1,7,1,x\n2,8,1,x\n3,9,1,x\n")
    seven, eight, nine = whose(lake)
    merge(lake, "7", "8")
    merge(lake, "8", "9")
    assert whose(lake) == [nine, nine, nine]
    assert aliases(lake) == sorted([(seven, nine, "merged"), (eight, nine, "merged")])
    assert merge(lake, "9", "7") == []
    assert whose(lake) == [nine, nine, nine]
    assert entities.resolve(lake, "person", FORMS, pl.Series(["7", "8", "9"])).to_list() == [nine, nine, nine]


def test_a_merge_reaches_the_rows_of_a_role(lake, clock):
    note = [replace(each, role="clerk") if each.name == "note" else each for each in TABLE.columns]
    table = replace(TABLE, columns=tuple(note), roles=(Role("clerk", "person", "note", FORMS),))
    take(lake, clock, "1,7,1,8\n2,8,1,7\n3,8,1,9\n", table=table)
    seven, eight, _ = whose(lake, table)
    assert seven != eight
    assert merge(lake, "7", "8", table=table) == [("order", 2)]
    assert whose(lake, table) == [eight] * 3
    assert whose(lake, table, "_entity_clerk")[:2] == [eight, eight]


def test_what_was_sealed_before_stays_readable(lake, clock):
    take(lake, clock, "1,7,1,kept\n2,8,1,x\n")
    merge(lake, "7", "8")
    rebuild(lake, PROJECT, TABLE)
    rows = storage.scan(lake, TABLE.id).collect().sort("_row")
    assert rows["note"].to_list() == ["kept", "x"]
    assert rows["person"].to_list() == ["7", "8"]


@pytest.mark.parametrize(
    ("ids", "word", "where"), [(("7", "404404"), "no person", "id 2"), (("secret", "7"), "no id of a person", "id 1")]
)
def test_an_unknown_id_is_refused_without_showing_it(lake, clock, ids, word, where):
    take(lake, clock, "1,7,1,x\n")
    with pytest.raises(RefusedError, match=word) as caught:
        merged.plan(lake, PROJECT, "person", ids)
    assert caught.value.where == where
    assert not {"404404", "secret"} & set(f"{caught.value} {caught.value.hint}".split())


def test_an_unknown_type_names_those_there_are(lake):
    with pytest.raises(UsageError) as caught:
        merged.plan(lake, PROJECT, "persn", ("1", "2"))
    assert "`person`" in str(caught.value.hint)


def test_an_erased_entity_cannot_be_merged(lake, clock, monkeypatch):
    take(lake, clock, "1,7,1,x\n2,8,1,x\n")
    _, eight = whose(lake)
    monkeypatch.setattr(entities, "erased", lambda _, found: found == eight)
    with pytest.raises(RefusedError, match="erased") as caught:
        merged.plan(lake, PROJECT, "person", ("7", "8"))
    assert caught.value.where == "id 2"
