"""Replacing a table or some of its months by Arrow batches, and what readers and checks see of it."""

from __future__ import annotations

import datetime as dt

import polars as pl
import pyarrow as pa
import pytest

from lakehouse import storage
from lakehouse.contract.model import Column, ColumnType, Logical, Table
from lakehouse.errors import SchemaMismatchError, StorageError
from lakehouse.model import TableId, Tier
from lakehouse.storage import replacing

DAILY = TableId(Tier.CURATED, "clinic", "daily")


def contract(layout="time"):
    columns = tuple(
        Column(name, name, ColumnType(kind), "system.operations")
        for name, kind in (("day", Logical.DATE), ("ward", Logical.STRING), ("visits", Logical.INTEGER))
    )
    return Table(DAILY, "daily", columns, key=("day", "ward"), event_time="day", layout=layout)


def days(*months, visits=1):
    return [(dt.date.fromisoformat(f"{month}-{day:02d}"), "a", visits) for month in months for day in (1, 28)]


def reader(rows, *, text=None, batch=3):
    landed = pl.Series([dt.datetime(2026, 1, 1, tzinfo=dt.UTC)] * len(rows), dtype=pl.Datetime("us", "UTC"))
    frame = pl.DataFrame(rows, schema={"day": pl.Date, "ward": pl.String, "visits": pl.Int64}, orient="row")
    frame = frame.insert_column(0, landed.alias("_landed_at"))
    table = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
    if text is not None:
        table = table.set_column(2, "ward", table["ward"].cast(text))
    return pa.RecordBatchReader.from_batches(table.schema, table.to_batches(max_chunksize=batch))


def replace(lake, rows, *, months=None, layout="time", **other):
    return storage.replace(
        lake, DAILY, contract(layout), reader(rows, **other), months=months, inputs={"staged.clinic.visit": 7}
    )


def visits_by_month(lake):
    rows = storage.scan(lake, DAILY).group_by(pl.col("day").dt.strftime("%Y-%m").alias("m")).agg(pl.sum("visits"))
    return dict(rows.collect().rows())


def test_everything_is_replaced_in_one_version(lake):
    assert replace(lake, days("2011-01", "2011-02")) == 0
    assert replace(lake, days("2011-02", "2011-03", visits=5)) == 1
    assert visits_by_month(lake) == {"2011-02": 10, "2011-03": 10}
    assert storage.scan(lake, DAILY, version=0).collect().height == 4
    assert storage.inputs_of(lake, DAILY) == {"staged.clinic.visit": 7}
    assert storage.changed_months(lake, DAILY, 0) == ["2011-01", "2011-02", "2011-03"]


def test_some_months_are_replaced_and_the_others_keep_their_files(lake):
    replace(lake, days("2011-01", "2011-02", "2011-03"))
    before = set(storage.snapshot(lake, DAILY).files_for(months=["2011-01", "2011-03"]))
    assert replace(lake, days("2011-02", visits=9), months=["2011-02"]) == 1
    assert visits_by_month(lake) == {"2011-01": 2, "2011-02": 18, "2011-03": 2}
    assert before <= set(storage.snapshot(lake, DAILY).files)
    assert storage.changed_months(lake, DAILY, 0) == ["2011-02"]


def test_a_month_can_become_empty(lake):
    replace(lake, days("2011-01", "2011-02"))
    replace(lake, [], months=["2011-02"])
    assert visits_by_month(lake) == {"2011-01": 2}
    assert storage.changed_months(lake, DAILY, 0) == ["2011-02"]


def test_rows_of_other_months_are_refused(lake):
    replace(lake, days("2011-01", "2011-02"))
    with pytest.raises(StorageError, match="other months"):
        replace(lake, days("2011-01", "2011-02"), months=["2011-02"])
    assert storage.snapshot(lake, DAILY).version == 0


def test_a_table_that_is_not_laid_out_by_month_cannot_be_replaced_by_month(lake):
    replace(lake, days("2011-01"), layout="none")
    with pytest.raises(StorageError, match="only a table laid out by month"):
        replace(lake, days("2011-01"), months=["2011-01"], layout="none")
    with pytest.raises(StorageError, match="spans other months"):
        replace(lake, days("2011-01"), months=["2011-01"])


@pytest.mark.parametrize("text", [pa.large_string(), pa.string_view()])
def test_text_may_be_laid_out_in_memory_as_the_engine_likes(lake, text):
    replace(lake, days("2011-01"), text=text)
    assert visits_by_month(lake) == {"2011-01": 2}


def test_columns_that_are_not_the_contracts_are_refused(lake):
    with pytest.raises(SchemaMismatchError, match="`ward`"):
        replace(lake, days("2011-01"), text=pa.binary())
    wrong = reader(days("2011-01")).read_all().select(["ward", "_landed_at", "day", "visits"])
    source = pa.RecordBatchReader.from_batches(wrong.schema, wrong.to_batches())
    with pytest.raises(SchemaMismatchError, match="the order of columns"):
        storage.replace(lake, DAILY, contract(), source, months=None, inputs={})
    assert not storage.exists(lake, DAILY)


def test_a_long_stream_is_written_piece_by_piece(lake, monkeypatch):
    monkeypatch.setattr(replacing, "ROWS_PER_LOOSE_FILE", 4)
    months = [f"2011-{month:02d}" for month in range(1, 13)]
    replace(lake, days(*months), batch=2)
    now = storage.snapshot(lake, DAILY)
    assert now.rows == 24
    assert all(path.endswith(f"t0-{path[-15:-8]}.parquet") for path in now.files)
    assert storage.merge_tail(lake, contract()) == 1
    assert storage.snapshot(lake, DAILY).months() == tuple(months)


def test_figures_of_a_table(lake):
    assert storage.table_figures(lake, DAILY) is None
    replace(lake, days("2011-01"))
    figures = storage.table_figures(lake, DAILY)
    assert (figures.rows, figures.files, figures.version) == (2, 1, 0)
    assert figures.last_commit_at.tzinfo is not None


def test_a_missing_table_is_an_error(lake):
    for use in (storage.snapshot, storage.scan, storage.inputs_of, storage.require_passed):
        with pytest.raises(StorageError, match="not in the lake yet"):
            use(lake, DAILY)
    assert storage.balance(lake, DAILY.at(Tier.STAGED)).rows.height == 0


def test_months_are_unknown_once_the_log_is_gone(lake):
    from pathlib import Path

    from lakehouse.storage import delta

    for month in ("2011-01", "2011-02", "2011-03"):
        replace(lake, days(month))
    delta.DeltaTable(lake.uri(DAILY)).create_checkpoint()
    Path(delta.log_entry(lake.uri(DAILY), 1)).unlink()
    assert storage.changed_months(lake, DAILY, 0) is None
    assert storage.changed_months(lake, DAILY, 1) == ["2011-02", "2011-03"]
    assert storage.changed_months(lake, DAILY, None) is None
    assert storage.changed_months(lake, DAILY, 99) is None
