"""The gateway, landing to raw: every file once, as delivered, and through the gate in the same pass.

Many small files go into one raw and one staged commit, a large one has its own. The raw commit comes first; whoever dies
before the staged one leaves batches that `resume` (and every later ingest) finishes from raw. File names may be personal,
so the manifest knows them by a keyed hash.
"""

# pyarrow ships without types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

import datetime as dt
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import polars as pl

from lakehouse import storage
from lakehouse.contract.model import PATH
from lakehouse.errors import FileRejectedError, LeaseTakenError, StorageError
from lakehouse.ingest.applied import noted, require_applied, standing_contract
from lakehouse.ingest.behind import WriteBehind, ahead
from lakehouse.ingest.gate import Gate, Workplace, finish
from lakehouse.ingest.landing import discard, drop_expired, folder, set_aside, source_of
from lakehouse.ingest.modes.ended import merge as merge_marks
from lakehouse.ingest.modes.ended import place as marks_of
from lakehouse.ingest.quarantine import PLACEMENT
from lakehouse.ingest.quarantine import place as quarantine_of
from lakehouse.ingest.rawform import RawForm
from lakehouse.ingest.readers.delivery import Delivery, Fingerprint
from lakehouse.ingest.report import BatchReport, IngestReport
from lakehouse.ingest.sealer import Sealer
from lakehouse.model import BATCH, LANDED_AT, EventKind, LedgerEvent, Tier
from lakehouse.privacy import entities, vault

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Sequence
    from pathlib import Path

    from lakehouse.contract.model import Project, Source, Table
    from lakehouse.storage import Batch, Held, Lake

#: Files of one commit: at most so many, and no further one beyond so many bytes.
MOST_FILES, MOST_BYTES = 1_000, 256 * 1024 * 1024
#: Small files are put together until they are worth a pass; a block of a large file is one by itself.
_ENOUGH_ROWS = 100_000
#: Files up to so many bytes are reserved together, at most so many.
_SMALL, _TOGETHER = 256 * 1024, 64
_TAKEN = frozenset({"raw", "staged", "held"})


def ingest(lake: Lake, project: Project, table: Table, files: Sequence[Path], *, now: dt.datetime) -> IngestReport:
    """Take files into raw and staged, each exactly once; first does what `resume` does.

    Args:
        lake: the lake.
        project: all contracts.
        table: the staged table that the files are for.
        files: complete files; those in the table's landing folder leave it when their rows are in.
        now: when they landed.

    Returns:
        What became of each file. A rejected file or a held batch is a result, not an error.

    Raises:
        LeaseTakenError: somebody else works on the table.
    """
    with workplace(lake, project, table) as work:
        report = finish(work)
        for chunk in _chunks(files):
            report += _take(work, chunk, now=now)
    drop_expired(lake, table, now)
    vault.destroy_due(lake, now)
    return tidied(lake, table, report)


def resume(lake: Lake, project: Project, table: Table) -> IngestReport:
    """Finish the batches that are in raw but not staged, and judge held ones again if their contract has changed."""
    with workplace(lake, project, table) as work:
        report = finish(work)
    return tidied(lake, table, report)


@contextmanager
def workplace(lake: Lake, project: Project, table: Table) -> Generator[Workplace]:
    """Both leases of a table, and a contract that may be worked under.

    Raises:
        RefusedError: the rows that stand would be others under this contract; it has to be applied first.
        LeaseTakenError: somebody else works on the table.
    """
    with leases(lake, table, holder="ingest") as (raw, staged):
        row = standing_contract(lake, project, table)
        require_applied(row, table)
        form = RawForm.of(table, row.raw if row else None)
        yield Workplace(lake, project, table, raw, staged, raw_form=form, noted=noted(lake, row, table))


@contextmanager
def leases(lake: Lake, table: Table, *, holder: str) -> Generator[tuple[Held, Held]]:
    """The leases of a table's raw and staged, in the order that everybody takes them in.

    Raises:
        LeaseTakenError: somebody else works on the table.
        StorageError: the table was renamed just now.
    """
    storage.read_homes(lake)  # a long-lived process may have opened the lake before a table was renamed
    home = lake.key(table.id)
    with (
        storage.lease(lake, table.id.at(Tier.RAW), holder=holder) as raw,
        storage.lease(lake, table.id, holder=holder) as staged,
    ):
        storage.read_homes(lake)
        if lake.key(table.id) != home:
            raise StorageError("the table was renamed just now", where=str(table.id), hint="run the command again")
        yield raw, staged


def tidied(lake: Lake, table: Table, report: IngestReport) -> IngestReport:
    """What is best done at once but may wait: leftovers of a dead run, the tail, the ledger."""
    # raw and staged were recovered when their leases were taken; these two are only taken when there is something to say
    marks = [marks_of(table.id)] if table.load_mode == "changes" else []
    for other in (quarantine_of(table.id), storage.LEDGER, *marks):
        storage.recover_if_dirty(lake, other)
    merged: int | None = None
    if report.staged_version is not None:
        with suppress(LeaseTakenError):  # whoever has the lease merges, or the next ingest
            merged = storage.merge_tail(lake, table)
            storage.merge(lake, quarantine_of(table.id), PLACEMENT)
            for _ in marks:
                merge_marks(lake, table.id)
    storage.flush_outbox(lake, at_least=storage.WORTH_A_FILE)
    return report if merged is None else replace(report, staged_version=merged)


