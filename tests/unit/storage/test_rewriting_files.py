"""Replacing some files of a table in one commit: what stays of them keeps its place; nothing is lost or seen early."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from lakehouse import storage
from lakehouse.errors import RefusedError, SchemaMismatchError
from lakehouse.storage.layout import FileName
from lakehouse.storage.read import scan_files


def begun(lake, visits, held):
    return storage.begin(lake, visits.VISITS, held, visits.SCHEMA, visits.PLACEMENT)


def but_first(schema):
    return lambda path: scan_files([path], schema).collect().slice(1)


def spans(paths) -> list[tuple[str, str, str]]:
    return sorted((name.level, name.first, name.last) for path in paths if (name := FileName.parse(path)))


def test_what_stays_of_a_file_keeps_its_months_and_its_level(lake, visits):
    visits.put(lake, visits.rows(1, 40, months=3))
    visits.put(lake, visits.rows(2, 20_000, months=3))
    before = storage.snapshot(lake, visits.VISITS)
    with storage.lease(lake, visits.VISITS) as held:
        tx = begun(lake, visits, held)
        tx.rewrite(before.files, but_first(visits.SCHEMA))
        assert storage.snapshot(lake, visits.VISITS).version == before.version
        tx.commit("stage")
    after = storage.snapshot(lake, visits.VISITS)
    assert spans(after.files) == spans(before.files)
    assert after.version == before.version + 1
    assert after.rows == before.rows - len(before.files)
    assert set(after.files).isdisjoint(before.files)


def test_a_file_of_which_nothing_stays_goes(lake, visits):
    visits.put(lake, visits.rows(1))
    visits.put(lake, visits.rows(2))
    gone = storage.snapshot(lake, visits.VISITS).files[0]
    with storage.lease(lake, visits.VISITS) as held:
        tx = begun(lake, visits, held)
        tx.rewrite([gone], lambda path: scan_files([path], visits.SCHEMA).collect().clear())
        tx.commit("stage")
    assert storage.scan(lake, visits.VISITS).collect()["_batch"].unique().to_list() == [2]


def test_a_file_of_the_transaction_itself_leaves_no_trace(lake, visits):
    with storage.lease(lake, visits.VISITS) as held:
        tx = begun(lake, visits, held)
        (first,) = tx.write(visits.rows(1))
        tx.rewrite([f"{tx.uri}/{first.path}"], but_first(visits.SCHEMA))
        (second,) = tx.files
        tx.write(visits.rows(2))
        tx.commit("stage")
    now = storage.snapshot(lake, visits.VISITS)
    assert now.rows == 3 + 4
    assert not any(path.endswith(first.path) for path in now.files)
    assert scan_files([f"{lake.uri(visits.VISITS)}/{second.path}"], visits.SCHEMA).collect().height == 3
    assert not Path(lake.uri(visits.VISITS), first.path).exists()


def test_rewritten_files_of_other_layouts_and_writers_are_bodies_of_no_month(lake, visits):
    visits.put(lake, visits.rows(1), placement=visits.LOOSE)
    with storage.lease(lake, visits.VISITS) as held:
        tx = storage.begin(lake, visits.VISITS, held, visits.SCHEMA, visits.LOOSE)
        tx.rewrite(storage.snapshot(lake, visits.VISITS).files, but_first(visits.SCHEMA))
        tx.commit("stage")
    assert spans(storage.snapshot(lake, visits.VISITS).files) == [("t0", "all", "all")]


def test_nothing_is_replaced_in_an_append_only_table(lake, visits):
    visits.put(lake, visits.rows(1), table=visits.RAW)
    with storage.lease(lake, visits.RAW) as held:
        tx = storage.begin(lake, visits.RAW, held, visits.SCHEMA, append_only=True)
        with pytest.raises(RefusedError, match="append-only"):
            tx.rewrite(storage.snapshot(lake, visits.RAW).files, but_first(visits.SCHEMA))
        tx.abandon()
    assert storage.snapshot(lake, visits.RAW).rows == 4


def test_rows_of_another_schema_are_refused(lake, visits):
    visits.put(lake, visits.rows(1))
    with storage.lease(lake, visits.VISITS) as held:
        tx = begun(lake, visits, held)
        with pytest.raises(SchemaMismatchError, match="weight"):
            tx.rewrite(
                storage.snapshot(lake, visits.VISITS).files,
                lambda path: scan_files([path], visits.SCHEMA).collect().drop("weight"),
            )
        tx.abandon()


def test_rows_are_read_with_the_file_they_are_in(lake, visits):
    visits.put(lake, visits.rows(1))
    (path,) = storage.snapshot(lake, visits.VISITS).files
    assert scan_files([path], visits.SCHEMA, place="place").collect()["place"].unique().to_list() == [path]
    assert scan_files([], visits.SCHEMA, place="place").collect().schema["place"] == pl.String
