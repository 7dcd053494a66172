"""Steps 3 to 5 of the commit protocol: the intent, one Delta commit at exactly the next version, the control database.

`commits` writes the files and comes here with what the log is to say. What a commit may do to a table's metadata is
decided here too: nothing, new columns at the end, or a new generation that replaces every file.
"""

# pyarrow and deltalake ship no or partial types: what they give back is unknown to the checker in every line of this file.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownParameterType=false, reportMissingTypeStubs=false

# ruff: noqa: PLR0402 - `from lakehouse.storage import x` would go through the package's re-exports, an import cycle.

from __future__ import annotations

import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

import lakehouse.storage.delta as delta
import lakehouse.storage.files as files
import lakehouse.storage.intents as intents
from lakehouse.errors import FencedOutError, RefusedError, StorageError
from lakehouse.storage.agreement import require_known
from lakehouse.storage.control import to_micros

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    from lakehouse.storage.intents import Effects, Intent
    from lakehouse.storage.lake import Target
    from lakehouse.storage.leases import Held

ATTEMPTS = 5
FENCE, MERGE, COLUMNS, RETIRE = "fence", "merge", "columns", "retire"
#: Kinds of commits that leave a table's rows as they are.
UNCHANGED = frozenset({FENCE, MERGE, COLUMNS})


@dataclass(frozen=True)
class Design:
    """What a table is made with when its first commit creates it, or `shape` lets a commit change it.

    `retires` lets a commit remove files of an append-only table.
    """

    schema: pa.Schema
    description: str = ""
    configuration: tuple[tuple[str, str], ...] = ()
    shape: delta.Shape = "same"
    retires: bool = False


def add_columns(held: Held, schema: pa.Schema, *, effects: Effects) -> int:
    """Give a table nullable columns at its end, in a commit of its own; rows that are there have nulls.

    Args:
        held: the table's lease.
        schema: the table's schema with the new columns.
        effects: what follows from the commit.
    """
    note = {"kind": COLUMNS, "inputs": {}, "months": []}
    return commit_change(held, Design(schema, shape="columns"), adds=(), removes=(), note=note, effects=effects)


def commit_change(
    held: Held,
    design: Design,
    *,
    adds: tuple[delta.Add, ...],
    removes: Sequence[str],
    note: Mapping[str, Any],
    effects: Effects,
) -> int:
    """Steps 3 to 5 of the protocol; after an error the version is read before anything is tried anew."""
    uri = held.lake.uri(held.table)
    tried: list[Intent] = []
    note = {**note, "effects": intents.packed(intents.told(held.lake, effects))}
    trouble: StorageError | None = None
    for _ in range(ATTEMPTS):
        intent_id = uuid.uuid4().hex
        change, table = _prepare(held, design, adds=adds, removes=removes, note={**note, "intent": intent_id})
        tried.append(intents.record(held, intent_id, change, kind=str(note["kind"]), effects=effects))
        try:
            with _unopposed(held, change):
                delta.commit(uri, change, table)
        except StorageError as error:
            trouble = error
        winner = next((found for intent in tried if (found := intents.landed(uri, intent))), None)
        if winner is not None:
            losers = [intent for intent in tried if intent is not winner.intent]
            intents.settle(held.lake, winner, dropped=losers)
            return winner.intent.version
    hint = None if trouble is None else trouble.hint
    what = f"the table could not be committed in {ATTEMPTS} attempts"
    raise StorageError(what, where=str(held.table), hint=hint or "run it again") from trouble


@contextmanager
def _unopposed(held: Held, change: delta.Change) -> Generator[None]:
    """Let nobody take the lease while a new generation is committed: delta-rs cannot be told over which version.

    Whoever was overtaken right before it would take out the files that his successor has committed, and they would be lost.
    The row of the lease stays locked meanwhile (with SQLite the database), so a successor waits and then sees the commit.
    """
    if change.shape != "generation":
        yield
        return
    with held.lake.control.write("lease.renew") as connection:
        held.confirm(connection)
        yield


def _prepare(
    held: Held, design: Design, *, adds: tuple[delta.Add, ...], removes: Sequence[str], note: Mapping[str, Any]
) -> tuple[delta.Change, delta.DeltaTable | None]:
    """Check everything against a fresh handle and fix the version to commit."""
    uri, where = held.lake.uri(held.table), str(held.table)
    table = delta.handle(uri)
    shape: delta.Shape = "same"
    sizes: dict[str, int] = {}
    raw = intents.is_raw(held.key)
    if table is not None:
        token = delta.last_token(table)
        if token is not None and token > held.token:
            raise FencedOutError("a newer holder has committed", where=where, hint="run the command again")
        require_known(held.lake.place, held.lake.control, held.key, version=table.version())
        shape = _shape(table, design, removes=removes, where=where)
        if removes:
            kept = raw or table.metadata().configuration.get("delta.appendOnly") == "true"
            if kept and not (design.retires and note["kind"] == RETIRE):
                raise append_only_refused(held.table)
            sizes = delta.sizes_of(table, removes, where=where)
    else:
        # INVARIANT: in a store the log of a table may be hidden as a whole; a new table must never be begun over it
        require_known(held.lake.place, held.lake.control, held.key, version=-1)
        if removes:
            raise StorageError("files to be removed are of a table that is not there", where=where)
    _require_files(uri, adds, where=where)
    change = delta.Change(
        version=0 if table is None else table.version() + 1,
        token=held.token,
        schema=design.schema,
        adds=adds,
        removes=sizes,
        note=note,
        at_millis=to_micros(held.lake.now()) // 1000,
        configuration={**dict(design.configuration), **(delta.WORM if raw else {})},
        description=design.description,
        shape=shape,
        retires=design.retires,
    )
    return change, table


def _shape(table: delta.DeltaTable, design: Design, *, removes: Sequence[str], where: str) -> delta.Shape:
    """What the commit has to do to the metadata; refuses a schema that it may not change."""
    if design.shape == "columns":
        present = list(delta.table_schema(table))
        delta.require_schema(table, pa.schema(list(design.schema)[: len(present)]), where=where)
        return "columns"
    described = table.metadata().description or ""
    if design.shape == "same" or (delta.same_schema(table, design.schema) and described == design.description):
        delta.require_schema(table, design.schema, where=where)
        return "same"
    if set(removes) != set(delta.active(table)["path"].to_list()):
        raise StorageError("a new generation replaces every file of the table", where=where, hint="start anew")
    return "generation"


def _require_files(uri: str, adds: Sequence[delta.Add], *, where: str) -> None:
    """Trap 14: Delta accepts an add of a file that a vacuum has taken, and the table is unreadable."""
    expected = {files.join(uri, add.path): add.size for add in adds}
    found = files.sizes(list(expected))
    lost = sum(found[place] != size for place, size in expected.items())
    if lost:
        raise StorageError(f"{lost} written files are missing or changed", where=where, hint="run the command again")


def append_only_refused(table: Target) -> RefusedError:
    """The error of whoever removes a file of raw."""
    return RefusedError(
        "the table is append-only; no file leaves it",
        where=str(table),
        hint="files are retired by `lakehouse raw reseal` only",
    )
