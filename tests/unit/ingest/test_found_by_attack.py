"""Deliveries that once gave wrong rows, or stopped an ingest, found by attacking it."""

from __future__ import annotations

import datetime as dt
import importlib.util
import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lakehouse import storage
from lakehouse.contract.model import PATH, Check, CheckKind, Column, ColumnType, Drift, Logical, Rule, Source
from lakehouse.ingest import ingest, landing
from lakehouse.ingest.modes.rules import Law, replaced
from lakehouse.ingest.rebuild import rebuild

pytestmark = pytest.mark.slow

_spec = importlib.util.spec_from_file_location("mode_models", Path(__file__).parents[2] / "property" / "mode_models.py")
models = importlib.util.module_from_spec(_spec)
sys.modules["mode_models"] = models
_spec.loader.exec_module(models)


def take(lake, table, *files: tuple[str, str]):
    paths: list[Path] = []
    for name, content in files:
        path = Path(lake.root) / "delivered" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)
        paths.append(path)
    return ingest(lake, models.project_of(table), table, paths, now=models.NOW)


def rows(lake, table, *names: str) -> list[tuple]:
    return sorted(storage.scan(lake, table.id).select(names).collect().rows(), key=repr)


def keyed_by(name: str, kind: Logical):
    """A table of changes whose key has another name and type."""
    table = models.table_of("changes", history=False)
    columns = [Column(name, name, ColumnType(kind), "system.operations", required=True), *table.columns[1:]]
    checks = [check for check in table.checks if "id" not in check.columns]
    checks += [Check(f"required_{name}", CheckKind.ROW, Rule.REQUIRED, (name,))]
    checks += [Check(f"type_{name}", CheckKind.ROW, Rule.TYPE, (name,))] if kind is not Logical.STRING else []
    return replace(table, columns=tuple(columns), key=(name,), checks=tuple(checks))


@pytest.mark.parametrize(
    ("name", "kind", "deleted", "again"),
    [
        ("order", Logical.INTEGER, "7", "7"),
        ("order", Logical.STRING, "7", "7"),
        ("key", Logical.INTEGER, "7", "7"),
        ("kind", Logical.STRING, "7", "7"),
        ("id", Logical.FLOAT, "-0", "0"),
    ],
)
def test_a_delete_holds_against_late_rows_whatever_the_key_is_called(lake, name, kind, deleted, again):
    table = keyed_by(name, kind)
    head = f"{name},at,op,value\n"
    take(lake, table, ("1_a.csv", f"{head}{deleted},2024-01-05T00:00:00Z,D,\n"))
    take(lake, table, ("2_a.csv", f"{head}{again},2024-01-03T00:00:00Z,U,1\n8,2024-01-03T00:00:00Z,U,1\n"))
    assert [float(key) for (key,) in rows(lake, table, name)] == [8.0]
    models.require_balance(lake, table)


def test_a_dump_is_compared_whatever_its_columns_are_called():
    standing = pl.DataFrame({"_batch": [1], "_row": [0], "id": [1], "a": [5], "a__new": [6], "__own": [True]})
    dump = standing.drop("__own").with_columns(pl.lit(2, pl.Int64).alias("_batch"))
    outcome = replaced(standing, dump, Law(("id",), ("a", "a__new"), history=False), at=1)
    assert outcome.gone.rows() == [(2, 0, "duplicate")]


@pytest.mark.parametrize("key", ["*", "^.*$", "", "_row"])
def test_keys_that_nobody_knows_are_names_and_no_patterns(lake, key):
    table = models.table_of("append", history=False)
    lines = (Source("lines", "*.json", format="ndjson"),)
    table = replace(table, sources=lines, drift=Drift("evolve", "evolve", "discard_row"))
    line = json.dumps({"id": 1, "at": "2024-01-01", "op": "U", "value": 3, key: "more"})
    take(lake, table, ("1.json", line + "\n"))
    assert rows(lake, table, "id", "value", "_extra") == [(1, 3, json.dumps({key: "more"}, separators=(",", ":")))]


def dated(pattern: str):
    return replace(
        models.table_of("upsert", history=False, as_of=PATH), sources=(Source("a", "*", delivered_at=pattern),)
    )


