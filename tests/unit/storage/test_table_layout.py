"""Layout, statistics, pruning and tail merges."""

from __future__ import annotations

import datetime as dt
import json
import math
from decimal import Decimal

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakehouse import storage
from lakehouse.contract.model import Column, ColumnType, EntityKey, Logical, Table
from lakehouse.errors import StorageError
from lakehouse.model import TableId, Tier
from lakehouse.storage import delta, layout, merging
from lakehouse.storage.layout import BODY, FileName, Part, arrange
from lakehouse.storage.statistics import statistics


def contract(layout_word="time+entity", *, personal_time=False, entity=True):
    category = "user.behavior" if personal_time else "system.operations"
    columns = (
        Column("seen", "seen", ColumnType(Logical.TIMESTAMP), category),
        Column("name", "name", ColumnType(Logical.STRING), "user.name"),
        Column("ward", "ward", ColumnType(Logical.STRING), "system.operations"),
    )
    return Table(
        TableId(Tier.STAGED, "clinic", "visit"),
        "visit",
        columns,
        key=("seen",),
        entity=EntityKey("patient") if entity else None,
        event_time="seen",
        layout=layout_word,
    )


def test_personal_columns_have_no_statistics():
    placement = storage.Placement.of(contract(), Tier.STAGED)
    assert placement.statistics_columns == ("_batch", "_row", "_landed_at", "_entity", "seen", "ward")
    assert not placement.personal_time
    assert storage.Placement.of(contract(personal_time=True), Tier.STAGED).personal_time


def test_raw_has_no_layout_and_statistics_of_platform_columns_only():
    placement = storage.Placement.of(contract(), Tier.RAW)
    assert placement.layout == "none"
    assert placement.statistics_columns == ("_batch", "_row", "_landed_at", "_entity")
    assert placement.time_column is None


def test_a_personal_event_time_shows_its_month_only(visits):
    placement = storage.Placement("time+entity", "_entity", "seen", ("seen", "weight"), personal_time=True)
    (part,) = arrange(visits.rows(1), placement)
    found = json.loads(statistics(part, placement))
    assert found["minValues"]["seen"] == "2011-01-01T00:00:00.000Z"
    assert found["maxValues"]["seen"] == "2011-02-01T00:00:00.000Z"
    assert "seen" not in found["nullCount"]


def test_a_personal_event_date_shows_its_month_only():
    frame = pl.DataFrame({"day": [dt.date(2011, 2, 14)]})
    placement = storage.Placement("time", None, "day", ("day",), personal_time=True)
    (part,) = arrange(frame, placement)
    found = json.loads(statistics(part, placement))
    assert (found["minValues"], found["maxValues"]) == ({"day": "2011-02-01"}, {"day": "2011-02-28"})


def test_a_bound_without_exact_form_is_left_out():
    frame = pl.DataFrame(
        {
            "long": ["x" * 65],
            "nan": [math.nan],
            "huge": [math.inf],
            "price": [Decimal("1.25")],
            "fine": pl.Series([Decimal("12345678901234567.89")], dtype=pl.Decimal(30, 2)),
            "late": [dt.datetime(2011, 1, 1, 0, 0, 0, 1, tzinfo=dt.UTC)],
            "none": pl.Series([None], dtype=pl.Int64),
            "blob": [b"x"],
        }
    )
    placement = storage.Placement("none", statistics_columns=tuple(frame.columns))
    found = json.loads(statistics(Part(frame, "t0", "all", None), placement))
    assert found["maxValues"] == {"price": 1.25, "late": "2011-01-01T00:00:00.001Z"}
    assert found["minValues"] == {"price": 1.25, "late": "2011-01-01T00:00:00.000Z"}
    assert found["nullCount"]["none"] == 1
    assert "blob" not in found["nullCount"]


