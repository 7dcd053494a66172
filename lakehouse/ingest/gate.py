"""The gate, raw to staged: typed, judged, numbered and freed of repeats, block by block, then one commit.

The same gate takes blocks from the gateway as they are read, and from the raw table when a run died between the two
commits; both give the same staged rows. Rows that fail go to quarantine as pointers. A batch that fails a batch check is
held: everything is made again from raw without it, because its rows may have hidden another batch's. A held batch is
judged again once its contract has changed.
"""

# pyarrow ships without types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import polars as pl

from lakehouse import storage
from lakehouse.contract import arrow
from lakehouse.ingest.behind import WriteBehind
from lakehouse.ingest.occurrence import Occurrence
from lakehouse.ingest.quarantine import READABLE, Pointers
from lakehouse.ingest.repeats import MOST_SUSPECTS, Repeats
from lakehouse.ingest.report import BatchReport, IngestReport
from lakehouse.model import BAD, BATCH, BYTES, ROW, EventKind, LedgerEvent, Tier
from lakehouse.quality import BatchCounts, check_batch, compile_row_checks
from lakehouse.storage.read import scan_files

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from lakehouse.contract.model import Project, Table
    from lakehouse.quality import CheckResult
    from lakehouse.storage import Held, Lake

ROWS_AT_ONCE = 250_000


@dataclass(frozen=True)
class Workplace:
    """What every part of an ingest works with: the lake, the contract, and the leases in hand."""

    lake: Lake
    project: Project
    table: Table
    raw: Held
    staged: Held

    @property
    def contract_version(self) -> str:
        """The version of the contract that the table is of."""
        return next((c.version for c in self.project.contracts if self.table in c.tables), "")

    @property
    def terms(self) -> str:
        """A digest of what batches are judged by: version, columns and checks, whatever their texts and places are."""
        columns = [replace(column, description="", where="") for column in self.table.columns]
        checks = [replace(check, description="", where="") for check in self.table.checks]
        return hashlib.sha256(repr((self.contract_version, columns, checks)).encode()).hexdigest()[:16]


@dataclass
class _Tally:
    """What became of a batch's rows."""

    counts: BatchCounts
    rows: int = 0
    staged: int = 0
    quarantined: int = 0
    duplicate: int = 0
    conflict: int = 0
    unreadable: int = 0
    was_held: bool = False
    results: list[CheckResult] = field(default_factory=list["CheckResult"])

    def events(self, number: int, table: Table) -> list[LedgerEvent]:
        kinds = {
            EventKind.STAGED: self.staged,
            EventKind.QUARANTINED: self.quarantined,
            EventKind.DUPLICATE: self.duplicate,
            EventKind.CONFLICT: self.conflict,
        }
        events = [LedgerEvent(number, table.id, kind, count, "gate") for kind, count in kinds.items() if count]
        if self.was_held and self.rows:
            events.append(LedgerEvent(number, table.id, EventKind.HELD, -self.rows, "released"))
        return events


