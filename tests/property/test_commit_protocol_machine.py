"""The commit protocol as a state machine: two writers, an eraser, clean-ups, recoverers and crashes in any order.

`protocol_machines` says what may happen, `protocol_actors` has the stage, `protocol_work` what actors do, `protocol_model`
what must hold after each step, `protocol_guards` what is switched off to see that the model notices.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from lakehouse.storage import delta
from tests.property.protocol_actors import Stage
from tests.property.protocol_guards import GUARDS
from tests.property.protocol_machines import Protocol, Recoverers, Writers

#: What a dead holder may leave: a commit that never came and its file, one that nobody settled, retired files.
LEFT = [
    ("deliver", "commit.delta.before"),
    ("deliver", "commit.delta.after"),
    ("erase", "file.delete.before"),
]
EXAMPLES, STEPS = 12, 20


def run(machine: type[Protocol], *, examples: int, steps: int, shrink: bool = True, **more: object) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=(Phase.explicit, Phase.reuse, Phase.generate, *([Phase.shrink] if shrink else [])),
            **more,
        ),
    )


@pytest.fixture(autouse=True, scope="module")
def _workshop(tmp_path_factory):
    Stage.workshop = tmp_path_factory.mktemp("protocol")


def test_a_short_run_of_both_machines():
    run(Writers, examples=2, steps=6)
    run(Recoverers, examples=2, steps=6)


@pytest.mark.slow
@pytest.mark.parametrize("machine", [Writers, Recoverers])
def test_no_interleaving_breaks_the_protocol(machine):
    run(machine, examples=EXAMPLES, steps=STEPS)


@pytest.fixture
def play():
    """A machine that is played by hand."""
    machine = Writers()
    yield machine
    machine.stage.close()


@pytest.mark.slow
@pytest.mark.parametrize("name", GUARDS)
def test_the_play_of_a_guard_is_quiet(play, name):
    play.open(raw=GUARDS[name].raw, survivors=True, made=True)
    GUARDS[name].play(play)
    play.finish()


@pytest.mark.slow
@pytest.mark.parametrize("name", GUARDS)
def test_the_machine_notices(play, name, monkeypatch):
    GUARDS[name].off(monkeypatch)
    play.open(raw=GUARDS[name].raw, survivors=True, made=True)
    with pytest.raises(AssertionError, match=GUARDS[name].seen):
        GUARDS[name].play(play)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "at"), LEFT)
def test_recoveries_may_die_twice_at_each_of_their_points(play, kind, at):
    """In one lake: the next dead writer leaves the same, and the recoveries die one point later."""
    play.open(raw=True, survivors=True, made=True)
    points, ended = 0, False
    while not ended:
        points += 1
        play.begins("deliver")
        play.dies(kind, at)
        ended = not dies_behind(play, points)
        dies_behind(play, points)
        play.begins("recover")
    assert points > 5
    play.finish()


def dies_behind(play: Protocol, points: int) -> bool:
    """A recovery dies so many points behind its start, if it has that many."""
    actor = play.begins("recover", "lease.take.before")
    for _ in range(points):
        if not actor.ended:
            play.stage.step(actor)
    play.check()
    if actor.ended:
        return False
    play.stage.kill(actor, seen=True)
    return True


@pytest.mark.slow
@pytest.mark.parametrize("raw", [True, False], ids=["raw", "staged"])
def test_what_an_overtaken_holder_puts_late_goes_with_the_next_one(play, raw):
    """He is slow between the look at his lease and the file, dies behind it, and his successor was done by then."""
    play.open(raw=raw, survivors=True, made=True)
    slow = play.begins("deliver", "file.put.before")
    play.stage.lapse()
    play.begins("two_changes")
    play.stage.run_to(slow, "file.put.after")
    play.check()
    late = play.desk.unreferenced()
    assert late
    play.stage.kill(slow, seen=True)
    play.begins("deliver")
    assert not any(path.exists() for path in late)
    play.finish()


@pytest.mark.parametrize("place", ["before", "between"])
def test_a_new_generation_is_committed_by_who_has_the_lease(play, monkeypatch, place):
    """delta-rs cannot pin the version of that commit: nobody may come between the look at it and the commit."""
    play.open(raw=False, survivors=True, made=True)
    play.begins("flush")  # rebuilds of an odd number change the layout
    look, refused = delta._require_version, []

    def looked(table, change):
        look(table, change)
        if place == "between" and change.shape == "generation":
            with closing(sqlite3.connect(play.stage.database, timeout=0)) as other:
                with pytest.raises(sqlite3.OperationalError, match="locked"):
                    other.execute("BEGIN IMMEDIATE")  # as `take` does
                refused.append(change.version)

    monkeypatch.setattr(delta, "_require_version", looked)
    slow = play.begins("rebuild", "lease.renew.before")
    assert slow.at
    if place == "before":
        play.stage.lapse()
        play.begins("deliver")
    play.goes_on(slow)
    assert (slow.ended, refused) == (("done", [1]) if place == "between" else ("failed", []))
    play.finish()