def test_statistics_stand_in_the_log_as_engines_read_them(lake, visits):
    visits.put(lake, visits.rows(3, 10))
    adds = pl.DataFrame(delta.DeltaTable(lake.uri(visits.VISITS)).get_add_actions(flatten=True))
    assert adds["min._batch"].to_list() == [3]
    assert adds["min.seen"].to_list() == [dt.datetime(2011, 1, 1, 12, 30, tzinfo=dt.UTC)]
    assert adds["max.seen"].to_list() == [dt.datetime(2011, 1, 10, 12, 30, tzinfo=dt.UTC)]
    assert adds["min.name"].to_list() == [None]


def test_months_with_enough_rows_get_their_own_file(visits):
    parts = list(arrange(visits.rows(1, 3 * 5000, months=3), visits.PLACEMENT))
    assert [part.span for part in parts] == ["2011-01", "2011-02", "2011-03"]


def test_small_months_share_a_file_unless_files_must_be_exact(visits):
    frame = visits.rows(1, 300, months=3)
    assert [part.span for part in arrange(frame, visits.PLACEMENT)] == ["2011-01_2011-03"]
    assert [part.span for part in arrange(frame, visits.PLACEMENT, exact=True)] == ["2011-01", "2011-02", "2011-03"]


def test_rows_without_event_time_stand_apart(visits):
    frame = visits.rows(1, 40, months=2).with_columns(
        seen=pl.when(pl.col("_row") < 4).then(None).otherwise(pl.col("seen"))
    )
    parts = list(arrange(frame, visits.PLACEMENT))
    assert [(part.span, part.frame.height) for part in parts] == [("null", 4), ("2011-01_2011-02", 36)]


