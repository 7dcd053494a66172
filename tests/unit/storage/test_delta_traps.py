"""One regression test per trap of notes/delta.md section 0 that storage guards against, named after it."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from deltalake import CommitProperties, DeltaTable, Schema, Transaction
from deltalake.transaction import AddAction, create_table_with_add_actions

from lakehouse import storage
from lakehouse.errors import FencedOutError, RefusedError, SchemaMismatchError, StorageError, UnsupportedTableError
from lakehouse.model import TableId, Tier
from lakehouse.storage import delta


def log(lake, table, version=0):
    return [json.loads(line) for line in Path(delta.log_entry(lake.uri(table), version)).read_text().splitlines()]


def write_foreign_entry(lake, table, *actions, version):
    """A commit by somebody who does not go through storage."""
    Path(delta.log_entry(lake.uri(table), version)).write_text("\n".join(json.dumps(action) for action in actions))


def test_trap_1_a_schema_difference_is_refused_not_cast(lake, visits):
    visits.put(lake, visits.rows(1))
    other = pa.schema([pa.field(i.name, pa.int64() if i.name == "weight" else i.type) for i in visits.SCHEMA])
    with storage.lease(lake, visits.VISITS) as held:
        tx = storage.begin(lake, visits.VISITS, held, other, visits.PLACEMENT)
        tx.write(visits.rows(2).with_columns(pl.col("weight").cast(pl.Int64)))
        with pytest.raises(SchemaMismatchError, match="`weight`"):
            tx.commit("stage")
    assert storage.snapshot(lake, visits.VISITS).version == 0


def test_trap_1_another_order_or_nullability_is_a_difference_too(lake, visits):
    visits.put(lake, visits.rows(1))
    table = delta.handle(lake.uri(visits.VISITS))
    with pytest.raises(SchemaMismatchError, match="the order of columns"):
        delta.require_schema(table, pa.schema(list(reversed(list(visits.SCHEMA)))), where="x")
    strict = pa.schema([item.with_nullable(item.name != "name") for item in visits.SCHEMA])
    with pytest.raises(SchemaMismatchError, match="`name`"):
        delta.require_schema(table, strict, where="x")


def test_trap_2_a_lower_transaction_version_does_not_append(lake, visits):
    visits.put(lake, visits.rows(1))
    table = DeltaTable(lake.uri(visits.VISITS))
    table.create_write_transaction(
        [], "append", table.schema(), commit_properties=CommitProperties(app_transactions=[Transaction("lakehouse", 9)])
    )
    with pytest.raises(FencedOutError):
        visits.put(lake, visits.rows(2))
    assert storage.snapshot(lake, visits.VISITS).rows == 4


def test_trap_3_raw_is_append_only_and_storage_removes_nothing_from_it(lake, visits):
    visits.put(lake, visits.rows(1), table=visits.RAW, placement=visits.LOOSE)
    assert DeltaTable(lake.uri(visits.RAW)).metadata().configuration["delta.appendOnly"] == "true"
    path = storage.snapshot(lake, visits.RAW).files[0]
    with storage.lease(lake, visits.RAW) as held:
        tx = storage.begin(lake, visits.RAW, held, visits.SCHEMA, visits.LOOSE, append_only=True)
        with pytest.raises(RefusedError, match="append-only"):
            tx.remove([path])
        # a caller who forgets what the table is meets the same
        forgetful = storage.begin(lake, visits.RAW, held, visits.SCHEMA, visits.LOOSE)
        with pytest.raises(RefusedError, match="append-only"):
            forgetful.remove([path])


def test_trap_3_a_committed_raw_file_stays_whatever_the_log_and_the_control_database_say_now(lake, visits):
    """Somebody removed it from the table past storage, and the intents are lost: it was seen, so it is evidence."""
    visits.put(lake, visits.rows(1), table=visits.RAW, placement=visits.LOOSE)
    (path,) = storage.snapshot(lake, visits.RAW).files
    remove = {"remove": {"path": Path(path).name, "deletionTimestamp": 1, "dataChange": False}}
    write_foreign_entry(lake, visits.RAW, remove, version=1)
    with lake.control.engine.begin() as connection:
        connection.execute(storage.intent_table.delete())
    with storage.lease(lake, visits.RAW) as held:
        storage.recover(lake, visits.RAW, held)
    assert storage.snapshot(lake, visits.RAW).files == ()
    assert Path(path).exists()


def test_trap_4_column_mapping_is_refused(lake, visits):
    visits.put(lake, visits.rows(1))
    meta = next(action for action in log(lake, visits.VISITS) if "metaData" in action)
    meta["metaData"]["configuration"]["delta.columnMapping.mode"] = "name"
    schema = json.loads(meta["metaData"]["schemaString"])
    for number, item in enumerate(schema["fields"], start=1):
        item["metadata"] = {"delta.columnMapping.id": number, "delta.columnMapping.physicalName": item["name"]}
    meta["metaData"]["schemaString"] = json.dumps(schema)
    protocol = {"protocol": {"minReaderVersion": 2, "minWriterVersion": 5}}
    write_foreign_entry(lake, visits.VISITS, protocol, meta, version=1)
    for use in (storage.scan, storage.snapshot, storage.exists):
        with pytest.raises(UnsupportedTableError, match="`columnMapping`"):
            use(lake, visits.VISITS)


def test_deletion_vectors_are_refused(lake, visits):
    uri = lake.uri(visits.VISITS)
    Path(uri).mkdir(parents=True)
    DeltaTable.create(uri, Schema.from_arrow(visits.SCHEMA), configuration={"delta.enableDeletionVectors": "true"})
    with pytest.raises(UnsupportedTableError, match="`deletionVectors`"):
        storage.scan(lake, visits.VISITS)


def test_trap_5_field_metadata_never_reaches_the_log(lake, visits):
    tagged = pa.schema([item.with_metadata({"PARQUET:field_id": "7", "pii": "x"}) for item in visits.SCHEMA])
    with storage.lease(lake, visits.VISITS) as held:
        tx = storage.begin(lake, visits.VISITS, held, tagged, visits.PLACEMENT)
        tx.write(visits.rows(1))
        tx.commit("stage")
    meta = next(action for action in log(lake, visits.VISITS) if "metaData" in action)
    assert all(field["metadata"] == {} for field in json.loads(meta["metaData"]["schemaString"])["fields"])


@pytest.mark.filterwarnings("ignore:sqlglotrs is deprecated:DeprecationWarning")  # said at import, by a pin
def test_trap_6_duckdb_finds_nan_through_the_view(lake, visits):
    import duckdb

    frame = visits.rows(1, 400).with_columns(
        weight=pl.when(pl.col("_row") % 40 == 7).then(math.nan).otherwise(pl.col("weight").clip(0, 3))
    )
    visits.put(lake, frame)
    with duckdb.connect() as connection:
        storage.duckdb_view(connection, "visit", storage.snapshot(lake, visits.VISITS))
        for predicate in ("isnan(weight)", "weight = 'nan'", "weight > 5"):
            assert connection.execute(f"select count(*) from visit where {predicate}").fetchone() == (10,)


def test_trap_8_identity_columns_are_refused(lake, visits):
    visits.put(lake, visits.rows(1))
    meta = next(action for action in log(lake, visits.VISITS) if "metaData" in action)
    schema = json.loads(meta["metaData"]["schemaString"])
    schema["fields"][1]["metadata"] = {"delta.identity.start": 1, "delta.identity.step": 1}
    meta["metaData"]["schemaString"] = json.dumps(schema)
    write_foreign_entry(lake, visits.VISITS, meta, version=1)
    with pytest.raises(UnsupportedTableError, match="`identityColumns`"):
        storage.snapshot(lake, visits.VISITS)


def test_trap_10_replacing_every_row_keeps_the_tables_metadata(lake, visits):
    visits.put(lake, visits.rows(1))
    before = DeltaTable(lake.uri(visits.VISITS)).metadata()
    with storage.lease(lake, visits.VISITS) as held:
        tx = storage.begin(lake, visits.VISITS, held, visits.SCHEMA, visits.PLACEMENT)
        tx.write(visits.rows(2))
        tx.remove(storage.snapshot(lake, visits.VISITS).files)
        tx.commit("replace")
    after = DeltaTable(lake.uri(visits.VISITS)).metadata()
    assert (after.id, after.configuration, after.description) == (before.id, before.configuration, before.description)
    assert not any("metaData" in action for action in log(lake, visits.VISITS, 1))


def test_trap_10_storage_never_overwrites_a_schema():
    source = Path(storage.__file__).parent
    words = [path.name for path in source.glob("*.py") if "schema_mode" in path.read_text()]
    assert words == []


def test_trap_11_a_remove_of_a_file_that_is_not_there_is_refused(lake, visits):
    visits.put(lake, visits.rows(1))
    with storage.lease(lake, visits.VISITS) as held:
        tx = storage.begin(lake, visits.VISITS, held, visits.SCHEMA, visits.PLACEMENT)
        tx.remove(["nothing.parquet"])
        with pytest.raises(StorageError, match="1 files to be removed are not in the table"):
            tx.commit("replace")
    other = TableId(Tier.STAGED, "clinic", "other")
    with storage.lease(lake, other) as held:
        tx = storage.begin(lake, other, held, visits.SCHEMA, visits.LOOSE)
        tx.remove(["nothing.parquet"])
        with pytest.raises(StorageError, match="a table that is not there"):
            tx.commit("replace")


def test_trap_12_an_unreadable_log_is_told_without_its_content(lake, visits):
    visits.put(lake, visits.rows(1))
    Path(delta.log_entry(lake.uri(visits.VISITS), 1)).write_text('{"commitInfo": secret-value')
    with pytest.raises(StorageError) as trouble:
        storage.snapshot(lake, visits.VISITS)
    assert "secret-value" not in str(trouble.value)


def test_trap_13_raw_keeps_its_log_from_the_first_commit(lake, visits):
    visits.put(lake, visits.rows(1), table=visits.RAW, placement=visits.LOOSE)
    meta = next(action["metaData"] for action in log(lake, visits.RAW) if "metaData" in action)
    assert meta["configuration"]["delta.enableExpiredLogCleanup"] == "false"


@pytest.mark.slow
def test_trap_13_a_checkpoint_deletes_no_log_entry(lake, visits):
    with storage.lease(lake, visits.RAW) as held:
        for version in range(101):
            tx = storage.begin(lake, visits.RAW, held, visits.SCHEMA, visits.LOOSE, append_only=True)
            tx.commit("raw")
            os.utime(delta.log_entry(lake.uri(visits.RAW), version), (0, 0))
    folder = Path(lake.uri(visits.RAW), "_delta_log")
    assert list(folder.glob("*.checkpoint.parquet"))
    assert len(list(folder.glob("*.json"))) == 101


def test_trap_14_a_file_that_vanished_before_the_commit_stops_it(lake, visits):
    with storage.lease(lake, visits.VISITS) as held:
        tx = storage.begin(lake, visits.VISITS, held, visits.SCHEMA, visits.PLACEMENT)
        (written,) = tx.write(visits.rows(1))
        Path(lake.uri(visits.VISITS), written.path).unlink()
        with pytest.raises(StorageError, match="missing or changed"):
            tx.commit("stage")
    assert not storage.exists(lake, visits.VISITS)


@pytest.mark.filterwarnings("ignore:sqlglotrs is deprecated:DeprecationWarning")  # said at import, by a pin
def test_trap_15_a_view_needs_no_spill_and_an_empty_table_has_types(lake, visits):
    import duckdb

    with storage.lease(lake, visits.VISITS) as held:
        storage.begin(lake, visits.VISITS, held, visits.SCHEMA, visits.PLACEMENT).commit("stage")
    with duckdb.connect(config={"temp_directory": ""}) as connection:
        connection.execute("create schema kept")
        storage.duckdb_view(connection, "kept.visit", storage.snapshot(lake, visits.VISITS))
        described = connection.execute("describe kept.visit").fetchall()
    assert [(row[0], row[1]) for row in described] == [
        ("_batch", "BIGINT"),
        ("_row", "BIGINT"),
        ("_entity", "VARCHAR"),
        ("seen", "TIMESTAMP WITH TIME ZONE"),
        ("weight", "DOUBLE"),
        ("name", "VARCHAR"),
    ]


def test_trap_15_polars_ends_a_query_instead_of_spilling_once_a_lake_is_open(lake_settings, lake, tmp_path):
    """polars 2.1 spills clear rows to /var/tmp when its share of memory is used; here that share is tiny."""
    code = """
