"""The log of one raw table held against the chain: every version, in order, and what is derived from them.

Each log entry must be byte for byte the one that the chain tells of; a version of which it does not tell is a commit without
an intent, which is how a vacuum, a restore, a delete or a changed property by hand shows. Data files are not read here.
"""

# ruff: noqa: PLR0402 - `from lakehouse.storage import x` would go through the package's re-exports, an import cycle.

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import lakehouse.storage.delta as delta
import lakehouse.storage.files as files
import lakehouse.storage.intents as intents
import lakehouse.storage.replay as replay
from lakehouse.errors import StorageError
from lakehouse.storage.broken import Broken
from lakehouse.storage.protocol import RETIRE
from lakehouse.storage.witness import LOG

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lakehouse.storage.chain import Entry
    from lakehouse.storage.place import Place
    from lakehouse.storage.witness import Listing, Witness

_OPERATION = re.compile(r"[A-Z][A-Za-z _]{1,40}")
_LAST = "_last_checkpoint"
_GONE = "the log entry is missing: removed, or cleaned away"


@dataclass(frozen=True)
class Told:
    """A data file as an entry tells it."""

    entry: int
    version: int
    size: int
    sha256: str | None
    object_version: str | None = None
    at: int = 0


@dataclass
class Account:
    """What the chain tells of one raw table.

    Attributes:
        table: what the control database calls it.
        after: versions up to this one are not looked at, as their entries are not.
        before: files that the table had by then, by its log; None when that cannot be known.
        commits: its versions, by the entries that tell of them.
        files: every file that was added.
        retired: files that retirements took out, with entry and version.
        broken: what is wrong.
        coming: the number of the entry to come: where versions stand that no entry tells of.
    """

    table: str
    coming: int
    after: int = -1
    before: frozenset[str] | None = frozenset()
    commits: dict[int, Entry] = field(default_factory=dict[int, "Entry"])
    files: dict[str, Told] = field(default_factory=dict[str, Told])
    retired: dict[str, tuple[int, int]] = field(default_factory=dict[str, tuple[int, int]])
    broken: list[Broken] = field(default_factory=list[Broken])

    def take(self, entry: Entry) -> None:
        """Go one entry on.

        Raises:
            ValueError: it does not tell of a commit in the way that entries do.
        """
        body = entry.body
        _require_shape(body)
        version: int = body["version"]
        if version in self.commits:
            self.breaks("raw_chain", version, "the version is told of twice", entry=entry.number)
        self.commits[version] = entry
        for each in body["files"]:
            if each["path"] in self.files:
                self.breaks("raw_chain", version, "the file is told of twice", entry=entry.number, file=each["path"])
            self.files[each["path"]] = Told(
                entry.number, version, each["size"], each.get("sha256"), each.get("object_version"), entry.at
            )
        for path in body["removes"]:
            self.retired[path] = (entry.number, version)
        if body["removes"] and body["kind"] != RETIRE:
            what = f"takes {len(body['removes'])} files out and is no retirement"
            self.breaks("raw_commit", version, what, entry=entry.number)

    def next_entry(self, version: int) -> int:
        """The first entry that tells of a later version, else the one to come."""
        return min((e.number for v, e in self.commits.items() if v > version >= 0), default=self.coming)

    def breaks(
        self,
        code: str,
        version: int,
        what: str,
        *,
        entry: int | None = None,
        file: str = "",
        mends: bool = True,
        kept: bool = False,
    ) -> None:
        """Note something broken; without an entry it stands before the next one that tells of the table."""
        number = self.next_entry(version) if entry is None else entry
        self.broken.append(Broken(number, version, file, code, what, self.table, entry is not None, mends, kept))


def accounts(entries: Iterable[Entry], *, since: int, coming: int) -> dict[str, Account]:
    """What entries tell, by table; those that tell of something else than a commit are left out."""
    found: dict[str, Account] = {}
    for entry in entries:
        table = str(entry.body.get("table"))
        if table == "None":
            continue  # a recovery, or changed: then its link tells
        try:
            first = int(entry.body["version"])
            found.setdefault(table, Account(table, coming, first - 1 if since else -1)).take(entry)
        except (KeyError, TypeError, ValueError, AttributeError):
            # changed, which its link tells; `forensics` says what it was
            if table in found:
                found[table].commits = {v: e for v, e in found[table].commits.items() if e is not entry}
    return found


