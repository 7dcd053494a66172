"""Chains: append-only logs in the lake, outside Delta, whose entries name the one before by its SHA-256.

One create-only object per entry, `system/chains/<name>/<number>.json`, canonical JSON. The control database has each
chain's head, set in the same transaction as what the entry tells, and an outbox of entries on their way to the lake. So
either side shows when the other is older. `raw` tells each commit of a raw table, `erasure` each erasure; what the entries
mean is known to who appends them.
"""

# ruff: noqa: PLR0402 - `from lakehouse.storage import x` would go through the package's re-exports, an import cycle.

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

import lakehouse.storage.files as files
from lakehouse.errors import StorageError
from lakehouse.model import Finding, Level
from lakehouse.storage.control import chain_head_table, chain_outbox_table, lake_table

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from lakehouse.storage.control import ControlDatabase

RAW, ERASURE = "raw", "erasure"
NAMES = (RAW, ERASURE)
_FILE = re.compile(r"(\d{12})\.json")
_HALF = re.compile(r"\.\d{12}\.json\.[0-9a-f]{32}\.part")


@dataclass(frozen=True)
class Entry:
    """One entry.

    Attributes:
        chain: the chain's name.
        number: 1 for the first, without gaps.
        previous: SHA-256 of the previous entry's bytes; of the first, `origin`.
        at: when it was appended, in microseconds by the control database's clock.
        body: what it tells; never a value of a row.
    """

    chain: str
    number: int
    previous: str
    at: int
    body: Mapping[str, Any] = field(repr=False)

    @property
    def content(self) -> bytes:
        """The entry's bytes in the lake: sorted keys, no spaces, ASCII."""
        document = {name: getattr(self, name) for name in ("chain", "number", "previous", "at", "body")}
        return _canonical(document)

    @property
    def hash(self) -> str:
        """SHA-256 of the entry's bytes."""
        return hashlib.sha256(self.content).hexdigest()


@dataclass(frozen=True)
class Head:
    """What the control database knows of a chain: its newest entry, and the numbers that wait to be written."""

    number: int
    hash: str
    waiting: tuple[int, ...] = ()


@dataclass(frozen=True)
class Walk:
    """What a chain looks like from end to end: the newest entry, everything that is wrong, and the readable entries."""

    name: str
    number: int
    hash: str
    findings: tuple[Finding, ...] = ()
    entries: Mapping[int, Entry] = field(default_factory=dict[int, "Entry"], repr=False, compare=False)


@dataclass(frozen=True)
class Told:
    """What the control database says of all chains: heads, and the bytes of entries that wait to be written."""

    lake_id: str
    heads: Mapping[str, Head]
    waiting: Mapping[tuple[str, int], bytes] = field(repr=False)


def _canonical(document: object) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode("ascii")


def origin(lake_id: str, name: str) -> str:
    """What the first entry names as its predecessor, so that no entry fits into another lake's chain."""
    return hashlib.sha256(f"lakehouse/{lake_id}/{name}".encode()).hexdigest()


def start(connection: sa.Connection, lake_id: str) -> None:
    """Begin the chains of a new lake."""
    known = set(connection.execute(sa.select(chain_head_table.c.name)).scalars())
    for name in NAMES:
        if name not in known:
            connection.execute(chain_head_table.insert().values(name=name, number=0, hash=origin(lake_id, name)))


def append(connection: sa.Connection, name: str, body: Mapping[str, Any], *, at: int) -> Entry:
    """Append an entry inside a transaction; `deliver` or `flush` writes it to the lake after the transaction's end.

    Raises:
        StorageError: the control database has no such chain.
    """
    mine = chain_head_table.c.name == name
    # INVARIANT: one appender at a time: the row is locked until the transaction ends.
    head = connection.execute(sa.select(chain_head_table).where(mine).with_for_update()).one_or_none()
    if head is None:
        raise StorageError(f"the control database has no chain `{name}`", hint="restore it from a backup")
    entry = Entry(name, head.number + 1, head.hash, at, body)
    connection.execute(chain_head_table.update().where(mine).values(number=entry.number, hash=entry.hash))
    waiting = {"name": name, "number": entry.number, "body": json.loads(entry.content)}
    connection.execute(chain_outbox_table.insert().values(waiting))
    return entry


