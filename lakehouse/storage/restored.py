"""What a restored backup has made different: which side is older, and what it does not have.

The log of every table carries the intent's id and the effects of each commit, so a lake tells an older control database
what it has missed. An older lake is told by the intents. Nothing is changed here; `catching_up` mends an older database,
`going_back` an older lake.
"""

# pyarrow and deltalake ship no or partial types: what they give back is unknown to the checker in every line of this file.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportMissingTypeStubs=false

# ruff: noqa: PLR0402 - `from lakehouse.storage import x` would go through the package's re-exports, an import cycle.

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

import lakehouse.storage.agreement as agreement
import lakehouse.storage.chain as chain
import lakehouse.storage.delta as delta
import lakehouse.storage.files as files
import lakehouse.storage.intents as intents
from lakehouse.errors import LakeMismatchError
from lakehouse.model import Tier
from lakehouse.storage.control import lease_table
from lakehouse.storage.lake import open_apart
from lakehouse.storage.marker import publish

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lakehouse.settings import Settings
    from lakehouse.storage.intents import Intent, Landed
    from lakehouse.storage.lake import Lake
    from lakehouse.storage.place import Place

_DEEPEST = 3  # `system/quarantine/<domain>/<table>`


@dataclass(frozen=True)
class Commit:
    """A commit in the lake that the control database does not know."""

    table: str
    version: int
    intent: str
    kind: str
    token: int
    at_millis: int
    effects: Mapping[str, Any] = field(repr=False)
    adds: Mapping[str, int] = field(repr=False)
    removes: frozenset[str] = field(repr=False)
    log: tuple[int, str, str | None] = field(repr=False)

    @property
    def batches(self) -> dict[int, int]:
        """Batches whose rows it brought to raw, with the number of rows."""
        if not intents.is_raw(self.table):
            return {}
        return {each["number"]: each["rows"] or 0 for each in self.effects["batches"] if each["state"] == "raw"}


@dataclass(frozen=True)
class Difference:
    """How lake and control database differ.

    Attributes:
        older: the side that is older, None when both are of one moment.
        generations: the lake's and the database's.
        heads: of each chain, the newest entry in the lake and in the database.
        unknown: commits that the database does not know, in the order they were made.
        landed: open intents that are in the log; any process that died after its commit leaves one.
        missing: settled intents whose commits the lake does not have.
        tokens: of each table in the lake, the last writer's fencing token.
    """

    older: str | None
    generations: tuple[int, int]
    heads: Mapping[str, tuple[int, int]]
    unknown: tuple[Commit, ...]
    landed: tuple[Landed, ...]
    missing: tuple[Intent, ...]
    tokens: Mapping[str, int]


def compare(settings: Settings) -> tuple[Lake, Difference]:
    """Open the lake whether its sides agree or not, and say how they differ.

    Raises:
        LakeMismatchError: a side is missing or another lake's, a chain is broken, or both sides have gone on.
    """
    lake, marker, row = open_apart(settings)
    if not row["ready"]:
        with suppress(LakeMismatchError):  # a recovery that died has left a marker file of any generation
            publish(lake.root, lake.control)
        lake, marker, row = open_apart(settings)
    generations = (int(marker["generation"]), int(row["generation"]))
    told = chain.heads(lake.control)
    absent = [name for name in chain.NAMES if name not in told]
    if absent:
        raise agreement.older(agreement.DATABASE, lake.root, f"it has no chain `{absent[0]}`")
    heads = {name: (_last_entry(lake.root, name, head), head.number) for name, head in told.items()}
    keys = sorted({*agreement.last_versions(lake.control), *_leased(lake), *_tables(lake.place)})
    unknown, landed, missing, tokens = list[Commit](), list["Landed"](), list["Intent"](), dict[str, int]()
    for key in keys:
        table = delta.handle(lake.place.table(key))
        tokens[key] = (delta.last_token(table) or 0) if table is not None else 0
        version = -1 if table is None else table.version()
        unknown += _unknown(lake, key, version)
        uri = lake.place.table(key)
        landed += [found for each in intents.unsettled(lake.control, key) if (found := intents.landed(uri, each))]
        missing += _missing(lake, key)
    unknown.sort(key=lambda each: (each.at_millis, not intents.is_raw(each.table), each.table, each.version))
    behind = generations[0] > generations[1] or bool(unknown) or any(a > b for a, b in heads.values())
    short = generations[0] < generations[1] or bool(missing) or any(a < b for a, b in heads.values())
    if behind and short:
        raise LakeMismatchError(
            "lake and control database have both gone on since they parted: no order of events is true for both",
            where=lake.root,
            hint="restore both from one moment; docs/keys.md says how",
        )
    older = agreement.DATABASE if behind else agreement.LAKE if short else None
    return lake, Difference(older, generations, heads, tuple(unknown), tuple(landed), tuple(missing), tokens)


