"""The gateway, landing to raw: every file once, as delivered, and through the gate in the same pass.

Many small files go into one raw and one staged commit, a large one has its own. The raw commit comes first; whoever dies
before the staged one leaves batches that `resume` (and every later ingest) finishes from raw. File names may be personal,
so the manifest knows them by a keyed hash.
"""

# pyarrow ships without types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

import datetime as dt
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import polars as pl

from lakehouse import storage
from lakehouse.contract.model import PATH
from lakehouse.errors import FileRejectedError, LeaseTakenError, StorageError
from lakehouse.ingest import ended
from lakehouse.ingest.applied import noted, require_applied, standing_contract
from lakehouse.ingest.behind import WriteBehind
from lakehouse.ingest.blocks import Delivery
from lakehouse.ingest.gate import Gate, Workplace, finish
from lakehouse.ingest.landing import discard, drop_expired, folder, set_aside, source_of
from lakehouse.ingest.quarantine import PLACEMENT
from lakehouse.ingest.quarantine import place as quarantine_of
from lakehouse.ingest.rawform import RawForm
from lakehouse.ingest.report import BatchReport, IngestReport
from lakehouse.ingest.surrogates import of_rows
from lakehouse.model import BATCH, LANDED_AT, EventKind, LedgerEvent, Tier
from lakehouse.privacy import entities

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Sequence
    from pathlib import Path

    from lakehouse.contract.model import Project, Source, Table
    from lakehouse.ingest.blocks import Fingerprint
    from lakehouse.storage import Batch, Held, Lake

#: Files of one commit: at most so many, and no further one beyond so many bytes.
MOST_FILES, MOST_BYTES = 1_000, 256 * 1024 * 1024
#: Small files are put together until they are worth a pass; a block of a large file is one by itself.
_ENOUGH_ROWS = 100_000
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
    with leases(lake, table) as (raw, staged):
        row = standing_contract(lake, project, table)
        require_applied(row, table)
        form = RawForm.of(table, row.raw if row else None)
        yield Workplace(lake, project, table, raw, staged, raw_form=form, noted=noted(lake, row, table))


@contextmanager
def leases(lake: Lake, table: Table) -> Generator[tuple[Held, Held]]:
    """The leases of a table's raw and staged, in the order that everybody takes them in.

    Raises:
        LeaseTakenError: somebody else works on the table.
        StorageError: the table was renamed just now.
    """
    storage.read_homes(lake)  # a long-lived process may have opened the lake before a table was renamed
    home = lake.key(table.id)
    with (
        storage.lease(lake, table.id.at(Tier.RAW), holder="ingest") as raw,
        storage.lease(lake, table.id, holder="ingest") as staged,
    ):
        storage.read_homes(lake)
        if lake.key(table.id) != home:
            raise StorageError("the table was renamed just now", where=str(table.id), hint="run the command again")
        yield raw, staged


def tidied(lake: Lake, table: Table, report: IngestReport) -> IngestReport:
    """What is best done at once but may wait: leftovers of a dead run, the tail, the ledger."""
    # raw and staged were recovered when their leases were taken; these two are only taken when there is something to say
    marks = [ended.place(table.id)] if table.load_mode == "changes" else []
    for other in (quarantine_of(table.id), storage.LEDGER, *marks):
        storage.recover_if_dirty(lake, other)
    merged: int | None = None
    if report.staged_version is not None:
        with suppress(LeaseTakenError):  # whoever has the lease merges, or the next ingest
            merged = storage.merge_tail(lake, table)
            storage.merge(lake, quarantine_of(table.id), PLACEMENT)
            for _ in marks:
                ended.merge(lake, table.id)
    storage.flush_outbox(lake, at_least=storage.WORTH_A_FILE)
    return report if merged is None else replace(report, staged_version=merged)


