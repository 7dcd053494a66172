"""Recovery: what earlier holders left is finished or dropped before anybody else writes.

An open intent whose version is in the log is done; else a fence takes the next version, so that a holder who is only slow
can never commit any more, and the log is read once again. Files that nobody can commit any more are deleted, in raw too:
no reader has ever seen them, and they may hold clear values.
"""

# pyarrow and deltalake ship no or partial types: what they give back is unknown to the checker in every line of this file.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownParameterType=false, reportMissingTypeStubs=false

# ruff: noqa: PLR0402 - `from lakehouse.storage import x` would go through the package's re-exports, an import cycle.

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import lakehouse.storage.delta as delta
import lakehouse.storage.files as files
import lakehouse.storage.intents as intents
from lakehouse.errors import LeaseTakenError
from lakehouse.storage.intents import Effects
from lakehouse.storage.layout import FileName
from lakehouse.storage.leases import DEFAULT_TTL, is_dirty, release, take
from lakehouse.storage.protocol import FENCE, RETIRE, Design, commit_change

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Generator

    from lakehouse.storage.intents import Intent
    from lakehouse.storage.lake import Lake, Target
    from lakehouse.storage.leases import Held


@contextmanager
def lease(lake: Lake, table: Target, *, holder: str = "", ttl: dt.timedelta = DEFAULT_TTL) -> Generator[Held]:
    """Hold a table's lease; recovers what earlier holders left.

    Args:
        lake: the lake.
        table: the table to be changed.
        holder: a word for people about who works, such as `ingest`.
        ttl: how long others wait for a holder that stopped renewing; each commit and each few writes renew.

    Raises:
        LeaseTakenError: somebody else is at work.
        FencedOutError: the lease has lapsed, and somebody else has taken it and cleaned up.
    """
    held, dirty = take(lake, table, holder=holder, ttl=ttl)
    clean = False
    try:
        if dirty:
            recover(lake, table, held)
        yield held
        clean = True
    except FileNotFoundError:
        held.renew()  # a holder whose lease has lapsed misses files that his successor took away: this tells him so
        raise
    finally:
        release(held, clean=clean)


def recover(lake: Lake, table: Target, held: Held) -> None:
    """Settle open intents of older holders and delete the files they never committed."""
    uri = lake.uri(table)
    left = [intent for intent in intents.open_intents(lake, table) if intent.token < held.token]
    waiting = [intent for intent in left if not _finish(lake, uri, intent)]
    delete_retired(lake, table)
    if not waiting and not _orphans(lake, table, held):
        return
    _fence(held, waiting)
    late = [intent for intent in waiting if not _finish(lake, uri, intent)]
    if late:
        intents.settle(lake, None, dropped=late, name="recover.settle")
    # INVARIANT: only after the fence: before it, an older holder could still commit these files.
    kept = [name for name in _orphans(lake, table, held) if not files.delete(files.join(uri, name))]
    if kept:
        intents.give_up(lake, held, kept)


def delete_retired(lake: Lake, table: Target) -> int:
    """Delete the files that commits of kind `retire` have removed from a table; how many of them are gone now.

    A store deletes none before its lock has ended; `maintain` tries again.

    Whoever retires calls this under the table's lease after the commit, which fences older holders out; recovery does when
    he died before.
    """
    uri = lake.uri(table)
    retired = {
        path
        for intent in intents.settled(lake.control, lake.key(table))
        if intent.kind == RETIRE
        for path in intent.body["removes"]
    }
    left = sorted(retired.intersection(files.names(uri))) if retired else []
    return sum(files.delete(files.join(uri, name)) for name in left)


def recover_if_dirty(lake: Lake, table: Target) -> None:
    """Recover a table now if a dead holder left something and nobody works on it."""
    if is_dirty(lake, table):
        with suppress(LeaseTakenError), lease(lake, table, holder="recovery"):
            pass


def fence(held: Held) -> int | None:
    """Make every older holder of the table fail; None when there is no table yet."""
    table = delta.handle(held.lake.uri(held.table))
    if table is None:
        return None
    return _commit_fence(held, Design(delta.table_schema(table)))


def _fence(held: Held, waiting: list[Intent]) -> None:
    if fence(held) is None and waiting:
        # the table's first commit never came: the fence creates the table, empty, as that commit would have
        body = waiting[0].body
        _commit_fence(held, Design(waiting[0].schema, body["description"], tuple(body["configuration"].items())))


def _commit_fence(held: Held, design: Design) -> int:
    note = {"kind": FENCE, "inputs": {}, "months": []}
    return commit_change(held, design, adds=(), removes=(), note=note, effects=Effects())


def _finish(lake: Lake, uri: str, intent: Intent) -> bool:
    found = intents.landed(uri, intent)
    if found is None:
        return False
    intents.settle(lake, found, name="recover.settle")
    return True


def _orphans(lake: Lake, table: Target, held: Held) -> list[str]:
    """Files of older holders that no version of the table, no settled commit and no open intent names.

    Their holders cannot commit them any more: an intent is only recorded by who has the lease, and needs the file.
    """
    uri = lake.uri(table)
    ours = [name for name in files.names(uri) if (said := FileName.parse(name)) and said.token < held.token]
    if not ours:
        return []
    handle = delta.handle(uri)
    present = set(delta.active(handle)["path"].to_list()) if handle is not None else set[str]()
    with lake.control.read() as connection:
        given_up = intents.given_up(connection).get(held.key, frozenset[str]())
    known = present | intents.named_paths(lake, table) | given_up
    left = [name for name in ours if name not in known]
    # The log is read last and seldom: a control database from a backup may have forgotten what the table once held.
    history = delta.ever_added(uri, handle) if left and handle is not None else frozenset[str]()
    return [name for name in left if name not in history]
