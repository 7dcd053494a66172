"""Actors of the protocol machine: real storage calls, each in a greenlet that is parked at every fault point.

The machine lets one actor run at a time, so the interleaving is what it draws and nothing else. A killed actor passes no
further fault point: every write stands behind one, so it writes nothing more, and `Stage.kill` proves that by the lake's
files. An interrupted one (Ctrl-C) cleans up after itself, which may be interleaved and killed too.
"""

from __future__ import annotations

import itertools
import os
import shutil
import time
import uuid
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar

import greenlet
import pytest

from lakehouse import storage
from lakehouse.errors import StorageError
from lakehouse.settings import load_settings
from lakehouse.storage import commits, control, faults, files, leases, protocol, recovery

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

ROOT = Path(__file__).resolve().parents[2]
#: The machine's way of saying that every lease has run out.
LONG = 2 * leases.DEFAULT_TTL.total_seconds()
MOST_POINTS = 400  # no operation passes more; one that does runs in circles


class Killed(BaseException):
    """The process is gone."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C: the actor's cleanup runs."""


class Actor:
    """One process: its work stops at each fault point until the stage lets it go on.

    Attributes:
        number: what stands in the lease for its process id.
        at: the point it is parked at, empty once it has ended.
        ended: `done`, `failed`, `interrupted` or `killed`.
        tokens: the tokens it has, by table.
        taken: whether somebody's vacuum has taken files from it.
    """

    def __init__(self, number: int, name: str, work: Callable[[Actor], Any]) -> None:
        self.number, self.name = number, name
        self.at, self.ended = "", ""
        self.killed = self.taken = False
        self.error: Exception | None = None
        self.result: Any = None
        self.tokens: dict[str, int] = {}
        self._greenlet = greenlet.greenlet(lambda: self._run(work))
        self._stage: greenlet.greenlet | None = None

    def __repr__(self) -> str:
        return f"<{self.name} at {self.at or self.ended}>"

    def go(self, error: BaseException | None = None) -> None:
        """Run to the next point, or to the end."""
        self._stage = greenlet.getcurrent()
        if error is None:
            self._greenlet.switch()
        else:
            self._greenlet.throw(error)

    def park(self, point: str) -> None:
        if self.killed:  # cleanup code of a process that is gone
            raise Killed
        self.at = point
        assert self._stage is not None
        self._stage.switch()

    def _run(self, work: Callable[[Actor], Any]) -> None:
        try:
            self.result = work(self)
            self.ended = "done"
        except Killed:
            self.ended = "killed"
        except Interrupted:
            self.ended = "interrupted"
        except Exception as error:  # noqa: BLE001 - the machine judges it
            self.error, self.ended = error, "failed"
        self.at = ""


class _Inline:
    """A thread pool without threads: an actor can only be parked in its own greenlet."""

    def __init__(self, *_: object) -> None: ...

    def __enter__(self) -> _Inline:
        return self

    def __exit__(self, *_: object) -> None: ...

    map = staticmethod(map)


