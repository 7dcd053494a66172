"""The table of guards of the commit protocol: what each does, how a test switches it off, and a play that shows it.

A play is a short run of the machine by hand. With the guard it is quiet; without it the model must name what went wrong.
"""

from __future__ import annotations

import dataclasses
from contextlib import nullcontext
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from lakehouse.storage import delta, intents, leases, protocol, recovery, witness
from lakehouse.storage.layout import FileName

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from tests.property.protocol_machines import Protocol

    Switch = Callable[[pytest.MonkeyPatch], None]


@dataclass(frozen=True)
class Guard:
    """One guard.

    Attributes:
        what: what it does.
        where: module and name.
        off: switches it off.
        play: what has to happen for it to matter.
        seen: the promise that the model then finds broken.
        raw: whether the play needs an append-only table.
    """

    what: str
    where: str
    off: Switch
    play: Callable[[Protocol], None]
    seen: str
    raw: bool = False


def _set(module: Any, name: str, value: Any) -> Switch:
    return lambda patch: patch.setattr(module, name, value)


def _settled_again(patch: pytest.MonkeyPatch) -> None:
    close = intents._close

    def always(*of: Any, **more: Any) -> bool:
        close(*of, **more)
        return True

    patch.setattr(intents, "_close", always)


def _losers_stay(patch: pytest.MonkeyPatch) -> None:
    settle = intents.settle

    def alone(lake: Any, done: Any, *, dropped: Any = (), **more: Any) -> None:
        settle(lake, done, **more)

    patch.setattr(intents, "settle", alone)


def _orphans_of_anybody(patch: pytest.MonkeyPatch) -> None:
    def parse(path: str) -> FileName | None:
        said = FileName.parse(path)
        return said and dataclasses.replace(said, token=0)

    patch.setattr(recovery, "FileName", SimpleNamespace(parse=parse))


def _never_dirty(patch: pytest.MonkeyPatch) -> None:
    take = recovery.take
    patch.setattr(recovery, "take", lambda *of, **more: (take(*of, **more)[0], False))


def _not_again(patch: pytest.MonkeyPatch) -> None:
    fence, finish, fenced = recovery._fence, recovery._finish, []

    def fence_first(held: Any, waiting: Any) -> None:
        fence(held, waiting)
        fenced.extend(intent.id for intent in waiting)

    patch.setattr(recovery, "_fence", fence_first)
    patch.setattr(recovery, "_finish", lambda lake, uri, intent: intent.id not in fenced and finish(lake, uri, intent))


