"""A changed contract: what `plan` says it means, what `apply` does, and that the result is as if it had always been so."""

from __future__ import annotations

import datetime as dt
import importlib.util
from dataclasses import replace
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from lakehouse import storage
from lakehouse.contract.change import Effect, Kind
from lakehouse.contract.model import ColumnType, Drift, EntityKey, Logical, Rule
from lakehouse.errors import RefusedError
from lakehouse.ingest import landing, migration, opener, quarantine
from lakehouse.model import TableId, Tier
from tests.stores import everywhere

_spec = importlib.util.spec_from_file_location("rebuild_domain", Path(__file__).with_name("rebuild_domain.py"))
shop = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(shop)

FILES = (
    ("a.csv", shop.HEADER + "1,7,2011-01-05,10,first\n2,7,2011-01-06,50.5,dear\nx,7,2011-01-06,1,bad\n"),
    ("b.csv", shop.HEADER + "1,7,2011-01-05,10,first\n2,8,2011-02-06,50,cheap\n4,9,,400,dear\ntorn\n"),
)
LATER = ("c.csv", "id,person,day,amount,note,shade\n7,9,2011-03-01,5,new,red\n1,7,2011-01-05,10,first,\n")
OLD = shop.sale_table()


def columns(*changed, table=OLD):
    """The table with some columns replaced by others of the same id, or added at the end."""
    there = {column.id for column in table.columns}
    new = {column.id: column for column in changed}
    kept = tuple(new.get(column.id, column) for column in table.columns)
    return replace(table, columns=(*kept, *(column for column in changed if column.id not in there)))


def lake_in(site, name, project_root):
    return storage.create_lake(site.settings(project_root, name))


def apply(lake, table):
    project = shop.project_of(table)
    migration.rename(lake, project)
    return [migration.apply(lake, project, step) for step in migration.plan(lake, project)]


def renamed_column():
    old = OLD.column("note")
    return columns(replace(old, name="remark"))


def swapped_columns():
    """`note` becomes `day`'s name and the other way round: names alone would mix them up."""
    note, day = OLD.column("note"), OLD.column("day")
    table = columns(replace(note, name="day"), replace(day, name="note"))
    checks = tuple(replace(c, columns=("note",)) if c.columns == ("day",) else c for c in table.checks)
    return replace(table, event_time="note", checks=checks)


CHANGES = {
    "retype": (columns(replace(OLD.column("amount"), type=ColumnType(Logical.FLOAT))), {Kind.RETYPE}),
    "narrower": (
        columns(replace(OLD.column("amount"), type=ColumnType(Logical.DECIMAL, precision=4, scale=2))),
        {Kind.NARROWER_TYPE},
    ),
    "wider": (
        columns(replace(OLD.column("amount"), type=ColumnType(Logical.DECIMAL, precision=14, scale=2))),
        {Kind.WIDER_TYPE},
    ),
    "stricter": (shop.sale_table(shop.row_check(Rule.RANGE, "amount", maximum="40")), {Kind.NARROWER_CHECK}),
    "category": (columns(replace(OLD.column("note"), category="user.contact")), {Kind.CATEGORY}),
    "key": (replace(OLD, key=("id", "person")), {Kind.KEY}),
    "layout": (replace(OLD, layout="none", event_time=None), {Kind.LAYOUT}),
    "null words": (columns(replace(OLD.column("note"), null_words=("", "dear"))), {Kind.READING}),
    "evolving": (replace(OLD, drift=Drift("evolve", "evolve", "evolve")), {Kind.DRIFT}),
    "drift": (replace(OLD, drift=Drift(type="discard_value")), {Kind.DRIFT}),
    "load mode": (replace(OLD, load_mode="upsert"), {Kind.LOAD_MODE}),
    "history": (replace(OLD, load_mode="upsert", history=True), {Kind.LOAD_MODE}),
    "renamed column": (renamed_column(), {Kind.RENAMED_COLUMN}),
    "swapped names": (swapped_columns(), {Kind.RENAMED_COLUMN}),
    "removed column": (replace(OLD, columns=OLD.columns[:-1]), {Kind.REMOVED_COLUMN}),
    "derived column": (
        columns(shop.column("nth", shop.INTEGER, derived="occurrence", derived_over=("person",))),
        {Kind.NEW_COLUMN},
    ),
}


