"""Intents: what a commit is going to say, recorded before it is tried, and settled after it is known.

An intent is `open` until somebody has read the log: `done` if that version equals it, `dropped` if another commit has the
version. Settling and everything that follows from a commit (manifest, ledger events, outbox) is one SQL transaction.
"""

# pyarrow and deltalake ship no or partial types: what they give back is unknown to the checker in every line of this file.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownParameterType=false, reportMissingTypeStubs=false

# ruff: noqa: PLR0402 - `from lakehouse.storage import x` would go through the package's re-exports, an import cycle.

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

import lakehouse.storage.delta as delta
from lakehouse.errors import StorageError
from lakehouse.storage.control import applied_table, batch_table, intent_table, outbox_table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa

    from lakehouse.model import LedgerEvent
    from lakehouse.storage.lake import Lake, Target
    from lakehouse.storage.leases import Held


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
    token: int
    version: int
    kind: str
    body: Mapping[str, Any] = field(repr=False)

    @property
    def schema(self) -> pa.Schema:
        """The schema the commit was made for."""
        return delta.schema_from_json(self.body["schema"])


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
        "events": [[e.batch, held.lake.key(e.table), e.kind.value, e.count, e.cause] for e in effects.events],
        "batches": [asdict(update) for update in effects.batches],
        "flushed": list(effects.flushed),
        "applied": [asdict(each) for each in effects.applied],
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
    return Intent(intent_id, change.token, change.version, kind, body)


def landed(uri: str, intent: Intent) -> bool:
    """Whether the log's version is this intent.

    Raises:
        StorageError: the version carries the intent's name but says something else.
    """
    entry = delta.entry(uri, intent.version)
    if entry is None or entry.note.get("intent") != intent.id:
        return False
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
    return True


def settle(
    lake: Lake,
    done: Intent | None,
    *,
    dropped: Sequence[Intent] = (),
    name: str = "commit.done",
) -> None:
    """Record what became of intents, with everything that follows, in one transaction; repeating it is harmless."""
    with lake.control.write(name) as connection:
        for intent in dropped:
            _close(connection, intent, state="dropped")
        if done is not None and _close(connection, done, state="done"):
            _apply(connection, done, at=lake.control.micros(connection))


def open_intents(lake: Lake, table: Target) -> list[Intent]:
    """Intents of a table that nobody has settled."""
    return _select(lake, table, state="open")


def named_paths(lake: Lake, table: Target) -> set[str]:
    """Every file that a commit has ever added to the table, or may still add."""
    named = (*_select(lake, table, state="open"), *_select(lake, table, state="done"))
    return {add["path"] for intent in named for add in intent.body["adds"]}


def _select(lake: Lake, table: Target, *, state: str) -> list[Intent]:
    mine = sa.and_(intent_table.c.table_id == lake.key(table), intent_table.c.state == state)
    order = (intent_table.c.version, intent_table.c.recorded)
    with lake.control.read() as connection:
        rows = connection.execute(sa.select(intent_table).where(mine).order_by(*order)).all()
    return [Intent(row.id, row.token, row.version, row.kind, row.body) for row in rows]


def _close(connection: sa.Connection, intent: Intent, *, state: str) -> bool:
    """Whether the intent was open until now."""
    mine = sa.and_(intent_table.c.id == intent.id, intent_table.c.state == "open")
    return connection.execute(intent_table.update().where(mine).values(state=state)).rowcount == 1


def _apply(connection: sa.Connection, intent: Intent, *, at: int) -> None:
    _apply_updates(connection, intent.body["batches"])
    for each in intent.body.get("applied", ()):
        put_applied(connection, Applied(**each), at=at)
    names = ("batch", "table_id", "kind", "count", "cause")
    events = [
        {"event_id": f"{intent.id}-{number:05d}", "at": at, **dict(zip(names, event, strict=True))}
        for number, event in enumerate(intent.body["events"])
    ]
    if events:
        connection.execute(outbox_table.insert(), events)
    flushed = intent.body["flushed"]
    for start in range(0, len(flushed), 500):
        some = flushed[start : start + 500]
        connection.execute(outbox_table.delete().where(outbox_table.c.event_id.in_(some)))


def _apply_updates(connection: sa.Connection, updates: Sequence[Mapping[str, Any]]) -> None:
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
