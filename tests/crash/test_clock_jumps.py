"""The database's clock jumps a day ahead or back, between runs and in the middle of one; the process's own clock is not asked."""

from __future__ import annotations

import datetime as dt
import time

import pytest

from lakehouse import storage
from lakehouse.errors import FencedOutError, LeaseTakenError, StorageError
from lakehouse.storage import faults
from lakehouse.storage.control import ControlDatabase, lease_table
from tests.crash import aftermath, scenarios
from tests.crash.forked import in_memory

OLD = scenarios.OLD
DAY = dt.timedelta(days=1)
JUMPS = pytest.mark.parametrize("jump", [DAY, -DAY, 400 * DAY, -400 * DAY], ids=["+1d", "-1d", "+400d", "-400d"])
POINTS = (
    "lease.take.after",
    "manifest.reserve.after",
    "commit.intent.before",
    "commit.delta.before",
    "commit.done.before:3",
)
pytestmark = pytest.mark.slow

ELSEWHERE = "another-boot.4026531836:999999999:1/x/ingest"


class Clock:
    """The database's clock, and how far off it is."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.off = dt.timedelta(0)
        self._patch = patch

    def jump_at(self, point: str, jump: dt.timedelta) -> None:
        """Jump once, at the n-th passing of a fault point."""
        name, _, nth = point.partition(":")
        original, passed = faults.point, [0]

        def watched(said: str) -> None:
            original(said)
            passed[0] += said == name
            if said == name and passed[0] == int(nth or 1):
                self.off = jump

        self._patch.setattr(faults, "point", watched)


@pytest.fixture
def clock(monkeypatch) -> Clock:
    made, original = Clock(monkeypatch), ControlDatabase.micros

    def micros(self, connection) -> int:
        return original(self, connection) + made.off // dt.timedelta(microseconds=1)

    monkeypatch.setattr(ControlDatabase, "micros", micros)
    return made


@pytest.fixture(scope="module")
def wanted():
    with in_memory() as folder:
        scenarios.take(scenarios.settings_of(folder / "lake"))
        lake = storage.open_lake(scenarios.settings_of(folder / "lake"))
        yield aftermath.picture(lake, OLD)
        lake.control.dispose()


def require_whole(settings, wanted) -> None:
    scenarios.take(settings)
    lake = storage.open_lake(settings)
    aftermath.require_clean(lake, OLD)
    aftermath.require_same(aftermath.picture(lake, OLD), wanted)


@JUMPS
def test_between_two_files_no_row_is_lost_and_none_comes_twice(lake_settings, wanted, clock, jump):
    scenarios.take(lake_settings, files=scenarios.FILES[:1])
    clock.off = jump
    scenarios.take(lake_settings, files=scenarios.FILES[1:])
    clock.off = -jump
    require_whole(lake_settings, wanted)


@pytest.mark.parametrize("jump", [DAY, -DAY], ids=["+1d", "-1d"])
@pytest.mark.parametrize("point", POINTS)
def test_in_the_middle_of_a_run_it_ends_as_ever(lake_settings, wanted, clock, jump, point):
    clock.jump_at(point, jump)
    scenarios.take(lake_settings)
    assert clock.off == jump, f"`{point}` was never passed"
    require_whole(lake_settings, wanted)


@JUMPS
def test_the_process_has_no_clock_of_its_own(lake_settings, wanted, monkeypatch, jump):
    """Neither rows nor leases ask it: a machine whose clock is wrong works like any other."""
    original = time.time
    monkeypatch.setattr(time, "time", lambda: original() + jump.total_seconds())
    require_whole(lake_settings, wanted)


@pytest.mark.parametrize("point", ["manifest.reserve.after", "commit.intent.before", "commit.delta.before"])
def test_a_holder_whose_lease_a_jump_has_ended_is_fenced_out_by_the_next(
    lake_settings, wanted, clock, monkeypatch, point
):
    """The clock jumps ahead in the middle of a run, and another one comes in at that moment."""
    storage.create_lake(lake_settings)
    original, done = faults.point, []

    def watched(said: str) -> None:
        original(said)
        if said == point and not done:
            done.append(said)
            clock.off = DAY
            scenarios.take(lake_settings)

    monkeypatch.setattr(faults, "point", watched)
    with pytest.raises((FencedOutError, StorageError)):
        scenarios.take(lake_settings)
    monkeypatch.setattr(faults, "point", original)
    require_whole(lake_settings, wanted)


@JUMPS
def test_a_living_holders_lease_is_never_held_by_two(lake, clock, jump):
    with storage.lease(lake, OLD.id) as first:
        clock.off = jump
        try:
            with storage.lease(lake, OLD.id) as second:
                assert second.token > first.token
                with pytest.raises(FencedOutError):
                    first.renew()
        except LeaseTakenError:
            first.renew()


def test_a_lease_from_the_future_is_not_waited_for(lake, clock):
    """Its holder cannot be looked at, and the clock was set back: nobody waits until it is tomorrow again."""
    clock.off = DAY
    with storage.lease(lake, OLD.id):
        with lake.control.engine.begin() as connection:
            connection.execute(lease_table.update().values(holder=ELSEWHERE))
        with pytest.raises(LeaseTakenError):
            storage.lease(lake, OLD.id).__enter__()
        clock.off = dt.timedelta(0)
        assert not storage.is_held(lake, OLD.id)
        with storage.lease(lake, OLD.id) as held:
            assert held.token == 2


def test_a_clock_that_is_set_back_by_a_minute_ends_no_lease(lake, clock):
    with storage.lease(lake, OLD.id) as held:
        clock.off = -dt.timedelta(minutes=1)
        assert storage.is_held(lake, OLD.id)
        with pytest.raises(LeaseTakenError):
            storage.lease(lake, OLD.id).__enter__()
        held.renew()