@pytest.mark.parametrize(
    ("any_place", "new", "kinds"),
    everywhere(CHANGES, "history", "swapped names"),
    indirect=["any_place"],
)
def test_what_changes_rows_is_a_rebuild_and_equals_a_fresh_lake(site, project_root, clock, new, kinds):
    lake, fresh = lake_in(site, "old", project_root), lake_in(site, "new", project_root)
    for file in FILES:
        shop.take(lake, OLD, clock, file)
    raw = storage.snapshot(lake, OLD.id.at(Tier.RAW)).files
    (step,) = migration.plan(lake, shop.project_of(new))
    assert {change.kind for change in step.changes} == kinds
    assert (step.effect, step.rows) == (Effect.REBUILD, 7)
    with pytest.raises(RefusedError, match="lakehouse apply"):
        shop.take(lake, new, clock, ("later.csv", shop.HEADER))
    assert apply(lake, new) == [Effect.REBUILD]
    assert migration.plan(lake, shop.project_of(new)) == ()
    version = storage.snapshot(lake, new.id).version
    assert apply(lake, new) == []
    assert storage.snapshot(lake, new.id).version == version
    assert storage.snapshot(lake, OLD.id.at(Tier.RAW)).files[: len(raw)] == raw
    for file in FILES:
        shop.take(fresh, new, clock, fitting(file, new))
    shop.same(lake, fresh, new)
    both = (lake, fresh)
    for one in both:
        shop.take(one, new, clock, fitting(("later.csv", FILES[0][1].replace("first", "other")), new))
    shop.same(*both, new)


def fitting(file, table):
    """The file as a source delivers it that knows the table's columns only."""
    name, content = file
    if len(table.delivered) == 5:
        return file
    return name, "".join(
        line.rpartition(",")[0] + "\n" if "," in line else line + "\n" for line in content.splitlines()
    )


def test_a_new_column_is_metadata_in_raw_and_staged(lake, clock):
    for file in FILES:
        shop.take(lake, OLD, clock, file)
    new = replace(columns(shop.column("shade")), columns=(shop.column("shade"), *OLD.columns))
    before = {tier: storage.snapshot(lake, OLD.id.at(tier)).files for tier in (Tier.RAW, Tier.STAGED)}
    rows = shop.rows(lake, OLD)
    (step,) = migration.plan(lake, shop.project_of(new))
    assert [(change.kind, change.effect) for change in step.changes] == [(Kind.NEW_COLUMN, Effect.METADATA)]
    with pytest.raises(RefusedError, match="lakehouse apply"):
        shop.take(lake, new, clock, LATER)
    assert apply(lake, new) == [Effect.METADATA]
    assert migration.plan(lake, shop.project_of(new)) == ()
    assert {tier: storage.snapshot(lake, new.id.at(tier)).files for tier in before} == before
    assert shop.rows(lake, new).drop("shade").equals(rows)
    shop.take(lake, new, clock, LATER)
    assert shop.rows(lake, new)["shade"].drop_nulls().to_list() == ["red"]
    assert shop.account(lake, new)[3] == {"read": 2, "staged": 1, "duplicate": 1, "told": 1}
    raw = pl.concat(opener.opened(lake, new))
    assert raw["shade"].drop_nulls().to_list() == ["red", ""]
    migration.rebuild(lake, shop.project_of(new), new)
    assert shop.rows(lake, new)["shade"].drop_nulls().to_list() == ["red"]
    assert storage.snapshot(lake, new.id).schema.names[4] == "shade"


