"""New generations and new columns of a table: one commit each, old versions still readable, and names that tables keep."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import duckdb
import polars as pl
import pyarrow as pa
import pytest

from lakehouse import storage
from lakehouse.contract.imprint import fingerprint, imprint
from lakehouse.contract.model import Column, ColumnType, Logical, Table
from lakehouse.errors import RefusedError, SchemaMismatchError, StorageError
from lakehouse.model import TableId, Tier
from lakehouse.storage.applied import put, under
from lakehouse.storage.delta import entry
from lakehouse.storage.intents import Effects
from lakehouse.storage.protocol import add_columns

VISIT = TableId(Tier.CURATED, "clinic", "visit")
OLD = pa.schema([("day", pa.date32()), ("ward", pa.string())])
NEW = pa.schema([("ward", pa.int64()), ("at", pa.timestamp("us", "UTC"))])
BY_DAY = storage.Placement("time", time_column="day")
BY_INSTANT = storage.Placement("time", time_column="at")


def days(count: int = 2) -> pl.DataFrame:
    return pl.DataFrame({"day": [dt.date(2011, 1, 1 + n) for n in range(count)], "ward": ["a"] * count})


def put_rows(lake, frame, schema=OLD, placement=BY_DAY, *, table=VISIT, remove=(), generation=False, append_only=False):
    with storage.lease(lake, table) as held:
        tx = storage.begin(lake, table, held, schema, placement, generation=generation, append_only=append_only)
        tx.write(frame)
        tx.remove(remove)
        return tx.commit("replace")


def instants() -> pl.DataFrame:
    at = [dt.datetime(2011, 3, 1, tzinfo=dt.UTC)]
    return pl.DataFrame({"ward": [7], "at": at}, schema={"ward": pl.Int64, "at": pl.Datetime("us", "UTC")})


def test_schema_layout_and_files_change_in_one_version(lake):
    put_rows(lake, days())
    before = storage.snapshot(lake, VISIT)
    assert put_rows(lake, instants(), NEW, BY_INSTANT, remove=before.files, generation=True) == 1
    after = storage.snapshot(lake, VISIT)
    assert (after.schema, after.rows, after.time_column, after.months()) == (NEW, 1, "at", ("2011-03",))
    said = entry(lake.uri(VISIT), 1)
    assert (len(said.adds), len(said.removes)) == (1, 1)
    assert said.token is not None
    assert storage.scan(lake, VISIT, version=0).collect().equals(days())
    assert storage.scan(lake, VISIT, months=["2011-03"]).collect().equals(instants())
    put_rows(lake, instants(), NEW, BY_INSTANT)
    assert storage.snapshot(lake, VISIT).rows == 2


def test_a_generation_that_leaves_files_of_the_old_schema_is_refused(lake):
    put_rows(lake, days())
    put_rows(lake, days())
    some = storage.snapshot(lake, VISIT).files[:1]
    with pytest.raises(StorageError, match="replaces every file"):
        put_rows(lake, instants(), NEW, BY_INSTANT, remove=some, generation=True)
    with pytest.raises(SchemaMismatchError):
        put_rows(lake, instants(), NEW, BY_INSTANT, remove=storage.snapshot(lake, VISIT).files)
    assert storage.snapshot(lake, VISIT).schema == OLD
    assert storage.snapshot(lake, VISIT).rows == 4


def test_with_the_same_schema_it_is_an_ordinary_commit(lake):
    put_rows(lake, days())
    assert put_rows(lake, days(1), generation=True) == 1
    assert storage.snapshot(lake, VISIT).rows == 3


def test_an_append_only_table_has_one_generation(lake):
    put_rows(lake, days(), append_only=True)
    with pytest.raises(RefusedError, match="append-only"):
        put_rows(lake, instants(), NEW, BY_INSTANT, remove=storage.snapshot(lake, VISIT).files, append_only=True)
    with pytest.raises(RefusedError, match="append-only"):
        put_rows(lake, instants(), NEW, BY_INSTANT, remove=storage.snapshot(lake, VISIT).files, generation=True)


def grow(lake, *names: str) -> int:
    with storage.lease(lake, VISIT) as held:
        present = storage.snapshot(lake, VISIT).schema
        return add_columns(held, pa.schema([*present, *((name, pa.string()) for name in names)]), effects=Effects())


def test_new_columns_are_null_in_rows_that_are_there(lake):
    put_rows(lake, days(), append_only=True)
    files = storage.snapshot(lake, VISIT).files
    assert grow(lake, "shade", "size") == 1
    now = storage.snapshot(lake, VISIT)
    assert (now.files, now.schema.names) == (files, ["day", "ward", "shade", "size"])
    rows = storage.scan(lake, VISIT).collect()
    assert rows.select(pl.all().null_count()).row(0) == (0, 0, 2, 2)
    assert storage.changed_months(lake, VISIT, 0) == []
    with duckdb.connect() as connection:
        storage.duckdb_view(connection, "visit", now)
        assert connection.execute("select day, shade, size from visit").fetchall() == [
            (dt.date(2011, 1, 1 + n), None, None) for n in range(2)
        ]
    wider = days(1).with_columns(shade=pl.lit("red"), size=pl.lit(None, pl.String))
    put_rows(lake, wider, storage.snapshot(lake, VISIT).schema, append_only=True)
    assert storage.scan(lake, VISIT).collect()["shade"].to_list() == [None, None, "red"]


def test_columns_that_are_there_stay_as_they_are(lake):
    put_rows(lake, days())
    with storage.lease(lake, VISIT) as held, pytest.raises(SchemaMismatchError):
        add_columns(held, pa.schema([("day", pa.string()), *list(OLD)[1:], ("x", pa.string())]), effects=Effects())


def test_a_schema_takes_the_order_that_its_table_has(lake):
    assert storage.in_place(lake, VISIT, NEW) is NEW
    put_rows(lake, days())
    turned = pa.schema(list(reversed(list(OLD))))
    assert storage.in_place(lake, VISIT, turned) == OLD
    assert storage.in_place(lake, VISIT, NEW) == NEW


def contract(*kinds: Logical, name: str = "visit", **more) -> Table:
    columns = tuple(Column(f"c{n}", f"c{n}", ColumnType(kind), "system") for n, kind in enumerate(kinds))
    return Table(TableId(Tier.CURATED, "clinic", name), "clinic/visit", columns, key=("c0",), **more)


def build(lake, table: Table, *values) -> int:
    landed = pl.Series("_landed_at", [dt.datetime(2026, 1, 1, tzinfo=dt.UTC)], dtype=pl.Datetime("us", "UTC"))
    frame = pl.DataFrame({"_landed_at": landed, **{f"c{n}": [value] for n, value in enumerate(values)}})
    rows = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
    reader = pa.RecordBatchReader.from_batches(rows.schema, rows.to_batches())
    return storage.replace(lake, table.id, table, reader, months=None, inputs={})


def test_a_model_built_under_another_contract_replaces_the_schema_too(lake):
    old, new = contract(Logical.INTEGER), contract(Logical.STRING, Logical.INTEGER)
    build(lake, old, 1)
    assert not storage.needs_refresh(lake, old)
    assert storage.needs_refresh(lake, new)
    assert build(lake, new, "x", 2) == 1
    assert storage.scan(lake, new.id).drop("_landed_at").collect().rows() == [("x", 2)]
    assert not storage.needs_refresh(lake, new)
    (known,) = storage.applied_contracts(lake)
    assert (known.table, known.home, known.fingerprint) == (str(new.id), str(new.id), fingerprint(new))


def test_a_table_keeps_its_home_and_another_one_may_have_its_name(lake, lake_settings):
    old, new = contract(Logical.INTEGER), contract(Logical.INTEGER, name="stay")
    build(lake, old, 1)
    storage.record_verdict(lake, old.id, 0, [])
    place = lake.uri(old.id)
    put(lake, [replace(under(lake, old), table=str(new.id), contract=imprint(new), fingerprint=fingerprint(new))])
    for one in (lake, storage.open_lake(lake_settings)):
        assert one.uri(new.id) == place
        assert one.uri(old.id) == place + "~"
        assert storage.require_passed(one, new.id) == 0
        assert not storage.exists(one, old.id)
        assert one.uri(storage.SystemTable("ledger")) == lake.system_uri("ledger")
    build(lake, replace(old, odcs_id="clinic/other"), 5)
    build(lake, new, 2)
    assert [storage.scan(lake, table.id).collect()["c0"].item() for table in (old, new)] == [5, 2]
    assert {each.table: each.home for each in storage.applied_contracts(lake)} == {
        str(old.id): str(old.id) + "~",
        str(new.id): str(old.id),
    }
    assert storage.open_lake(lake_settings).uri(old.id) == place + "~"


def test_two_tables_can_swap_their_names(lake):
    one, two = contract(Logical.INTEGER), replace(contract(Logical.INTEGER, name="stay"), odcs_id="clinic/stay")
    build(lake, one, 1)
    build(lake, two, 2)
    rows = {each.table: each for each in storage.applied_contracts(lake)}
    put(lake, [replace(rows[str(one.id)], table=str(two.id)), replace(rows[str(two.id)], table=str(one.id))])
    assert [storage.scan(lake, table.id).collect()["c0"].item() for table in (one, two)] == [2, 1]