def check(place: Place, account: Account, listed: Listing, witness: Witness) -> None:
    """Hold a table's log against the chain; what is broken is noted in the account."""
    log = _Log(place, account, listed, witness)
    log.start()
    last = account.after
    # not a range: one file named after a version far away would make it endless
    for version in sorted(each for each in {*account.commits, *listed.versions} if each > account.after):
        if version > last + 1:
            log.gap(last + 1, version - 1)
        log.step(version)
        last = version
    log.end()


class _Log:
    """One walk along a table's versions."""

    def __init__(self, place: Place, account: Account, listed: Listing, witness: Witness) -> None:
        self.uri = place.table(account.table)
        self.account, self.listed = account, listed
        self.open = {each.version: each for each in witness.open.get(account.table, ())}
        self.newest = max((*account.commits, *listed.versions, account.after), default=-1)
        self.state = replay.State()
        self.whole = True  # whether the entries so far are there and readable: else nothing can be derived from them
        self.checkpoints: dict[int, replay.Checkpoint] = {}
        self.flagged = False  # whether a commit that changes the properties was named

    def start(self) -> None:
        """Come to the state before the first version that is looked at, by the checkpoint before it."""
        after = self.account.after
        lost = after + 1 - sum(each <= after for each in self.listed.versions)
        if lost:
            self.whole = False
            self.account.before = None
            first = next(each for each in range(after + 1) if each not in self.listed.versions)
            more = f", and so are {lost - 1:,} others up to version {after}" if lost > 1 else ""
            self.account.breaks("raw_log", first, f"{_GONE}{more}")
            return
        start = max((each for each in self.listed.checkpoints if each <= after), default=-1)
        if start >= 0 and (found := self._checkpoint(start)) is not None:
            self.state = found.state.copy()
        else:
            start = -1
        for version in range(start + 1, after + 1):
            content = _read(delta.log_entry(self.uri, version))
            self._replay(version, content or b"")
        self.account.before = frozenset(unquote(path) for path in self.state.adds) if self.whole else None

    def step(self, version: int) -> None:
        """One version: its bytes, and a checkpoint of it."""
        content = _read(delta.log_entry(self.uri, version))
        entry = self.account.commits.get(version)
        if content is None:
            self.whole = False
            number = entry.number if entry is not None else None
            self.account.breaks("raw_log", version, _GONE, entry=number, kept=self._is_kept(version, entry))
        elif entry is not None:
            self._told(version, content, entry)
        elif not self._explained(version):
            self._foreign(version, content)
        if content is not None:
            self._replay(version, content)
        if version in self.listed.checkpoints:
            self._derived(version)

    def end(self) -> None:
        """What is derived from all versions: properties, the pointer to a checkpoint, what readers see."""
        if self.newest < 0 or not self.whole:
            return
        missing = _unset(self.state.configuration)
        if missing and not self.flagged:
            self.account.breaks("raw_property", self.newest, f"the table has lost {missing}", mends=False)
        for version in sorted(self.listed.checkpoints - self.open.keys()):
            if version <= self.newest:
                continue
            self._wrong_checkpoint(version, "it is of a version that the log does not have")
        wrong = any(each.code == "raw_checkpoint" for each in self.account.broken)
        if not wrong and self.listed.pointer:
            self._pointer()
            wrong = any(each.code == "raw_checkpoint" for each in self.account.broken)
        if not wrong and (odd := replay.readers_differ(self.uri, self.newest, self.state)):
            self.account.breaks("raw_checkpoint", self.newest, odd, file=f"{LOG}/{_LAST}")

    def gap(self, first: int, last: int) -> None:
        """Versions of which there is neither a log entry nor an entry of the chain."""
        self.whole = False
        more = f", and so are those up to version {last}" if last > first else ""
        self.account.breaks("raw_log", first, f"{_GONE}{more}; no entry tells of it")

    def _told(self, version: int, content: bytes, entry: Entry) -> None:
        said: Mapping[str, Any] | None = entry.body.get("log")
        if said is not None and (len(content), hashlib.sha256(content).hexdigest()) != (said["size"], said["sha256"]):
            sizes = (
                f"{len(content):,} bytes instead of {said['size']:,}" if len(content) != said["size"] else "same size"
            )
            what, kept = f"the log entry was rewritten ({sizes})", self._is_kept(version, entry)
            self.account.breaks("raw_log", version, what, entry=entry.number, kept=kept)

    def _is_kept(self, version: int, entry: Entry | None) -> bool:
        """Whether the store still has the version of the log entry that was committed."""
        said = None if entry is None else entry.body.get("log", {}).get("object_version")
        there = self.listed.objects.get(delta.log_entry("", version).removeprefix("/"), ())
        return said is not None and any(each.id == said for each in there)

    def _explained(self, version: int) -> bool:
        """Whether an open intent is this version: its process works, or has died before it could tell the chain."""
        intent = self.open.get(version)
        try:
            return intent is not None and intents.landed(self.uri, intent) is not None
        except (StorageError, ValueError, TypeError, KeyError):
            return False

    def _foreign(self, version: int, content: bytes) -> None:
        try:
            found = replay.actions(content)
        except StorageError:
            self.account.breaks("raw_commit", version, "a commit without an intent, and not readable")
            return
        named = next((str(a["commitInfo"].get("operation", "")) for a in found if "commitInfo" in a), "")
        does = _does(found)
        what = f" (`{named}`)" if _OPERATION.fullmatch(named) else ""
        text = f"a commit without an intent{what}{': ' if does else ''}{', '.join(does)}"
        self.account.breaks("raw_commit", version, text, mends=False)
        for action in found:
            if "metaData" in action and (lost := _unset(action["metaData"].get("configuration") or {})):
                self.flagged = True
                self.account.breaks("raw_property", version, f"un-sets {lost} of the table", mends=False)

    def _replay(self, version: int, content: bytes) -> None:
        try:
            self.state.take(replay.actions(content))
        except StorageError:
            self.whole = False
            if version not in self.account.commits:
                self.account.breaks("raw_log", version, "the log entry is not readable")

    def _checkpoint(self, version: int) -> replay.Checkpoint | None:
        if version not in self.checkpoints:
            content = _read(files.join(self.uri, LOG, _named(version)))
            try:
                self.checkpoints = {version: replay.read_checkpoint(content or b"")}
            except StorageError as error:
                self._wrong_checkpoint(version, error.message)
                return None
        return self.checkpoints[version]

    def _derived(self, version: int) -> None:
        found = self._checkpoint(version)
        if found is None or not self.whole:
            return
        odd = replay.differs(found.state, self.state)
        if odd is not None:
            self._wrong_checkpoint(version, odd)

    def _pointer(self) -> None:
        content = _read(files.join(self.uri, LOG, _LAST)) or b""
        version = replay.pointed(content)
        if version is None:
            self._wrong_pointer(self.newest, "the pointer to the last checkpoint is not readable")
        elif version > self.newest:
            return  # written after the listing
        elif version not in self.listed.checkpoints:
            place = files.join(self.uri, LOG, _named(version))
            if files.sizes([place])[place] is not None:
                return  # its commit was there at the listing, the checkpoint came right after
            self._wrong_pointer(version, "the pointer to the last checkpoint names one that is not there")
        elif (found := self._checkpoint(version)) and (odd := replay.pointer_differs(content, found)):
            self._wrong_pointer(version, f"the pointer to the last checkpoint does not follow from it: {odd}")

    def _wrong_checkpoint(self, version: int, what: str) -> None:
        self._wrong(version, _named(version), f"the checkpoint does not follow from the log: {what}")

    def _wrong_pointer(self, version: int, what: str) -> None:
        self._wrong(version, _LAST, what)

    def _wrong(self, version: int, name: str, what: str) -> None:
        entry = self.account.commits.get(version)
        number = None if entry is None else entry.number
        self.account.breaks("raw_checkpoint", version, what, entry=number, file=f"{LOG}/{name}")


