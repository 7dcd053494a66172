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
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import polars as pl

from lakehouse import storage
from lakehouse.contract import arrow
from lakehouse.ingest.account import Account, Tally, report_of, row_checks
from lakehouse.ingest.anew import KIND, Anew, net
from lakehouse.ingest.applied import standing_contract
from lakehouse.ingest.behind import WriteBehind
from lakehouse.ingest.modes.appending import Appending
from lakehouse.ingest.modes.dumps import Dumps, LateDumpError
from lakehouse.ingest.modes.forgiving import Forgiving
from lakehouse.ingest.modes.keyed import Keyed
from lakehouse.ingest.modes.standing import Standing
from lakehouse.ingest.occurrence import Occurrence
from lakehouse.ingest.opener import ERASED, Opener
from lakehouse.ingest.quarantine import READABLE, Pointers
from lakehouse.ingest.rawform import RawForm
from lakehouse.ingest.rawread import in_order, portions
from lakehouse.ingest.report import IngestReport
from lakehouse.ingest.tokenising import with_tokens
from lakehouse.model import BAD, BATCH, BYTES, ROW, UNNAMED, EventKind, LedgerEvent, Tier
from lakehouse.quality import BatchCounts, check_batch, compile_row_checks
from lakehouse.quality.drift import told

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pyarrow as pa

    from lakehouse.contract.model import Project, Table
    from lakehouse.ingest.modes.appending import Load
    from lakehouse.storage import Applied, Held, Lake, Snapshot

ROWS_AT_ONCE = 250_000


@dataclass(frozen=True)
class Workplace:
    """What every part of an ingest works with: the lake, the contract, and the leases in hand."""

    lake: Lake
    project: Project
    table: Table
    raw: Held
    staged: Held
    anew: Anew | None = None  # every batch is gated anew: what is staged counts for nothing, the commit replaces it
    raw_form: RawForm | None = None  # None: raw has the contract's columns
    noted: tuple[
        Applied, ...
    ] = ()  # the contract that the rows stand under after a commit, where the lake learns of it

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


