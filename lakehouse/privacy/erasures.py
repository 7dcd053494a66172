"""The erasure log: who was forgotten, in the lake's chain `erasure`, so that no backup brings a key back.

An event names an entity by keyed hashes only: of its canonical id, and of the surrogates it had. Destroying the keys and
appending the event is one transaction; the entry follows it into the lake by the chain's outbox, and only then an erasure
has happened. `recover` replays the events that a database from a backup does not know.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import polars as pl
import sqlalchemy as sa

from lakehouse.privacy import vault
from lakehouse.storage import chain
from lakehouse.storage.bulk import insert_new
from lakehouse.storage.control import (
    alias_table,
    chain_head_table,
    data_key_table,
    entity_table,
    erased_table,
    tombstone_table,
)
from lakehouse.storage.marker import publish, raise_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lakehouse.storage import Lake

_PORTION = 500  # values of one statement
_MANY = 100_000  # surrogates that are looked at together


@dataclass(frozen=True)
class Erasure:
    """One entity that was forgotten.

    Attributes:
        entity: the entity's type.
        keyed_hash: HMAC of the canonical id, as in the control database; empty where only marks are known.
        marks: HMACs of the surrogates that were the entity's.
        scopes: whose data keys are destroyed, None for all.
        erased_at: when, in microseconds.
    """

    entity: str
    keyed_hash: bytes
    marks: tuple[bytes, ...]
    scopes: tuple[str, ...] | None
    erased_at: int

    def document(self) -> dict[str, Any]:
        """The event as the log says it."""
        return {
            "entity": self.entity,
            "keyed_hash": self.keyed_hash.hex(),
            "marks": [mark.hex() for mark in self.marks],
            "scopes": None if self.scopes is None else list(self.scopes),
            "erased_at": self.erased_at,
        }

    @staticmethod
    def parse(said: dict[str, Any]) -> Erasure:
        """The event that the log says."""
        scopes = said["scopes"]
        return Erasure(
            said["entity"],
            bytes.fromhex(said["keyed_hash"]),
            tuple(bytes.fromhex(mark) for mark in said["marks"]),
            None if scopes is None else tuple(scopes),
            said["erased_at"],
        )


def record(lake: Lake, events: Sequence[Erasure]) -> None:
    """Destroy the entities' keys and log it; done when this returns.

    Whoever dies in between has destroyed nothing, or all of it: then the next opening writes the log's entry.
    """
    if not events:
        return
    events = [_whole(lake, event) for event in events]
    found = _surrogates(lake, events)
    scoped = _scoped(lake, events, found)
    with lake.control.write("erasure.record") as connection:
        at = lake.control.micros(connection)
        body = {"kind": "erasure", "events": [event.document() for event in events]}
        chain.append(connection, chain.ERASURE, body, at=at)  # first: its lock keeps others from making a key meanwhile
        _destroy(connection, events, found, scoped)
        raise_in(connection)  # a backup from before is noticed at once
    chain.flush(lake.root, lake.control)
    publish(lake.root, lake.control)


def logged(lake: Lake, *, since: int = 0) -> list[Erasure]:
    """The erasures in the lake's log behind an entry."""
    entries = chain.entries(lake.root, chain.ERASURE, after=since)
    return [Erasure.parse(each) for entry in entries for each in entry.body.get("events", ())]


def replay(lake: Lake, since: int) -> int:
    """Destroy once more what a control database from a backup brought back; returns how many erasures were replayed.

    Args:
        lake: the lake.
        since: the newest entry that the database knows. It then knows the newest that the lake has.
    """
    entries = list(chain.entries(lake.root, chain.ERASURE, after=since))
    events = [Erasure.parse(each) for entry in entries for each in entry.body.get("events", ())]
    if not entries:
        return 0
    found = _surrogates(lake, events)
    scoped = _scoped(lake, events, found)
    with lake.control.write("erasure.replay") as connection:
        _destroy(connection, events, found, scoped)
        mine = chain_head_table.c.name == chain.ERASURE
        last = entries[-1]
        connection.execute(chain_head_table.update().where(mine).values(number=last.number, hash=last.hash))
    return len(events)


def returned(lake: Lake, events: Sequence[Erasure]) -> int:
    """How many of these erasures have keys in the control database that were to be gone."""
    found = _surrogates(lake, events)
    with lake.control.read() as connection:
        return sum(
            _has_keys(connection, [found[m] for m in event.marks if m in found], event.scopes) for event in events
        )


def _has_keys(connection: sa.Connection, surrogates: Sequence[bytes], scopes: tuple[str, ...] | None) -> bool:
    return any(
        connection.execute(sa.select(sa.literal(1)).where(_keys_of(some, scopes)).limit(1)).first() is not None
        for some in _portions(surrogates)
    )


def _surrogates(lake: Lake, events: Sequence[Erasure]) -> dict[bytes, bytes]:
    """The surrogates in the control database that the events mean, by their marks."""
    wanted = {mark for event in events for mark in event.marks}
    if not wanted:
        return {}
    with lake.control.read() as connection:
        near = _near(connection, [event.keyed_hash for event in events])
    found = _marked(lake, near, wanted)
    if wanted - found.keys():  # merged since, or made after the backup: then any surrogate may be meant
        for some in _every(lake):
            found |= _marked(lake, some, wanted)
    return found


def _near(connection: sa.Connection, hashes: Sequence[bytes]) -> set[bytes]:
    """The entities' present surrogates, and those that are aliases of them."""
    columns = entity_table.c
    found: set[bytes] = set()
    for some in _portions(hashes):
        wanted = sa.select(columns.surrogate).where(columns.keyed_hash.in_(some))
        found |= {bytes(each) for each in connection.execute(wanted).scalars()}
    return found | _aliases(connection, found)


