"""What comes later never changes a feature: not by event time, not by time of knowledge."""

from __future__ import annotations

import datetime as dt
import tempfile
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from assets.features.retail import customer_features, product_demand
from lakehouse import storage
from lakehouse.contract.arrow import schema
from lakehouse.contract.load import load_project
from lakehouse.errors import KnowledgeTimeError, UsageError
from lakehouse.model import TableId, Tier
from lakehouse.settings import load_settings
from lakehouse.transform.point_in_time import keeps_past, known_by, known_rows

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
PROJECT = load_project(ROOT)
LINES = PROJECT.table(TableId(Tier.STAGED, "retail", "invoice_line"))
DEMAND = PROJECT.table(TableId(Tier.CURATED, "retail", "daily_demand"))
COLUMNS = dict(pl.Schema(schema(LINES, Tier.STAGED)))

START = dt.datetime(2011, 3, 20, tzinfo=dt.UTC)
#: Around a month's end, and over the night when the shop's clock goes to summer time.
EVENTS = st.integers(0, 24 * 60).map(lambda hours: START + dt.timedelta(minutes=60 * hours + 30))
LAGS = st.integers(0, 40).map(lambda days: dt.timedelta(days=days))


@st.composite
def invoice_lines(draw: st.DrawFn) -> dict[str, object]:
    happened = draw(EVENTS)
    known = happened + draw(LAGS)
    return {
        "_batch": 1,
        "_row": 0,
        "_landed_at": known,
        "_known_at": known,
        "_entity": draw(st.sampled_from([None, "a" * 32, "b" * 32])),
        "InvoiceNo": draw(st.sampled_from(["536365", "536366", "C536367"])),
        "StockCode": draw(st.sampled_from(["85123A", "POST"])),
        "line": 1,
        "Description": None,
        "Quantity": draw(st.integers(-20, 20).filter(bool)),
        "InvoiceDate": happened,
        "UnitPrice": Decimal(draw(st.integers(0, 9999))) / 1000,
        "CustomerID": None,
        "Country": draw(st.sampled_from(["France", "EIRE"])),
    }


def frame(rows: list[dict[str, object]]) -> pl.LazyFrame:
    return pl.LazyFrame(rows, schema={**COLUMNS, "_known_at": COLUMNS["_landed_at"]}, orient="row")


def features(rows: list[dict[str, object]], as_of: dt.date, known_at: dt.datetime) -> list[pl.DataFrame]:
    known = known_by(frame(rows), LINES, as_of=as_of, known_at=known_at)
    return [
        product_demand(known).collect().sort("stock_code", "country", "as_of"),
        customer_features(known, as_of=as_of).collect().sort("customer_ref", "as_of"),
    ]


def midnight_after(day: dt.date) -> dt.datetime:
    """The end of a day by the shop's clock, written down by hand."""
    summer = dt.date(2011, 3, 27) <= day < dt.date(2011, 10, 30)
    return dt.datetime(day.year, day.month, day.day, tzinfo=dt.UTC) + dt.timedelta(days=1, hours=-1 if summer else 0)


@given(
    st.lists(invoice_lines(), max_size=25),
    st.lists(invoice_lines(), max_size=10),
    EVENTS.map(dt.datetime.date),
    EVENTS.map(lambda event: event + dt.timedelta(days=10)),
)
def test_rows_after_as_of_or_known_at_never_change_a_feature(rows, others, as_of, known_at):
    later = [row for row in others if row["InvoiceDate"] >= midnight_after(as_of) or row["_known_at"] > known_at]
    for before, after in zip(features(rows, as_of, known_at), features(rows + later, as_of, known_at), strict=True):
        assert_frame_equal(before, after)


@settings(max_examples=15)
@given(st.lists(invoice_lines(), min_size=1, max_size=25), st.lists(invoice_lines(), max_size=10))
def test_a_row_looks_back_only_even_among_later_rows(rows, others):
    """Without any cut the rows of a day are those of a run on that day: a training set may hold every day at once."""
    everything = frame(rows + others).drop("_known_at")
    full = product_demand(everything).collect()
    for day in full["as_of"].unique():
        cut = everything.filter(pl.col("InvoiceDate") < midnight_after(day))
        then = product_demand(cut).collect().filter(pl.col("as_of") == day)
        assert_frame_equal(then, full.filter(pl.col("as_of") == day), check_row_order=False)
        people = customer_features(everything, as_of=day).collect().filter(pl.col("as_of") == day)
        alone = customer_features(cut, as_of=day).collect().filter(pl.col("as_of") == day)
        assert_frame_equal(people, alone, check_row_order=False)


