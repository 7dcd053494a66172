"""Raw in a store that keeps versions: the version that the chain tells of is the truth, whatever was put on top of it.

Object lock preserves, it does not prevent: a newer version or a delete marker hides what is locked, and readers see the
newest. `verify worm` finds that; what was hidden is put back here, by a copy of the first version on top of the others.
"""

# ruff: noqa: PLR0402 - `from lakehouse.storage import x` would go through the package's re-exports, an import cycle.

from __future__ import annotations

import datetime as dt
import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import lakehouse.storage.chain as chain
import lakehouse.storage.delta as delta
import lakehouse.storage.faults as faults
import lakehouse.storage.files as files
import lakehouse.storage.s3 as s3
from lakehouse.errors import LakeMismatchError
from lakehouse.storage.control import from_micros

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from lakehouse.storage.lake import Lake

#: A file is locked when it is put, its entry follows later; within that time the two may differ.
_LATER = dt.timedelta(hours=6)


@dataclass(frozen=True)
class Hidden:
    """A file of raw that readers do not see as it was committed, and the version of it that they should."""

    table: str
    uri: str
    version: str


def newest(versions: Mapping[str, Sequence[s3.Version]], name: str) -> s3.Version | None:
    """What lies on top; None where the store keeps no versions."""
    return next((each for each in versions.get(name, ()) if each.latest), None)


def is_there(versions: Mapping[str, Sequence[s3.Version]], name: str, version: str) -> bool:
    """Whether the store still has a version: without a lock it may be gone for good."""
    return any(each.id == version for each in versions.get(name, ()))


def is_hidden(uri: str, version: str, on_top: s3.Version | None, *, sha256: str | None) -> bool:
    """Whether readers see something else than the version that was committed: other bytes, or nothing."""
    if on_top is None or on_top.id == version:
        return False
    if on_top.hides:
        return True
    found = files.digest(uri, version=on_top.id)
    return found is None or found[1] != sha256


def is_unlocked(lake: Lake, uri: str, version: str, *, at: int) -> bool:
    """Whether the store does not keep a version as long as an entry of that time says, though it still should."""
    if lake.raw_lock_days is None:
        return False
    days = dt.timedelta(days=lake.raw_lock_days)
    if lake.now() >= from_micros(at) + days - _LATER:
        return False
    found = s3.kept(uri, version)
    if found is None:
        return False  # gone: that is another finding
    put, until = found
    # a lock counts from when its file was put; a commit whose process died is told by its entry as late as recovery comes
    due = min(from_micros(at), put + _LATER) + days - _LATER
    return lake.now() < due and (until is None or until < due)


def is_kept(uri: str, *, now: dt.datetime) -> bool:
    """Whether the store still refuses to delete a file that nobody wants any more."""
    if files.is_local(uri):
        return False
    untils = [s3.locked_until(uri, each.id) for each in s3.versions_of(uri) if not each.hides]
    return any(until is not None and until > now for until in untils)


def hidden(lake: Lake) -> list[Hidden]:
    """Files and log entries of raw that something lies on top of.

    Raises:
        LakeMismatchError: the chain is broken, or cut, so that it does not say what the truth is.
    """
    if files.is_local(lake.place.raw):
        return []
    walk, cut = _walk(lake)
    if walk.findings:
        raise LakeMismatchError(
            "the chain `raw` is broken: it does not say which versions are true",
            where=walk.findings[0].where,
            hint="mend the chain first; `lakehouse verify worm` names each broken link",
        )
    told: dict[str, dict[str, tuple[str, str]]] = {}
    for entry in walk.entries.values():
        of_table = told.setdefault(str(entry.body.get("table")), {})
        of_table.update(_versions_told(entry))
        for path in entry.body.get("removes", ()):
            of_table.pop(path, None)
    found = list(_hidden(lake, told))
    if found and cut:
        raise LakeMismatchError(
            "the chain `raw` was cut, and files of raw are hidden: what is left of it cannot be believed",
            where=chain.place(lake.root, chain.RAW, walk.number + 1),
            hint="restore the chain's entries from a backup first; `lakehouse verify worm` names each",
        )
    return found


def _walk(lake: Lake) -> tuple[chain.Walk, bool]:
    """The chain as far as lake and control database both have it, as one of them may be from a backup.

    Returns:
        The walk, and whether it ends before the head that the database knows, so that nothing vouches for it.
    """
    numbers = chain.numbers_in(lake.root, chain.RAW)
    with lake.control.read() as connection:
        told = chain.told_in(connection)
    head = told.heads.get(chain.RAW, chain.Head(0, ""))
    last = max((each for each in {*numbers, *head.waiting} if each <= head.number), default=0)
    cut = last < head.number
    if cut:
        content = chain.read(lake.root, chain.RAW, last) if last else None
        hash_ = chain.origin(told.lake_id, chain.RAW) if content is None else hashlib.sha256(content).hexdigest()
        told = replace(told, heads={**told.heads, chain.RAW: chain.Head(last, hash_, head.waiting)})
    known = {each for each in numbers if each <= last}
    return chain.walk(lake.root, told, chain.RAW, numbers=known), cut


def put_back(lake: Lake, found: Sequence[Hidden]) -> None:
    """Make the versions that were committed the newest ones again; locked as long as new files are."""
    until = lake.locked_until(lake.now())
    for each in found:
        with faults.around("file.put_back"):
            s3.put_back(each.uri, each.version, until)


def _hidden(lake: Lake, told: Mapping[str, Mapping[str, tuple[str, str]]]) -> Iterator[Hidden]:
    for table, names in sorted(told.items()):
        if not names:
            continue
        uri = lake.place.table(table)
        versions = s3.versions(uri)
        for name, (version, sha256) in sorted(names.items()):
            place = files.join(uri, name)
            if is_there(versions, name, version) and is_hidden(place, version, newest(versions, name), sha256=sha256):
                yield Hidden(table, place, version)


def _versions_told(entry: chain.Entry) -> Iterator[tuple[str, tuple[str, str]]]:
    """Names below the table, with the version and SHA-256 that the entry tells."""
    body = entry.body
    log = body.get("log", {})
    if "object_version" in log:
        yield delta.log_entry("", body["version"]).removeprefix("/"), (log["object_version"], log["sha256"])
    for each in body.get("files", ()):
        if "object_version" in each:
            yield each["path"], (each["object_version"], each["sha256"])
