"""Load modes through a whole ingest: what dumps are believed, what deletes need, what the ledger and the manifest say."""

from __future__ import annotations

import datetime as dt
import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from lakehouse import storage
from lakehouse.contract.model import Changes, Check, CheckKind, Rule, Source
from lakehouse.ingest import resume
from lakehouse.ingest.modes import dumps, ended, keyed
from lakehouse.quality import check_table

pytestmark = pytest.mark.slow

_spec = importlib.util.spec_from_file_location("mode_models", Path(__file__).parents[2] / "property" / "mode_models.py")
models = importlib.util.module_from_spec(_spec)
sys.modules["mode_models"] = models
_spec.loader.exec_module(models)
Delivery, take, content, PATH = models.Delivery, models.take, models.content, models.PATH


def snapshot_table(**more):
    return models.table_of("snapshot", as_of=PATH, **{"history": False, "tolerance": 0.5, **more})


def dump(day: int, *keys: int, text: str = "", source: str = "a", value: int = 1):
    return Delivery(day, tuple((key, 0, "U", value) for key in keys), source, text)


def keys(lake, table) -> list:
    return [row[0] for row in content(lake, table)]


def kinds(lake, table, *names: str) -> dict[int, tuple[int, ...]]:
    rows = storage.balance(lake, table.id).rows
    return {row[0]: tuple(row[1:]) for row in rows.select("batch", *names).rows()}


def manifest(lake, table) -> list[tuple]:
    return storage.batches(lake, table.id).select("state", "reason").rows()


def test_a_key_that_a_dump_does_not_show_is_gone_and_counted(lake):
    table = snapshot_table()
    take(lake, table, [dump(1, 1, 2, 3)], copy="1")
    report = take(lake, table, [dump(2, 1, 2)], copy="2")
    assert keys(lake, table) == [1, 2]
    assert kinds(lake, table, "read", "staged", "duplicate", "deleted") == {1: (3, 2, 0, 1), 2: (2, 0, 2, 0)}
    assert [(one.duplicate, one.staged) for one in report.batches] == [(2, 0)]
    models.require_balance(lake, table)


def test_deletes_are_held_when_more_vanish_than_tolerated_and_the_rest_goes_on(lake):
    table = snapshot_table()
    take(lake, table, [dump(1, 1, 2, 3)], copy="1")
    report = take(lake, table, [dump(2, 1, value=7)], copy="2")
    assert content(lake, table) == [(1, 0, 7), (2, 0, 1), (3, 0, 1)]
    assert manifest(lake, table)[1] == ("staged", "deletes held: 2 of 3 rows would vanish")
    assert report.batches[0].reason == manifest(lake, table)[1][1]
    models.require_balance(lake, table)
    take(lake, table, [dump(3, 1, 2, value=7)], copy="3")
    assert keys(lake, table) == [1, 2]
    assert manifest(lake, table)[2] == ("staged", None)


def test_an_empty_dump_ends_nothing(lake):
    table = snapshot_table()
    take(lake, table, [dump(1, 1, 2)], copy="1")
    take(lake, table, [dump(2)], copy="2")
    assert keys(lake, table) == [1, 2]
    assert manifest(lake, table)[1][1] == "deletes held: 2 of 2 rows would vanish"


def test_a_quarantined_key_has_not_vanished(lake):
    table = snapshot_table()
    take(lake, table, [dump(1, 1, 2, 3)], copy="1")
    take(lake, table, [dump(2, 1, text="2,2024-01-01T00:00:00+00:00,U,nonsense")], copy="2")
    assert keys(lake, table) == [1, 2]
    assert manifest(lake, table)[1] == ("staged", None)
    assert kinds(lake, table, "read", "staged", "quarantined", "duplicate") == {1: (3, 2, 0, 0), 2: (2, 0, 1, 1)}


@pytest.mark.parametrize("line", ["nonsense,2024-01-01T00:00:00+00:00,U,1", ",2024-01-01T00:00:00+00:00,U,1", "torn"])
def test_deletes_are_held_when_a_row_has_no_readable_key(lake, line):
    table = snapshot_table()
    take(lake, table, [dump(1, 1, 2, 3)], copy="1")
    take(lake, table, [dump(2, 1, 2, text=line)], copy="2")
    assert keys(lake, table) == [1, 2, 3]
    assert manifest(lake, table)[1] == ("staged", "deletes held: a row has no readable key")
    models.require_balance(lake, table)


