"""Raw is immutable, proved: every byte of it is read again and held against the chain, and the chain against its head.

The chain `raw` has an entry for each commit, with size and SHA-256 of the log entry and of each data file; the control
database has the chain's head. So whoever changes, removes, adds or replaces anything is found by the first entry that does
not fit, unless he owns lake and control database and no head was published elsewhere (docs/worm.md).
"""

# ruff: noqa: PLR0402 - `from lakehouse.storage import x` would go through the package's re-exports, an import cycle.

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import lakehouse.storage.chain as chain
import lakehouse.storage.delta as delta
import lakehouse.storage.files as files
import lakehouse.storage.forensics as forensics
import lakehouse.storage.history as history
import lakehouse.storage.preserved as preserved
import lakehouse.storage.witness as witness
from lakehouse.errors import UsageError
from lakehouse.model import Finding, Level
from lakehouse.storage.agreement import RECOVER
from lakehouse.storage.broken import Broken, shown
from lakehouse.storage.lake import open_apart, read_homes
from lakehouse.storage.protocol import RETIRE
from lakehouse.storage.witness import Listing, Witness

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from lakehouse.settings import Settings
    from lakehouse.storage.history import Account, Told
    from lakehouse.storage.lake import Lake

#: SHA-256 runs outside Python's lock; more threads than that only queue for the disk.
READERS = max(4, min(16, 2 * (os.cpu_count() or 1)))
MOST_FINDINGS = 50  # of one table: a lake that is all gone needs no list of its files
_AT_ONCE = 512
_UNLOCKED = "is not locked for as long as the lake says"


@dataclass(frozen=True)
class Published:
    """A head as it was published elsewhere: a chain's entry of that number had that hash."""

    chain: str
    number: int
    hash: str


@dataclass(frozen=True)
class Verified:
    """What was looked at of one table; `first` is its first broken link."""

    table: str
    entries: int
    files: int
    bytes: int
    first: Finding | None


@dataclass(frozen=True)
class Proof:
    """What `verify` found.

    Attributes:
        findings: what is broken, in the order of the chain; empty when everything is as it was committed.
        tables: what was looked at.
        heads: the newest entry of each chain, and its hash.
        entries: how many entries of chains were looked at.
        seconds: how long it took.
    """

    findings: tuple[Finding, ...]
    tables: tuple[Verified, ...]
    heads: Mapping[str, tuple[int, str]]
    entries: int
    seconds: float

    @property
    def files(self) -> int:
        """How many data files were read."""
        return sum(each.files for each in self.tables)

    @property
    def bytes(self) -> int:
        """How many bytes they were."""
        return sum(each.bytes for each in self.tables)


@dataclass
class _Work:
    """What is known while the proof is made."""

    lake: Lake
    listed: dict[str, Listing]
    stray: tuple[str, ...]
    told: Witness
    walks: dict[str, chain.Walk]
    accounts: dict[str, Account]
    since: int


def open_unjudged(settings: Settings) -> tuple[Lake, tuple[Finding, ...]]:
    """Open a lake also when its sides are not of the same moment, and say so.

    Raises:
        LakeMissingError: there is no lake.
        LakeMismatchError: there is no control database or another lake's.
        FormatVersionError: the lake has another format version, or its control database another revision.
    """
    lake, marker, row = open_apart(settings)
    read_homes(lake)
    theirs, ours = marker.get("generation"), row["generation"]
    if theirs == ours or not row["ready"]:
        return lake, ()
    what = f"lake and control database are of different moments: generation {theirs} and {ours}"
    return lake, (Finding("lake_generation", Level.ERROR, lake.root, what, RECOVER),)