def deliver(root: str, control: ControlDatabase, entry: Entry) -> None:
    """Write an entry to the lake once its transaction has ended, and take it out of the outbox.

    Raises:
        StorageError: another entry has its number.
    """
    _write(root, entry)
    with control.write("chain.flush") as connection:
        connection.execute(chain_outbox_table.delete().where(_waits(entry.chain, entry.number)))


def flush(root: str, control: ControlDatabase) -> int:
    """Deliver all waiting entries; returns how many. Repeating it, also in two processes at once, is harmless.

    Raises:
        StorageError: another entry has the number of a waiting one.
    """
    order = (chain_outbox_table.c.name, chain_outbox_table.c.number)
    with control.read() as connection:
        rows = connection.execute(sa.select(chain_outbox_table).order_by(*order)).all()
    for row in rows:
        deliver(root, control, Entry(**row.body))
    for name in {row.name for row in rows}:
        _drop_halves(root, name, {f"{row.number:012d}.json" for row in rows if row.name == name})
    return len(rows)


def _drop_halves(root: str, name: str, there: Collection[str]) -> None:
    """Take away what a writer left who died before he could name it; who is at it just now finds the entry there."""
    folder = files.join(root, "system", "chains", name)
    for left in files.names(folder):
        if _HALF.fullmatch(left) and left[1:].rpartition(".json.")[0] + ".json" in there:
            files.delete(files.join(folder, left))


def _waits(name: str, number: int) -> sa.ColumnElement[bool]:
    return sa.and_(chain_outbox_table.c.name == name, chain_outbox_table.c.number == number)


def heads(control: ControlDatabase) -> dict[str, Head]:
    """Every chain's head as the control database knows it, at one moment."""
    with control.read() as connection:
        return heads_in(connection)


def heads_in(connection: sa.Connection) -> dict[str, Head]:
    """The same inside a transaction."""
    both = chain_head_table.outerjoin(chain_outbox_table, chain_head_table.c.name == chain_outbox_table.c.name)
    wanted = sa.select(chain_head_table, chain_outbox_table.c.number.label("waiting")).select_from(both)
    rows = connection.execute(wanted).all()
    return {
        row.name: Head(
            row.number,
            row.hash,
            tuple(sorted(each.waiting for each in rows if each.name == row.name and each.waiting is not None)),
        )
        for row in rows
    }


def place(root: str, name: str, number: int) -> str:
    """Where an entry is in the lake."""
    return files.join(root, "system", "chains", name, f"{number:012d}.json")


def read(root: str, name: str, number: int) -> bytes | None:
    """An entry's bytes, None when it is not in the lake."""
    return files.read(place(root, name, number))


def entries(root: str, name: str, *, after: int = 0) -> Iterator[Entry]:
    """The entries in the lake behind a number, as far as they follow each other; links are `verify`'s affair.

    Raises:
        StorageError: an entry is not readable.
    """
    number = after + 1
    while (content := read(root, name, number)) is not None:
        yield parse(content, where=place(root, name, number))
        number += 1


def parse(content: bytes, *, where: str) -> Entry:
    """The entry of these bytes.

    Raises:
        StorageError: they are not an entry's.
    """
    try:
        entry = Entry(**json.loads(content))
        if entry.content == content and isinstance(json.loads(content)["body"], dict):
            return entry
    except (ValueError, TypeError):
        pass
    raise StorageError("the chain's entry is not readable", where=where, hint="restore the file from a backup")


def verify(root: str, control: ControlDatabase, name: str) -> Walk:
    """Walk a whole chain; see `walk`."""
    numbers = numbers_in(root, name)  # before the database is asked: what is in the lake by then is known to it
    with control.read() as connection:
        told = told_in(connection)
    return walk(root, told, name, numbers=numbers)


def told_in(connection: sa.Connection) -> Told:
    """What the control database says of the chains, at one moment."""
    lake_id = str(connection.execute(sa.select(lake_table.c.id)).scalar_one())
    rows = connection.execute(sa.select(chain_outbox_table)).all()
    waiting = {(row.name, row.number): _canonical(row.body) for row in rows}
    return Told(lake_id, heads_in(connection), waiting)


