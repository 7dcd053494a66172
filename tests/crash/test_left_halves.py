"""Half-written small files of who died before he could name them go with the next run."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from lakehouse import storage
from tests.crash import aftermath, scenarios
from tests.crash.forked import Forker

HALF = "0123456789abcdef" * 2


@pytest.fixture(scope="module")
def forker():
    one = Forker()
    yield one
    one.close()


@pytest.mark.parametrize(
    ("fault", "left"),
    [
        ("chain.flush.before", f"system/chains/raw/.000000000001.json.{HALF}.part"),
        ("lake.marker.before", f".lake.json.{HALF}.part"),
    ],
)
def test_a_half_that_a_dead_process_has_left_is_gone_after_the_next_run(forker, tmp_path, fault, left):
    place = tmp_path / "lake"
    assert forker.run("gateway", "act", place, LAKEHOUSE_FAULT=fault).code == -signal.SIGKILL
    half = Path(place, left)
    half.parent.mkdir(parents=True, exist_ok=True)
    half.write_bytes(b"{")
    ended = forker.run("gateway", "act", place)
    assert ended.code == 0, ended.told
    lake = storage.open_lake(scenarios.settings_of(place))
    aftermath.require_clean(lake, scenarios.OLD)
    lake.control.dispose()
