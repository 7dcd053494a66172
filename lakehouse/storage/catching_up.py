"""Mending a control database that is older than the lake: it learns from the log what it has missed.

Everything is one transaction, so whoever dies in it starts anew. Batches whose rows came to raw since the backup are
`lost`: the keys that their cells were sealed with may be gone, and nothing says from which file they came. They are never
gated again; what is staged of them stays, the rest is counted as lost, and their files are to be delivered again.
"""

# pyarrow and deltalake ship no or partial types: what they give back is unknown to the checker in every line of this file.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportMissingTypeStubs=false

# ruff: noqa: PLR0402 - `from lakehouse.storage import x` would go through the package's re-exports, an import cycle.

from __future__ import annotations

import hashlib
import uuid
from collections import Counter
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

import lakehouse.storage.chain as chain
import lakehouse.storage.delta as delta
import lakehouse.storage.files as files
import lakehouse.storage.intents as intents
from lakehouse.errors import StorageError
from lakehouse.model import EventKind, Tier
from lakehouse.storage.control import (
    batch_table,
    chain_head_table,
    chain_outbox_table,
    intent_table,
    lease_table,
    outbox_table,
)
from lakehouse.storage.intents import Intent, Landed
from lakehouse.storage.ledger import read_ledger, written_ids
from lakehouse.storage.marker import raise_in

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping

    from lakehouse.storage.lake import Lake
    from lakehouse.storage.restored import Commit, Difference

CAUSE = "recover"
LOST = "lost"
_PORTION = 500  # ids of one statement


def lost_batches(difference: Difference) -> dict[int, tuple[str, int]]:
    """The batches that an older database does not know raw rows of: their staged table and rows."""
    return {
        number: (_staged(commit.table), rows)
        for commit in difference.unknown
        for number, rows in commit.batches.items()
    }


def catch_up(lake: Lake, difference: Difference) -> None:
    """Let an older control database know everything that the lake says; erasures are replayed before (`privacy`)."""
    entries = list(chain.entries(lake.root, chain.RAW, after=difference.heads[chain.RAW][1]))
    chained = {(each.body.get("table"), each.body.get("version")) for each in entries}
    flushed = written_ids(lake)
    told = [
        (commit, _intent(lake, commit, exact=(commit.table, commit.version) not in chained))
        for commit in difference.unknown
    ]
    for key, version, object_version in _unprotected(difference, chained):
        place = delta.log_entry(lake.place.table(key), version)
        files.protect(place, object_version, until=lake.locked_until(lake.now()))
    with lake.control.write("lake.recover") as connection:
        at = lake.control.micros(connection)
        if entries:
            _move_head(connection, entries[-1])
        for each in difference.landed:  # recorded before the backup, with all keys: nothing of it is lost
            intents.finish(connection, each, at=at, chained=(each.intent.table, each.intent.version) in chained)
        for commit, intent in told:
            _adopt(connection, commit, intent, at=at)
            if intents.is_raw(commit.table) and (commit.table, commit.version) not in chained:
                chain.append(connection, chain.RAW, intents.chained_body(Landed(intent, *commit.log)), at=at)
        _forget(connection, flushed)
        lost = lost_batches(difference)
        for number, (table, rows) in lost.items():
            _lose(connection, number, table=table, rows=rows, at=at)
        record_events(connection, _account(lake, connection, lost), at=at)
        _lift(connection, difference.tokens)
        _note(connection, difference, at=at)
        raise_in(connection, above=max(difference.generations))


def _unprotected(difference: Difference, chained: Container[tuple[Any, Any]]) -> list[tuple[str, int, str | None]]:
    """Raw commits whose process died before it could protect their log entries and tell the chain."""
    found = [(each.table, each.version, each.log[2]) for each in difference.unknown]
    found += [(each.intent.table, each.intent.version, each.object_version) for each in difference.landed]
    return [each for each in found if intents.is_raw(each[0]) and each[:2] not in chained]


def record_events(connection: sa.Connection, events: list[list[Any]], *, at: int) -> None:
    """Ledger events of a recovery, as an intent of its own: so the database can tell them once more to an older lake."""
    if not events:
        return
    body = {"adds": [], "removes": {}, "events": events, "batches": [], "flushed": [], "applied": []}
    intent = Intent(f"{CAUSE}-{uuid.uuid4().hex}", "", 0, -1, CAUSE, body)
    _insert(connection, intent, at=at)
    intents.apply(connection, intent, at=at)


def _intent(lake: Lake, commit: Commit, *, exact: bool) -> Intent:
    """What the database would have recorded of a commit; with digests only if the chain does not have them."""
    adds: list[dict[str, Any]] = [{"path": path, "size": size} for path, size in commit.adds.items()]
    if exact and intents.is_raw(commit.table):
        adds = _exact(lake.place.table(commit.table), adds)
    body = {"adds": adds, "removes": dict.fromkeys(commit.removes, 0), "flushed": [], **commit.effects}
    return Intent(commit.intent, commit.table, commit.token, commit.version, commit.kind, body)


