"""What stands in the lake beside what the control database says of it, taken so that a writer at work raises no alarm.

The lake is listed first and the database asked after: whatever was committed by the time of the listing is by then an entry
of the chain (in the lake or in the outbox) or an open intent. What is in the listing and explained by neither is somebody
else's, unless the lease that stands now has its token in the name.
"""

# ruff: noqa: PLR0402 - `from lakehouse.storage import x` would go through the package's re-exports, an import cycle.

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import sqlalchemy as sa

import lakehouse.storage.chain as chain
import lakehouse.storage.files as files
import lakehouse.storage.intents as intents
import lakehouse.storage.s3 as s3
from lakehouse.model import Tier
from lakehouse.storage.control import intent_table
from lakehouse.storage.layout import FileName
from lakehouse.storage.leases import standing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lakehouse.storage.intents import Intent
    from lakehouse.storage.lake import Lake
    from lakehouse.storage.place import Place

LOG = "_delta_log"
_RAW = Tier.RAW.value
_ENTRY = re.compile(r"(\d{20})\.json")
_CHECKPOINT = re.compile(r"(\d{20})\.checkpoint\.parquet")
#: What a writer that died leaves of a file that never got its name; no reader looks at it.
_HALF = re.compile(r"_commit_[0-9a-f-]{36}(\.json)?\.tmp|(\d{20}\.(json|checkpoint\.parquet)|_last_checkpoint)#\d+")


@dataclass(frozen=True)
class Listing:
    """The names in a raw table's folder.

    Attributes:
        files: beside the log.
        versions: those with a log entry.
        checkpoints: those with a checkpoint.
        pointer: whether there is a `_last_checkpoint`.
        odd: what storage puts nowhere, relative to the table: other files in the log's folder, other folders.
        objects: in a store that keeps versions, those of each file, newest first.
    """

    files: frozenset[str] = frozenset()
    versions: frozenset[int] = frozenset()
    checkpoints: frozenset[int] = frozenset()
    pointer: bool = False
    odd: tuple[str, ...] = ()
    objects: Mapping[str, Sequence[s3.Version]] = field(default_factory=dict[str, "Sequence[s3.Version]"], repr=False)

    @property
    def empty(self) -> bool:
        """Whether nothing is there."""
        return not (self.files or self.versions or self.checkpoints or self.pointer or self.odd)


@dataclass(frozen=True)
class Witness:
    """What the control database says at one moment.

    Attributes:
        chains: heads and entries on their way.
        open: open intents of raw tables.
        done: the newest version of each raw table that a settled intent made.
        count: how many versions of each raw table settled intents made.
        leases: tokens of tables whose last holder is at work or did not end well, and whether he is at work.
        given_up: by raw table, files that were never committed and that the store keeps nevertheless.
    """

    chains: chain.Told
    open: Mapping[str, tuple[Intent, ...]] = field(repr=False)
    done: Mapping[str, int] = field(repr=False)
    count: Mapping[str, int] = field(repr=False)
    leases: Mapping[str, tuple[int, bool]] = field(repr=False)
    given_up: Mapping[str, frozenset[str]] = field(repr=False)

    def explains(self, table: str, name: str) -> bool:
        """Whether a file that no entry tells of may be there: a writer is about to commit it, or has died before he could."""
        if any(add["path"] == name for intent in self.open.get(table, ()) for add in intent.body["adds"]):
            return True
        if name in self.given_up.get(table, ()):
            return True
        token, at_work = self.leases.get(table, (-1, True))
        said = FileName.parse(name) if "/" not in name else None
        if said is None:
            return False
        return said.token == token or (said.token < token and not at_work)


def ask(lake: Lake) -> Witness:
    """Ask the control database, in one transaction."""
    mine = intent_table.c.table_id.startswith(f"{_RAW}.")
    columns = intent_table.c
    versions = (sa.func.max(columns.version).label("newest"), sa.func.count().label("commits"))
    settled = sa.select(columns.table_id, *versions).where(mine, columns.state == "done").group_by(columns.table_id)
    with lake.control.read() as connection:
        told = chain.told_in(connection)
        done = connection.execute(settled).all()
        waiting = connection.execute(sa.select(intent_table).where(mine, columns.state == "open")).all()
        leases = standing(connection, now=lake.control.micros(connection))
        given_up = intents.given_up(connection)
    found: dict[str, tuple[Intent, ...]] = {}
    for row in waiting:
        intent = intents.Intent(row.id, row.table_id, row.token, row.version, row.kind, row.body)
        found[row.table_id] = (*found.get(row.table_id, ()), intent)
    newest, count = {row.table_id: row.newest for row in done}, {row.table_id: row.commits for row in done}
    return Witness(told, found, newest, count, leases, given_up)


def tables(place: Place) -> tuple[list[str], list[str]]:
    """What the control database would call each folder of a raw table, and files that are in none of them."""
    base = place.raw
    found: list[str] = []
    stray = list(files.names(base))
    for domain in files.folders(base):
        found += [f"{_RAW}.{domain}.{name}" for name in files.folders(files.join(base, domain))]
        stray += [f"{domain}/{name}" for name in files.names(files.join(base, domain))]
    return found, stray


def listing(place: Place, table: str) -> Listing:
    """The names in a raw table's folder."""
    uri = place.table(table)
    odd = [f"{folder}/" for folder in files.folders(uri) if folder != LOG]
    log = files.join(uri, LOG)
    odd += [f"{LOG}/{folder}/" for folder in files.folders(log)]
    versions, checkpoints, pointer = set[int](), set[int](), False
    for name in files.names(log):
        if said := _ENTRY.fullmatch(name):
            versions.add(int(said[1]))
        elif said := _CHECKPOINT.fullmatch(name):
            checkpoints.add(int(said[1]))
        elif name == "_last_checkpoint":
            pointer = True
        elif not _HALF.fullmatch(name):
            odd.append(f"{LOG}/{name}")
    there = frozenset(files.names(uri))
    objects = {} if files.is_local(uri) else s3.versions(uri)
    return Listing(there, frozenset(versions), frozenset(checkpoints), pointer, tuple(odd), objects)