def test_a_new_column_that_older_rows_brought_is_no_empty_one(site, project_root, clock):
    lake, fresh = lake_in(site, "old", project_root), lake_in(site, "new", project_root)
    old = replace(OLD, drift=Drift("discard_value", "evolve"))
    new = replace(columns(shop.column("shade"), table=old), drift=old.drift)
    for file in (*FILES, LATER):
        shop.take(lake, old, clock, file)
        shop.take(fresh, new, clock, file)
    assert "shade" not in shop.rows(lake, old).columns
    assert apply(lake, new) == [Effect.REBUILD]
    shop.same(lake, fresh, new)
    assert shop.rows(lake, new)["shade"].drop_nulls().to_list() == ["red"]


def test_a_column_that_comes_back_has_its_values_again_and_another_one_of_its_name_has_not(lake, clock):
    for file in FILES:
        shop.take(lake, OLD, clock, file)
    rows = shop.rows(lake, OLD)
    without = replace(OLD, columns=OLD.columns[:-1])
    apply(lake, without)
    other = columns(shop.column("note", id="other"), table=without)
    assert apply(lake, other) == [Effect.METADATA]
    assert shop.rows(lake, other)["note"].null_count() == rows.height
    assert storage.applied_contracts(lake)[0].raw["columns"]["other"] == "note_2"
    apply(lake, without)
    assert apply(lake, OLD) == [Effect.REBUILD]
    assert shop.rows(lake, OLD).equals(rows)


def test_a_looser_check_lets_deliveries_go_on_and_is_a_replay(lake, clock):
    strict, loose = (shop.sale_table(shop.row_check(Rule.RANGE, "amount", maximum=most)) for most in ("40", "100"))
    for file in FILES:
        shop.take(lake, strict, clock, file)
    (step,) = migration.plan(lake, shop.project_of(loose))
    assert (step.effect, [change.kind for change in step.changes]) == (Effect.REPLAY, [Kind.WIDER_CHECK])
    shop.take(lake, loose, clock, ("later.csv", shop.HEADER + "9,9,2011-01-01,90,x\n"))
    assert [step.effect for step in migration.plan(lake, shop.project_of(loose))] == [Effect.REPLAY]
    assert apply(lake, loose) == [Effect.REPLAY]
    assert migration.plan(lake, shop.project_of(loose)) == ()
    assert shop.rows(lake, loose)["id"].sort().to_list() == [1, 2, 9]
    assert shop.rows(lake, loose).filter(id=2)["note"].to_list() == ["dear"]


def test_another_entity_gives_staged_rows_other_surrogates_and_leaves_raw_alone(lake, clock):
    for file in FILES:
        shop.take(lake, OLD, clock, file)
    new = replace(OLD, entity=EntityKey("buyer", "note"))
    before = dict(storage.scan(lake, OLD.id).select("note", "_entity").collect().rows())
    assert apply(lake, new) == [Effect.REBUILD]
    after = dict(storage.scan(lake, new.id).select("note", "_entity").collect().rows())
    assert set(before) == set(after)
    assert not set(before.values()) & set(after.values())
    shop.take(lake, new, clock, ("later.csv", shop.HEADER + "9,1,2011-01-01,90,first\n"))
    assert storage.scan(lake, new.id).filter(id=9).collect()["_entity"].item() == after["first"]
    migration.rebuild(lake, shop.project_of(new), new)
    assert storage.scan(lake, new.id).filter(id=9).collect()["_entity"].item() == after["first"]


