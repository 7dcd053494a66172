"""The model of the protocol machine, and what must hold after every step.

The model replays the JSON of the Delta log by itself: it folds the operations whose commits are there into the rows that
must be visible, and holds data files, intents, ledger, manifest and chain against that. Each assertion names its promise.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import sqlalchemy as sa

from lakehouse import storage
from lakehouse.errors import FencedOutError, LeaseTakenError, StorageError
from lakehouse.storage import chain, worm
from lakehouse.storage.control import chain_outbox_table
from tests.property.protocol_work import Row

if TYPE_CHECKING:
    from tests.property.protocol_actors import Stage
    from tests.property.protocol_work import Desk, Work

KEEPS_ROWS = {"fence", "merge", "replace"}
DELIVERS, ERASES = {"raw", "stage"}, {"erase", "retire"}


@dataclass(frozen=True)
class Version:
    """One version of a log."""

    number: int
    content: bytes
    token: int
    note: dict[str, Any]
    adds: dict[str, int]
    removes: frozenset[str]

    @property
    def kind(self) -> str:
        return self.note["kind"]

    @property
    def work(self) -> int | None:
        return self.note["inputs"].get("op")


class Log:
    """A Delta log read from its JSON files, and the rows of the files it names."""

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)
        self.versions: list[Version] = []
        self._rows: dict[str, list[tuple[Any, ...]]] = {}

    def look(self) -> None:
        """Read on; what was read before must not have changed."""
        for number, path in enumerate(sorted(self.folder.glob("_delta_log/*.json"))):
            assert path.stem == f"{number:020d}", "the log has a gap"
            content = path.read_bytes()
            if number < len(self.versions):
                assert self.versions[number].content == content, "an entry of the log has changed"
                continue
            version = _version(number, content)
            before = self.versions[-1].token if self.versions else 0
            assert version.token >= before, (
                "a fenced holder has committed: a version has a lower token than the one before"
            )
            self.versions.append(version)

    def active(self) -> dict[str, int]:
        """Files of the newest version, with their sizes."""
        found: dict[str, int] = {}
        for version in self.versions:
            assert version.removes <= found.keys(), "a commit removes files that the table does not have"
            found = {path: size for path, size in found.items() if path not in version.removes}
            found |= version.adds
        return found

    def ever_added(self) -> set[str]:
        return {path for version in self.versions for path in version.adds}

    def on_disk(self) -> set[str]:
        return {path.name for path in self.folder.glob("*.parquet")}

    def rows(self, *columns: str) -> list[tuple[Any, ...]]:
        """What a reader of the newest version sees."""
        return [row for path, size in self.active().items() for row in self._read(path, size, columns)]

    def _read(self, path: str, size: int, columns: tuple[str, ...]) -> list[tuple[Any, ...]]:
        file = self.folder / path
        assert file.exists(), "a file that the current version references is missing"
        assert file.stat().st_size == size, "a file that the current version references has changed"
        if path not in self._rows:
            self._rows[path] = pl.read_parquet(file).select(columns).rows()
        return self._rows[path]


class Model:
    """What has to be true, whatever happened so far."""

    def __init__(self, stage: Stage, desk: Desk) -> None:
        self.stage, self.desk, self.lake = stage, desk, stage.lake
        self.log, self.ledger = Log(self.lake.uri(desk.table)), Log(self.lake.uri(storage.LEDGER))
        self._key = self.lake.key(desk.table)
        self._content: dict[str, tuple[int, int]] = {}
        self._seen: set[str] = set()  # intents
        self._judged: set[int] = set()  # actors

    def check(self) -> None:
        """Everything that holds after every step."""
        content = self.stage.content()
        if content == self._content:  # nothing was written since: only the answers are new
            self._check_answers()
            return
        self._content = content
        self.log.look()
        self.ledger.look()
        self._ask()
        self._check_intents(self.log, self._key)
        self._check_intents(self.ledger, self.lake.key(storage.LEDGER))
        self._check_rows()
        self._check_answers()
        self._check_effects()
        self._check_clean()
        if self.desk.raw:
            self._check_proof()

    def check_end(self) -> None:
        """What holds besides once nobody works, everything is recovered and done."""
        self.check()
        open_ = [intent for intent in self._intents if intent.state == "open"]
        assert not open_, "an intent is open after the recovery"
        left = (self.log.on_disk() - self.log.ever_added()) | (self.ledger.on_disk() - self.ledger.ever_added())
        assert not left, "a file that nobody committed is there after the recovery"
        gone = self.log.on_disk() - self.log.active().keys()
        assert not gone, "a file that a commit removed is there after the recovery and the sweep"
        delivered = Counter(self._work(each).batch for each in self.log.versions if each.kind in DELIVERS)
        assert delivered == Counter(self.desk.rows.keys()), "not every batch was delivered exactly once"
        assert not self._events, "an event of the ledger is not flushed"
        storage.open_lake(self.stage.settings).control.dispose()  # both sides agree; what waits for the chain goes out
        self._ask()
        assert not self._entries, "an entry of the chain is not delivered"
        assert not chain.verify(self.lake.root, self.lake.control, chain.RAW).findings, "the chain is broken"
        assert not worm.verify(self.lake).findings, "the proof of raw finds something"

    def undelivered(self) -> list[int]:
        """Batches whose rows are in no version of the log."""
        taken = {self._work(each).batch for each in self.log.versions if each.kind in DELIVERS}
        return sorted(self.desk.rows.keys() - taken)

    def expected(self) -> set[Row]:
        """The rows that the log's operations leave, in the order of its versions."""
        rows: set[Row] = set()
        for version in self.log.versions:
            if version.kind in DELIVERS:
                rows |= set(self.desk.rows[self._work(version).batch])
            elif version.kind in ERASES:
                rows = {row for row in rows if row.key != self._work(version).key}
            else:
                assert version.kind in KEEPS_ROWS
        return rows

    def _check_intents(self, log: Log, key: str) -> None:
        mine = {intent.id: intent for intent in self._intents if intent.table_id == key}
        for version in log.versions:
            intent = mine.get(version.note.get("intent"))
            assert intent is not None, "a commit is no intent's"
            told = {add["path"]: add["size"] for add in intent.body["adds"]}
            same = (intent.version, intent.token) == (version.number, version.token)
            same &= (told, frozenset(intent.body["removes"])) == (version.adds, version.removes)
            assert same, "a commit is not what its intent says"
            assert intent.state != "dropped", "an intent that was given up has landed"
        landed = {version.note["intent"] for version in log.versions}
        done = {intent.id for intent in mine.values() if intent.state == "done"}
        assert done <= landed, "an intent counts as done and is not in the log"
        token = next((lease.token for lease in self._leases if lease.table_id == key), 0)
        for intent in mine.values():
            assert intent.id in self._seen or intent.token == token, "an intent was recorded by who has lost the lease"
        self._seen |= mine.keys()

    def _check_rows(self) -> None:
        times = Counter(self._work(each).batch for each in self.log.versions if each.kind in DELIVERS)
        assert max(times.values(), default=1) == 1, "a batch was delivered twice"
        seen = Counter(Row(*row) for row in self.log.rows("_batch", "_row", "_entity"))
        assert max(seen.values(), default=1) == 1, "a row is there twice"
        expected = self.expected()
        assert not (seen.keys() - expected), "a row is there that was never delivered, or was erased"
        assert not (expected - seen.keys()), "a row that was delivered is lost"

    def _check_answers(self) -> None:
        """What an actor was told is what happened."""
        for work in self.desk.works:
            landed = [version.number for version in self.log.versions if version.work == work.number]
            assert len(landed) <= 1, "an operation has landed twice"
            if work.version is not None:
                assert landed == [work.version], "a commit that was acknowledged is not in the log"
            elif work.actor is not None and work.actor.ended in {"done", "failed"}:
                assert not landed, "a commit was refused and has landed"
        for actor in self.stage.actors:
            if actor.ended == "failed" and actor.number not in self._judged:
                self._judged.add(actor.number)
                self._judge(actor)

    def _judge(self, actor: Any) -> None:
        """Only who is overtaken, or comes when somebody works, may fail, and only in these ways."""
        error = actor.error
        if isinstance(error, LeaseTakenError) and not actor.tokens:
            return
        overtaken = any(lease.token > actor.tokens.get(lease.table_id, lease.token) for lease in self._leases)
        if overtaken and isinstance(error, FencedOutError | FileNotFoundError):
            return
        if (overtaken or actor.taken) and type(error) is StorageError and "missing or changed" in error.message:
            return
        raise AssertionError(f"{actor.name} failed and had no reason to") from error

    def _check_effects(self) -> None:
        done = {intent.id for intent in self._intents if intent.state == "done"}
        settled = [self._work(each) for each in self.log.versions if each.work and each.note["intent"] in done]
        wanted = Counter((e.batch, e.kind.value, e.count, e.cause) for work in settled for e in work.events)
        waiting = {row.event_id: (row.batch, row.kind, row.count, row.cause) for row in self._events}
        written = self.ledger.rows("event_id", "batch", "kind", "count", "cause")
        flushed = {event: tuple(rest) for event, *rest in written}
        assert len(flushed) == len(written), "an event is in the ledger twice"
        assert Counter((flushed | waiting).values()) == wanted, "the ledger does not tell of each landed commit once"
        if all(version.note["intent"] in done for version in self.ledger.versions):
            assert not (flushed.keys() & waiting.keys()), "an event that is in the ledger still waits"
        taken = {work.batch for work in settled if work.kind == "deliver"}
        states = {row.number for row in self._batches if row.state != "reserved"}
        assert states == taken, "the manifest does not say which batches were taken"

    def _check_clean(self) -> None:
        """Whoever gives a lease back and says that all is clean has left nothing half done."""
        lease = next((each for each in self._leases if each.table_id == self._key), None)
        if lease is None or lease.dirty:
            return
        open_ = [intent for intent in self._intents if intent.table_id == self._key and intent.state == "open"]
        assert not open_, "a lease was given back clean, and an intent is open"
        left = self.log.on_disk() - self.log.ever_added()
        assert not left, "a lease was given back clean, and a file is there that nobody committed"

    def _check_proof(self) -> None:
        found = worm.verify(self.lake).findings
        assert not found, f"the proof of raw gives a false alarm: {[(each.code, each.message) for each in found]}"

    def _work(self, version: Version) -> Work:
        assert version.work is not None
        return self.desk.works[version.work - 1]

    def _ask(self) -> None:
        """What the control database says, at one moment."""
        tables = (
            storage.lease_table,
            storage.intent_table,
            storage.outbox_table,
            storage.batch_table,
            chain_outbox_table,
        )
        with self.lake.control.read() as connection:
            found = [list(connection.execute(sa.select(table))) for table in tables]
        self._leases, self._intents, self._events, self._batches, self._entries = found


def _version(number: int, content: bytes) -> Version:
    actions = [json.loads(line) for line in content.splitlines()]
    (info,) = (each["commitInfo"] for each in actions if "commitInfo" in each)
    (token,) = (each["txn"]["version"] for each in actions if "txn" in each)
    note = info["lakehouse"]
    adds = {each["add"]["path"]: each["add"]["size"] for each in actions if "add" in each}
    removes = frozenset(each["remove"]["path"] for each in actions if "remove" in each)
    return Version(number, content, token, json.loads(note) if isinstance(note, str) else note, adds, removes)