def _require_shape(body: Mapping[str, Any]) -> None:
    said = [body["version"], *(each["size"] for each in body["files"])]
    words = [body["kind"], *(each["path"] for each in body["files"]), *body["removes"]]
    words += [each["sha256"] for each in body["files"] if "sha256" in each]
    if "log" in body:  # not learnt from an intent
        said.append(body["log"]["size"])
        words.append(body["log"]["sha256"])
    if not all(isinstance(each, int) for each in said) or not all(isinstance(each, str) for each in words):
        raise ValueError("not an entry of a commit")


def _does(actions: list[dict[str, Any]]) -> list[str]:
    """What a foreign commit does, in words."""
    adds, removes = sum("add" in each for each in actions), sum("remove" in each for each in actions)
    found = [f"takes {removes} files out"] if removes else []
    found += [f"puts {adds} files in"] if adds else []
    return found + (["changes schema or properties"] if any("metaData" in each for each in actions) else [])


def _unset(configuration: Mapping[str, str]) -> str:
    return " and ".join(f"`{name}`" for name, value in delta.WORM.items() if configuration.get(name) != value)


def _read(uri: str) -> bytes | None:
    """A file's bytes; what cannot be read is as good as missing."""
    try:
        return files.read(uri)
    except OSError:
        return None


def _named(version: int) -> str:
    return f"{version:020d}.checkpoint.parquet"