def _last_entry(root: str, name: str, head: chain.Head) -> int:
    """The newest entry in the lake that follows the control database's head, or the newest of those before it.

    Raises:
        LakeMismatchError: the entries do not follow each other.
    """
    expected, number = head.hash, head.number
    content = chain.read(root, name, number) if number else b""
    if content is None:
        if number in head.waiting:
            return number  # flushed by whoever opens the lake next
        while number and chain.read(root, name, number) is None:
            number -= 1
        return number
    if number and hashlib.sha256(content).hexdigest() != expected:
        raise _broken(root, name, number)
    for entry in chain.entries(root, name, after=number):
        if entry.previous != expected or (entry.chain, entry.number) != (name, number + 1):
            raise _broken(root, name, number + 1)
        expected, number = entry.hash, entry.number
    return number


def _broken(root: str, name: str, number: int) -> LakeMismatchError:
    return LakeMismatchError(
        f"entry {number} of chain `{name}` does not follow from what the control database knows",
        where=chain.place(root, name, number),
        hint="the file was changed, or both sides have gone on since a backup: restore both from one moment",
    )


def _unknown(lake: Lake, key: str, version: int) -> list[Commit]:
    """The newest versions of a table that carry an intent's name which the control database does not know."""
    found: list[Commit] = []
    uri = lake.place.table(key)
    while version >= 0 and (entry := delta.entry(uri, version)) is not None:
        intent = entry.note.get("intent")
        if intent is not None:
            if agreement.knows_intent(lake.control, str(intent)):
                break
            found.append(_commit(key, version, entry))
        version -= 1
    return found


def _commit(key: str, version: int, entry: delta.Entry) -> Commit:
    return Commit(
        table=key,
        version=version,
        intent=str(entry.note["intent"]),
        kind=str(entry.note.get("kind", "")),
        token=entry.token or 0,
        at_millis=entry.at_millis,
        effects=intents.unpacked(entry.note),
        adds=entry.adds,
        removes=entry.removes,
        log=(entry.size, entry.sha256, entry.object_version),
    )


def _missing(lake: Lake, key: str) -> list[Intent]:
    """A table's newest settled intents whose commits are not in its log."""
    found: list[Intent] = []
    uri = lake.place.table(key)
    table = delta.handle(uri)
    version = -1 if table is None else table.version()
    for intent in reversed(intents.settled(lake.control, key)):
        entry = delta.entry(uri, intent.version)
        if entry is None and intent.version <= version:
            break  # cleaned away, long after its commit
        if entry is not None and entry.note.get("intent") == intent.id:
            break
        found.append(intent)
    return found


def _leased(lake: Lake) -> list[str]:
    with lake.control.read() as connection:
        return list(connection.execute(sa.select(lease_table.c.table_id)).scalars())


def _tables(place: Place) -> Iterator[str]:
    """What the control database would call each table in the lake."""
    yield from _below(place.raw, Tier.RAW.value, depth=_DEEPEST)
    for top in (*(tier.value for tier in Tier if tier is not Tier.RAW), "system"):
        yield from _below(files.join(place.root, top), top, depth=_DEEPEST)


def _below(uri: str, key: str, *, depth: int) -> Iterator[str]:
    inside = files.folders(uri)
    if "_delta_log" in inside:
        yield key
    elif depth:
        for name in inside:
            yield from _below(files.join(uri, name), f"{key}.{name}", depth=depth - 1)