def test_a_repeated_dump_counts_as_a_dump_and_writes_nothing(lake):
    table = snapshot_table(history=True)
    take(lake, table, [dump(1, 1, 2)], copy="1")
    files = storage.snapshot(lake, table.id).files
    take(lake, table, [dump(2, 1, 2)], copy="2")
    assert storage.snapshot(lake, table.id).files == files
    assert content(lake, table) == [(1, 0, 1, 1, None), (2, 0, 1, 1, None)]
    assert kinds(lake, table, "read", "duplicate")[2] == (2, 2)
    # a dump in between: what it does not show was not true for that time
    take(lake, table, [replace(dump(1, 1), name="20240102T120000_a.csv")], copy="3")
    spans = storage.scan(lake, table.id).filter(id=2).select("_valid_from", "_valid_to").collect().sort("_valid_from")
    noon = dt.datetime(2024, 1, 2, 12, tzinfo=dt.UTC)
    assert spans.rows() == [(models.moment(1), noon), (models.moment(2), None)]
    models.require_balance(lake, table)


def test_a_late_dump_is_history_only(lake):
    table = snapshot_table(history=True)
    take(lake, table, [dump(1, 1, 2)], copy="1")
    take(lake, table, [dump(5, 1, 2, value=5)], copy="2")
    take(lake, table, [dump(3, 1, 2, value=3)], copy="3")
    assert content(lake, table) == [
        (1, 0, 1, 1, 3), (1, 0, 3, 3, 5), (1, 0, 5, 5, None), (2, 0, 1, 1, 3), (2, 0, 3, 3, 5), (2, 0, 5, 5, None),
    ]  # fmt: skip
    models.require_balance(lake, table)


def test_a_dump_that_comes_too_late_to_matter_changes_nothing(lake):
    table = snapshot_table()
    take(lake, table, [dump(1, 1, 2, 3)], copy="1")
    take(lake, table, [dump(5, 1, 2, 4)], copy="2")
    files = storage.snapshot(lake, table.id).files
    report = take(lake, table, [dump(3, 1, 2, 3, value=3)], copy="3")
    assert [(one.staged, one.superseded) for one in report.batches] == [(0, 3)]
    assert storage.snapshot(lake, table.id).files == files
    models.require_balance(lake, table)
    # once deletes were held it matters: what it does not show is not missed any more
    take(lake, table, [dump(9, 1)], copy="4")
    assert sorted(keys(lake, table)) == [1, 2, 4]
    take(lake, table, [dump(7, 1, 2)], copy="5")
    assert sorted(keys(lake, table)) == [1]
    models.require_balance(lake, table)


def test_of_a_quarantined_key_a_late_dump_has_the_last_word(lake):
    table = snapshot_table()
    take(lake, table, [dump(1, 1, 2)], copy="1")
    take(lake, table, [dump(5, 1, value=5, text="2,2024-01-01T00:00:00+00:00,U,nonsense")], copy="2")
    take(lake, table, [dump(3, 1, 2, value=3)], copy="3")
    assert content(lake, table) == [(1, 0, 5), (2, 0, 3)]
    models.require_balance(lake, table)


def test_rows_of_a_dump_that_name_several_days_are_of_its_last(lake):
    table = models.table_of("snapshot", history=True)
    take(lake, table, [Delivery(1, ((1, 1, "U", 1), (2, 3, "U", 1)))], copy="1")
    take(lake, table, [Delivery(2, ((1, 5, "U", 2), (2, 4, "U", 1)))], copy="2")
    assert content(lake, table) == [(1, 1, 1, 3, 5), (1, 5, 2, 5, None), (2, 3, 1, 3, None)]
    models.require_balance(lake, table)


def test_each_source_dumps_its_own_keys(lake):
    table = snapshot_table()
    take(lake, table, [dump(1, 1, 2, 3), dump(2, 11, 12, source="b")], copy="1")
    take(lake, table, [dump(3, 1, 2)], copy="2")
    assert keys(lake, table) == [1, 11, 12, 2]


def test_a_name_without_a_delivery_time_is_rejected(lake):
    table = snapshot_table()
    report = take(lake, table, [replace(dump(1, 1), name="today_a.csv")])
    assert [one.state for one in report.batches] == ["rejected"]
    assert "when it was delivered" in report.batches[0].reason