def _chunks(files: Iterable[Path]) -> Iterator[list[Path]]:
    chunk: list[Path] = []
    size = 0
    for path in files:
        length = path.stat().st_size if path.exists() else 0
        if chunk and (len(chunk) >= MOST_FILES or size + length > MOST_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append(path)
        size += length
    if chunk:
        yield chunk


def _take(work: Workplace, chunk: Sequence[Path], *, now: dt.datetime) -> IngestReport:
    """Take the files of one commit; a file that turns out broken halfway is rejected, and the others start anew."""
    spoilt: dict[Path, FileRejectedError] = {}
    while True:
        intake = _Intake(work, chunk, now=now, spoilt=spoilt)
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


class _Intake:
    """The files of one raw and one staged commit."""

    def __init__(
        self, work: Workplace, chunk: Sequence[Path], *, now: dt.datetime, spoilt: dict[Path, FileRejectedError]
    ) -> None:
        self._work = work
        self._chunk = chunk
        self._now = now
        self._spoilt = spoilt
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
        raw = WriteBehind(storage.begin(work.lake, raw_id, work.raw, self._form.schema, placement, append_only=True))
        gate = Gate(work)
        try:
            for frame in _ahead(_grouped(self._frames())):
                surrogates = of_rows(work.lake, work.table, frame)
                complete = frame.with_columns(surrogates).select(self._form.contract.names)
                raw.write(self._form.outward(complete))
                gate.take(complete)
            for number in self._accepted:
                gate.expect(number)
            report = self._commit(raw, gate)
        finally:
            gate.abandon()
            raw.abandon()
        for arrival in [*self._accepted.values(), *self._leaving]:
            discard(work.lake, work.table, arrival.path, read=arrival.fingerprint, now=self._now)
        return IngestReport(batches=tuple(self._others)) + report

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
        for path in self._chunk:
            source = source_of(self._work.table, path.name)
            delivery = Delivery(path, source or self._work.table.sources[0], self._work.table.delivered)
            with ExitStack() as stack:
                try:
                    stack.enter_context(delivery)
                except FileNotFoundError:
                    self._others.append(_gone(self._work, path))
                    continue
                arrival = self._arrive(path, delivery, source)
                if arrival is not None:
                    yield from self._blocks(arrival, delivery)

    def _arrive(self, path: Path, delivery: Delivery, source: Source | None) -> _Arrival | None:
        """Give the file its batch; None when it was taken before, or cannot be taken."""
        lake, table = self._work.lake, self._work.table
        fingerprint = delivery.fingerprint()
        batch = storage.reserve(
            lake,
            table.id,
            source=source.name if source else "",
            name_hash=entities.name_hash(lake, path.name),
            sha256=fingerprint.sha256,
            size=fingerprint.size,
            landed_at=self._now,
            delivered_at=_delivered_at(source, path.name),
        )
        arrival = _Arrival(path, batch, fingerprint)
        if batch.state in _TAKEN or batch.number in self._accepted:
            self._others.append(_taken(batch))
            self._leaving.append(arrival)
            return None
        if source is None:
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
        self._others.append(BatchReport(arrival.batch.number, "rejected", reason=error.message))


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


def _ahead(frames: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """The same frames, the next one read and taken apart in another thread while this one is worked on."""
    with ThreadPoolExecutor(1) as reader:
        waiting = reader.submit(next, frames, None)
        while (frame := waiting.result()) is not None:
            waiting = reader.submit(next, frames, None)
            yield frame


def _delivered_at(source: Source | None, name: str) -> dt.datetime | None:
    """The delivery time in the file's name; a bare date is the end of that day, when all of it was known."""
    if source is None or source.delivered_at is None:
        return None
    try:
        moment = dt.datetime.strptime(name, source.delivered_at).replace(tzinfo=dt.UTC)
    except ValueError:
        return None
    exact = any(directive in source.delivered_at for directive in ("%H", "%I", "%M", "%S", "%f", "%s"))
    return moment if exact else moment + dt.timedelta(days=1) - dt.timedelta(microseconds=1)