class Gate:
    """One gate run over some batches; feed it with `take`, end it with `close` or `abandon`."""

    def __init__(self, work: Workplace) -> None:
        self._work = work
        table, lake = work.table, work.lake
        self._schema = arrow.schema(table, Tier.STAGED)
        if work.anew is None:
            self._schema = storage.in_place(lake, table.id, self._schema)
        self._columns = [*arrow.delivered(table).names, *([UNNAMED] if table.sealed else [])]
        self._pass = compile_row_checks(table)
        self._occurrence = Occurrence(table)
        placement = storage.Placement.of(table, Tier.STAGED)
        anew = work.anew is not None
        tx = storage.begin(lake, table.id, work.staged, self._schema, placement, generation=anew)
        self._rows = WriteBehind(tx, exact_months=work.anew is not None and work.anew.months is not None)
        self._account = Account()
        self._load = _load_of(work, self._rows, self._account, self._schema)
        self._pointers = Pointers(
            lake, table.id, contract_version=work.contract_version, checks=self._pass.checks, anew=anew
        )
        self._forgiving = Forgiving(table, self._pass.checks)
        row = work.noted[0] if work.noted else standing_contract(lake, work.project, table)
        self._said = row.raw if row is not None else {}

    def expect(self, batch: int, *, was_held: bool = False) -> None:
        """Count a batch even if no row of it comes; one that an earlier run held leaves that state now, or stays."""
        if batch not in self._account.tallies:
            self._account.tallies[batch] = Tally(BatchCounts(self._work.table), was_held=was_held)

    def take(self, raw: pl.DataFrame) -> None:
        """Take named rows as they were delivered; batch by batch, each in order of its rows."""
        raw = raw.select(*self._columns)
        if raw.is_empty():
            return
        bad = raw.filter(pl.col(BAD).is_not_null())
        if bad.height:
            bad = self._without_erased(bad)
            self._pointers.add_unreadable(bad)
            self._count_unreadable(bad)
            self._load.turn_away(bad, None)
            raw = raw.filter(pl.col(BAD).is_null())
        judged = self._pass.judge(self._occurrence.number(raw.drop(BAD, BYTES)))
        failed, ends = self._forgiving.judge(judged)
        self._count(judged.typed, failed, ends)
        good = judged.typed
        if not judged.clean:
            failing = failed != 0
            turned_away = good.filter(failing)
            self._pointers.add(turned_away, failed.filter(failing))
            self._load.turn_away(turned_away, self._forgiving.hides_key(failed.filter(failing)))
            good = good.filter(~failing)
        self._load.take(with_tokens(self._work.lake, self._work.table, good, self._said))

    def abandon(self) -> None:
        """Forget everything; nothing was visible."""
        self._pointers.abandon()
        self._rows.abandon()

    def close(self, raw_version: int) -> IngestReport:
        """Judge the batches, hold those that fail, commit the others."""
        try:
            return self._close(raw_version)
        except LateDumpError:
            self.abandon()
        again = Gate(replace(self._work, anew=Anew()))
        try:
            again._refill(self._every_batch())
            return again._close(raw_version)
        finally:
            again.abandon()

    def _close(self, raw_version: int) -> IngestReport:
        self._load.settle()
        tallies = self._account.tallies
        for tally in tallies.values():
            tally.results = check_batch(self._work.table, tally.counts)
        held = {number: tally for number, tally in tallies.items() if tally.held}
        if not held:
            return self._commit(raw_version, {})
        self.abandon()
        again = Gate(self._work)
        try:
            for number, tally in tallies.items():
                if number not in held:
                    again.expect(number, was_held=tally.was_held)
            again._refill({number: tally.rows for number, tally in tallies.items() if number not in held})
            again._load.settle()
            for number, tally in again._account.tallies.items():
                tally.results = tallies[number].results
            return again._commit(raw_version, held)
        finally:
            again.abandon()

    def _refill(self, batches: Mapping[int, int]) -> None:
        """Take batches (number -> rows) from raw."""
        for number in batches:
            self.expect(number)
        for frame in from_raw(self._work, batches):
            self.take(frame)

    def _every_batch(self) -> dict[int, int]:
        """The rows of every batch that has ever come, and of those in this run."""
        manifest = storage.batches(self._work.lake, self._work.table.id)
        there = manifest.filter(pl.col("state").is_in(["staged", "held"])).select("number", "rows").rows()
        return dict(sorted({**dict(there), **{n: tally.rows for n, tally in self._account.tallies.items()}}.items()))

    def _commit(self, raw_version: int, held: Mapping[int, Tally]) -> IngestReport:
        table = self._work.table
        # Pointers first: a run that dies in between gates the batch again, and finds them there.
        self._pointers.commit()
        tallies = self._account.tallies
        self._load.commit()
        events = self._account.events(table)
        updates = [
            storage.BatchUpdate(
                number, "staged", tally.rows, tally.reason, as_of=tally.as_of, drift=told(table, tally.counts.drift)
            )
            for number, tally in tallies.items()
        ]
        reports = [report_of(number, tally) for number, tally in tallies.items()]
        for number, tally in held.items():
            if tally.rows and not tally.was_held:
                events.append(LedgerEvent(number, table.id, EventKind.HELD, tally.rows, "batch check"))
            reason = f"failed {tally.failed}"
            drift = told(table, tally.counts.drift)
            updates.append(storage.BatchUpdate(number, "held", tally.rows, reason, self._work.terms, drift=drift))
            reports.append(report_of(number, tally, state="held"))
        inputs = {str(table.id.at(Tier.RAW)): raw_version}
        self._rows.wait()
        kind = "stage"
        if (anew := self._work.anew) is not None:
            anew.replace(self._work.lake, table, self._rows.tx)
            events = net(self._work.lake, table, events)
            kind = KIND
        noted = self._work.noted
        version = self._rows.tx.commit(kind, events=events, batches=updates, inputs=inputs, applied=noted)
        judged = [*tallies.values(), *held.values()]
        return IngestReport(
            batches=tuple(sorted(reports, key=lambda report: report.batch)),
            staged_version=version,
            row_checks=row_checks(judged, [check.name for check in self._pass.checks], readable=READABLE),
            batch_checks=tuple(result for tally in judged for result in tally.results),
        )

    def _count(self, typed: pl.DataFrame, failed: pl.Series, deletes: pl.Series | None) -> None:
        """Count each batch's rows; they stand together."""
        runs = typed.select(pl.col(BATCH).rle().struct.unnest())
        offset = 0
        for length, number in runs.select("len", "value").rows():
            self.expect(number)
            tally = self._account.tallies[number]
            rows, part = typed.slice(offset, length), failed.slice(offset, length)
            tally.rows += length
            tally.kinds[EventKind.QUARANTINED] += int((part != 0).sum())
            if deletes is not None:
                # what a delete lacks says nothing about the batch
                others = ~deletes.slice(offset, length)
                tally.counts.rows += length - int(others.sum())
                rows, part = rows.filter(others), part.filter(others)
            tally.counts.add(rows, part)
            offset += length

    def _without_erased(self, bad: pl.DataFrame) -> pl.DataFrame:
        """Rows that cannot be read, but for those of erased entities, which are counted."""
        erased = pl.col(BAD) == ERASED
        for number, count in bad.filter(erased)[BATCH].value_counts().rows():
            self.expect(number)
            tally = self._account.tallies[number]
            tally.rows += count
            tally.kinds[EventKind.ERASED] += count
        return bad.filter(~erased)

    def _count_unreadable(self, bad: pl.DataFrame) -> None:
        for number, count in bad[BATCH].value_counts().rows():
            self.expect(number)
            tally = self._account.tallies[number]
            tally.rows += count
            tally.counts.rows += count
            tally.unreadable += count
            tally.kinds[EventKind.QUARANTINED] += count


