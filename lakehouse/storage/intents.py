"""Intents: what a commit is going to say, recorded before it is tried, and settled after it is known.

An intent is `open` until somebody has read the log: `done` if that version equals it, `dropped` if another commit has the
version. Settling and everything that follows from a commit (manifest, ledger events, outbox) is one SQL transaction.
"""

# pyarrow and deltalake ship no or partial types: what they give back is unknown to the checker in every line of this file.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownParameterType=false, reportMissingTypeStubs=false

# ruff: noqa: PLR0402 - `from lakehouse.storage import x` would go through the package's re-exports, an import cycle.

from __future__ import annotations

import base64
import json
import uuid
import zlib
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

import lakehouse.storage.chain as chain
import lakehouse.storage.delta as delta
import lakehouse.storage.files as files
from lakehouse.errors import StorageError
from lakehouse.model import Tier
from lakehouse.storage.control import applied_table, batch_table, intent_table, outbox_table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa

    from lakehouse.model import LedgerEvent
    from lakehouse.storage.control import ControlDatabase
    from lakehouse.storage.lake import Lake, Target
    from lakehouse.storage.leases import Held

#: The kind of the note about files that the store would not delete.
GIVEN_UP = "given up"


@dataclass(frozen=True)
class BatchUpdate:
    """A batch's new state, set together with a commit; `terms` are what a held one was judged by.

    `as_of` is when a snapshot's dump was true, in microseconds.
    """

    number: int
    state: str
    rows: int | None = None
    reason: str | None = None
    terms: str | None = None
    as_of: int | None = None
    drift: str | None = None


@dataclass(frozen=True)
class Applied:
    """The contract that a table's rows stand under.

    Attributes:
        table: the table's name.
        home: the name it was first given: under it the lake keeps its rows, batches and ledger.
        odcs_id: the table's ODCS id, which a renamed table keeps.
        contract: the contract as data, see `contract.imprint`.
        fingerprint: a digest of it.
        raw: what raw's columns are, by the ids of the contract's columns; see `ingest.rawform`.
    """

    table: str
    home: str
    odcs_id: str
    contract: Mapping[str, Any]
    fingerprint: str
    raw: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True)
class Effects:
    """What follows from a commit in the control database.

    `flushed` are outbox events that the commit has written to the ledger, `applied` the contracts that tables stand under
    from then on.
    """

    events: Sequence[LedgerEvent] = ()
    batches: Sequence[BatchUpdate] = ()
    flushed: Sequence[str] = ()
    applied: Sequence[Applied] = ()


@dataclass(frozen=True)
class Intent:
    """One recorded intent."""

    id: str
    table: str
    token: int
    version: int
    kind: str
    body: Mapping[str, Any] = field(repr=False)

    @property
    def schema(self) -> pa.Schema:
        """The schema the commit was made for."""
        return delta.schema_from_json(self.body["schema"])


@dataclass(frozen=True)
class Landed:
    """An intent that the log says, and that version's bytes in the log."""

    intent: Intent
    size: int
    sha256: str
    object_version: str | None = None


def told(lake: Lake, effects: Effects) -> dict[str, Any]:
    """Effects as data, as intents and the log say them."""
    return {
        "events": [[e.batch, lake.key(e.table), e.kind.value, e.count, e.cause] for e in effects.events],
        "batches": [asdict(update) for update in effects.batches],
        "applied": [asdict(each) for each in effects.applied],
    }


def packed(said: Mapping[str, Any]) -> str | None:
    """Effects as a commit's note carries them, so that a control database from a backup learns them from the log."""
    if not any(said.values()):
        return None
    return base64.b85encode(zlib.compress(json.dumps(said).encode(), 1)).decode("ascii")


def unpacked(note: Mapping[str, Any]) -> dict[str, Any]:
    """The effects that a commit's note carries."""
    said = note.get("effects")
    nothing: dict[str, Any] = {"events": [], "batches": [], "applied": []}
    return nothing if said is None else nothing | json.loads(zlib.decompress(base64.b85decode(said)))