def test_large_dumps_are_compared_some_keys_at_a_time(lake, monkeypatch):
    monkeypatch.setattr(dumps, "MOST_ROWS", 10)
    table = snapshot_table()
    take(lake, table, [dump(1, *range(100))], copy="1")
    take(lake, table, [dump(2, *range(20, 120), value=2), dump(3, *range(40, 130), value=2)], copy="2")
    assert sorted(keys(lake, table)) == list(range(40, 130))
    models.require_balance(lake, table)


def test_a_dump_that_is_held_by_a_check_is_applied_in_its_place_later(lake):
    few = Check("few_rows", CheckKind.BATCH, Rule.ROW_COUNT, maximum="2")
    table = snapshot_table(history=True)
    strict = replace(table, checks=(*table.checks, few))
    take(lake, strict, [dump(1, 1, 2)], copy="1")
    take(lake, strict, [dump(2, 1, 2, 3)], copy="2")
    take(lake, strict, [dump(3, 1, 2)], copy="3")
    assert [state for state, _ in manifest(lake, table)] == ["staged", "held", "staged"]
    lenient = replace(table, checks=(*table.checks, replace(few, maximum="3")))
    project = models.project_of(lenient)
    resume(lake, project, lenient)
    assert content(lake, table)[-1] == (3, 0, 1, 2, 3)
    models.require_balance(lake, table)


def changes_table(**more):
    return models.table_of("changes", **{"history": False, **more})


def said(key: int, at: int, op: str = "U", value: int | None = 1):
    return (key, at, op, value)


def test_a_delete_needs_its_key_its_order_and_its_operation_only(lake):
    share = Check("few_nulls", CheckKind.BATCH, Rule.NULL_SHARE, ("value",), tolerance=0.0)
    table = changes_table()
    table = replace(table, checks=(*table.checks, share))
    take(lake, table, [Delivery(1, (said(1, 1), said(2, 1)))], copy="1")
    report = take(lake, table, [Delivery(2, (said(1, 2, "D", None), (None, 2, "D", None)))], copy="2")
    assert [(one.state, one.deleted, one.quarantined) for one in report.batches] == [("staged", 1, 1)]
    assert keys(lake, table) == [2]
    assert kinds(lake, table, "read", "staged", "deleted") == {1: (2, 1, 1), 2: (2, 0, 1)}
    models.require_balance(lake, table)


def test_marks_hold_no_key_and_keep_late_rows_out(lake):
    table = changes_table()
    take(lake, table, [Delivery(1, (said(4711, 5, "D"),))], copy="1")
    take(lake, table, [Delivery(2, (said(4711, 3),))], copy="2")
    assert content(lake, table) == []
    marks = storage.scan(lake, ended.place(table.id)).collect()
    assert marks.columns == ["key", "order", "_batch", "_row"]
    assert marks["key"].str.len_bytes().to_list() == [64]
    assert "4711" not in marks["key"].item()
    take(lake, table, [Delivery(3, (said(4711, 6),))], copy="3")
    assert keys(lake, table) == [4711]
    models.require_balance(lake, table)


def test_keys_of_several_parts_are_told_apart_in_marks(lake):
    table = replace(changes_table(), key=("id", "value"))
    take(lake, table, [Delivery(1, ((1, 5, "D", 12), (11, 5, "D", 2)))], copy="1")
    take(lake, table, [Delivery(2, ((1, 3, "U", 12), (11, 3, "U", 2), (1, 3, "U", 1), (111, 3, "U", 2)))], copy="2")
    assert [(row[0], row[2]) for row in content(lake, table)] == [(1, 1), (111, 2)]


def test_many_keys_are_decided_some_at_a_time(lake, monkeypatch):
    monkeypatch.setattr(keyed, "MOST_ROWS", 7)
    table = changes_table(history=True)
    deliveries = [
        Delivery(
            day, tuple((key, (key * day) % 11, "D" if (key + day) % 6 == 0 else "U", key % 3) for key in range(40))
        )
        for day in range(5)
    ]
    take(lake, table, deliveries[:2], copy="1")
    take(lake, table, deliveries[2:], copy="2")
    assert content(lake, table) == models.last_stays(deliveries, history=True, deletes="D")
    models.require_balance(lake, table)