def _exact(uri: str, adds: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Adds with digest and rows, from the files: the commit's process died before it could tell the chain."""
    table = delta.handle(uri)
    rows = dict(delta.active(table).select("path", "num_records").rows()) if table is not None else {}
    found: list[dict[str, Any]] = []
    for add in adds:
        content, version = files.read_version(files.join(uri, add["path"])) or (b"", None)
        if not content or len(content) != add["size"]:
            raise StorageError("a raw file is missing or changed", where=uri, hint="restore it from a backup")
        sha256 = hashlib.sha256(content).hexdigest()
        found.append({**add, "sha256": sha256, "rows": rows.get(add["path"]), "object_version": version})
    return found


def _adopt(connection: sa.Connection, commit: Commit, intent: Intent, *, at: int) -> None:
    _insert(connection, intent, at=commit.at_millis * 1000)
    intents.apply(connection, intent, at=at)


def _insert(connection: sa.Connection, intent: Intent, *, at: int) -> None:
    connection.execute(
        intent_table.insert().values(
            id=intent.id,
            table_id=intent.table,
            token=intent.token,
            version=intent.version,
            kind=intent.kind,
            state="done",
            body=dict(intent.body),
            recorded=at,
        )
    )


def _move_head(connection: sa.Connection, last: chain.Entry) -> None:
    mine = chain_head_table.c.name == last.chain
    connection.execute(chain_head_table.update().where(mine).values(number=last.number, hash=last.hash))
    gone = (chain_outbox_table.c.name == last.chain, chain_outbox_table.c.number <= last.number)
    connection.execute(chain_outbox_table.delete().where(*gone))


def _forget(connection: sa.Connection, flushed: Iterable[str]) -> None:
    """Events that the ledger has leave the outbox."""
    ids = sorted(flushed)
    for begin in range(0, len(ids), _PORTION):
        some = ids[begin : begin + _PORTION]
        connection.execute(outbox_table.delete().where(outbox_table.c.event_id.in_(some)))


def _lose(connection: sa.Connection, number: int, *, table: str, rows: int, at: int) -> None:
    """A batch that no file finds any more; where the database has reserved it, its file gets another number."""
    values = {"name_hash": f"{LOST}/{number}", "sha256": "", "state": LOST, "rows": rows, "reason": CAUSE}
    mine = batch_table.c.number == number
    if connection.execute(batch_table.update().where(mine).values(**values)).rowcount == 0:
        new = {"number": number, "table_id": table, "source": "", "size": 0, "landed_at": at, **values}
        connection.execute(batch_table.insert().values(new))


def _account(lake: Lake, connection: sa.Connection, lost: Mapping[int, tuple[str, int]]) -> list[list[Any]]:
    """What of lost batches is pending or held will never be gated: it is lost."""
    named = ("event_id", "batch", "kind", "count")
    ledger = read_ledger(lake).select(named).rows()
    known = {row[0] for row in ledger}
    new = connection.execute(sa.select(*(outbox_table.c[name] for name in named))).all()
    counts: Counter[tuple[int, str]] = Counter()
    for _, batch, kind, count in [*ledger, *(tuple(row) for row in new if row[0] not in known)]:
        counts[batch, kind] += count
    events: list[list[Any]] = []
    for number, (table, _) in lost.items():
        held = counts[number, EventKind.HELD]
        away = sum(counts[number, kind] for kind in EventKind if kind is not EventKind.READ)
        left = counts[number, EventKind.READ] - away + held
        told = ((EventKind.HELD, -held), (EventKind.LOST, left))
        events += [[number, table, kind.value, count, CAUSE] for kind, count in told if count]
    return events


def _lift(connection: sa.Connection, tokens: Mapping[str, int]) -> None:
    """Nobody of before the backup holds a lease; the next token is above every one that the lake has seen."""
    for key, token in tokens.items():
        mine = lease_table.c.table_id == key
        known = connection.execute(sa.select(lease_table.c.token).where(mine)).scalar_one_or_none()
        values = {"token": max(token, known or 0), "holder": None, "expires": 0, "dirty": True}
        if known is None:
            connection.execute(lease_table.insert().values(table_id=key, **values))
        else:
            connection.execute(lease_table.update().where(mine).values(**values))
    if connection.dialect.name == "postgresql":  # SQLite's AUTOINCREMENT counts from the greatest number there ever was
        newest = sa.select(sa.func.greatest(sa.func.max(batch_table.c.number), 1)).scalar_subquery()
        sequence = sa.func.pg_get_serial_sequence("batch", "number")
        connection.execute(sa.select(sa.func.setval(sequence, newest)))


def _note(connection: sa.Connection, difference: Difference, *, at: int) -> None:
    """The chain tells of the recovery too."""
    lake, database = difference.heads[chain.RAW]
    body = {"kind": CAUSE, "older": difference.older, "lake": lake, "database": database}
    chain.append(connection, chain.RAW, body, at=at)


def _staged(raw: str) -> str:
    return raw.replace(f"{Tier.RAW.value}.", f"{Tier.STAGED.value}.", 1)