def record(held: Held, intent_id: str, change: delta.Change, *, kind: str, effects: Effects) -> Intent:
    """Record an open intent while the lease is ours.

    Raises:
        FencedOutError: somebody else has taken the lease.
    """
    body = {
        "adds": [asdict(add) for add in change.adds],
        "removes": dict(change.removes),
        "note": dict(change.note),
        "schema": delta.schema_to_json(change.schema),
        "configuration": dict(change.configuration),
        "description": change.description,
        "flushed": list(effects.flushed),
        **told(held.lake, effects),
    }
    control = held.lake.control
    with control.write("commit.intent") as connection:
        held.confirm(connection)
        connection.execute(
            intent_table.insert().values(
                id=intent_id,
                table_id=held.key,
                token=change.token,
                version=change.version,
                kind=kind,
                state="open",
                body=body,
                recorded=control.micros(connection),
            )
        )
    return Intent(intent_id, held.key, change.token, change.version, kind, body)


def landed(uri: str, intent: Intent) -> Landed | None:
    """What the log says if its version is this intent, else None.

    Raises:
        StorageError: the version carries the intent's name but says something else.
    """
    entry = delta.entry(uri, intent.version)
    if entry is None or entry.note.get("intent") != intent.id:
        return None
    same = (
        dict(entry.adds) == {add["path"]: add["size"] for add in intent.body["adds"]}
        and entry.removes == frozenset(intent.body["removes"])
        and entry.token == intent.token
    )
    if not same:
        raise StorageError(
            f"version {intent.version} carries the name of an intent but differs from it",
            where=uri,
            hint="somebody changed the log; restore it from a backup",
        )
    return Landed(intent, entry.size, entry.sha256, entry.object_version)


def settle(
    lake: Lake,
    done: Landed | None,
    *,
    dropped: Sequence[Intent] = (),
    name: str = "commit.done",
) -> None:
    """Record what became of intents, with everything that follows, in one transaction; repeating it is harmless."""
    entry: chain.Entry | None = None
    if done is not None and is_raw(done.intent.table):
        # INVARIANT: before the chain tells of it, so that whatever it tells of is protected
        place = delta.log_entry(lake.place.table(done.intent.table), done.intent.version)
        files.protect(place, done.object_version, until=lake.locked_until(lake.now()))
    with lake.control.write(name) as connection:
        for intent in dropped:
            _close(connection, intent, state="dropped")
        if done is not None:
            entry = finish(connection, done, at=lake.control.micros(connection))
    if entry is not None:
        # The commit is done whatever happens now: what cannot be written waits in the outbox for the next opening.
        with suppress(OSError):
            chain.deliver(lake.root, lake.control, entry)


def finish(connection: sa.Connection, done: Landed, *, at: int, chained: bool = False) -> chain.Entry | None:
    """Note that an intent landed, with everything that follows; its new entry in the chain, unless it is `chained`."""
    if not _close(connection, done.intent, state="done"):
        return None
    apply(connection, done.intent, at=at)
    if chained or not is_raw(done.intent.table):
        return None
    return chain.append(connection, chain.RAW, chained_body(done), at=at)


def is_raw(key: str) -> bool:
    """Whether this is what the control database calls a raw table."""
    return key.startswith(f"{Tier.RAW.value}.")


def chained_body(done: Landed) -> dict[str, Any]:
    """What the chain `raw` tells of a commit."""
    intent = done.intent
    told = ("path", "size", "sha256", "rows", "object_version")
    log = {"size": done.size, "sha256": done.sha256, "object_version": done.object_version}
    return {
        "kind": intent.kind,
        "table": intent.table,
        "home": intent.table.replace(".", "/"),
        "version": intent.version,
        "log": {name: value for name, value in log.items() if value is not None},
        "files": [{name: add[name] for name in told if add.get(name) is not None} for add in intent.body["adds"]],
        "removes": sorted(intent.body["removes"]),
        "batches": [[update["number"], update["rows"]] for update in intent.body["batches"]],
    }


def open_intents(lake: Lake, table: Target) -> list[Intent]:
    """Intents of a table that nobody has settled."""
    return unsettled(lake.control, lake.key(table))


def unsettled(control: ControlDatabase, key: str) -> list[Intent]:
    """The same by what the control database calls the table."""
    return _select(control, key, state="open")


def settled(control: ControlDatabase, key: str) -> list[Intent]:
    """Intents of a table whose commits were seen in its log, by version."""
    return _select(control, key, state="done")


def named_paths(lake: Lake, table: Target) -> set[str]:
    """Every file that a commit has ever added to the table, or may still add."""
    named = (*open_intents(lake, table), *settled(lake.control, lake.key(table)))
    return {add["path"] for intent in named for add in intent.body["adds"]}