def test_the_zone_in_a_file_name_counts(lake):
    table = dated("%Y%m%dT%H%M%S%z.csv")
    head = "id,at,op,value\n1,2024-01-01,U,"
    take(lake, table, ("20240101T100000+0500.csv", f"{head}1\n"), ("20240101T080000+0000.csv", f"{head}2\n"))
    assert rows(lake, table, "value") == [(2,)]


@pytest.mark.parametrize(
    ("pattern", "name", "moment"),
    [
        ("%Y%m%d.csv", "99991231.csv", dt.datetime.max.replace(tzinfo=dt.UTC)),
        ("%Y%m%d.csv", "20240131.csv", dt.datetime(2024, 1, 31, 23, 59, 59, 999999, tzinfo=dt.UTC)),
        ("%Y%m%dT%H%z.csv", "00010101T00+0500.csv", None),
    ],
)
def test_a_file_name_at_the_edge_of_time_stops_nobody(lake, pattern, name, moment):
    table = dated(pattern)
    line = "id,at,op,value\n1,2024-01-01,U,1\n"
    report = take(lake, table, (name, line))
    assert storage.batches(lake, table.id)["delivered_at"].to_list() == [moment]
    assert [batch.state for batch in report.batches] == ["rejected" if moment is None else "staged"]


@pytest.mark.parametrize("last", ["first", "again"])
def test_the_first_delivery_is_the_first_batch_even_if_that_was_rejected_at_first(lake, last):
    strict = models.table_of("append", history=False)
    line = "1,2024-01-01T00:00:00Z,U"
    one = ("1_a.csv", f"id,at,op,value,more\n{line},1,\n9,2024-01-01T00:00:00Z,U,9,\n")
    two = ("2_a.csv", f"id,at,op,value\n{line},2\n3,2024-01-01T00:00:00Z,U,3\n")
    three = ("3_a.csv", f"id,at,op,value\n{line},{1 if last == 'again' else 3}\n9,2024-01-01T00:00:00Z,U,9\n")
    take(lake, strict, one, two)
    assert rows(lake, strict, "id", "value") == [(1, 2), (3, 3)]
    mild = replace(strict, drift=Drift("discard_value", "freeze", "discard_row"))
    take(lake, mild, three, one)  # batch 1 comes last, within this run too
    found = rows(lake, mild, "id", "value", "_batch")
    assert found == [(1, 1, 1), (3, 3, 2), (9, 9, 1)]
    models.require_balance(lake, mild)
    rebuild(lake, models.project_of(mild), mild)
    assert rows(lake, mild, "id", "value", "_batch") == found
    models.require_balance(lake, mild)


def test_a_whole_number_that_came_as_a_double_is_no_bad_row(lake):
    table = replace(models.table_of("append", history=False), sources=(Source("tables", "*", format="parquet"),))
    path = Path(lake.root) / "t.parquet"
    numbers = [4000123412341234.0, -1e15, 7.0, None, 1e300, 2.0**60]
    columns = {"id": list(range(6)), "at": ["2024-01-01"] * 6, "op": ["U"] * 6, "value": numbers}
    pq.write_table(pa.table(columns), path)
    ingest(lake, models.project_of(table), table, [path], now=models.NOW)
    # beyond 2 ** 53 nobody knows which number it was: these two, and the null, are in quarantine
    assert rows(lake, table, "id", "value") == [(0, 4000123412341234), (1, -(10**15)), (2, 7)]
    models.require_balance(lake, table)


def test_what_lies_in_the_landing_folder_stops_no_other_file(lake):
    table = replace(models.table_of("append", history=False), sources=(Source("a", "*"),))
    place = landing.folder(lake, table)
    place.mkdir(parents=True)
    names = [b"\xe4.csv", b"a\nb.csv", b"c.csv"]  # a name in another encoding than UTF-8, and one of two lines
    paths = [place / os.fsdecode(name) for name in names]
    for number, path in enumerate(paths):
        path.write_text(f"id,at,op,value\n{number},2024-01-01,U,1\n")
    (place / "folder.csv").mkdir()
    (place / "loop.csv").symlink_to("loop.csv")
    others = [place / "folder.csv", place / "loop.csv"]
    report = ingest(lake, models.project_of(table), table, [*others, *paths], now=models.NOW)
    assert sorted(batch.state for batch in report.batches) == ["rejected", "rejected", "staged", "staged", "staged"]
    assert rows(lake, table, "id") == [(0,), (1,), (2,)]
    assert not any(path.exists() for path in paths)
