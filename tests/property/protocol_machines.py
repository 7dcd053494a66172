"""The two machines of the commit protocol: what may happen, in rules that hypothesis draws or a test plays by hand.

`Writers` has two writers, an eraser, clean-ups and crashes in any order. `Recoverers` leaves something half done first and
lets recoverers race, die and begin again. After each rule, and between the parts of a long one, the model is asked.
"""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.property.protocol_actors import Actor, Stage
from tests.property.protocol_model import Model
from tests.property.protocol_work import RAW, STAGED, Desk

#: Where an actor is parked, the places where most is half done more often; "" is its end.
WRITING = ("file.put.after", "commit.intent.before", "commit.delta.before", "commit.delta.after")
PLACES = (
    "",
    *WRITING,
    *WRITING,
    "lease.take.after",
    "file.put.before",
    "commit.done.before",
    "commit.done.after",
    "chain.flush.before",
    "recover.settle.before",
    "recover.settle.after",
    "file.delete.before",
    "file.delete.after",
    "lease.release.before",
    "lease.renew.before",
)
#: The same for a recovery.
RECOVERY_PLACES = (
    "",
    "lease.take.after",
    "recover.settle.before",
    "recover.settle.after",
    "commit.intent.before",
    "commit.delta.before",
    "commit.delta.after",
    "commit.done.before",
    "commit.done.after",
    "file.delete.before",
    "file.delete.after",
    "lease.release.before",
)
ENDS = (*("" for _ in PLACES), *PLACES)
ANYWHERE = ("deliver", "deliver", "erase", "recover", "recover_if_dirty", "flush", "two_changes")
ONLY_STAGED = ("rebuild", "rebuild", "merge", "sweep")  # with raw they are deliveries
places, ends = st.sampled_from(PLACES), st.sampled_from(ENDS)
LEAVING = ("deliver", "deliver", "erase", "rebuild", "merge", "two_changes")
RECOVERING = ("recover", "recover", "recover_if_dirty", "deliver")
recoveries = st.sampled_from(RECOVERY_PLACES)
numbers = st.integers(0, 2)
comers = st.tuples(st.sampled_from(ANYWHERE + ONLY_STAGED), numbers)


def parked() -> st.SearchStrategy[Actor]:
    return st.runner().flatmap(lambda machine: st.sampled_from(machine.alive()))


class Protocol(RuleBasedStateMachine):
    """What both machines share: the stage, the actors' fate, the model."""

    MOST_AT_ONCE = 4

    def __init__(self) -> None:
        super().__init__()
        self.stage: Stage | None = None
        self.broken = False

    def alive(self) -> list[Actor]:
        assert self.stage is not None
        return [actor for actor in self.stage.actors if not actor.ended]

    def room(self) -> bool:
        return len(self.alive()) < self.MOST_AT_ONCE

    def begin(self, kind: str, number: int, until: str) -> Actor:
        """Let somebody come and work until he is parked."""
        if self.desk.raw and kind in ONLY_STAGED:
            kind = "deliver"
        work = self.desk.new(kind)
        if kind == "deliver":  # of the oldest batches that nobody has taken: at times the same as another writer's
            left = self.model.undelivered()
            work.batch = left[number % len(left)] if left else self.desk.arrives(("a", "b", "ab")[number])
        elif kind == "erase":
            work.key = "ab"[number % 2]
        work.actor = self.stage.start(f"{kind} {work.number}", self.desk.does(work))
        self.stage.run_to(work.actor, until)
        return work.actor

    @initialize(raw=st.booleans(), survivors=st.booleans(), made=st.booleans())
    def open(self, raw: bool, survivors: bool, made: bool) -> None:
        self.survivors = survivors
        self.stage = Stage()
        self.desk = Desk(self.stage.lake, RAW if raw else STAGED)
        self.model = Model(self.stage, self.desk)
        if made:  # else the first commit, which makes the table, is part of the play
            self.again("deliver", batch=self.desk.arrives("ab"))

    @precondition(lambda self: self.stage and self.alive())
    @rule(actor=parked(), until=ends)
    def go_on(self, actor: Actor, until: str) -> None:
        self.stage.step(actor)
        self.stage.run_to(actor, until)

    @precondition(lambda self: self.stage and self.alive())
    @rule(actor=parked(), seen=st.booleans())
    def die(self, actor: Actor, seen: bool) -> None:
        self.stage.kill(actor, seen=seen)

    @invariant()
    def holds(self) -> None:
        if self.stage is not None:
            self.check()

    def check(self) -> None:
        self.broken = True  # what comes after a broken promise says nothing
        self.model.check()
        self.broken = False

    def teardown(self) -> None:
        if self.stage is None:
            return
        try:
            if not self.broken:
                self.finish()
        finally:
            self.stage.close()

    def begins(self, kind: str, until: str = "") -> Actor:
        """As the rules do it, for a play by hand."""
        actor = self.begin(kind, 0, until)
        self.check()
        return actor

    def goes_on(self, actor: Actor) -> None:
        self.stage.run_to(actor, "")
        self.check()

    def dies(self, kind: str, at: str) -> None:
        self.stage.kill(self.begins(kind, at), seen=True)
        self.check()

    def vacuum(self) -> None:
        for path in self.desk.unreferenced():
            path.unlink()
        for actor in self.alive():
            actor.taken = True

    def finish(self) -> None:
        """Everybody ends or dies; then one recovery and one more run of what is unfinished must give the model's rows."""
        for actor in self.alive():
            if self.survivors:
                self.stage.run_to(actor, "")
            else:
                self.stage.kill(actor, seen=True)
            self.check()
        self.stage.lapse()
        for kind in ("recover", "recover_ledger", "two_changes" if self.desk.raw else "sweep"):
            self.again(kind)
        for batch in sorted({*list(self.desk.rows)[:1], *self.model.undelivered()}):  # the first may well be there
            self.again("deliver", batch=batch)
        for key in sorted({work.key for work in self.desk.works if work.kind == "erase"}):
            self.again("erase", key=key)
        self.again("flush")
        self.model.check_end()

    def again(self, kind: str, **what: object) -> None:
        work = self.desk.new(kind, **what)
        self.desk.does(work)(None)
        self.check()