class Gate:
    """One gate run over some batches; feed it with `take`, end it with `close` or `abandon`."""

    def __init__(self, work: Workplace) -> None:
        self._work = work
        table, lake = work.table, work.lake
        self._schema = arrow.schema(table, Tier.STAGED)
        self._pass = compile_row_checks(table)
        self._occurrence = Occurrence(table)
        placement = storage.Placement.of(table, Tier.STAGED)
        self._rows = WriteBehind(storage.begin(lake, table.id, work.staged, self._schema, placement))
        existing = storage.scan(lake, table.id) if storage.exists(lake, table.id) else None
        self._repeats = Repeats(table, existing=existing, written=self._scan_written)
        self._pointers = Pointers(lake, table.id, contract_version=work.contract_version, checks=self._pass.checks)
        self._tallies: dict[int, _Tally] = {}

    def expect(self, batch: int, *, was_held: bool = False) -> None:
        """Count a batch even if no row of it comes; one that an earlier run held leaves that state now, or stays."""
        if batch not in self._tallies:
            self._tallies[batch] = _Tally(BatchCounts(self._work.table), was_held=was_held)

    def take(self, raw: pl.DataFrame) -> None:
        """Take rows as they stand in raw; batch by batch, each in order of its rows."""
        if raw.is_empty():
            return
        bad = raw.filter(pl.col(BAD).is_not_null())
        if bad.height:
            self._pointers.add_unreadable(bad)
            self._count_unreadable(bad)
            raw = raw.filter(pl.col(BAD).is_null())
        judged = self._pass.judge(self._occurrence.number(raw.drop(BAD, BYTES)))
        self._count(judged.typed, judged.failed)
        if not judged.clean:
            failing = judged.failed != 0
            self._pointers.add(judged.typed.filter(failing), judged.failed.filter(failing))
        self._stage(self._repeats.sift(judged.good.select(self._schema.names)))
        if self._repeats.waiting > MOST_SUSPECTS:
            self._settle()

    def abandon(self) -> None:
        """Forget everything; nothing was visible."""
        self._pointers.abandon()
        self._rows.abandon()

    def close(self, raw_version: int) -> IngestReport:
        """Judge the batches, hold those that fail, commit the others."""
        self._settle()
        for tally in self._tallies.values():
            tally.results = check_batch(self._work.table, tally.counts)
        held = {number: tally for number, tally in self._tallies.items() if any(r.blocking for r in tally.results)}
        if not held:
            return self._commit(raw_version, {})
        self.abandon()
        again = Gate(self._work)
        try:
            for number, tally in self._tallies.items():
                if number not in held:
                    again.expect(number, was_held=tally.was_held)
            for frame in from_raw(self._work, {n: t.rows for n, t in self._tallies.items() if n not in held}):
                again.take(frame)
            again._settle()
            for number, tally in again._tallies.items():
                tally.results = self._tallies[number].results
            return again._commit(raw_version, held)
        finally:
            again.abandon()

    def _commit(self, raw_version: int, held: Mapping[int, _Tally]) -> IngestReport:
        table = self._work.table
        # Pointers first: a run that dies in between gates the batch again, and finds them there.
        self._pointers.commit()
        events = [event for number, tally in self._tallies.items() for event in tally.events(number, table)]
        updates = [storage.BatchUpdate(number, "staged", tally.rows) for number, tally in self._tallies.items()]
        reports = [_report(number, tally) for number, tally in self._tallies.items()]
        for number, tally in held.items():
            reason = ", ".join(f"`{result.name}`" for result in tally.results if result.blocking)
            if tally.rows and not tally.was_held:
                events.append(LedgerEvent(number, table.id, EventKind.HELD, tally.rows, "batch check"))
            updates.append(storage.BatchUpdate(number, "held", tally.rows, f"failed {reason}", self._work.terms))
            reports.append(BatchReport(number, "held", rows=tally.rows, reason=f"failed {reason}"))
        inputs = {str(table.id.at(Tier.RAW)): raw_version}
        self._rows.wait()
        version = self._rows.tx.commit("stage", events=events, batches=updates, inputs=inputs)
        tallies = [*self._tallies.values(), *held.values()]
        return IngestReport(
            batches=tuple(sorted(reports, key=lambda report: report.batch)),
            staged_version=version,
            row_checks=_row_checks(tallies, [check.name for check in self._pass.checks]),
            batch_checks=tuple(result for tally in tallies for result in tally.results),
        )

    def _settle(self) -> None:
        if not self._repeats.waiting:
            return
        settled = self._repeats.settle()
        self._stage(settled.fresh)
        for number, count in settled.duplicates.items():
            self._tallies[number].duplicate += count
        for number, count in settled.conflicts.items():
            self._tallies[number].conflict += count

    def _stage(self, rows: pl.DataFrame) -> None:
        if rows.is_empty():
            return
        self._rows.write(rows)
        for number, count in rows[BATCH].value_counts().rows():
            self._tallies[number].staged += count

    def _scan_written(self) -> pl.LazyFrame:
        uri = self._rows.tx.uri
        return scan_files([f"{uri}/{file.path}" for file in self._rows.wait()], self._schema)

    def _count(self, typed: pl.DataFrame, failed: pl.Series) -> None:
        """Count each batch's rows; they stand together."""
        runs = typed.select(pl.col(BATCH).rle().struct.unnest())
        offset = 0
        for length, number in runs.select("len", "value").rows():
            self.expect(number)
            tally = self._tallies[number]
            part = failed.slice(offset, length)
            tally.counts.add(typed.slice(offset, length), part)
            tally.rows += length
            tally.quarantined += int((part != 0).sum())
            offset += length

    def _count_unreadable(self, bad: pl.DataFrame) -> None:
        for number, count in bad[BATCH].value_counts().rows():
            self.expect(number)
            tally = self._tallies[number]
            tally.rows += count
            tally.counts.rows += count
            tally.unreadable += count
            tally.quarantined += count


def from_raw(work: Workplace, batches: Mapping[int, int]) -> Iterator[pl.DataFrame]:
    """The raw rows of batches (number -> rows), as the gateway gave them: batch by batch, in order of rows."""
    raw = storage.scan(work.lake, work.table.id.at(Tier.RAW))
    group: list[int] = []
    waiting = 0
    for number, rows in sorted(batches.items()):
        if group and waiting + rows > ROWS_AT_ONCE:
            yield _collect(raw.filter(pl.col(BATCH).is_in(group)))
            group, waiting = [], 0
        if rows > ROWS_AT_ONCE:
            for start in range(0, rows, ROWS_AT_ONCE):
                part = pl.col(ROW).is_between(start, start + ROWS_AT_ONCE - 1)
                yield _collect(raw.filter(pl.col(BATCH) == number, part))
        else:
            group.append(number)
            waiting += rows
    if group:
        yield _collect(raw.filter(pl.col(BATCH).is_in(group)))


def finish(work: Workplace) -> IngestReport:
    """Stage the batches that are in raw but not staged.

    These are what a run left that died between its two commits, and batches held under other terms than today's.
    """
    held = pl.col("state") == "held"
    due = (pl.col("state") == "raw") | (held & pl.col("terms").ne_missing(pl.lit(work.terms)))
    manifest = storage.batches(work.lake, work.table.id).filter(due)
    left: Sequence[tuple[int, int, bool]] = manifest.select("number", "rows", was_held=held).rows()
    if not left:
        return IngestReport()
    gate = Gate(work)
    try:
        for number, _, was_held in left:
            gate.expect(number, was_held=was_held)
        for frame in from_raw(work, {number: rows for number, rows, _ in left}):
            gate.take(frame)
        return gate.close(storage.snapshot(work.lake, work.table.id.at(Tier.RAW)).version)
    finally:
        gate.abandon()


def _collect(rows: pl.LazyFrame) -> pl.DataFrame:
    return rows.collect(engine="streaming").sort(BATCH, ROW)


def _report(number: int, tally: _Tally) -> BatchReport:
    return BatchReport(
        number,
        "staged",
        rows=tally.rows,
        staged=tally.staged,
        quarantined=tally.quarantined,
        duplicate=tally.duplicate,
        conflict=tally.conflict,
    )


def _row_checks(tallies: Sequence[_Tally], names: Sequence[str]) -> dict[str, int]:
    counted = {name: sum(tally.counts.failed[name] for tally in tallies) for name in names}
    unreadable = sum(tally.unreadable for tally in tallies)
    return {**counted, READABLE: unreadable} if unreadable else counted