def walk(root: str, told: Told, name: str, *, numbers: Collection[int], after: int = 0) -> Walk:
    """Look at a chain from its head backwards, in lake and outbox together: bytes, numbers without gap, links.

    Backwards, because the head in the control database is what is trusted: each entry that is right vouches for the bytes of
    the one before it, so the one that was changed is named and not its neighbour.

    Args:
        root: the lake's place.
        told: what the control database says.
        name: the chain.
        numbers: the entries that are in the lake, listed before `told` was asked.
        after: look only at the entries behind this one, and at its own link.
    """
    head = told.heads.get(name)
    if head is None:
        return Walk(name, 0, "", (_finding(root, name, 0, "is in no chain that the control database knows"),))
    found = [_finding(root, name, each, "is unknown to the control database") for each in numbers if each > head.number]
    entries: dict[int, Entry] = {}
    vouched: str | None = head.hash  # what the next entry says of this one, None if nothing trusted says anything
    last = (0, origin(told.lake_id, name))
    for number in range(head.number, max(after, 1) - 1, -1):
        content, waits = _bytes(root, name, number), told.waiting.get((name, number))
        entry, problems = _link(name, number, content, waits=waits)
        hash_ = hashlib.sha256(_either(content, waits)).hexdigest()
        if entry is not None and vouched not in {None, hash_}:
            problems.append(_unlike(number, head))
        elif entry is not None and number < head.number and vouched is None and _breaks(entries, number, hash_):
            found.append(_finding(root, name, number + 1, "does not follow the entry before it"))
        if number == 1 and entry is not None and entry.previous != origin(told.lake_id, name):
            problems.append("does not follow from the lake's id")
        if problems:
            found.append(_finding(root, name, number, ", and ".join(problems)))
        if entry is not None:
            entries[number] = entry
            last = max(last, (number, hash_))
        vouched = entry.previous if entry is not None and not problems else None
    found.sort(key=lambda each: each.where)
    return Walk(name, *last, tuple(found), {n: e for n, e in sorted(entries.items()) if n > after})


def numbers_in(root: str, name: str) -> set[int]:
    """The numbers of the entries that are in the lake."""
    folder = files.join(root, "system", "chains", name)
    return {int(said[1]) for each in files.names(folder) if (said := _FILE.fullmatch(each))}


def stray_in(root: str, name: str) -> list[str]:
    """The names of files beside the entries; not those that a writer is about to name, or has died before he could."""
    found = files.names(files.join(root, "system", "chains", name))
    return [each for each in found if not _FILE.fullmatch(each) and not _HALF.fullmatch(each)]


def _link(name: str, number: int, content: bytes | None, *, waits: bytes | None) -> tuple[Entry | None, list[str]]:
    """An entry by its bytes in the lake, else in the outbox, and what is wrong with it by itself."""
    if content is None and waits is None:
        return None, ["is missing"]
    try:
        entry = parse(_either(content, waits), where="")
    except StorageError:
        return None, ["is not readable"]
    if (entry.chain, entry.number) != (name, number):
        return None, ["is another entry under this name"]
    if content is not None and waits is not None and content != waits:
        return entry, ["is not the one that the control database is about to write"]
    return entry, []


def _either(content: bytes | None, waits: bytes | None) -> bytes:
    return (waits or b"") if content is None else content


def _bytes(root: str, name: str, number: int) -> bytes | None:
    try:
        return read(root, name, number)
    except OSError:
        return b""  # there, and not readable


def _unlike(number: int, head: Head) -> str:
    if number == head.number:
        return "is not the head that the control database knows"
    return f"was changed: entry {number + 1} names another SHA-256 before it"


def _breaks(entries: Mapping[int, Entry], number: int, hash_: str) -> bool:
    """Whether the entry behind this one, itself not to be trusted, names another one."""
    behind = entries.get(number + 1)
    return behind is not None and behind.previous != hash_


def _write(root: str, entry: Entry) -> None:
    where = place(root, entry.chain, entry.number)
    if not files.put_once(where, entry.content) and files.read(where) != entry.content:
        raise StorageError(
            f"the lake has another entry {entry.number} in chain `{entry.chain}`",
            where=where,
            hint="a backup was restored, or the file was changed: run `lakehouse recover`",
        )


def _finding(root: str, name: str, number: int, problem: str) -> Finding:
    hint = "restore the file from a backup; if the lake or the database is one, run `lakehouse recover`"
    where = place(root, name, number)
    return Finding(f"chain_{name}", Level.ERROR, where, f"entry {number} of chain `{name}` {problem}", hint)