@given(st.lists(invoice_lines(), max_size=25), st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(rows, random):
    shuffled = list(rows)
    random.shuffle(shuffled)
    as_of, known_at = dt.date(2011, 5, 31), dt.datetime(2012, 1, 1, tzinfo=dt.UTC)
    for left, right in zip(features(rows, as_of, known_at), features(shuffled, as_of, known_at), strict=True):
        assert_frame_equal(left, right)


@given(st.lists(invoice_lines(), max_size=5))
def test_features_have_the_contracts_columns(rows):
    known = frame(rows).drop("_known_at")
    for name, found in (
        ("product_demand", product_demand(known)),
        ("customer_features", customer_features(known, as_of=dt.date(2011, 5, 31))),
    ):
        wanted = schema(PROJECT.table(TableId(Tier.FEATURES, "retail", name)), Tier.FEATURES)
        assert found.collect().schema == pl.Schema(wanted)


@given(
    st.sampled_from([LINES, DEMAND, replace(DEMAND, history=True)]),
    st.timedeltas(dt.timedelta(microseconds=1), dt.timedelta(days=4000)),
)
def test_a_past_known_at_needs_history(table, ago):
    known_at = dt.datetime(2026, 1, 1, tzinfo=dt.UTC) - ago
    project = replace(PROJECT, contracts=(replace(PROJECT.contracts[0], tables=(table,)),))
    raised: type[Exception] | None = None
    try:
        # No lake is opened for a refusal; one for a table with history fails for want of a lake.
        known_rows(None, project, table.id, as_of=dt.date(2026, 1, 1), known_at=known_at, run_start=known_at + ago)
    except (KnowledgeTimeError, AttributeError) as error:
        raised = type(error)
    assert raised is (AttributeError if keeps_past(table) else KnowledgeTimeError)


@settings(max_examples=10)
@given(
    st.lists(st.tuples(invoice_lines(), st.integers(1, 3)), min_size=1, max_size=12),
    EVENTS,
    EVENTS.map(dt.datetime.date),
)
def test_lines_are_known_from_the_delivery_in_the_files_name(rows, known_at, as_of):
    with tempfile.TemporaryDirectory() as folder:
        lake = storage.create_lake(load_settings(ROOT, lake=str(Path(folder) / "lake")))
        delivered = {}
        for number in (1, 2, 3):
            at = None if number == 3 else START + dt.timedelta(days=20 * number)
            batch = storage.reserve(
                lake, LINES.id, source="till", name_hash=str(number), sha256=str(number), size=1,
                landed_at=START + dt.timedelta(days=400), delivered_at=at,
            )  # fmt: skip
            delivered[batch.number] = at
        numbers = sorted(delivered)
        given_rows = [
            {key: value for key, value in {**row, "_batch": numbers[n - 1], "_row": i}.items() if key != "_known_at"}
            for i, (row, n) in enumerate(rows)
        ]
        with storage.lease(lake, LINES.id, holder="test") as held:
            placement = storage.Placement.of(LINES, Tier.STAGED)
            tx = storage.begin(lake, LINES.id, held, schema(LINES, Tier.STAGED), placement)
            tx.write(pl.DataFrame(given_rows, schema=COLUMNS))
            tx.commit("append")
        run_start = START + dt.timedelta(days=1000)
        found = known_rows(lake, PROJECT, LINES.id, as_of=as_of, known_at=known_at, run_start=run_start).collect()
        wanted = {
            row["_row"]
            for row in given_rows
            if row["InvoiceDate"] < midnight_after(as_of)
            and (delivered[row["_batch"]] or row["_landed_at"]) <= known_at
        }
        assert set(found["_row"]) == wanted
        assert found.columns == list(COLUMNS)


def test_instants_without_time_zone_are_refused():
    naive = dt.datetime(2011, 3, 1)
    aware = naive.replace(tzinfo=dt.UTC)
    with pytest.raises(UsageError):
        known_rows(None, PROJECT, LINES.id, as_of=aware, run_start=naive)
    with pytest.raises(UsageError):
        known_by(frame([]), LINES, as_of=naive, known_at=aware)


@pytest.mark.parametrize(("as_of", "seen"), [(dt.date(2011, 3, 1), 1), (dt.datetime(2011, 3, 1, 12, tzinfo=dt.UTC), 0)])
def test_a_days_row_is_seen_when_the_day_is_over(as_of, seen):
    known = dt.datetime(2011, 3, 2, tzinfo=dt.UTC)
    rows = pl.LazyFrame({"day": [dt.date(2011, 3, 1)], "_known_at": [known]})
    assert known_by(rows, DEMAND, as_of=as_of, known_at=known).collect().height == seen
