"""`kill -9` in a pass that replaces, ends and deletes rows, then the same pass again: as if nobody had killed it."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lakehouse import storage
from lakehouse.ingest.modes import ended
from lakehouse.settings import load_settings
from tests.crash import aftermath

WORKER = Path(__file__).with_name("mode_worker.py")
_spec = importlib.util.spec_from_file_location("mode_worker", WORKER)
worker = importlib.util.module_from_spec(_spec)
sys.modules["mode_worker"] = worker
_spec.loader.exec_module(worker)
models = worker.models

#: Where the process dies. The pass makes up to four commits: raw, quarantine, marks of deletes, staged.
POINTS = (
    "manifest.reserve.after:2",
    "file.put.after:2",
    "file.put.after:3",
    "file.put.before:4",
    "commit.delta.after",
    "commit.done.after",
    "commit.intent.after:2",
    "commit.delta.after:2",
    "commit.done.after:2",
    "commit.intent.before:3",
    "commit.intent.after:3",
    "commit.delta.after:3",
    "commit.done.before:3",
    "commit.done.after:3",
)
#: Passes with marks only: their fourth commit.
LAST = ("commit.intent.after:4", "commit.delta.before:4", "commit.delta.after:4", "commit.done.after:4")
KINDS = (("changes", "latest"), ("changes", "history"), ("snapshot", "history"))

pytestmark = pytest.mark.slow


def run(lake: Path, *words: str, fault: str = "") -> int:
    environment = {**os.environ, "LAKEHOUSE_FAULT": fault, "PYTHONPATH": str(models.ROOT)}
    command = [sys.executable, str(WORKER), str(lake), *words]
    return subprocess.run(command, env=environment, check=False, capture_output=True).returncode


def opened(place: Path):
    return storage.open_lake(load_settings(models.ROOT, lake=str(place)))


def marks(lake, table) -> list[tuple]:
    place = ended.place(table.id)
    if not storage.exists(lake, place):
        return []
    return sorted(storage.scan(lake, place).select("order", "_batch", "_row").collect().rows())


@pytest.fixture(scope="module", params=KINDS, ids="-".join)
def untouched(request, tmp_path_factory):
    """The lake before the pass, and what the pass gives that nobody kills."""
    mode, history = request.param
    place = tmp_path_factory.mktemp("untouched")
    assert run(place / "before", mode, history, "before") == 0
    shutil.copytree(place / "before", place / "after")
    assert run(place / "after", mode, history, "now") == 0
    lake, table = opened(place / "after"), worker.table_of(mode, history)
    kinds = storage.balance(lake, table.id).rows.drop("told")
    return mode, history, place / "before", models.content(lake, table), marks(lake, table), kinds


@pytest.mark.parametrize("point", [*POINTS, *LAST])
def test_killed_and_run_again_it_is_as_if_nobody_had(untouched, tmp_path, point):
    mode, history, before, content, marked, kinds = untouched
    if mode != "changes" and point in LAST:
        pytest.skip("a pass without marks has three commits")
    place = tmp_path / "lake"
    shutil.copytree(before, place)
    assert run(place, mode, history, "now", fault=point) == -signal.SIGKILL, f"`{point}` is never passed"
    assert run(place, mode, history, "now") == 0
    lake, table = opened(place), worker.table_of(mode, history)
    assert models.content(lake, table) == content
    assert marks(lake, table) == marked
    models.require_balance(lake, table)
    assert storage.balance(lake, table.id).rows.drop("told").equals(kinds)
    assert set(storage.batches(lake, table.id)["state"]) == {"staged"}
    aftermath.require_clean(lake, table, beside=("delivered",))
