"""`kill -9` at every kind of write of a rebuild and of an apply: the old rows or the new ones, never a mixture; then again."""

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
from lakehouse.ingest import migration
from lakehouse.settings import load_settings
from tests.crash import aftermath

WORKER = Path(__file__).with_name("rebuild_worker.py")
_spec = importlib.util.spec_from_file_location("rebuild_worker", WORKER)
worker = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(worker)

#: Two commits, of the quarantine and of the table, each with its files, intent, Delta entry and closing; then the merge.
REBUILD = (
    "lease.take.after:2",
    "file.put.after",
    "file.put.before:3",
    "commit.intent.after",
    "commit.delta.before",
    "commit.delta.after",
    "commit.done.after",
    "commit.intent.before:2",
    "commit.intent.after:2",
    "commit.delta.before:2",
    "commit.delta.after:2",
    "commit.done.before:2",
    "commit.done.after:2",
    "lease.release.before:2",
)
#: The name first, then the quarantine, the new generation, and its tail.
APPLY = (
    "applied.put.before",
    "applied.put.after",
    "commit.intent.after",
    "commit.delta.after",
    "commit.done.before",
    "commit.done.after",
    "commit.intent.after:2",
    "commit.delta.after:2",
    "commit.done.after:2",
    "file.put.after:2",
    "commit.intent.before:3",
    "commit.intent.after:3",
    "commit.delta.after:3",
    "commit.done.before:3",
    "commit.done.after:3",
)

pytestmark = pytest.mark.slow


def run(project_root: Path, place: Path, what: str, *, fault: str = "") -> int:
    environment = {**os.environ, "LAKEHOUSE_FAULT": fault, "PYTHONPATH": str(project_root)}
    command = [sys.executable, str(WORKER), str(project_root), str(place), what]
    return subprocess.run(command, env=environment, check=False, capture_output=True).returncode


def opened(project_root: Path, place: Path):
    return storage.open_lake(load_settings(project_root, lake=str(place)))


def content(lake, table):
    return worker.shop.rows(lake, table).sort("_batch", "_row")


@pytest.fixture(scope="module")
def before(project_root, tmp_path_factory) -> Path:
    """A lake that has taken the files under the old contract."""
    place = tmp_path_factory.mktemp("before") / "lake"
    assert run(project_root, place, "take") == 0
    return place


@pytest.fixture(scope="module")
def after(project_root, tmp_path_factory):
    """What a lake has that saw the files only under a new contract."""

    def fresh(table):
        place = tmp_path_factory.mktemp("after") / "lake"
        lake = storage.create_lake(load_settings(project_root, lake=str(place)))
        for file in worker.FILES:
            worker.shop.take(lake, worker.shop.replace(table, columns=table.columns[:5]), worker.NOW, file)
        return lake

    return {"rebuild": fresh(worker.LOOSE), "apply": fresh(worker.NEW)}


@pytest.mark.parametrize("killed", [*(f"rebuild {point}" for point in REBUILD), *(f"apply {point}" for point in APPLY)])
def test_there_are_the_old_rows_or_the_new_and_again_makes_it_whole(project_root, before, after, tmp_path, killed):
    what, point = killed.split()
    place = tmp_path / "lake"
    shutil.copytree(before, place)
    old = content(opened(project_root, place), worker.OLD)
    assert run(project_root, place, what, fault=point) == -signal.SIGKILL, f"`{point}` is never passed"
    lake, table = opened(project_root, place), worker.LOOSE if what == "rebuild" else worker.NEW
    fresh = after[what]
    seen = content(lake, worker.OLD if not lake.homes and what == "apply" else table)
    assert seen.equals(old) or seen.drop("shade", strict=False).equals(content(fresh, table))
    assert run(project_root, place, what) == 0
    lake = opened(project_root, place)
    assert content(lake, table).drop("shade", strict=False).equals(content(fresh, table))
    assert worker.shop.account(lake, table) == worker.shop.account(fresh, table)
    assert worker.shop.pointers(lake, table) == worker.shop.pointers(fresh, table)
    assert migration.plan(lake, worker.shop.project_of(table)) == ()
    aftermath.require_clean(lake, table)
