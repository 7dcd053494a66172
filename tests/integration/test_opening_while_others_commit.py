"""Opening a lake while another process commits and raises the generation is never taken for a restored backup."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from lakehouse import storage
from tests.integration.restored_lake import ROOT, settings_in

pytestmark = pytest.mark.slow

SECONDS = 6
BUSY = """
import dataclasses, pathlib, sys, time
from lakehouse import storage
from lakehouse.storage.lake import raise_generation
from tests.integration.restored_lake import settings_in, take
settings = dataclasses.replace(settings_in(pathlib.Path(sys.argv[1])), lake=sys.argv[3])
lake = storage.open_lake(settings)
number, end = 0, time.monotonic() + float(sys.argv[2])
while time.monotonic() < end:
    take(lake, number)
    raise_generation(lake)
    number += 1
print(number)
"""


def test_opening_while_others_commit(tmp_path, site):
    settings = settings_in(tmp_path, site.with_raw)
    storage.create_lake(settings)
    command = [sys.executable, "-c", BUSY, str(tmp_path), str(SECONDS), settings.lake]
    opened = 0
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as busy:
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            storage.open_lake(settings)
            opened += 1
        said = busy.communicate()[0]
    assert busy.returncode == 0
    assert opened > 20
    assert int(said) > 5