def _chunks(files: Iterable[Path]) -> Iterator[list[Path]]:
    chunk: list[Path] = []
    size = 0
    for path in files:
        length = _size(path)
        if chunk and (len(chunk) >= MOST_FILES or size + length > MOST_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append(path)
        size += length
    if chunk:
        yield chunk


def _size(path: Path) -> int:
    """The file's size; 0 when it is gone or not ours to see, which shows when it is opened."""
    with suppress(OSError):
        return path.stat().st_size
    return 0


def _take(work: Workplace, chunk: Sequence[Path], *, now: dt.datetime) -> IngestReport:
    """Take the files of one commit; a file that turns out broken halfway is rejected, and the others start anew."""
    spoilt: dict[Path, FileRejectedError] = {}
    rejected: dict[Path, BatchReport] = {}
    while True:
        intake = _Intake(work, chunk, now=now, spoilt=spoilt, rejected=rejected)
        try:
            return intake.run()
        except _SpoiltError as error:
            spoilt[error.path] = error.cause


class _SpoiltError(Exception):
    """A file was rejected after some of its rows had been written."""

    def __init__(self, path: Path, cause: FileRejectedError) -> None:
        super().__init__()
        self.path = path
        self.cause = cause


@dataclass(frozen=True)
class _Arrival:
    """A file on its way in."""

    path: Path
    batch: Batch
    fingerprint: Fingerprint


@dataclass(frozen=True)
class _Known:
    """An open file, what it is known by, and why it cannot be read if it cannot."""

    path: Path
    source: Source | None
    delivery: Delivery
    fingerprint: Fingerprint
    error: FileRejectedError | None = None


class _Intake:
    """The files of one raw and one staged commit."""

    def __init__(
        self,
        work: Workplace,
        chunk: Sequence[Path],
        *,
        now: dt.datetime,
        spoilt: dict[Path, FileRejectedError],
        rejected: dict[Path, BatchReport],
    ) -> None:
        self._work = work
        self._chunk = chunk
        self._now = now
        self._spoilt = spoilt
        self._rejected = rejected  # moved aside already, perhaps before a later file made everything start anew
        self._form = work.raw_form or RawForm.of(work.table, None)
        self._accepted: dict[int, _Arrival] = {}
        self._rows: dict[int, int] = {}
        self._others: list[BatchReport] = []
        self._leaving: list[_Arrival] = []

    def run(self) -> IngestReport:
        """Read, write, judge and commit."""
        work = self._work
        raw_id = work.table.id.at(Tier.RAW)
        placement = storage.Placement.of(work.table, Tier.RAW)
        sealer = Sealer(work.lake, work.table, self._form)
        tx = storage.begin(work.lake, raw_id, work.raw, self._form.schema, placement, append_only=True)
        raw = WriteBehind(tx, prepare=sealer.seal)
        gate = Gate(work)
        try:
            for frame in ahead(_grouped(self._frames())):
                named = sealer.name(frame)
                raw.write(named)
                gate.take(named)
            for number in self._accepted:
                gate.expect(number)
            report = self._commit(raw, gate)
        finally:
            gate.abandon()
            raw.abandon()
        for arrival in [*self._accepted.values(), *self._leaving]:
            discard(work.lake, work.table, arrival.path, read=arrival.fingerprint, now=self._now)
        return IngestReport(batches=(*self._others, *self._rejected.values())) + report

    def _commit(self, raw: WriteBehind, gate: Gate) -> IngestReport:
        if not self._accepted:
            return IngestReport()
        table = self._work.table.id
        events = [LedgerEvent(n, table, EventKind.READ, rows, "gateway") for n, rows in self._rows.items() if rows]
        updates = [storage.BatchUpdate(number, "raw", rows) for number, rows in self._rows.items()]
        raw.wait()
        version = raw.tx.commit("raw", events=events, batches=updates, applied=self._work.noted)
        return IngestReport(raw_version=version) + gate.close(version)

    def _frames(self) -> Iterator[pl.DataFrame]:
        for group in _reserved_together([path for path in self._chunk if path not in self._rejected]):
            with ExitStack() as stack:
                # small files stay in memory once their hash is known, so nothing is opened or read twice
                known = [one for path in group if (one := self._known(path, stack)) is not None]
                for one, batch in zip(known, self._reserve(known), strict=True):
                    if one.error is not None:
                        self._reject(_Arrival(one.path, batch, one.fingerprint), one.error)
                        continue
                    arrival = self._arrive(one, batch)
                    if arrival is not None:
                        yield from self._blocks(arrival, one.delivery)

    def _known(self, path: Path, stack: ExitStack) -> _Known | None:
        """A file and what it is known by; None when it is gone."""
        table = self._work.table
        source = source_of(table, path.name)
        shown = source or table.sources[0]
        delivery = Delivery(path, shown, table.delivered, drift=table.drift, changes=table.changes)
        try:
            stack.enter_context(delivery)
            return _Known(path, source, delivery, delivery.fingerprint())
        except FileNotFoundError:
            self._others.append(_gone(self._work, path))
            return None
        except FileRejectedError as error:
            # Its content is not known, so its batch has none; the reason is recorded all the same.
            return _Known(path, source, delivery, Fingerprint(0, ""), error)

    def _reserve(self, known: Sequence[_Known]) -> list[Batch]:
        """Give each file its batch."""
        lake = self._work.lake
        files = [
            storage.Delivered(
                source=one.source.name if one.source else "",
                name_hash=entities.name_hash(lake, one.path.name),
                sha256=one.fingerprint.sha256,
                size=one.fingerprint.size,
                landed_at=self._now,
                delivered_at=_delivered_at(one.source, one.path.name),
            )
            for one in known
        ]
        return storage.reserve_all(lake, self._work.table.id, files) if files else []

    def _arrive(self, known: _Known, batch: Batch) -> _Arrival | None:
        """The file on its way in; None when it was taken before, or cannot be taken."""
        path = known.path
        arrival = _Arrival(path, batch, known.fingerprint)
        if batch.state in _TAKEN or batch.number in self._accepted:
            self._others.append(_taken(batch))
            self._leaving.append(arrival)
            return None
        if known.source is None:
            self._reject(arrival, FileRejectedError("no source of the contract has such file names"))
            return None
        if self._work.table.order == PATH and batch.delivered_at is None:
            self._reject(arrival, FileRejectedError("the file's name does not say when it was delivered"))
            return None
        if path in self._spoilt:
            self._reject(arrival, self._spoilt[path])
            return None
        return arrival

    def _blocks(self, arrival: _Arrival, delivery: Delivery) -> Iterator[pl.DataFrame]:
        rows = 0
        number, landed = arrival.batch.number, arrival.batch.landed_at
        try:
            for block in delivery.blocks():
                yield block.with_columns(
                    pl.lit(number, pl.Int64).alias(BATCH), pl.lit(landed, pl.Datetime("us", "UTC")).alias(LANDED_AT)
                )
                rows += block.height
            delivery.require_unchanged(arrival.fingerprint)
        except FileRejectedError as error:
            if rows:
                raise _SpoiltError(arrival.path, error) from None
            self._reject(arrival, error)
            return
        self._accepted[number] = arrival
        self._rows[number] = rows

    def _reject(self, arrival: _Arrival, error: FileRejectedError) -> None:
        lake, table = self._work.lake, self._work.table
        storage.reject(lake, arrival.batch, error.message)
        set_aside(lake, table, arrival.path, now=self._now)
        self._rejected[arrival.path] = BatchReport(arrival.batch.number, "rejected", reason=error.message)


def _reserved_together(paths: Iterable[Path]) -> Iterator[list[Path]]:
    """Files that get their batches in one transaction: more and more small ones, so that the first need not wait."""
    group: list[Path] = []
    most = 1
    for path in paths:
        small = _size(path) <= _SMALL
        group.append(path)
        if len(group) >= most or not small:
            yield group
            group, most = [], min(2 * most, _TOGETHER)
    if group:
        yield group


def _gone(work: Workplace, path: Path) -> BatchReport:
    """What to say of a file that is not there: from the landing folder another run may have taken it just now."""
    taken = path.parent.resolve() == folder(work.lake, work.table).resolve()
    return BatchReport(0, "skipped" if taken else "rejected", reason="the file was gone before it was read")


def _taken(batch: Batch) -> BatchReport:
    """What to say of a file that was taken before; one that is held still needs somebody."""
    if batch.state == "held":
        return BatchReport(batch.number, "held", reason=f"{batch.reason}, and the contract is still the same")
    return BatchReport(batch.number, "skipped", reason="this file was taken before")


def _grouped(frames: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """Small frames together, large ones as they are; order stays."""
    group: list[pl.DataFrame] = []
    rows = 0
    for frame in frames:
        group.append(frame)
        rows += frame.height
        if rows >= _ENOUGH_ROWS:
            yield pl.concat(group)
            group, rows = [], 0
    if group:
        yield pl.concat(group)


def _delivered_at(source: Source | None, name: str) -> dt.datetime | None:
    """The delivery time in the file's name; a bare date is the end of that day, when all of it was known."""
    if source is None or source.delivered_at is None:
        return None
    try:
        moment = dt.datetime.strptime(name, source.delivered_at)  # noqa: DTZ007 - the zone is looked at below
        if not any(directive in source.delivered_at for directive in ("%H", "%I", "%M", "%S", "%f", "%c", "%X")):
            moment = dt.datetime.combine(moment, dt.time.max, moment.tzinfo)
        return moment.replace(tzinfo=dt.UTC) if moment.tzinfo is None else moment.astimezone(dt.UTC)
    except (ValueError, OverflowError):  # the latter: a zone that leads out of the years 1 to 9999
        return None