def from_raw(work: Workplace, batches: Mapping[int, int]) -> Iterator[pl.DataFrame]:
    """The rows of batches (number -> rows) out of raw, as the gateway had them: batch by batch, in order of rows."""
    opener = Opener(work.lake, work.table, work.raw_form or RawForm.of(work.table, None))
    for rows in _portions_of(storage.snapshot(work.lake, work.table.id.at(Tier.RAW)), batches):
        yield opener.open(rows)


def _portions_of(whole: Snapshot, batches: Mapping[int, int]) -> Iterator[pl.DataFrame]:
    if sum(batches.values()) * 2 > whole.rows and in_order(whole):
        yield from (part.collect() for part in portions(whole, batches, rows=ROWS_AT_ONCE))
        return
    raw = whole.scan()
    group: list[int] = []
    waiting = 0
    for number, rows in sorted(batches.items()):
        if group and waiting + rows > ROWS_AT_ONCE:
            yield _sorted(raw.filter(pl.col(BATCH).is_in(group)))
            group, waiting = [], 0
        if rows > ROWS_AT_ONCE:
            for start in range(0, rows, ROWS_AT_ONCE):
                part = pl.col(ROW).is_between(start, start + ROWS_AT_ONCE - 1)
                yield _sorted(raw.filter(pl.col(BATCH) == number, part))
        else:
            group.append(number)
            waiting += rows
    if group:
        yield _sorted(raw.filter(pl.col(BATCH).is_in(group)))


def _sorted(rows: pl.LazyFrame) -> pl.DataFrame:
    return rows.collect(engine="streaming").sort(BATCH, ROW)


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


def _load_of(work: Workplace, rows: WriteBehind, account: Account, schema: pa.Schema) -> Load:
    """What the table's load mode does with rows."""
    lake, table, anew = work.lake, work.table, work.anew is not None
    standing = Standing(lake, table, rows, schema, anew=anew)
    if table.load_mode == "append":
        return Appending(table, standing, account, schema)
    if table.load_mode == "snapshot":
        return Dumps(lake, table, standing, account, schema, anew=anew)
    return Keyed(lake, table, standing, account, schema, anew=anew)