class Writers(Protocol):
    """Two writers, an eraser and whoever cleans up."""

    @precondition(lambda self: self.stage and self.room())
    @rule(who=comers, until=places, waits=st.booleans())
    def come(self, who: tuple[str, int], until: str, waits: bool) -> None:
        """Somebody comes; he is refused while another one's lease runs, unless he waits."""
        if waits:
            self.stage.lapse()
        self.begin(*who, until)

    @precondition(lambda self: self.stage and self.room())
    @rule(slow=comers, at=places, quick=comers, until=ends, then=ends)
    def overtake(self, slow: tuple[str, int], at: str, quick: tuple[str, int], until: str, then: str) -> None:
        """One is slow, his lease runs out, another one comes; then he goes on as if nothing had happened."""
        self.stage.lapse()
        actor = self.begin(*slow, at)
        self.check()
        self.stage.lapse()
        self.begin(*quick, until)
        self.check()
        if not actor.ended:
            self.stage.step(actor)
            self.stage.run_to(actor, then)

    @precondition(lambda self: self.stage and self.alive())
    @rule(actor=parked(), until=ends)
    def interrupt(self, actor: Actor, until: str) -> None:
        self.stage.interrupt(actor)
        self.stage.run_to(actor, until)

    @precondition(lambda self: self.stage and self.at_the_log())
    @rule(data=st.data(), until=ends)
    def time_out(self, data: st.DataObject, until: str) -> None:
        """The store did not answer: the commit may have landed or not."""
        actor = data.draw(st.sampled_from(self.at_the_log()))
        self.stage.time_out(actor)
        self.stage.run_to(actor, until)

    def at_the_log(self) -> list[Actor]:
        return [actor for actor in self.alive() if actor.at.startswith("commit.delta.")]

    @precondition(lambda self: self.stage and not self.at_work() and self.desk.unreferenced())
    @rule()
    def foreign_vacuum(self) -> None:
        """Not while somebody is about to commit: between the look at its files and the commit nothing helps."""
        self.vacuum()

    def at_work(self) -> bool:
        return any(actor.at.startswith("commit.") for actor in self.alive())


class Recoverers(Protocol):
    """Somebody leaves something half done; two recoverers race, die at any of their own points and begin again."""

    MOST_AT_ONCE = 3

    @precondition(lambda self: self.stage and self.room())
    @rule(who=st.tuples(st.sampled_from(LEAVING), numbers), at=places, dead=st.booleans(), seen=st.booleans())
    def leave(self, who: tuple[str, int], at: str, dead: bool, seen: bool) -> None:
        """A writer stops in the middle: it is gone, or only slow."""
        self.stage.lapse()
        actor = self.begin(*who, at)
        if dead and not actor.ended:
            self.check()
            self.stage.kill(actor, seen=seen)

    @precondition(lambda self: self.stage and self.room())
    @rule(who=st.tuples(st.sampled_from(RECOVERING), numbers), until=recoveries, waits=st.booleans())
    def recover(self, who: tuple[str, int], until: str, waits: bool) -> None:
        if waits:
            self.stage.lapse()
        self.begin(*who, until)

    @precondition(lambda self: self.stage and self.room())
    @rule(first=recoveries, second=recoveries, then=recoveries)
    def race(self, first: str, second: str, then: str) -> None:
        """Two recover at once: the first one's lease runs out."""
        self.stage.lapse()
        actor = self.begin("recover", 0, first)
        self.check()
        self.stage.lapse()
        self.begin("recover", 0, second)
        self.check()
        if not actor.ended:
            self.stage.step(actor)
            self.stage.run_to(actor, then)
