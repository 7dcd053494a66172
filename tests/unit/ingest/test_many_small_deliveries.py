"""A small file a day: each is one ingest, yet tables stay in few files and little is written twice."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from lakehouse import storage
from lakehouse.ingest import ingest, quarantine
from lakehouse.storage import delta, merging

_spec = importlib.util.spec_from_file_location("ingest_domain", Path(__file__).with_name("ingest_domain.py"))
domain = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(domain)
DAYS, ROWS, TAIL_FILES = 36, 30, 16


def written(lake, table) -> tuple[dict[str, int], dict[str, int]]:
    """Rows and bytes that commits have added to the table, by kind of commit."""
    rows: dict[str, int] = {}
    size: dict[str, int] = {}
    for version in range(storage.snapshot(lake, table).version + 1):
        entry = delta.entry(lake.uri(table), version)
        kind = entry.note["kind"]
        size[kind] = size.get(kind, 0) + sum(entry.adds.values())
        added = sum(pq.read_metadata(f"{lake.uri(table)}/{path}").num_rows for path in entry.adds)
        rows[kind] = rows.get(kind, 0) + added
    return rows, size


@pytest.mark.slow
def test_daily_small_files_cost_at_most_eight_bytes_rewritten_a_byte(lake, tmp_path, monkeypatch):
    """By entity is the dearest layout: every merge rewrites the whole body. Three hundred days measured: 5.9 rows a row."""
    monkeypatch.setattr(merging, "TAIL_FILES", TAIL_FILES)  # the policy, met within seconds
    table = replace(domain.order_table(), layout="entity")
    project, most = domain.project_of(table), 0
    for day in range(DAYS):
        rows = "".join(f"{day * ROWS + n},{(day * 7919 + n * 31) % 997},1,x\n" for n in range(ROWS - 1))
        path = tmp_path / f"{day}.csv"
        path.write_text(f"{domain.HEADER}{rows}bad,1,1,x\n")
        report = ingest(lake, project, table, [path], now=lake.now())
        assert report.staged_version == storage.snapshot(lake, table.id).version
        most = max(most, len(storage.snapshot(lake, table.id).files))
    rows, size = written(lake, table.id)
    assert rows["stage"] == DAYS * (ROWS - 1) == storage.snapshot(lake, table.id).rows
    assert 1 < rows["merge"] / rows["stage"] <= 8
    assert size["merge"] / size["stage"] <= 8
    assert most <= TAIL_FILES
    assert len(storage.snapshot(lake, quarantine.place(table.id)).files) <= TAIL_FILES < DAYS
    assert quarantine.counts(lake, table.id)["rows"].sum() == DAYS
    assert storage.balance(lake, table.id).unbalanced == ()