def verify(
    lake: Lake,
    *,
    table: str | None = None,
    since: int = 0,
    expected: Sequence[Published] = (),
    progress: Callable[[int, int], None] | None = None,
) -> Proof:
    """Read raw again and hold it against the chain. Writers may be at work meanwhile; nothing is changed.

    Args:
        lake: the lake; its sides need not agree.
        table: only this table, by what the control database calls it; the chains are looked at all the same.
        since: read only what entries behind this one tell of.
        expected: heads that were published elsewhere; the chains must contain them.
        progress: told after each few files: bytes read, and all there are to read.

    Raises:
        UsageError: the chain has no table or entry of that name or number.
    """
    begun = time.monotonic()
    work = _gather(lake, table=table, since=since, expected=expected)
    raw = work.walks[chain.RAW]
    if raw.findings or (not since and _short(work)):
        forensics.hold(lake, work.accounts, table=table)
    for key, account in sorted(work.accounts.items()):
        history.check(lake.place, account, work.listed.get(key, Listing()), work.told)
        _names(work, key, account)
    read = _bytes(work, progress)
    _objects(work)
    _judge_late(work, newest=raw.number)
    walks = work.walks.values()
    findings = [each for walked in walks for each in walked.findings]
    findings += [odd for each in expected if (odd := _published(lake, work.walks[each.chain], each)) is not None]
    findings += [_stray(name) for name in work.stray]
    findings += _ordered(work.accounts.values())
    tables = tuple(_verified(key, account, read[key]) for key, account in sorted(work.accounts.items()))
    heads = {walked.name: (walked.number, walked.hash) for walked in walks}
    looked_at = sum(len(walked.entries) for walked in walks)
    return Proof(tuple(findings), tables, heads, looked_at, time.monotonic() - begun)


def _gather(lake: Lake, *, table: str | None, since: int, expected: Sequence[Published]) -> _Work:
    """List the lake, then ask the database, then read the chains."""
    keys, stray = witness.tables(lake.place)
    listed = {key: witness.listing(lake.place, key) for key in keys if table in {None, key}}
    numbers = {name: chain.numbers_in(lake.root, name) for name in chain.NAMES}
    told = witness.ask(lake)  # INVARIANT: after the listing, see `witness`
    _require_known(table, since, listed, told)
    start = {name: _start(name, since, expected) for name in chain.NAMES}
    walks = {n: chain.walk(lake.root, told.chains, n, numbers=numbers[n], after=start[n]) for n in chain.NAMES}
    coming = walks[chain.RAW].number + 1
    entries = [entry for entry in walks[chain.RAW].entries.values() if entry.number > since]
    accounts = history.accounts(entries, since=since, coming=coming)
    beside = [f"system/chains/{name}/{each}" for name in chain.NAMES for each in chain.stray_in(lake.root, name)]
    beside += [f"raw/{each}" for each in stray if table is None]
    work = _Work(lake, listed, tuple(beside), told, walks, accounts, since)
    _complete(work, table=table, coming=coming)
    return work


def _start(name: str, since: int, expected: Sequence[Published]) -> int:
    """Where to begin with the links: at `since`, or at the oldest published head before it."""
    if name != chain.RAW:
        return 0
    return max(0, min([since, *(each.number - 1 for each in expected if each.chain == name)]))


def _require_known(table: str | None, since: int, listed: Mapping[str, Listing], told: Witness) -> None:
    head = told.chains.heads.get(chain.RAW)
    if head is not None and since > head.number:
        raise UsageError(f"the chain `raw` ends at entry {head.number}, before {since}", hint="`--print-head` shows it")
    if table is not None and table not in {*listed, *told.done, *told.open}:
        raise UsageError(f"nothing has landed in `{table}`", hint="`lakehouse status` shows what has")


def _complete(work: _Work, *, table: str | None, coming: int) -> None:
    """Accounts also of tables that the chain does not tell of, or not any more; none of those that are not asked for."""
    told = work.told
    there = (key for key, found in work.listed.items() if not found.empty)
    known = {*work.accounts, *told.done, *told.open, *there} if table is None else {table}
    for key in known - work.accounts.keys():
        work.accounts[key] = history.Account(key, coming, told.done.get(key, -1) if work.since else -1)
    for key in work.accounts.keys() - known:
        del work.accounts[key]


def _short(work: _Work) -> bool:
    """Whether the chain tells of fewer commits than the control database knows."""
    return any(len(each.commits) < work.told.count.get(key, 0) for key, each in work.accounts.items())