def test_a_renamed_table_stays_itself_and_its_old_name_is_free(lake, lake_settings, clock):
    for file in FILES:
        shop.take(lake, OLD, clock, file)
    rows, account = shop.rows(lake, OLD), shop.account(lake, OLD)
    new = replace(OLD, id=TableId(Tier.STAGED, "shop", "receipt"))
    waiting = landing.folder(lake, OLD) / "waiting.csv"
    waiting.write_text(shop.HEADER)
    (step,) = migration.plan(lake, shop.project_of(new))
    assert [(change.kind, change.effect) for change in step.changes] == [(Kind.RENAMED_TABLE, Effect.METADATA)]
    with pytest.raises(RefusedError, match="lakehouse apply"):
        shop.take(lake, new, clock, ("later.csv", shop.HEADER))
    assert migration.rename(lake, shop.project_of(new)) == ("staged.shop.sale",)
    assert migration.rename(lake, shop.project_of(new)) == ()
    assert apply(lake, new) == []
    assert (landing.folder(lake, new) / "waiting.csv").exists()
    again = storage.open_lake(lake_settings)
    assert shop.rows(again, new).equals(rows)
    assert shop.account(again, new) == account
    assert quarantine.counts(again, new.id)["rows"].sum() == 2
    report = shop.take(again, new, clock, FILES[0], ("later.csv", shop.HEADER + "9,9,2011-01-01,9,x\n"))
    assert sorted(batch.state for batch in report.batches) == ["skipped", "staged"]
    migration.rebuild(again, shop.project_of(new), new)
    assert shop.rows(again, new).height == rows.height + 1
    other = replace(OLD, odcs_id="shop/sale2")
    project = shop.project_of(new, other)
    assert migration.plan(again, project) == ()
    shop.take(again, other, clock, ("a.csv", shop.HEADER + "1,1,2011-01-01,1,x\n"))
    assert shop.rows(again, other).height == 1
    assert shop.rows(again, new).height == rows.height + 1
    assert shop.account(again, new).keys() == {1, 2, 3}


def test_a_table_that_a_model_makes_is_refreshed_by_its_next_build(lake):
    old = replace(
        OLD,
        id=TableId(Tier.CURATED, "shop", "daily"),
        sources=(),
        columns=OLD.columns[:1],
        layout="none",
        event_time=None,
    )
    old = replace(old, entity=None, checks=())
    new = replace(old, columns=(*old.columns, shop.column("shade")))
    build(lake, old)
    assert migration.plan(lake, shop.project_of(old)) == ()
    (step,) = migration.plan(lake, shop.project_of(new))
    assert (step.effect, step.rows, [change.kind for change in step.changes]) == (Effect.REFRESH, 2, [Kind.NEW_COLUMN])
    assert apply(lake, new) == [Effect.REFRESH]
    assert migration.drift(migration.plan(lake, shop.project_of(new)))
    build(lake, new)
    assert migration.plan(lake, shop.project_of(new)) == ()
    other = replace(new, scope="accounting")
    assert not migration.drift(migration.plan(lake, shop.project_of(other)))
    assert apply(lake, other) == [Effect.NOTHING]
    assert migration.plan(lake, shop.project_of(other)) == ()


def build(lake, table) -> None:
    frame = pl.DataFrame({"id": [1, 2], **{c.name: ["a", "b"] for c in table.columns[1:]}})
    landed = pl.lit(dt.datetime(2026, 1, 1, tzinfo=dt.UTC)).cast(pl.Datetime("us", "UTC")).alias("_landed_at")
    rows = frame.select(landed, pl.all()).to_arrow(compat_level=pl.CompatLevel.oldest())
    reader = pa.RecordBatchReader.from_batches(rows.schema, rows.to_batches())
    storage.replace(lake, table.id, table, reader, months=None, inputs={})


def test_a_table_that_no_contract_has_any_more_stays_and_is_no_drift(lake, clock):
    for file in FILES:
        shop.take(lake, OLD, clock, file)
    (step,) = migration.plan(lake, shop.project_of())
    assert (step.removed, step.effect, step.rows) == (True, Effect.NOTHING, 7)
    assert not migration.drift([step])
    assert migration.apply(lake, shop.project_of(), step) is Effect.NOTHING
    assert migration.plan(lake, shop.project_of(OLD)) == ()
    anew = replace(OLD, odcs_id="written/anew")
    assert migration.plan(lake, shop.project_of(anew)) == ()