def _no_tokens(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(delta, "last_token", lambda _: None)
    patch.setattr(leases.Held, "confirm", lambda *_: None)


def _generation_anywhere(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(protocol, "_unopposed", lambda *_: nullcontext())
    patch.setattr(delta, "_require_version", lambda *_: None)


def _look_and_wait(patch: pytest.MonkeyPatch) -> None:
    """The look comes earlier, where an actor is parked behind it: in real life there is no more than a moment."""
    look, commit = delta._require_version, delta.commit

    def looked(uri: str, change: delta.Change, table: Any) -> None:
        if change.shape == "generation":
            look(delta.handle(uri), change)
        commit(uri, change, table)

    patch.setattr(protocol, "_unopposed", lambda *_: nullcontext())
    patch.setattr(delta, "commit", looked)
    patch.setattr(delta, "_require_version", lambda table, change: change.shape == "generation" or look(table, change))


def _at_work_at_once(patch: pytest.MonkeyPatch) -> None:
    def standing(connection: sa.Connection, *, now: int) -> dict[str, tuple[int, bool]]:
        rows = connection.execute(sa.select(leases.lease_table).where(leases.lease_table.c.dirty)).all()
        return {row.table_id: (row.token, row.holder is not None and row.expires > now) for row in rows}

    patch.setattr(witness, "standing", standing)


def _no_ghosts(patch: pytest.MonkeyPatch) -> None:
    take = recovery.take

    def taken(*of: Any, **more: Any) -> Any:
        held, dirty = take(*of, **more)
        return dataclasses.replace(held, overtook=None), dirty

    patch.setattr(recovery, "take", taken)


def _overtaken(kind: str, at: str, by: str, until: str = "") -> Callable[[Protocol], None]:
    """One is parked at a place, his lease runs out, another one comes, then both go on."""

    def play(machine: Protocol) -> None:
        slow = machine.begins(kind, at)
        machine.stage.lapse()
        quick = machine.begins(by, until)
        machine.goes_on(slow)
        machine.goes_on(quick)

    return play


def _new_generation_overtaken(machine: Protocol) -> None:
    machine.begins("flush")  # rebuilds of an odd number change the layout
    _overtaken("rebuild", "commit.delta.before", "recover")(machine)


def _no_answer(machine: Protocol) -> None:
    actor = machine.begins("deliver", "commit.delta.before")
    machine.stage.time_out(actor)
    machine.goes_on(actor)


def _interrupted(machine: Protocol) -> None:
    actor = machine.begins("deliver", "commit.delta.after")
    machine.stage.interrupt(actor)
    machine.goes_on(actor)


def _recovery_overtaken(machine: Protocol) -> None:
    machine.dies("deliver", "file.put.after")
    _overtaken("recover", "commit.done.after", "deliver", "file.put.after")(machine)


def _died_after_the_commit(machine: Protocol) -> None:
    machine.dies("deliver", "commit.delta.after")
    machine.begins("two_changes")


def _landed_before_the_fence(machine: Protocol) -> None:
    slow = machine.begins("deliver", "commit.delta.before")
    machine.stage.lapse()
    fencing = machine.begins("recover", "commit.delta.before")
    machine.stage.run_to(slow, "commit.done.before")
    machine.goes_on(fencing)
    machine.goes_on(slow)


def _retirement_died(machine: Protocol) -> None:
    machine.dies("erase", "file.delete.before")
    machine.begins("recover")


def _recovery_begins(machine: Protocol) -> None:
    machine.dies("deliver", "file.put.after")
    machine.goes_on(machine.begins("recover", "lease.take.after"))


def _put_late(machine: Protocol) -> None:
    slow = machine.begins("deliver", "file.put.before")
    machine.stage.lapse()
    machine.begins("two_changes")
    machine.stage.run_to(slow, "file.put.after")
    machine.check()
    machine.goes_on(slow)


def _vacuumed(machine: Protocol) -> None:
    actor = machine.begins("deliver", "file.put.after")
    machine.vacuum()
    machine.goes_on(actor)


GUARDS = {
    "confirm": Guard(
        "an intent is recorded by who has the lease",
        "leases.Held.confirm",
        _set(leases.Held, "confirm", lambda *_: None),
        _overtaken("deliver", "file.put.before", "deliver", "commit.intent.before"),
        "who has lost the lease",
    ),
    "tokens": Guard(
        "who has been overtaken cannot commit, by the log's token and by the lease",
        "protocol._prepare and leases.Held.confirm",
        _no_tokens,
        _overtaken("deliver", "file.put.before", "two_changes"),
        "a fenced holder has committed",
    ),
    "fence": Guard(
        "files are deleted and intents given up behind a fence only",
        "recovery._fence",
        _set(recovery, "_fence", lambda *_: None),
        _overtaken("deliver", "commit.delta.before", "recover"),
        "an intent that was given up has landed",
    ),
    "generation": Guard(
        "a new generation is committed over the version that was looked at, while nobody can take the lease",
        "protocol._unopposed and delta._require_version",
        _generation_anywhere,
        _new_generation_overtaken,
        "a fenced holder has committed",
    ),
    "nobody between": Guard(
        "nor can anybody take it between that look and the commit",
        "protocol._unopposed",
        _look_and_wait,
        _new_generation_overtaken,
        "a fenced holder has committed",
    ),
    "settled once": Guard(
        "what follows from a commit is done once",
        "intents._close",
        _settled_again,
        _overtaken("deliver", "commit.done.before", "recover"),
        "a commit was refused and has landed",
    ),
    "losers": Guard(
        "intents that lost are given up with the winner",
        "protocol.commit_change",
        _losers_stay,
        _no_answer,
        "given back clean, and an intent is open",
    ),
    "abandon": Guard(
        "files that an intent names are not deleted by an abandoned change",
        "commits.Transaction.abandon",
        _set(intents, "named_paths", lambda *_: set()),
        _interrupted,
        "references is missing",
    ),
    "orphans": Guard(
        "only files of older holders are orphans",
        "recovery._orphans",
        _orphans_of_anybody,
        _recovery_overtaken,
        "failed and had no reason to",
    ),
    "dirty": Guard(
        "whoever takes a lease recovers what its holder left",
        "leases.take",
        _never_dirty,
        _died_after_the_commit,
        "given back clean, and an intent is open",
    ),
    "look again": Guard(
        "the log is read again behind the fence",
        "recovery.recover",
        _not_again,
        _landed_before_the_fence,
        "an intent that was given up has landed",
    ),
    "retired": Guard(
        "retired files of a dead holder are deleted",
        "recovery.delete_retired",
        _set(recovery, "delete_retired", lambda *_: 0),
        _retirement_died,
        "raw_file_stays",
        raw=True,
    ),
    "recovering": Guard(
        "`verify` bears with what a dead holder left while another one recovers it",
        "leases.standing",
        _at_work_at_once,
        _recovery_begins,
        "false alarm: .*raw_file_added",
        raw=True,
    ),
    "ghosts": Guard(
        "after a holder who was overtaken and may live, everybody recovers",
        "leases.release",
        _no_ghosts,
        _put_late,
        "given back clean, and a file is there",
    ),
    "files": Guard(
        "a commit looks whether its files are there",
        "protocol._require_files",
        _set(protocol, "_require_files", lambda *_, **__: None),
        _vacuumed,
        "references is missing",
    ),
}