def _names(work: _Work, key: str, account: Account) -> None:
    """Files that are there and should not be, or should and are not."""
    listed = work.listed.get(key, Listing())
    for name in listed.odd:
        account.breaks("raw_file_added", -1, "is where storage puts nothing", file=name, mends=False)
    if account.before is None:
        return
    present = {*account.before, *account.files} - account.retired.keys()
    for name in sorted(listed.files - present):
        if name in account.retired:
            number, version = account.retired[name]
            kept = preserved.is_kept(files.join(work.lake.place.table(key), name), now=work.lake.now())
            if work.told.leases.get(key) is None and not kept:
                account.breaks("raw_file_stays", version, "is retired and still there", entry=number, file=name)
        elif not work.told.explains(key, name):
            account.breaks("raw_file_added", -1, "was put there; no entry tells of it", file=name, mends=False)
    for name in sorted(present - listed.files - account.files.keys()):
        account.breaks("raw_file_missing", -1, "is missing, and no retirement took it out", file=name)


def _bytes(work: _Work, progress: Callable[[int, int], None] | None) -> dict[str, tuple[int, int]]:
    """Read the data files; returns files and bytes by table."""
    wanted = [
        (key, path, told)
        for key, account in sorted(work.accounts.items())
        for path, told in account.files.items()
        if path not in account.retired
    ]
    total, done = sum(told.size for _, _, told in wanted), 0
    counted: dict[str, tuple[int, int]] = dict.fromkeys(work.accounts, (0, 0))
    with ThreadPoolExecutor(READERS) as pool:
        for begin in range(0, len(wanted), _AT_ONCE):
            some = wanted[begin : begin + _AT_ONCE]
            uris = [files.join(work.lake.place.table(key), path) for key, path, _ in some]
            told_of = [told for _, _, told in some]
            for (key, path, told), found in zip(some, pool.map(_digest, uris, told_of), strict=True):
                _compare(work.accounts[key], path, told, found)
                size = found[0] if isinstance(found, tuple) else 0
                counted[key] = (counted[key][0] + 1, counted[key][1] + size)
                done += told.size
                if progress is not None:
                    progress(done, total)
    return counted


def _digest(uri: str, told: Told) -> tuple[int, str] | OSError | None:
    try:
        return files.digest(uri, version=told.object_version)
    except OSError as error:
        return error


def _objects(work: _Work) -> None:
    """In a store that keeps versions: what lies on top of those that were committed, and whether they are locked."""
    wanted = [
        (key, path, told, told.object_version)
        for key, account in sorted(work.accounts.items())
        for path, told in account.files.items()
        if told.object_version is not None and path not in account.retired
    ]

    def look(each: tuple[str, str, Told, str]) -> tuple[bool, bool]:
        key, path, told, version = each
        uri = files.join(work.lake.place.table(key), path)
        on_top = preserved.newest(work.listed[key].objects, path)
        hidden = preserved.is_hidden(uri, version, on_top, sha256=told.sha256)
        return hidden, preserved.is_unlocked(work.lake, uri, version, at=told.at)

    with ThreadPoolExecutor(READERS) as pool:
        for (key, path, told, _), (hidden, unlocked) in zip(wanted, pool.map(look, wanted), strict=True):
            account = work.accounts[key]
            on_top = preserved.newest(work.listed[key].objects, path)
            kept = preserved.is_there(work.listed[key].objects, path, told.object_version or "")
            if hidden and on_top is not None and on_top.hides:
                what = "is hidden by a delete marker"
                account.breaks("raw_file_missing", told.version, what, entry=told.entry, file=path, kept=kept)
            elif hidden:
                what = "was replaced: another version lies on top of the one that was committed"
                account.breaks("raw_file_changed", told.version, what, entry=told.entry, file=path, kept=kept)
            if unlocked:
                account.breaks("raw_lock", told.version, _UNLOCKED, entry=told.entry, file=path, mends=False)
        entries = [(key, e) for key, account in sorted(work.accounts.items()) for e in account.commits.values()]
        for (key, entry), unlocked in zip(entries, pool.map(partial(_log_unlocked, work.lake), entries), strict=True):
            if unlocked:
                work.accounts[key].breaks("raw_lock", entry.body["version"], _UNLOCKED, entry=entry.number, mends=False)


def _log_unlocked(lake: Lake, told: tuple[str, chain.Entry]) -> bool:
    key, entry = told
    version = entry.body.get("log", {}).get("object_version")
    uri = delta.log_entry(lake.place.table(key), entry.body["version"])
    return version is not None and preserved.is_unlocked(lake, uri, version, at=entry.at)