def test_only_the_files_that_hold_a_key_are_written_again(lake):
    table = models.table_of("upsert", history=False, layout="time")
    old, new = (tuple((key, at, "U", 1) for key in some) for some, at in ((range(9), 0), (range(10, 19), 40)))
    take(lake, table, [Delivery(1, old)], copy="1")
    take(lake, table, [Delivery(2, new)], copy="2")
    before = set(storage.snapshot(lake, table.id).files)
    report = take(lake, table, [Delivery(3, ((10, 41, "U", 2),))], copy="3")
    after = set(storage.snapshot(lake, table.id).files)
    assert [one.staged for one in report.batches] == [1]
    kept = before & after
    assert any("2024-01" in path for path in kept)
    assert kinds(lake, table, "staged", "superseded")[2] == (8, 1)


def test_a_repeat_writes_no_file_again(lake):
    table = models.table_of("upsert", history=False)
    take(lake, table, [Delivery(1, (said(1, 1), said(2, 1)))], copy="1")
    before = storage.snapshot(lake, table.id).files
    report = take(lake, table, [Delivery(2, (said(1, 1), said(2, 1)))], copy="2")
    assert [one.duplicate for one in report.batches] == [2]
    assert storage.snapshot(lake, table.id).files == before


def test_a_held_batch_says_nothing(lake):
    check = Check("few_rows", CheckKind.BATCH, Rule.ROW_COUNT, maximum="2")
    table = models.table_of("upsert", history=False)
    table = replace(table, checks=(*table.checks, check))
    take(lake, table, [Delivery(1, (said(1, 1),))], copy="1")
    report = take(
        lake, table, [Delivery(2, (said(1, 9), said(2, 9), said(3, 9))), Delivery(3, (said(2, 2),))], copy="2"
    )
    assert [one.state for one in report.batches] == ["held", "staged"]
    assert content(lake, table) == [(1, 1, 1), (2, 2, 1)]
    models.require_balance(lake, table)


def test_a_key_is_unique_among_what_is_true_now(lake):
    table = models.table_of("upsert", history=True)
    table = replace(table, checks=(*table.checks, Check("unique_id", CheckKind.TABLE, Rule.UNIQUE, ("id",))))
    take(lake, table, [Delivery(1, (said(1, 1), said(1, 2), said(2, 1)))])
    assert content(lake, table) == [(1, 1, 1, 1, 2), (1, 2, 1, 2, None), (2, 1, 1, 1, None)]
    assert [result.passed for result in check_table(table, lambda other: storage.scan(lake, other))] == [True]


def test_envelopes_of_debezium_are_changes(lake, tmp_path, clock):
    columns = {"at": "$.ts_ms", "op": "$.op"}
    table = changes_table()
    table = replace(
        table,
        changes=Changes("op", ("d",), "debezium"),
        sources=(Source("cdc", "*.ndjson", format="ndjson"),),
        columns=tuple(replace(c, source_name=columns.get(c.name, c.name)) for c in table.columns),
    )
    at = table.column("at")
    epoch = replace(at, type=replace(at.type, format="epoch_ms"), formats=("epoch_ms",))
    table = replace(table, columns=tuple(epoch if c.name == "at" else c for c in table.columns))
    lines = [
        '{"before":null,"after":{"id":1,"value":10},"op":"c","ts_ms":1704153600000}',
        '{"before":null,"after":{"id":2,"value":20},"op":"r","ts_ms":1704153600000}',
        '{"before":{"id":1,"value":10},"after":{"id":1,"value":11},"op":"u","ts_ms":1704240000000}',
        '{"before":{"id":2,"value":20},"after":null,"op":"d","ts_ms":1704326400000}',
    ]
    path = tmp_path / "changes.ndjson"
    path.write_text("\n".join(lines) + "\n")
    project = models.project_of(table)
    from lakehouse.ingest import ingest

    report = ingest(lake, project, table, [path], now=clock)
    assert [one.state for one in report.batches] == ["staged"], report
    assert [(one.staged, one.superseded, one.deleted, one.quarantined) for one in report.batches] == [(1, 1, 2, 0)]
    assert content(lake, table) == [(1, 2, 11)]
    models.require_balance(lake, table)


def test_a_spelling_of_delete_that_is_not_named_is_a_row(lake):
    table = changes_table()
    take(lake, table, [Delivery(1, (said(1, 1, "D"), said(2, 1, "d")))])
    assert storage.scan(lake, table.id).select(pl.col("op")).collect()["op"].to_list() == ["d"]
