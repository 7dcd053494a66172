"""Rebuild and replay give what a fresh ingest of the same files under today's contract gives, row for row."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from lakehouse import storage
from lakehouse.contract.model import Changes, Check, CheckKind, Rule, Source
from lakehouse.errors import RefusedError
from lakehouse.ingest import gate, quarantine
from lakehouse.ingest.modes import appending
from lakehouse.ingest.rebuild import rebuild, replay
from tests.stores import everywhere

_spec = importlib.util.spec_from_file_location("rebuild_domain", Path(__file__).with_name("rebuild_domain.py"))
shop = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(shop)

SMALL = shop.row_check(Rule.RANGE, "amount", maximum="100")
LARGE = shop.row_check(Rule.RANGE, "amount", maximum="1000")
FILES = (
    (
        "a.csv",
        shop.HEADER + "1,7,2011-01-05,10,first\n2,7,2011-01-06,500,dear\nx,7,2011-01-06,1,bad\n3,8,2011-02-01,7,\n",
    ),
    ("b.csv", shop.HEADER + "1,7,2011-01-05,10,first\n2,7,2011-01-06,50,cheap\n4,9,2011-03-01,400,dear\ntorn\n"),
    (
        "c.csv",
        shop.HEADER + "2,7,2011-01-06,500,dear\n5,9,,3,no day\n3,8,2011-02-01,8,other\n6,9,2011-02-09,2000,never\n",
    ),
)


@pytest.fixture
def fresh(site, project_root, clock):
    """Makes a lake that has seen the files only under the given contract."""
    made: list[object] = []

    def make(table, *, version="1.0.0", files=FILES):
        lake = storage.create_lake(site.settings(project_root, f"fresh-{len(made)}"))
        for file in files:
            shop.take(lake, table, clock, file, version=version)
        made.append(lake)
        return lake

    return make


@pytest.fixture
def _portions(request, monkeypatch):
    if request.param == SMALL_PORTIONS:
        monkeypatch.setattr(gate, "ROWS_AT_ONCE", 3)
        monkeypatch.setattr(appending, "MOST_SUSPECTS", 2)


AT_ONCE, SMALL_PORTIONS = "all at once", "in small portions"
#: How many rows are taken at once is nothing to a store.
in_portions = pytest.mark.parametrize(
    ("any_place", "_portions"),
    everywhere({each: (each,) for each in (AT_ONCE, SMALL_PORTIONS)}, AT_ONCE),
    indirect=True,
)


@in_portions
@pytest.mark.usefixtures("_portions")
def test_a_rebuild_under_the_same_contract_changes_no_row(lake, clock, fresh):
    table = shop.sale_table(SMALL)
    for file in FILES:
        shop.take(lake, table, clock, file)
    before = storage.read_ledger(lake).height
    told: list[tuple[int, int]] = []
    report = rebuild(lake, shop.project_of(table), table, progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (12, 12)
    assert [(batch.state, batch.rows) for batch in report.batches] == [("staged", 4)] * 3
    shop.same(lake, fresh(table), table)
    assert storage.read_ledger(lake).height == before


@pytest.mark.parametrize(("old", "new"), [(SMALL, LARGE), (LARGE, SMALL)], ids=["more rows pass", "fewer rows pass"])
@in_portions
@pytest.mark.usefixtures("_portions")
def test_after_a_contract_change_it_is_as_if_it_had_always_been_so(lake, clock, fresh, old, new):
    table = shop.sale_table(old)
    for file in FILES:
        shop.take(lake, table, clock, file)
    changed = shop.sale_table(new)
    rebuild(lake, shop.project_of(changed, version="2.0.0"), changed)
    shop.same(lake, fresh(changed, version="2.0.0"), changed)
    versions = storage.scan(lake, quarantine.place(table.id)).collect()["contract_version"].unique().to_list()
    assert versions == ["2.0.0"]
    again = shop.sale_table(old)
    rebuild(lake, shop.project_of(again), again)
    shop.same(lake, fresh(again), again)


def test_a_replay_lets_an_earlier_delivery_take_its_place(lake, clock, fresh):
    table = shop.sale_table(SMALL)
    for file in FILES:
        shop.take(lake, table, clock, file)
    assert shop.rows(lake, table).filter(pl.col("id") == 2)["note"].to_list() == ["cheap"]
    changed = shop.sale_table(LARGE)
    replay(lake, shop.project_of(changed), changed)
    assert shop.rows(lake, table).filter(pl.col("id") == 2)["note"].to_list() == ["dear"]
    shop.same(lake, fresh(changed), changed)
    version = storage.snapshot(lake, table.id).version
    replay(lake, shop.project_of(changed), changed)
    shop.same(lake, fresh(changed), changed)
    assert storage.snapshot(lake, table.id).version > version  # one row still fails: it is judged again, nothing moves


def test_without_anything_set_aside_a_replay_does_nothing(lake, clock):
    table = shop.sale_table()
    shop.take(lake, table, clock, ("a.csv", shop.HEADER + "1,1,2011-01-01,1,x\n"))
    before = storage.snapshot(lake, table.id).version
    assert replay(lake, shop.project_of(table), table).batches == ()
    assert storage.snapshot(lake, table.id).version == before


@pytest.mark.parametrize("minimum", ["1", "5"])
def test_batches_are_held_or_released_as_the_contract_says_now(lake, clock, fresh, minimum):
    strict, other = (
        shop.sale_table(Check("enough_rows", CheckKind.BATCH, Rule.ROW_COUNT, minimum=rows)) for rows in ("3", minimum)
    )
    files = (*FILES, ("d.csv", shop.HEADER + "1,7,2011-01-05,11,few\n"))
    for file in files:
        shop.take(lake, strict, clock, file)
    assert storage.batches(lake, strict.id)["state"].to_list() == ["staged", "staged", "staged", "held"]
    rebuild(lake, shop.project_of(other), other)
    shop.same(lake, fresh(other, files=files), other)


def test_months_are_replaced_alone(lake, clock, fresh):
    table = shop.sale_table(SMALL)
    for file in FILES:
        shop.take(lake, table, clock, file)
    rebuild(lake, shop.project_of(table), table)
    before = storage.snapshot(lake, table.id)
    rebuild(lake, shop.project_of(table), table, months=["2011-02", "2011-03"])
    shop.same(lake, fresh(table), table)
    after = storage.snapshot(lake, table.id)
    assert after.files_for(months=["2011-01"]) == before.files_for(months=["2011-01"])
    assert not set(after.files_for(months=["2011-02"])) & set(before.files_for(months=["2011-02"]))


def test_months_alone_are_refused_where_others_would_change(lake, clock):
    table, changed = shop.sale_table(SMALL), shop.sale_table(LARGE)
    for file in FILES:
        shop.take(lake, table, clock, file)
    before = shop.rows(lake, table)
    with pytest.raises(RefusedError, match="other months"):
        rebuild(lake, shop.project_of(changed), changed, months=["2011-02"])
    assert shop.rows(lake, table).equals(before)
    flat = replace(table, layout="entity")
    with pytest.raises(RefusedError, match="laid out by month"):
        rebuild(lake, shop.project_of(flat), flat, months=["2011-02"])


def test_a_range_brings_in_what_passes_now_in_these_months(lake, clock, fresh):
    table, changed = shop.sale_table(SMALL), shop.sale_table(LARGE)
    for file in FILES[1:]:
        shop.take(lake, table, clock, file)
    # key 2 was staged in January by the first file that brought it, so only March changes
    rebuild(lake, shop.project_of(changed), changed, months=["2011-03"])
    shop.same(lake, fresh(changed, files=FILES[1:]), changed)


def test_nothing_landed_is_refused(lake):
    table = shop.sale_table()
    with pytest.raises(RefusedError, match="nothing has landed yet"):
        rebuild(lake, shop.project_of(table), table)


DATED = "id,person,day,amount,note,op\n"
DUMPS = (
    ("2011-01-10.csv", DATED + "1,7,2011-01-01,10,a,u\n2,7,2011-01-02,20,b,u\n3,8,2011-01-03,500,c,u\n"),
    ("2011-01-30.csv", DATED + "1,7,2011-01-20,11,a,u\n3,8,2011-01-21,500,d,u\n4,9,2011-01-22,40,e,u\nx,,,,,\n"),
    ("2011-01-20.csv", DATED + "1,7,2011-01-11,12,a,u\n2,7,2011-01-12,700,b,d\n2,7,2011-01-12,700,b,d\n"),
)


def moded(most: str, mode: str, *, history: bool):
    """The table in another load mode, its versions ordered by the event's day or by the files' names."""
    table = shop.sale_table(shop.row_check(Rule.RANGE, "amount", maximum=most), load_mode=mode, history=history)
    changes = Changes("op", ("d",)) if mode == "changes" else None
    as_of = {"upsert": None, "snapshot": "path", "changes": "day"}[mode]
    sources = (Source("till", pattern="*.csv", delivered_at="%Y-%m-%d.csv"),)
    columns = (*table.columns, shop.column("op"))
    return replace(
        table, columns=columns, changes=changes, as_of=as_of, sources=sources, layout="entity", vanish_tolerance=1.0
    )


MODES = {
    f"{mode}-{kept}-{portions}": (mode, kept == "history", portions)
    for mode in ("upsert", "snapshot", "changes")
    for kept in ("latest", "history")
    for portions in (AT_ONCE, SMALL_PORTIONS)
}


@pytest.mark.parametrize(
    ("any_place", "mode", "history", "_portions"),
    everywhere(MODES, f"changes-history-{AT_ONCE}"),
    indirect=["any_place", "_portions"],
)
@pytest.mark.usefixtures("_portions")
def test_every_load_mode_is_rebuilt_as_a_fresh_lake_has_it(lake, clock, fresh, mode, history):
    old, new = moded("100", mode, history=history), moded("1000", mode, history=history)
    for file in DUMPS:
        shop.take(lake, old, clock, file)
    rebuild(lake, shop.project_of(old), old)
    shop.same(lake, fresh(old, files=DUMPS), old)
    replay(lake, shop.project_of(new), new)
    shop.same(lake, fresh(new, files=DUMPS), new)
    for one in (lake, again := fresh(new, files=DUMPS)):
        shop.take(one, new, clock, ("2011-01-15.csv", DATED + "2,7,2011-01-15,9,late,u\n1,7,2011-01-15,9,late,u\n"))
    shop.same(lake, again, new)


def test_rows_of_lost_batches_go_only_when_told_so(lake, clock):
    table = shop.sale_table()
    for file in FILES[:2]:
        shop.take(lake, table, clock, file)
    with lake.control.write("manifest.update") as connection:
        connection.execute(storage.batch_table.update().where(storage.batch_table.c.number == 2).values(state="lost"))
    before = shop.rows(lake, table)
    with pytest.raises(RefusedError, match="lost with an older control database") as error:
        rebuild(lake, shop.project_of(table), table)
    assert "--drop-lost" in error.value.hint
    assert shop.rows(lake, table).equals(before)
    rebuild(lake, shop.project_of(table), table, drop_lost=True)
    assert shop.rows(lake, table)["_batch"].unique().to_list() == [1]