def _compare(account: Account, path: str, told: Told, found: tuple[int, str] | OSError | None) -> None:
    code = "raw_file_changed"
    if isinstance(found, OSError):
        what = f"cannot be read ({os.strerror(found.errno) if found.errno else 'a fault of the store'})"
    elif found is None:
        code, what = "raw_file_missing", "is missing, and no retirement took it out"
    elif found[0] != told.size:
        what = f"was changed or replaced: {found[0]:,} bytes instead of {told.size:,}"
    elif told.sha256 is not None and found[1] != told.sha256:
        what = "was changed or replaced: same size, another SHA-256"
    else:
        return
    account.breaks(code, told.version, what, entry=told.entry, file=path)


def _judge_late(work: _Work, *, newest: int) -> None:
    """Look again at files that came or went while the lake was read: a writer or a retirement may have been at work."""
    doubtful = {"raw_file_missing", "raw_file_added", "raw_file_stays"}
    if not any(each.code in doubtful for account in work.accounts.values() for each in account.broken):
        return
    now = witness.ask(work.lake)
    later = [entry.body for entry in _since(work.lake, now, newest)]
    retired = {(body["table"], path) for body in later if body.get("kind") == RETIRE for path in body["removes"]}
    for key, account in work.accounts.items():
        uri = work.lake.place.table(key)
        account.broken = [each for each in account.broken if not _settled(each, uri, retired)]


def _settled(each: Broken, uri: str, retired: set[tuple[str, str]]) -> bool:
    if each.code == "raw_file_missing":
        return (each.table, each.file) in retired
    if each.code in {"raw_file_added", "raw_file_stays"} and "/" not in each.file:
        place = files.join(uri, each.file)
        return files.sizes([place])[place] is None
    return False


def _since(lake: Lake, now: Witness, number: int) -> Iterable[chain.Entry]:
    head = now.chains.heads[chain.RAW].number
    return (
        chain.walk(lake.root, now.chains, chain.RAW, numbers=(), after=number).entries.values() if head > number else ()
    )


def _published(lake: Lake, walked: chain.Walk, each: Published) -> Finding | None:
    """What is wrong if the chain does not continue a published head."""
    place = chain.place(lake.root, each.chain, each.number)
    entry = walked.entries.get(each.number)
    if each.number == 0 and each.hash == chain.origin(lake.id, each.chain):
        return None
    if each.number > walked.number:
        what = f"chain `{each.chain}` ends at entry {walked.number}, before the published entry {each.number}: it was cut off"
    elif entry is None or entry.hash != each.hash:
        what = f"entry {each.number} of chain `{each.chain}` is not the published one: the chain was rewritten from there or before"
    else:
        return None
    return Finding("chain_published", Level.ERROR, place, what, f"or a backup was restored since; {RECOVER}")


def _stray(name: str) -> Finding:
    folder, _, last = name.rpartition("/")
    what, hint = "is where storage puts nothing", "find out who put it there"
    return Finding("raw_file_added", Level.ERROR, f"{folder}/{shown(last)}", what, hint)


def _verified(key: str, account: Account, read: tuple[int, int]) -> Verified:
    first = min(account.broken, default=None)
    return Verified(key, len(account.commits), *read, None if first is None else first.finding())


def _ordered(accounts: Iterable[Account]) -> list[Finding]:
    """What is broken, in the order of the chain, so that the first is the first."""
    found: list[Broken] = []
    for account in accounts:
        kept = sorted(account.broken)
        found += kept[:MOST_FINDINGS]
        if len(kept) > MOST_FINDINGS:
            last, more = kept[MOST_FINDINGS - 1], len(kept) - MOST_FINDINGS
            what = f"and {more:,} more broken links behind these"
            found.append(Broken(last.entry, last.version, "~", "raw_more", what, account.table, told=False))
    return [each.finding() if each.code != "raw_more" else _more(each) for each in sorted(found)]


def _more(each: Broken) -> Finding:
    return Finding(each.code, Level.ERROR, each.table, each.what, "mend the first ones, then verify again")