import sys
from pathlib import Path

import polars as pl

from lakehouse import storage
from lakehouse.settings import load_settings

storage.open_lake(load_settings(Path(sys.argv[1]), lake=sys.argv[2]))
rows = pl.LazyFrame({"a": pl.int_range(1_500_000, eager=True)}).select(pl.format("secret-{}", pl.col("a") * 7919 % 1500007).alias("name"))
try:
    rows.sort("name").collect(engine="streaming")
except pl.exceptions.ComputeError as error:
    print("disk budget" in str(error))
"""
    user = f"lakehouse-trap-{tmp_path.parent.name}-{tmp_path.name}"  # polars spills below a folder of the user's name
    place = Path("/var/tmp", f"polars-{user}")
    environment = {"POLARS_OOC_MEMORY_BUDGET_MB": "20", "USER": user, "PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    command = [sys.executable, "-c", code, str(lake_settings.project), lake_settings.lake]
    try:
        run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert (run.returncode, run.stdout) == (0, "True\n"), run.stderr
        assert "secret-" not in run.stderr
        assert [path for path in place.rglob("*") if path.is_file()] == []
    finally:
        shutil.rmtree(place, ignore_errors=True)


def test_every_trap_that_storage_and_ingest_guard_against_has_a_test_named_after_it():
    """9 and 17 come with the vault, 16 with the policy."""
    tests = Path(__file__).parents[2]
    named = {int(n) for path in tests.rglob("test_*.py") for n in re.findall(r"def test_trap_(\d+)_", path.read_text())}
    assert named >= {*range(1, 9), *range(10, 16)}


def test_a_table_of_somebody_else_is_counted_from_its_files(lake, visits):
    uri = Path(lake.uri(visits.VISITS))
    uri.mkdir(parents=True)
    visits.rows(1).write_parquet(uri / "a b.parquet")
    add = AddAction("a b.parquet", (uri / "a b.parquet").stat().st_size, {}, 0, True, "{}")
    create_table_with_add_actions(str(uri), Schema.from_arrow(visits.SCHEMA), [add], description="by hand")
    found = storage.snapshot(lake, visits.VISITS)
    assert (found.rows, found.months(), found.time_column) == (4, None, None)
    assert found.files_for(months=["2011-01"]) == found.files
    with pytest.raises(StorageError, match="no event time"):
        found.scan(months=["2011-01"])
