"""Mending after an older lake was restored: the control database forgets the commits that the lake does not have.

Everything is one transaction. Batches go back to what the remaining commits say of them, so that a file whose rows are
gone is taken when it is delivered again, under its number; ledger events are told again or taken back. Keys that were
destroyed stay destroyed.
"""

# pyarrow and deltalake ship no or partial types: what they give back is unknown to the checker in every line of this file.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportMissingTypeStubs=false

# ruff: noqa: PLR0402 - `from lakehouse.storage import x` would go through the package's re-exports, an import cycle.

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

import lakehouse.storage.chain as chain
import lakehouse.storage.delta as delta
import lakehouse.storage.intents as intents
from lakehouse.errors import LakeMismatchError
from lakehouse.storage.catching_up import CAUSE, record_events
from lakehouse.storage.control import (
    batch_table,
    chain_head_table,
    chain_outbox_table,
    erased_table,
    intent_table,
    lease_table,
    outbox_table,
    tombstone_table,
    verdict_table,
)
from lakehouse.storage.intents import Intent, Landed
from lakehouse.storage.ledger import read_ledger, written_ids
from lakehouse.storage.marker import raise_in

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lakehouse.storage.lake import Lake
    from lakehouse.storage.restored import Difference

_BLANK: dict[str, Any] = dict.fromkeys(("rows", "reason", "terms", "as_of", "drift"))
_GATED = ("staged", "held")


def gone_batches(difference: Difference) -> dict[int, tuple[str, int]]:
    """The batches whose raw rows the older lake does not have: raw's table and the rows."""
    return {
        each["number"]: (intent.table, each["rows"] or 0)
        for intent in difference.missing
        if intents.is_raw(intent.table)
        for each in intent.body["batches"]
        if each["state"] == "raw"
    }


def go_back(lake: Lake, difference: Difference) -> None:
    """Let the control database forget what an older lake does not have.

    Raises:
        LakeMismatchError: raw is of an earlier moment than what was made from it.
    """
    events = read_ledger(lake)
    in_ledger = written_ids(lake)
    with lake.control.write("lake.recover") as connection:
        at = lake.control.micros(connection)
        missing = {intent.id for intent in difference.missing}
        for id_ in missing:
            connection.execute(intent_table.update().where(intent_table.c.id == id_).values(state="dropped"))
        left = _settled(connection)
        uncovered = _uncovered(lake, left)
        _set_batches_back(connection, difference, left, where=lake.root)
        _set_contracts_back(connection, difference, left, at=at)
        _tell_again(connection, left, in_ledger, at=at)
        for id_ in missing:  # an event's id begins with its intent's
            connection.execute(outbox_table.delete().where(outbox_table.c.event_id.startswith(f"{id_}-")))
        told = (row for row in events.rows(named=True) if row["event_id"] in in_ledger)
        back = [row for row in told if row["event_id"].rpartition("-")[0] in missing]
        record_events(connection, [[r["batch"], r["table"], r["kind"], -r["count"], CAUSE] for r in back], at=at)
        for key, version in _versions(difference, left).items():
            mine = (verdict_table.c.table_id == key, verdict_table.c.version > version)
            connection.execute(verdict_table.delete().where(*mine))
        connection.execute(lease_table.update().values(holder=None, expires=0, dirty=True))
        _set_heads_back(lake, connection, difference, at=at)
        for landed in uncovered:
            chain.append(connection, chain.RAW, intents.chained_body(landed), at=at)
        raise_in(connection, above=max(difference.generations))


def _settled(connection: sa.Connection) -> list[Intent]:
    order = (intent_table.c.recorded, intent_table.c.version)
    rows = connection.execute(sa.select(intent_table).where(intent_table.c.state == "done").order_by(*order))
    return [Intent(row.id, row.table_id, row.token, row.version, row.kind, row.body) for row in rows]


def _set_batches_back(connection: sa.Connection, difference: Difference, left: Sequence[Intent], *, where: str) -> None:
    """Batches that the missing commits concern, by what the remaining ones say, in their order."""
    touched = {update["number"] for intent in difference.missing for update in intent.body["batches"]}
    gone = gone_batches(difference)
    for number in sorted(touched):
        connection.execute(
            batch_table.update().where(batch_table.c.number == number).values(state="reserved", **_BLANK)
        )
    for intent in left:
        updates = [update for update in intent.body["batches"] if update["number"] in touched]
        if any(update["number"] in gone and update["state"] in _GATED for update in updates):
            raise LakeMismatchError(
                f"`{intent.table}` has rows of batches that raw does not have: they are of different moments",
                where=where,
                hint="restore the whole lake from one moment",
            )
        intents.apply_updates(connection, updates)


