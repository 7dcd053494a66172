"""`kill -9` while a consent file is taken, then again: each line counts once, and what is in force is what it says."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lakehouse import storage
from lakehouse.contract.load import load_project
from lakehouse.privacy.consent import CONSENT, CURRENT, renew
from lakehouse.settings import load_settings

WORKER = Path(__file__).with_name("consent_worker.py")
TEXT = (
    "entity_type,id,purpose,said,valid_from,source,expires_on\n"
    "client,1,offers,given,2020-01-01T00:00:00Z,crm,\n"
    "client,2,offers,given,2020-01-01T00:00:00Z,crm,\n"
    "client,2,offers,withdrawn,2020-01-01T00:00:00Z,crm,\n"
)
#: Two commits, of the events and of what is in force.
POINTS = (
    "entity.add.after",
    "file.put.after",
    "commit.intent.after",
    "commit.delta.after",
    "commit.done.after",
    "file.put.after:2",
    "commit.intent.after:2",
    "commit.delta.after:2",
    "commit.done.after:2",
)

pytestmark = pytest.mark.slow


def run(project_root: Path, lake: Path, file: Path, *, fault: str = "") -> int:
    environment = {**os.environ, "LAKEHOUSE_FAULT": fault, "PYTHONPATH": str(project_root)}
    command = [sys.executable, str(WORKER), str(project_root), str(lake), str(file)]
    return subprocess.run(command, env=environment, check=False, capture_output=True).returncode


@pytest.mark.parametrize("point", POINTS)
def test_killed_and_taken_again_each_line_counts_once(project_root, tmp_path, point):
    place, file = tmp_path / "lake", tmp_path / "consent.csv"
    file.write_text(TEXT)
    assert run(project_root, place, file, fault=point) == -signal.SIGKILL, f"`{point}` is never passed"
    assert file.exists()
    lake = storage.open_lake(load_settings(project_root, lake=str(place)))
    renew(lake, load_project(project_root), asks={"offers": "client"})  # a reader comes in between
    assert run(project_root, place, file) == 0
    assert not file.exists()
    assert storage.snapshot(lake, CONSENT).rows == 3
    assert storage.scan(lake, CURRENT).collect()["given"].sort().to_list() == [False, True]