def _aliases(connection: sa.Connection, surrogates: set[bytes]) -> set[bytes]:
    """Surrogates of the same entities, since ids were merged or are read in another way."""
    found: set[bytes] = set()
    for some in _portions(sorted(surrogates)):
        pairs = sa.select(alias_table.c.surrogate, alias_table.c.other).where(
            sa.or_(alias_table.c.surrogate.in_(some), alias_table.c.other.in_(some))
        )
        found |= {bytes(each) for row in connection.execute(pairs) for each in row}
    return found


def _every(lake: Lake) -> Iterable[set[bytes]]:
    """All surrogates that have a key or a name, in portions of the primary keys; some come more than once.

    INVARIANT: the connection is closed before each portion is used: who opens a second one inside a reading transaction
    waits on SQLite for a writer that waits for him.
    """
    for table in (data_key_table, entity_table, alias_table):
        key = list(table.primary_key)
        wanted = sa.select(*key, table.c.surrogate.label("whose")).order_by(*key).limit(_MANY)
        after = wanted
        while True:
            with lake.control.read() as connection:
                rows = connection.execute(after).all()
            yield {bytes(row.whose) for row in rows}
            if len(rows) < _MANY:
                break
            after = wanted.where(sa.tuple_(*key) > sa.tuple_(*map(sa.literal, rows[-1][:-1])))


def _marked(lake: Lake, surrogates: Iterable[bytes], wanted: set[bytes]) -> dict[bytes, bytes]:
    listed = list(surrogates)
    if not listed:
        return {}
    marks = vault.marks(lake, pl.Series([each.hex() for each in listed]))
    return {mark: each for mark, each in zip(marks.to_list(), listed, strict=True) if mark in wanted}


def _whole(lake: Lake, event: Erasure) -> Erasure:
    """The event with the marks of all surrogates that are the entity's: those of ids that were merged, too."""
    found = set(_surrogates(lake, [event]).values())
    with lake.control.read() as connection:
        found |= _aliases(connection, found)
        found |= _near(connection, [event.keyed_hash])
    if not found:
        return event
    marks = vault.marks(lake, pl.Series(sorted(each.hex() for each in found))).to_list()
    return replace(event, marks=tuple(dict.fromkeys([*event.marks, *marks])))


def _scoped(lake: Lake, events: Sequence[Erasure], found: dict[bytes, bytes]) -> dict[tuple[bytes, str], bytes]:
    """The marks by which surrogates are known whose keys of some scopes only are destroyed."""
    wanted = [(found[m], scope) for event in events for scope in event.scopes or () for m in event.marks if m in found]
    return {(one, scope): vault.marks(lake, pl.Series([one.hex()]), scope).item() for one, scope in wanted}


def _destroy(
    connection: sa.Connection,
    events: Sequence[Erasure],
    found: dict[bytes, bytes],
    scoped: dict[tuple[bytes, str], bytes],
) -> None:
    for event in events:
        mine = [found[mark] for mark in event.marks if mark in found]
        for some in _portions(mine):
            connection.execute(data_key_table.delete().where(_keys_of(some, event.scopes)))
        left = {bytes(each) for some in _portions(mine) for each in _with_keys(connection, some)}
        gone = [mark for mark in event.marks if mark in found and found[mark] not in left]
        if event.scopes is None:
            gone = list(event.marks)
        gone += [scoped[one, scope] for scope in event.scopes or () for one in mine]
        # whatever scopes are left: a later relationship has a surrogate and keys of its own
        _forget_name(connection, event, mine)
        if gone:
            connection.execute(insert_new(connection, erased_table), [{"mark": mark} for mark in gone])
        if event.keyed_hash:
            _bury(connection, event)


def _with_keys(connection: sa.Connection, surrogates: Sequence[bytes]) -> Iterable[bytes]:
    mine = data_key_table.c.surrogate.in_(surrogates)
    return connection.execute(sa.select(data_key_table.c.surrogate).where(mine)).scalars()


def _forget_name(connection: sa.Connection, event: Erasure, surrogates: Sequence[bytes]) -> None:
    """No id names these surrogates any more: a later relationship gets a new one. One that it has already stays."""
    for some in _portions(surrogates):
        mine: list[sa.ColumnElement[bool]] = [entity_table.c.surrogate.in_(some)]
        merged = sa.select(alias_table.c.other).where(alias_table.c.other.in_(some), alias_table.c.cause == "merged")
        # ids that were merged have hashes of their own; to look for them is to look through all entities
        if event.keyed_hash and connection.execute(merged.limit(1)).first() is None:
            mine.append(entity_table.c.keyed_hash == event.keyed_hash)
        connection.execute(entity_table.delete().where(*mine))


def _bury(connection: sa.Connection, event: Erasure) -> None:
    """The tombstone, of the latest erasure."""
    table = tombstone_table
    row = {"keyed_hash": event.keyed_hash, "type": event.entity, "erased_at": event.erased_at}
    connection.execute(insert_new(connection, table), [row])
    older = (table.c.keyed_hash == event.keyed_hash, table.c.erased_at < event.erased_at)
    connection.execute(table.update().where(*older).values(erased_at=event.erased_at))


def _keys_of(surrogates: Sequence[bytes], scopes: tuple[str, ...] | None) -> sa.ColumnElement[bool]:
    mine = data_key_table.c.surrogate.in_(surrogates)
    return mine if scopes is None else sa.and_(mine, data_key_table.c.scope.in_(scopes))


def _portions(values: Sequence[bytes]) -> Iterable[Sequence[bytes]]:
    return (values[begin : begin + _PORTION] for begin in range(0, len(values), _PORTION))