def _set_contracts_back(connection: sa.Connection, difference: Difference, left: Sequence[Intent], *, at: int) -> None:
    """Tables whose contract was applied by a missing commit stand under the one before."""
    homes = {each["home"] for intent in difference.missing for each in intent.body.get("applied", ())}
    before: dict[str, dict[str, Any]] = {}
    for intent in left:
        before |= {each["home"]: each for each in intent.body.get("applied", ()) if each["home"] in homes}
    for home in sorted(homes):
        intents.set_applied_back(connection, home, before.get(home), at=at)


def _tell_again(connection: sa.Connection, left: Sequence[Intent], in_ledger: set[str], *, at: int) -> None:
    """Events of remaining commits that were in a part of the ledger which the lake has lost."""
    waiting = set(connection.execute(sa.select(outbox_table.c.event_id)).scalars())
    rows = [
        event for intent in left for event in intents.events_of(intent, at=at)
        if event["event_id"] not in in_ledger and event["event_id"] not in waiting
    ]  # fmt: skip
    if rows:
        connection.execute(outbox_table.insert(), rows)


def _versions(difference: Difference, left: Sequence[Intent]) -> dict[str, int]:
    """The newest version that each concerned table has now."""
    found = {intent.table: -1 for intent in difference.missing}
    for intent in left:
        if intent.table in found:
            found[intent.table] = max(found[intent.table], intent.version)
    return found


def _uncovered(lake: Lake, left: Sequence[Intent]) -> list[Landed]:
    """Raw commits that the lake still has while their entries are gone."""
    told = {(each.body.get("table"), each.body.get("version")) for each in chain.entries(lake.root, chain.RAW)}
    mine = [each for each in left if intents.is_raw(each.table) and (each.table, each.version) not in told]
    found = ((each, delta.entry(lake.place.table(each.table), each.version)) for each in mine)
    return [
        Landed(intent, entry.size, entry.sha256, entry.object_version) for intent, entry in found if entry is not None
    ]


def _set_heads_back(lake: Lake, connection: sa.Connection, difference: Difference, *, at: int) -> None:
    """Chains go on behind the newest entry in the lake; the next entry tells which are gone."""
    for name, (number, told) in difference.heads.items():
        if number == told and name != chain.RAW:
            continue
        content = chain.read(lake.root, name, number)
        mine = chain_head_table.c.name == name
        if number < told:
            hash_ = chain.origin(lake.id, name) if content is None else chain.parse(content, where="").hash
            connection.execute(chain_head_table.update().where(mine).values(number=number, hash=hash_))
            connection.execute(chain_outbox_table.delete().where(chain_outbox_table.c.name == name))
        body = {"kind": CAUSE, "older": difference.older, "lake": number, "database": told}
        if name == chain.ERASURE:
            body |= _erasures(connection, since=_at(lake, name, number))
        chain.append(connection, name, body, at=at)


def _erasures(connection: sa.Connection, *, since: int) -> dict[str, Any]:
    """What the database knows of erasures whose entries are gone: tombstones, and marks of whom nothing is left."""
    after = sa.select(tombstone_table).where(tombstone_table.c.erased_at >= since)
    events: list[dict[str, Any]] = [
        {"entity": row.type, "keyed_hash": bytes(row.keyed_hash).hex(), "marks": [], "scopes": [], "erased_at": row.erased_at}
        for row in connection.execute(after)
    ]  # fmt: skip
    marks = [bytes(mark).hex() for mark in connection.execute(sa.select(erased_table.c.mark)).scalars()]
    if marks:
        events.append({"entity": "", "keyed_hash": "", "marks": marks, "scopes": None, "erased_at": since})
    return {"events": events}


def _at(lake: Lake, name: str, number: int) -> int:
    content = chain.read(lake.root, name, number) if number else None
    return 0 if content is None else chain.parse(content, where="").at
