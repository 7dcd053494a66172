"""Dates at the ends of the calendar, as feeds write `open` and `unknown`: quick, found again, and told apart."""

from __future__ import annotations

import datetime as dt

import polars as pl
import pyarrow as pa
import pytest

from lakehouse import storage
from lakehouse.errors import StorageError
from lakehouse.model import TableId, Tier
from lakehouse.storage.layout import MOST_MONTHS, FileName, month_bounds, months_between

TABLE = TableId(Tier.STAGED, "clinic", "stay")
ENDS = [dt.date(1, 1, 1), dt.date(1900, 1, 1), dt.date(2024, 2, 29), dt.date(2024, 3, 1), dt.date(9999, 12, 31)]


@pytest.mark.parametrize(("kind", "personal"), [("date", False), ("date", True), ("instant", False), ("instant", True)])
def test_far_dates_are_written_in_few_narrow_files_and_found_by_month(lake, kind, personal):
    last = dt.time(23, 59, 59, 999_999)
    values = ENDS if kind == "date" else [dt.datetime.combine(day, last, dt.UTC) for day in ENDS]
    schema = pa.schema([("_batch", pa.int64()), ("at", pa.date32() if kind == "date" else pa.timestamp("us", "UTC"))])
    frame = pl.DataFrame({"_batch": [1] * len(ENDS), "at": values})
    frame = frame.with_columns(pl.col("at").cast(pl.Date if kind == "date" else pl.Datetime("us", "UTC")))
    placement = storage.Placement("time", None, "at", ("_batch", "at"), personal_time=personal)
    with storage.lease(lake, TABLE) as held:
        tx = storage.begin(lake, TABLE, held, schema, placement)
        tx.write(frame)
        tx.commit("stage")
    found = storage.snapshot(lake, TABLE)
    names = [name for path in found.files if (name := FileName.parse(path))]
    assert len(names) == len(found.files) == 4
    assert all(len(months_between(name.first, name.last)) <= MOST_MONTHS for name in names)
    for month, rows in (("9999-12", 1), ("0001-01", 1), ("2024-02", 1), ("2024-01", 0)):
        assert storage.scan(lake, TABLE, months=[month]).collect().height == rows


def test_the_last_month_has_no_end_and_there_is_no_year_0():
    assert month_bounds("9999-12") == (dt.datetime(9999, 12, 1, tzinfo=dt.UTC), None)
    with pytest.raises(StorageError, match="not a month"):
        month_bounds("0000-01")