def give_up(lake: Lake, held: Held, paths: Sequence[str]) -> None:
    """Note files that were never committed and that the store keeps although nobody wants them; they hold sealed rows."""
    body = {"adds": [{"path": path} for path in paths], "removes": {}, "events": [], "batches": [], "flushed": []}
    with lake.control.write("recover.give_up") as connection:
        connection.execute(
            intent_table.insert().values(
                id=uuid.uuid4().hex,
                table_id=held.key,
                token=held.token,
                version=-1,
                kind=GIVEN_UP,
                state="dropped",
                body=body,
                recorded=lake.control.micros(connection),
            )
        )


def given_up(connection: sa.Connection) -> dict[str, frozenset[str]]:
    """By table, the files that were given up."""
    wanted = sa.select(intent_table.c.table_id, intent_table.c.body).where(intent_table.c.kind == GIVEN_UP)
    found: dict[str, frozenset[str]] = {}
    for row in connection.execute(wanted):
        paths = {add["path"] for add in row.body["adds"]}
        found[row.table_id] = found.get(row.table_id, frozenset[str]()) | paths
    return found


def _select(control: ControlDatabase, key: str, *, state: str) -> list[Intent]:
    mine = sa.and_(intent_table.c.table_id == key, intent_table.c.state == state)
    order = (intent_table.c.version, intent_table.c.recorded)
    with control.read() as connection:
        rows = connection.execute(sa.select(intent_table).where(mine).order_by(*order)).all()
    return [Intent(row.id, row.table_id, row.token, row.version, row.kind, row.body) for row in rows]


def _close(connection: sa.Connection, intent: Intent, *, state: str) -> bool:
    """Whether the intent was open until now."""
    mine = sa.and_(intent_table.c.id == intent.id, intent_table.c.state == "open")
    return connection.execute(intent_table.update().where(mine).values(state=state)).rowcount == 1


def apply(connection: sa.Connection, intent: Intent, *, at: int) -> None:
    """Do what follows from a commit in the control database."""
    apply_updates(connection, intent.body["batches"])
    for each in intent.body.get("applied", ()):
        put_applied(connection, Applied(**each), at=at)
    events = events_of(intent, at=at)
    if events:
        connection.execute(outbox_table.insert(), events)
    flushed = intent.body["flushed"]
    for start in range(0, len(flushed), 500):
        some = flushed[start : start + 500]
        connection.execute(outbox_table.delete().where(outbox_table.c.event_id.in_(some)))


def events_of(intent: Intent, *, at: int) -> list[dict[str, Any]]:
    """An intent's ledger events as rows of the outbox; their ids begin with the intent's."""
    names = ("batch", "table_id", "kind", "count", "cause")
    return [
        {"event_id": f"{intent.id}-{number:05d}", "at": at, **dict(zip(names, event, strict=True))}
        for number, event in enumerate(intent.body["events"])
    ]


def apply_updates(connection: sa.Connection, updates: Sequence[Mapping[str, Any]]) -> None:
    """The manifest's news; one statement for all batches of which the same columns change."""
    alike: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for update in updates:
        told = ("state", "rows", "reason", "terms", "as_of", "drift")
        values = {name: update[name] for name in told if update.get(name) is not None}
        if update["state"] != "held":
            values |= {name: values.get(name) for name in ("reason", "terms")}
        if update["state"] in {"staged", "held"}:
            values["drift"] = update.get("drift")
        alike.setdefault(tuple(sorted(values)), []).append({**values, "of_batch": update["number"]})
    for names, rows in alike.items():
        mine = batch_table.c.number == sa.bindparam("of_batch")
        statement = batch_table.update().where(mine).values({name: sa.bindparam(name) for name in names})
        connection.execute(statement, rows)


def put_applied(connection: sa.Connection, applied: Applied, *, at: int) -> None:
    """Note the contract that a table stands under, in place of the one before."""
    values = asdict(applied)
    name = values.pop("table")
    mine = applied_table.c.table_id == name
    if connection.execute(applied_table.update().where(mine).values(**values, at=at)).rowcount == 0:
        connection.execute(applied_table.insert().values(table_id=name, **values, at=at))


def set_applied_back(connection: sa.Connection, home: str, before: Mapping[str, Any] | None, *, at: int) -> None:
    """Let a table stand under the contract that it had before, under the name that it has now."""
    mine = applied_table.c.home == home
    if before is None:
        connection.execute(applied_table.delete().where(mine))
        return
    values = {name: before[name] for name in ("contract", "fingerprint", "raw")}
    connection.execute(applied_table.update().where(mine).values(**values, at=at))
