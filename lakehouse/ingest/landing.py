"""The landing folder: which files are complete, how to put one there, and how they leave it.

Files leave when their rows are staged, if they are still the bytes that were read; a contract with `keep_days` has them
moved beside the folder (`<table>.kept`) for that long, and a file that cannot be taken moves to `<table>.rejected`.
They hold clear personal data, so nothing else reads these folders.
"""

from __future__ import annotations

import datetime as dt
import filecmp
import os
import shutil
import uuid
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from lakehouse.errors import UsageError
from lakehouse.ingest.readers.delivery import unchanged
from lakehouse.privacy import entities

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from lakehouse.contract.model import Source, Table
    from lakehouse.ingest.readers.delivery import Fingerprint
    from lakehouse.storage import Lake

#: A file whose size and time have not changed for so long is complete.
SETTLE = dt.timedelta(seconds=10)
DONE = ".done"
_UNFINISHED = (".part", ".tmp", DONE)
#: How a file is called while it is copied in, and after how long without a write its copier is dead.
_DELIVERING = ".delivering"
_DEAD = dt.timedelta(hours=1)


def folder(lake: Lake, table: Table) -> Path:
    """Where sources drop the table's files."""
    return lake.landing(table.id.domain, table.id.table)


def source_of(table: Table, name: str) -> Source | None:
    """The source that a file name belongs to: the contract's first whose pattern fits."""
    return next((source for source in table.sources if fnmatchcase(name, source.pattern)), None)


def complete_files(lake: Lake, table: Table, now: dt.datetime) -> list[Path]:
    """The files that may be taken, in order of name.

    Complete means, by contract: unchanged for ten seconds, or with a `<file>.done` beside it. Never dotfiles, `.part`
    or `.tmp`. A file that fits no source is there too, so that it is rejected visibly.
    """
    place = folder(lake, table)
    if not place.is_dir():
        return []
    candidates = (path for path in place.iterdir() if not path.name.startswith(".") and path.is_file())
    return sorted(path for path in candidates if path.suffix not in _UNFINISHED and _is_complete(path, table, now))


def name_hashes(lake: Lake, files: Iterable[Path]) -> list[str]:
    """What a request to take files calls them: their names may be personal, so they stay in the landing folder."""
    return [entities.name_hash(lake, file.name) for file in files]


def named(lake: Lake, table: Table, hashes: Sequence[str]) -> list[Path]:
    """The files that `name_hashes` was told, in that order, as far as they are still there."""
    place = folder(lake, table)
    there = {entities.name_hash(lake, path.name): path for path in (place.iterdir() if place.is_dir() else ())}
    return [there[each] for each in hashes if each in there]


def deliver(lake: Lake, table: Table, file: Path) -> Path:
    """Copy a file into the landing folder, under its own name once it is whole; it is complete at once.

    A file that waits there already with the same content is that delivery: whoever died after it, or is at it just now.

    Raises:
        UsageError: another file of that name waits there.
    """
    place = folder(lake, table)
    place.mkdir(parents=True, exist_ok=True)
    target = place / file.name
    if file.resolve() == target.resolve():
        return target
    for left in place.glob(f".*{_DELIVERING}"):
        if _age(left, lake.now()) > _DEAD:
            left.unlink(missing_ok=True)
    part = place / f".{file.name}.{uuid.uuid4().hex[:8]}{_DELIVERING}"
    try:
        shutil.copyfile(file, part)
        while not _linked(part, target):
            if _same(part, target):
                break
    finally:
        part.unlink(missing_ok=True)
    source = source_of(table, file.name)
    if source is not None and source.complete == "marker":
        (place / (file.name + DONE)).touch()
    return target


def _linked(part: Path, target: Path) -> bool:
    """Give a whole file its name, unless another one has it."""
    try:
        target.hardlink_to(part)
    except FileExistsError:
        return False
    return True


def _same(part: Path, target: Path) -> bool:
    """Whether the file that has the name is the same; False when it has just left."""
    try:
        same = filecmp.cmp(part, target, shallow=False)
    except FileNotFoundError:
        return False
    if not same:
        raise UsageError(
            "another file of that name waits in the landing folder", where=str(target.parent), hint="ingest it first"
        )
    return True


def discard(lake: Lake, table: Table, path: Path, *, read: Fingerprint, now: dt.datetime) -> None:
    """Take a file whose rows are in the lake out of the landing folder, if it still is what was read."""
    if path.parent.resolve() != folder(lake, table).resolve() or not unchanged(path, read):
        return
    source = source_of(table, path.name)
    if source is not None and source.keep_days > 0:
        _move(path, path.parent.with_name(f"{table.id.table}.kept"), now=now)
    else:
        path.unlink(missing_ok=True)
    path.with_name(path.name + DONE).unlink(missing_ok=True)


def set_aside(lake: Lake, table: Table, path: Path, *, now: dt.datetime) -> None:
    """Move a file that cannot be taken beside the landing folder, for a person to look at."""
    if path.parent.resolve() == folder(lake, table).resolve() and path.exists():
        _move(path, path.parent.with_name(f"{table.id.table}.rejected"), now=now)
        path.with_name(path.name + DONE).unlink(missing_ok=True)


def drop_expired(lake: Lake, table: Table, now: dt.datetime) -> int:
    """Delete kept files whose days are over; how many."""
    place = folder(lake, table).with_name(f"{table.id.table}.kept")
    days = {source.pattern: source.keep_days for source in table.sources}
    longest = max(days.values(), default=0)
    dropped = 0
    for path in place.iterdir() if place.is_dir() else ():
        source = source_of(table, path.name)
        limit = dt.timedelta(days=source.keep_days if source is not None else longest)
        if _age(path, now) >= limit:
            path.unlink(missing_ok=True)
            dropped += 1
    return dropped


def move_all(lake: Lake, before: Table, after: Table) -> None:
    """Move the files that wait, were kept or were rejected along with a table that has another name now."""
    for ending in ("", ".kept", ".rejected"):
        place, target = (folder(lake, each).with_name(f"{each.id.table}{ending}") for each in (before, after))
        for path in sorted(place.iterdir()) if place.is_dir() else ():
            target.mkdir(parents=True, exist_ok=True, mode=0o700)
            if not (target / path.name).exists():
                path.rename(target / path.name)


def _is_complete(path: Path, table: Table, now: dt.datetime) -> bool:
    source = source_of(table, path.name)
    if source is not None and source.complete == "marker":
        return path.with_name(path.name + DONE).exists()
    return _age(path, now) >= SETTLE


def _age(path: Path, now: dt.datetime) -> dt.timedelta:
    """How long ago the file was changed; less than nothing when somebody has just taken it away."""
    try:
        return now - dt.datetime.fromtimestamp(path.stat().st_mtime, tz=dt.UTC)
    except FileNotFoundError:
        return dt.timedelta.min


def _move(path: Path, place: Path, *, now: dt.datetime) -> None:
    """Move into `place`; never over another file. Its time is when it was moved."""
    place.mkdir(parents=True, exist_ok=True, mode=0o700)
    target, number = place / path.name, 1
    while target.exists():
        target, number = place / f"{number}.{path.name}", number + 1
    path.rename(target)
    os.utime(target, (now.timestamp(), now.timestamp()))
