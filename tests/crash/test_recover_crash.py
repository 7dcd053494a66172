"""Kill the process wherever a generation is raised, an erasure recorded or a restored backup mended: nothing comes back."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

from lakehouse import storage
from lakehouse.storage import chain, faults
from lakehouse.storage.control import data_key_table
from lakehouse.storage.restored import compare
from tests.integration.restored_lake import keep, require_whole, restore, settings_in, states, take

WORKER = Path(__file__).with_name("recover_worker.py")
ROOT = WORKER.parents[2]
SIDES = ("before", "after")
RAISING = ("lake.generation", "lake.ready", "lake.marker", "file.replace")
ERASING = ("erasure.record", "chain.flush", "file.put", "lake.ready", "lake.marker", "file.replace")
CATCHING_UP = ("erasure.replay", "lake.recover", "chain.flush", "file.put", "lake.ready", "lake.marker", "file.replace")
GOING_BACK = tuple(write for write in CATCHING_UP if write != "erasure.replay")


def run(folder: Path, step: str, fault: str = "") -> int:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LAKEHOUSE_")}
    done = subprocess.run(
        [sys.executable, str(WORKER), str(folder), step],
        env={**environment, "PYTHONPATH": str(ROOT), faults.VARIABLE: fault},
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode in (0, -9), done.stderr
    return done.returncode


def points(writes: tuple[str, ...]) -> list[str]:
    return [f"{write}.{side}" for write in writes for side in SIDES]


def require_quiet(folder: Path):
    lake = storage.open_lake(settings_in(folder))
    assert compare(settings_in(folder))[1].older is None
    for name in chain.NAMES:
        assert chain.verify(lake.root, lake.control, name).findings == ()
    return lake


def keys(lake) -> int:
    with lake.control.read() as connection:
        return connection.execute(sa.select(sa.func.count()).select_from(data_key_table)).scalar_one()


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A lake with a batch and a key, and its copy after more of both and an erasure."""
    folder = tmp_path_factory.mktemp("recover")
    assert run(folder, "prepare") == 0
    for what in ("lake", "db"):
        keep(settings_in(folder), what)
    assert run(folder, "later") == 0
    return folder


def copy_of(prepared: Path, folder: Path) -> Path:
    import shutil

    shutil.copytree(prepared, folder, dirs_exist_ok=True)
    return folder


@pytest.mark.parametrize("fault", points(RAISING))
def test_a_generation_is_raised_on_both_sides_or_on_none(prepared, tmp_path, fault):
    folder = copy_of(prepared, tmp_path)
    assert run(folder, "raise", fault) == -9, "the point was never passed"
    require_quiet(folder)
    assert run(folder, "raise") == 0
    require_quiet(folder)


@pytest.mark.parametrize("fault", points(ERASING))
def test_an_erasure_is_logged_and_done_or_neither(prepared, tmp_path, fault):
    folder = copy_of(prepared, tmp_path)
    for what in ("lake", "db"):
        restore(settings_in(folder), what)
    assert run(folder, "erase", fault) == -9, "the point was never passed"
    lake = require_quiet(folder)
    assert keys(lake) == 1 - len(list(chain.entries(lake.root, chain.ERASURE)))
    assert run(folder, "erase") == 0
    assert keys(require_quiet(folder)) == 0


@pytest.mark.parametrize("fault", points(CATCHING_UP))
def test_an_older_database_is_mended_by_the_next_run(prepared, tmp_path, fault):
    folder = copy_of(prepared, tmp_path)
    restore(settings_in(folder), "db")
    assert run(folder, "recover", fault) == -9, "the point was never passed"
    assert run(folder, "recover") == 0
    lake = require_quiet(folder)
    assert keys(lake) == 0
    assert states(lake) == ["staged", "lost", "lost", "lost"]
    require_whole(lake, batches=4)


@pytest.mark.parametrize("fault", points(GOING_BACK))
def test_an_older_lake_is_mended_by_the_next_run(prepared, tmp_path, fault):
    folder = copy_of(prepared, tmp_path)
    restore(settings_in(folder), "lake")
    assert run(folder, "recover", fault) == -9, "the point was never passed"
    assert run(folder, "recover") == 0
    lake = require_quiet(folder)
    assert keys(lake) == 0
    assert states(lake) == ["staged", *["reserved"] * 3]
    take(lake, 1, 2, 3)
    require_whole(lake, batches=4)