class Stage:
    """A lake of its own, a clock that can be moved, and the actors at work on it."""

    workshop: ClassVar[Path]
    _copies: ClassVar[itertools.count[int]] = itertools.count()

    def __init__(self) -> None:
        self.folder = self.workshop / f"lake-{next(self._copies)}"
        shutil.copytree(_template(self.workshop), self.folder)
        self.actors: list[Actor] = []
        self.current: Actor | None = None
        self.writing = False
        self.gone: set[int] = set()
        self.late = 0.0  # seconds that the clocks are ahead
        self._patch = pytest.MonkeyPatch()
        self._install()
        self.settings = load_settings(ROOT, lake=str(self.folder))
        self.lake = storage.open_lake(self.settings)
        self.database = self.lake.control.engine.url.database

    def start(self, name: str, work: Callable[[Actor], Any]) -> Actor:
        """Begin somebody's work and stop it at its first point."""
        actor = Actor(len(self.actors) + 1, name, work)
        self.actors.append(actor)
        self._resume(actor)
        return actor

    def run_to(self, actor: Actor, point: str) -> None:
        """Let an actor run until it has come to a point, or to its end."""
        for _ in range(MOST_POINTS):
            if actor.ended or actor.at == point:
                return
            self._resume(actor)
        raise AssertionError(f"{actor.name} passes one point after the other")

    def step(self, actor: Actor) -> None:
        """Let an actor run to its next point."""
        self._resume(actor)

    def kill(self, actor: Actor, *, seen: bool) -> None:
        """End a process as kill -9 does; `seen` if others on its machine can tell that it is gone."""
        before = self.content()
        actor.killed = True
        self._resume(actor, Killed())
        assert actor.ended == "killed", f"{actor.name} survived its death: {actor.ended}"
        assert self.content() == before, f"{actor.name} wrote after its death"
        if seen:
            self.gone.add(actor.number)

    def interrupt(self, actor: Actor) -> None:
        self._resume(actor, Interrupted())

    def time_out(self, actor: Actor) -> None:
        self._resume(actor, StorageError("time-out"))

    def lapse(self) -> None:
        """Let every lease run out."""
        self.late += LONG

    def close(self) -> None:
        """End everybody, put everything back and remove the lake."""
        try:
            for actor in self.actors:
                if not actor.ended:  # else the garbage collector would run its cleanup, in whatever lake
                    actor.killed = True
                    self._resume(actor, Killed())
        finally:
            self._patch.undo()
            self.lake.control.dispose()
            for path in self.folder.rglob("*"):
                path.chmod(0o755)
            shutil.rmtree(self.folder)

    def _resume(self, actor: Actor, error: BaseException | None = None) -> None:
        self.current = actor
        try:
            actor.go(error)
        finally:
            self.current = None

    def _install(self) -> None:
        known, take = faults.point, recovery.take
        write, micros = control.ControlDatabase.write, control.ControlDatabase.micros
        numbers = itertools.count(1)

        def point(name: str) -> None:
            known(name)
            if self.current is not None and not self.writing:
                self.current.park(name)

        @contextmanager
        def written(me: control.ControlDatabase, name: str) -> Generator[Any]:
            with write(me, name) as connection:
                self.writing = True  # nobody is parked in a transaction: all others would wait for it
                try:
                    yield connection
                finally:
                    self.writing = False

        def taken(*of: Any, **more: Any) -> Any:
            held, dirty = take(*of, **more)
            if self.current is not None:
                self.current.tokens[held.key] = held.token
            return held, dirty

        def unique() -> uuid.UUID:
            # not random: a run that is repeated must be the same run, also where files are taken in their names' order
            return uuid.UUID(int=next(numbers) * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128)

        self._patch.setattr(faults, "point", point)
        self._patch.setattr(recovery, "take", taken)
        self._patch.setattr(commits, "ThreadPoolExecutor", _Inline)
        self._patch.setattr(commits, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + self.late))
        later = lambda me, connection: micros(me, connection) + int(self.late * 1e6)  # noqa: E731
        self._patch.setattr(control.ControlDatabase, "micros", later)
        self._patch.setattr(control.ControlDatabase, "write", written)
        for module in (commits, protocol, leases, files):
            self._patch.setattr(module, "uuid", SimpleNamespace(uuid4=unique))
        # who lives is asked of the stage: all actors are one process
        self._patch.setattr(leases, "_process", lambda: f"stage:{self.current.number if self.current else 0}:1")
        self._patch.setattr(leases, "_gone", lambda holder: int(holder.split(":")[1]) in self.gone)
        # what no interleaving can show costs no time: nobody pulls the plug
        self._patch.setattr(os, "fsync", lambda _: None)
        calm = [each.replace("synchronous = FULL", "synchronous = OFF") for each in control._PRAGMAS]
        self._patch.setattr(control, "_PRAGMAS", calm)

    def content(self) -> dict[str, tuple[int, int]]:
        """Every file with its size and time; a write anywhere changes it."""
        found = ((path, path.stat()) for path in self.folder.rglob("*"))
        return {str(path): (stat.st_size, stat.st_mtime_ns) for path, stat in found}


def _template(workshop: Path) -> Path:
    """An empty lake to be copied: making one takes longer than all that follows."""
    made = workshop / "template"
    if not made.exists():
        storage.create_lake(load_settings(ROOT, lake=str(made))).control.dispose()
    return made
