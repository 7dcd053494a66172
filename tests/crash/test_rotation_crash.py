"""Kill the process at every fault point of the vault: every key still opens, and the next run ends what was begun."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

from lakehouse.privacy import epochs, purposes, verification
from lakehouse.storage import faults
from lakehouse.storage.control import entity_table, epoch_table
from tests.crash.rotation_worker import PEOPLE, everything, opened

WORKER = Path(__file__).with_name("rotation_worker.py")
FILLING = [f"{write}.{side}" for write in ("epoch.open", "entity.add", "key.make") for side in ("before", "after")]
ROTATING = [
    *(f"epoch.{what}.{side}" for what in ("open", "schedule", "destroy") for side in ("before", "after")),
    *(f"epoch.rewrap.{side}:{n}" for side in ("before", "after") for n in (1, 4, 9)),
    "key.destroy.before",
    "key.destroy.after",
]


def run(folder: Path, act: str, fault: str = "") -> int:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LAKEHOUSE_")}
    done = subprocess.run(
        [sys.executable, str(WORKER), str(folder), act],
        env={**environment, faults.VARIABLE: fault},
        capture_output=True,
        text=True,
        check=False,
        cwd=WORKER.parents[2],
    )
    assert done.returncode in (0, -9), done.stderr
    return done.returncode


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A filled vault, and all its keys."""
    folder = tmp_path_factory.mktemp("filled") / "lake"
    assert run(folder, "fill") == 0
    return folder, everything(opened(str(folder)))


def wrapped_by(lake):
    with lake.control.read() as connection:
        return {
            number
            for table, _ in purposes.TABLES
            for number in connection.execute(sa.select(table.c.epoch).distinct()).scalars()
        }


@pytest.mark.slow
@pytest.mark.parametrize("fault", FILLING)
def test_killed_while_filling_everybody_has_one_surrogate_and_one_key(tmp_path, fault):
    assert run(tmp_path / "lake", "fill", fault) == -9, "the point was never passed"
    assert run(tmp_path / "lake", "fill") == 0
    lake = opened(str(tmp_path / "lake"))
    with lake.control.read() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(entity_table)).scalar_one() == PEOPLE
    assert verification.verify(lake).findings == ()


@pytest.mark.slow
@pytest.mark.parametrize("fault", ROTATING)
def test_killed_while_rotating_every_key_opens_and_the_next_run_ends_it(tmp_path, filled, fault):
    full, keys = filled
    folder = tmp_path / "lake"
    shutil.copytree(full, folder)
    assert run(folder, "rotate", fault) == -9, "the point was never passed"
    lake = opened(str(folder))
    assert everything(lake) == keys
    assert verification.verify(lake).findings == ()
    assert run(folder, "rotate") == 0
    assert everything(lake) == keys
    assert verification.verify(lake).findings == ()
    assert wrapped_by(lake) == {epochs.current(lake).number}
    with lake.control.read() as connection:
        states = connection.execute(sa.select(epoch_table.c.state).order_by(epoch_table.c.number)).scalars().all()
    assert states == ["destroyed"] * (len(states) - 1) + ["current"]