def test_a_body_has_about_25_thousand_rows_a_file_and_never_too_many_files():
    assert layout.body_rows(222_000, 36, most=layout.MAX_RANGES) == pytest.approx(25_000, rel=0.05)
    assert layout.body_rows(2_000_000, 12, most=layout.MAX_RANGES) == 2_000_000 / 32
    assert layout.body_rows(2_000_000, 200, most=layout.MAX_RANGES) == 2_000_000 / 5
    assert layout.body_rows(10, 5000) == 10


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 2**31)), max_size=200), st.booleans(), st.booleans())
def test_arranging_loses_and_invents_no_row(sample, exact, body):
    frame = pl.DataFrame(
        {
            "seen": [dt.date(2010 + m // 12, m % 12 + 1, 3) if m else None for m, _ in sample],
            "_entity": [f"{e:032x}" if e % 5 else None for _, e in sample],
        },
        schema={"seen": pl.Date, "_entity": pl.String},
    )
    placement = storage.Placement("time+entity", "_entity", "seen", ("seen",))
    parts = list(arrange(frame, placement, exact=exact, level=BODY if body else "t0"))
    assert sum(part.frame.height for part in parts) == frame.height
    if parts:
        assert pl.concat([part.frame for part in parts]).sort("seen", "_entity").equals(frame.sort("seen", "_entity"))
    for number, part in enumerate(parts):
        name = FileName.parse(layout.file_name(token=3, transaction="0123456789ab", number=number, part=part))
        assert name is not None
        assert set(part.months or ()) <= set(layout.months_between(name.first, name.last))
        months = part.frame["seen"].dt.strftime("%Y-%m").fill_null("null").unique()
        assert set(months) == set(part.months or ())
        if exact or body:
            assert name.within([name.first])


def test_surrogates_that_are_not_hex_are_sorted_as_text(visits):
    frame = visits.rows(1, 40, months=2).with_columns(_entity=pl.format("z{}", pl.col("_row")))
    parts = list(arrange(frame, visits.PLACEMENT, exact=True))
    assert [part.span for part in parts] == ["2011-01", "2011-02"]
    assert all(part.frame["_entity"].is_sorted() for part in parts)


def test_one_month_is_read_from_its_own_files(lake, visits):
    visits.put(lake, visits.rows(1, 360, months=36), kind="stage")
    assert storage.merge(lake, visits.VISITS, visits.PLACEMENT) == 1
    now = storage.snapshot(lake, visits.VISITS)
    assert len(now.files) == 36
    assert len(now.files_for(months=["2012-05"])) == 1
    assert now.months() == tuple(layout.months_between("2011-01", "2013-12"))
    found = storage.scan(lake, visits.VISITS, months=["2012-05", "2012-06"]).collect()
    assert found["seen"].dt.strftime("%Y-%m").unique().sort().to_list() == ["2012-05", "2012-06"]
    assert found.height == 20


def test_months_are_filtered_in_files_that_span_several(lake, visits):
    visits.put(lake, visits.rows(1, 30, months=3))
    assert storage.scan(lake, visits.VISITS, months=["2011-02"]).collect().height == 10
    assert storage.scan(lake, visits.VISITS, months=[]).collect().height == 0
    with pytest.raises(StorageError, match="`2011-13` is not a month"):
        storage.scan(lake, visits.VISITS, months=["2011-03", "2011-13"])


def test_rows_without_event_time_can_be_asked_for(lake, visits):
    frame = visits.rows(1, 8).with_columns(seen=pl.when(pl.col("_row") < 3).then(None).otherwise(pl.col("seen")))
    visits.put(lake, frame, placement=storage.Placement("none", None, "seen"))
    assert storage.scan(lake, visits.VISITS, months=["null"]).collect().height == 3
    assert storage.changed_months(lake, visits.VISITS, None) is None


def test_a_merge_changes_no_row_and_no_month(lake, visits):
    for batch in (1, 2, 3):
        visits.put(lake, visits.rows(batch, 90, months=3), inputs={"raw.clinic.visit": batch})
    before = storage.scan(lake, visits.VISITS).sort("_batch", "_row").collect()
    version = storage.merge(lake, visits.VISITS, visits.PLACEMENT)
    now = storage.snapshot(lake, visits.VISITS)
    assert before.equals(now.scan().sort("_batch", "_row").collect())
    assert {FileName.parse(path).level for path in now.files} == {BODY}
    for path in now.files:
        assert pl.read_parquet(path)["_entity"].is_sorted()
    assert storage.changed_months(lake, visits.VISITS, version - 1) == []
    assert storage.changed_months(lake, visits.VISITS, 0) == ["2011-01", "2011-02", "2011-03"]
    assert storage.inputs_of(lake, visits.VISITS) == {"raw.clinic.visit": 3}
    assert storage.merge(lake, visits.VISITS, visits.PLACEMENT) is None


def test_a_merge_leaves_the_other_months_alone(lake, visits):
    visits.put(lake, visits.rows(1, 40, months=4))
    storage.merge(lake, visits.VISITS, visits.PLACEMENT)
    old = set(storage.snapshot(lake, visits.VISITS).files)
    visits.put(lake, visits.rows(2, 30, start="2011-04"))
    storage.merge(lake, visits.VISITS, visits.PLACEMENT)
    kept = old & set(storage.snapshot(lake, visits.VISITS).files)
    assert {FileName.parse(path).first for path in kept} == {"2011-01", "2011-02", "2011-03"}


def test_many_small_files_are_merged_with_each_other_only(lake, visits):
    with storage.lease(lake, visits.VISITS) as held:
        tx = storage.begin(lake, visits.VISITS, held, visits.SCHEMA, visits.PLACEMENT)
        tx.write(visits.rows(0, 2000), level=BODY)
        tx.commit("stage")
        tx = storage.begin(lake, visits.VISITS, held, visits.SCHEMA, visits.PLACEMENT)
        for batch in range(1, 65):
            tx.write(visits.rows(batch, 2))
        tx.commit("stage")
    assert storage.merge(lake, visits.VISITS, visits.PLACEMENT) == 2
    levels = [FileName.parse(path).level for path in storage.snapshot(lake, visits.VISITS).files]
    assert sorted(levels) == ["b", "t1"]
    assert storage.snapshot(lake, visits.VISITS).rows == 2128


def test_a_table_without_layout_only_gathers_small_files(lake, visits):
    with storage.lease(lake, visits.VISITS) as held:
        tx = storage.begin(lake, visits.VISITS, held, visits.SCHEMA, visits.LOOSE)
        for batch in range(1, 65):
            tx.write(visits.rows(batch, 2))
        tx.commit("stage")
    assert storage.merge(lake, visits.VISITS, visits.LOOSE) == 1
    assert len(storage.snapshot(lake, visits.VISITS).files) == 1


def test_a_table_by_entity_is_merged_in_ranges(lake, visits, monkeypatch):
    monkeypatch.setattr(merging, "ROWS_AT_ONCE", 100)
    placement = storage.Placement("entity", "_entity", None, ("_entity",))
    frame = visits.rows(1, 350).with_columns(
        _entity=pl.when(pl.col("_row") < 5).then(None).otherwise(pl.col("_entity"))
    )
    visits.put(lake, frame, placement=placement)
    storage.merge(lake, visits.VISITS, placement)
    now = storage.snapshot(lake, visits.VISITS)
    assert len(now.files) == 4
    assert now.scan().sort("_row").collect().equals(frame)
    ranges = [(f["_entity"].min(), f["_entity"].max()) for f in map(pl.read_parquet, now.files)]
    assert all(a[1] < b[0] for a, b in zip(sorted(ranges), sorted(ranges)[1:], strict=False))


def test_merge_tail_takes_the_layout_from_the_contract(lake):
    assert storage.merge_tail(lake, contract()) is None


class Simulation:
    """The merge policy on file sizes alone: what it would rewrite, without writing."""

    def __init__(self, visits, placement):
        self.files: dict[str, int] = {}
        self.placement, self.schema, self.table = placement, visits.SCHEMA, visits.VISITS
        self.ingested = self.rewritten = self.most = self.number = 0

    def add(self, level, month, rows):
        self.number += 1
        part = Part(pl.DataFrame(), level, month, (month,))
        self.files[layout.file_name(token=1, transaction="0" * 12, number=self.number, part=part)] = rows

    def deliver(self, months):
        for month, rows in months.items():
            self.add("t0", month, rows)
            self.ingested += rows
        while (plan := self.plan()) is not None:
            self.merge(plan)
        self.most = max(self.most, len(self.files))

    def plan(self):
        rows = tuple(self.files.values())
        now = storage.Snapshot(self.table, 0, tuple(self.files), self.schema, sum(rows), 0, "seen", rows)
        return merging.plan(now, self.placement)

    def merge(self, plan):
        by_month: dict[str, int] = {}
        level = int(merging.level_of(plan.files[0])[1:] or 0) + 1 if not plan.into_body else 0
        for path in plan.files:
            rows = self.files.pop(path)
            self.rewritten += rows
            month = FileName.parse(path).first if plan.into_body else "all"
            by_month[month] = by_month.get(month, 0) + rows
        for month, rows in by_month.items():
            if not plan.into_body:
                self.add(f"t{level}", "2011-01_2013-12", rows)
                continue
            size = layout.body_rows(rows, 36, most=layout.MAX_RANGES)
            for _ in range(-(-rows // size)):
                self.add(BODY, month, size)


def daily(days):
    return [{f"{2011 + day // 360}-{day % 360 // 30 + 1:02d}": 1500} for day in range(days)]


def scattered(batches):
    months = layout.months_between("2011-01", "2013-12")
    return [{months[(7 * n + k) % 36]: 300 + 40 * k for k in range(3)} for n in range(batches)]


@pytest.mark.parametrize("arrivals", [daily(1000), scattered(1000)], ids=["daily", "scattered"])
def test_bytes_rewritten_per_byte_ingested_stay_below_eight(visits, arrivals):
    simulation = Simulation(visits, visits.PLACEMENT)
    for months in arrivals:
        simulation.deliver(months)
    assert simulation.rewritten / simulation.ingested <= 8
    assert simulation.most <= 1024


def test_files_of_an_eight_million_row_table_stay_within_bounds():
    per_month = 8_000_000 // 36
    size = layout.body_rows(per_month, 36, most=layout.MAX_RANGES)
    assert 36 * -(-per_month // size) <= 1024
    assert 20_000 <= size <= 30_000
