"""`kill -9` at every kind of write of an ingest, then the same ingest again: each row exactly once, the ledger balanced."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from lakehouse import storage
from lakehouse.contract.load import load_project
from lakehouse.ingest import quarantine
from lakehouse.model import TableId, Tier
from lakehouse.settings import load_settings
from tests.crash import aftermath

TABLE = TableId(Tier.STAGED, "retail", "invoice_line")
WORKER = Path(__file__).with_name("ingest_worker.py")
HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
LINE = "{},{},THING,{},2011-{:02d}-01 08:26:00,2.55,{}.0,France\n"

#: Where the process dies. Three commits (raw, quarantine, staged), each with its intent, its Delta entry and its closing.
POINTS = (
    "manifest.reserve.after",
    "manifest.reserve.after:2",
    "entity.add.after",
    "file.put.after",
    "file.put.before:2",
    "file.put.after:3",
    "commit.intent.before",
    "commit.intent.after",
    "commit.delta.after",
    "commit.done.before",
    "commit.done.after",
    "commit.intent.after:2",
    "commit.delta.before:2",
    "commit.delta.after:2",
    "commit.done.after:2",
    "commit.intent.after:3",
    "commit.delta.after:3",
    "commit.done.before:3",
    "commit.done.after:3",
    "lease.release.before",
    "lease.release.after:2",
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("delivered")
    first = [LINE.format(536365 + n % 50, f"S{n}", 1 + n % 7, 1 + n % 12, 12346 + n % 9) for n in range(300)]
    second = [*first[:20], LINE.format(536365, "S0", 99, 1, 12346), "536365,BAD,x,none,never,1,,France\n", "torn\n"]
    paths = [folder / "2011-01-01.csv", folder / "2011-01-02.csv"]
    paths[0].write_text(HEADER + "".join(first))
    paths[1].write_text(HEADER + "".join(second))
    return paths


def run(project_root: Path, lake: Path, files: list[Path], *, fault: str = "") -> int:
    environment = {**os.environ, "LAKEHOUSE_FAULT": fault, "PYTHONPATH": str(project_root)}
    command = [sys.executable, str(WORKER), str(project_root), str(lake), *map(str, files)]
    return subprocess.run(command, env=environment, check=False, capture_output=True).returncode


def content(lake) -> pl.DataFrame:
    rows = storage.scan(lake, TABLE).drop("_landed_at", "_entity", "CustomerID__token").collect()
    return rows.sort("_batch", "_row")


@pytest.fixture(scope="module")
def untouched(project_root, files, tmp_path_factory) -> pl.DataFrame:
    """The table that an ingest gives which nobody kills."""
    place = tmp_path_factory.mktemp("untouched") / "lake"
    assert run(project_root, place, files) == 0
    return content(storage.open_lake(load_settings(project_root, lake=str(place))))


@pytest.mark.parametrize("point", POINTS)
def test_killed_and_run_again_each_row_is_there_once(project_root, files, untouched, tmp_path, point):
    place = tmp_path / "lake"
    assert run(project_root, place, files, fault=point) == -signal.SIGKILL, f"`{point}` is never passed"
    assert run(project_root, place, files) == 0
    lake = storage.open_lake(load_settings(project_root, lake=str(place)))
    assert content(lake).equals(untouched)
    assert storage.snapshot(lake, TABLE.at(Tier.RAW)).rows == 323
    balance = storage.balance(lake, TABLE)
    assert balance.unbalanced == ()
    assert balance.rows.select("read", "quarantined").sum().row(0) == (323, 2)
    assert quarantine.counts(lake, TABLE).filter(pl.col("check") == quarantine.READABLE)["rows"].to_list() == [1]
    assert storage.batches(lake, TABLE)["state"].to_list() == ["staged", "staged"]
    aftermath.require_clean(lake, load_project(project_root).table(TABLE))
