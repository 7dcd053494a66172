"""A holder who stands still until his lease has lapsed, and then goes on: he commits nothing and takes nothing away."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from lakehouse import storage
from tests.crash import aftermath, scenarios
from tests.crash.forked import DIES, FLAG, PAUSE, Ended, Forker, in_memory

OLD = scenarios.OLD
#: Where he stands still: while he writes files, before an intent, between an intent and its commit; raw, quarantine, staged.
WRITING = ("file.put.before", "file.put.after", "file.put.before:3", "file.put.after:5")
CHECKED = tuple(f"commit.{step}.before:{n}" for step in ("intent", "delta") for n in (1, 2, 3))
#: Here his commit is in the log already: the successor adopts it, and nothing of it comes twice.
COMMITTED = tuple(f"commit.{point}:{n}" for point in ("delta.after", "done.before") for n in (1, 2, 3))

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def forkers():
    both = Forker(), Forker()
    yield both
    for each in both:
        each.close()


@pytest.fixture
def place(forkers):
    with in_memory() as folder:
        yield folder / "lake"
        for each in forkers:
            each.stop()


@pytest.fixture(scope="module")
def wanted():
    with in_memory() as folder:
        scenarios.take(scenarios.settings_of(folder / "lake"))
        lake = storage.open_lake(scenarios.settings_of(folder / "lake"))
        yield aftermath.picture(lake, OLD)
        lake.control.dispose()


class Still:
    """A child that stands still at a fault point."""

    def __init__(self, forker: Forker, place: Path, point: str, **more: str) -> None:
        self._forker = forker
        self._flag = place.with_name(f"{place.name}-{point}")
        self.pid = forker.start("gateway", "act", place, **{PAUSE: point, FLAG: str(self._flag)}, **more)
        deadline = time.monotonic() + 60
        while not self._flag.exists():
            assert self._state(), f"`{point}` was never passed: {forker.finish().told}"
            assert time.monotonic() < deadline, f"`{point}` was not reached"
            time.sleep(0.01)
        time.sleep(0.2)  # a thread that does not stand at the point ends its transaction: nobody else could write
        os.kill(self.pid, signal.SIGSTOP)

    def go_on(self) -> Ended:
        self._flag.unlink()
        os.kill(self.pid, signal.SIGCONT)
        return self._forker.finish()

    def _state(self) -> str:
        try:
            state = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return ""
        return "" if state == "Z" else state


def lapse(place: Path) -> None:
    """As if so much time had passed: every lease that is held has run out."""
    with closing(sqlite3.connect(place / "control/control.db")) as database:
        now = int(time.time() * 1_000_000)
        changed = database.execute("update lease set expires = ? where holder is not null", (now - 1,)).rowcount
        database.commit()
    assert changed


def require_fenced_out(ended: Ended) -> None:
    assert ended.code == 1, ended
    last = [line for line in ended.told.splitlines() if line.startswith("lakehouse.errors.")]
    assert last, ended.told
    assert last[-1].startswith(("lakehouse.errors.FencedOutError", "lakehouse.errors.StorageError")), ended.told


def require_as_undisturbed(place: Path, wanted: aftermath.Picture) -> None:
    lake = storage.open_lake(scenarios.settings_of(place))
    aftermath.require_clean(lake, OLD)
    aftermath.require_same(aftermath.picture(lake, OLD), wanted)
    lake.control.dispose()


@pytest.mark.parametrize("point", [*WRITING, *CHECKED])
def test_who_lapsed_before_his_commit_cannot_commit_and_leaves_no_file(forkers, place, wanted, point):
    old = Still(forkers[0], place, point)
    lapse(place)
    ended = forkers[1].run("gateway", "act", place)
    assert ended.code == 0, ended.told
    require_fenced_out(old.go_on())
    require_as_undisturbed(place, wanted)  # without a further run: he has cleaned up after himself


@pytest.mark.parametrize("point", COMMITTED)
def test_who_lapsed_after_his_commit_is_adopted_and_nothing_comes_twice(forkers, place, wanted, point):
    old = Still(forkers[0], place, point)
    lapse(place)
    ended = forkers[1].run("gateway", "act", place)
    assert ended.code == 0, ended.told
    last = old.go_on()
    if last.code:
        require_fenced_out(last)
    require_as_undisturbed(place, wanted)


@pytest.mark.parametrize("point", ["file.delete.before", "file.delete.after", "recover.settle.before"])
def test_a_clean_up_that_lapsed_takes_nothing_of_its_successor(forkers, place, wanted, point):
    """The old holder stands still in his recovery; the new one has files that no commit names yet."""
    died_at = "commit.delta.before:3" if point.startswith("recover") else "commit.intent.before:3"
    assert forkers[0].run("gateway", "act", place, LAKEHOUSE_FAULT=died_at).code == -signal.SIGKILL
    old = Still(forkers[0], place, point)
    lapse(place)
    new = Still(forkers[1], place, "commit.intent.before")
    require_fenced_out(old.go_on())
    ended = new.go_on()
    assert ended.code == 0, ended.told
    require_as_undisturbed(place, wanted)


@pytest.mark.parametrize("point", ["file.put.before:1", "file.put.before:3"])
def test_who_lapsed_and_dies_after_one_more_file_leaves_it_to_the_next_run(forkers, place, wanted, point):
    """His successor has come and gone when the file is written, so nobody after him looks for it by himself."""
    old = Still(forkers[0], place, point, **{DIES: "1"})
    lapse(place)
    assert forkers[1].run("gateway", "act", place).code == 0
    assert old.go_on().code == -signal.SIGKILL
    ended = forkers[1].run("gateway", "act", place)
    assert ended.code == 0, ended.told
    require_as_undisturbed(place, wanted)
