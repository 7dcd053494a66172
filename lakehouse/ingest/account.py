"""The account of one gate run: what became of each batch's rows, and of rows of earlier batches that it moved.

Every row that was read is in exactly one kind at the end, so that the ledger balances (invariant 3).
"""

# pyarrow ships without types.
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportMissingTypeStubs=false

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lakehouse.ingest.modes.rules import KIND
from lakehouse.ingest.report import BatchReport
from lakehouse.model import BATCH, EventKind, LedgerEvent

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

    from lakehouse.contract.model import Table
    from lakehouse.ingest.report import BatchState
    from lakehouse.quality import BatchCounts, CheckResult

#: What a gate run decides, in the order of events.
DECIDED = (
    EventKind.STAGED,
    EventKind.QUARANTINED,
    EventKind.DUPLICATE,
    EventKind.CONFLICT,
    EventKind.SUPERSEDED,
    EventKind.DELETED,
    EventKind.ERASED,
)


@dataclass
class Tally:
    """What became of a batch's rows.

    Attributes:
        counts: what the batch checks are judged by.
        rows: rows read.
        kinds: rows by what became of them.
        unreadable: rows that could not be split; they are among the quarantined.
        was_held: an earlier run held the batch.
        as_of: the order of a snapshot's dump, microseconds.
        reason: what a person should know of a batch that is staged nevertheless.
        results: the verdicts of its batch checks.
    """

    counts: BatchCounts
    rows: int = 0
    kinds: Counter[EventKind] = field(default_factory=Counter[EventKind])
    unreadable: int = 0
    was_held: bool = False
    as_of: int | None = None
    reason: str | None = None
    results: list[CheckResult] = field(default_factory=list["CheckResult"])

    @property
    def held(self) -> bool:
        """Whether a batch check holds the batch."""
        return any(result.blocking for result in self.results)

    @property
    def failed(self) -> str:
        """The names of the checks that hold the batch."""
        return ", ".join(f"`{result.name}`" for result in self.results if result.blocking)


class Account:
    """Tallies by batch, and what moved in batches of earlier runs."""

    def __init__(self) -> None:
        self.tallies: dict[int, Tally] = {}
        self._elsewhere: Counter[tuple[int, EventKind]] = Counter()

    def add(self, batch: int, kind: EventKind, count: int) -> None:
        """Count rows of a batch."""
        tally = self.tallies.get(batch)
        if tally is not None:
            tally.kinds[kind] += count
        else:
            self._elsewhere[batch, kind] += count

    def stage(self, rows: pl.DataFrame) -> None:
        """Count rows that were written."""
        for batch, count in rows[BATCH].value_counts().rows():
            self.add(batch, EventKind.STAGED, count)

    def drop(self, gone: pl.DataFrame) -> None:
        """Count rows that are not written: `_batch` and the kind they are of."""
        for batch, kind, count in gone.group_by(BATCH, KIND).len().rows():
            self.add(batch, EventKind(kind), count)

    def move(self, gone: pl.DataFrame) -> None:
        """Count rows that were written, or stood, and leave."""
        self.drop(gone)
        for batch, count in gone[BATCH].value_counts().rows():
            self.add(batch, EventKind.STAGED, -count)

    def events(self, table: Table) -> list[LedgerEvent]:
        """The ledger events of everything counted."""
        events: list[LedgerEvent] = []
        for number, tally in self.tallies.items():
            told = [(kind, tally.kinds[kind]) for kind in DECIDED]
            events += [LedgerEvent(number, table.id, kind, count, "gate") for kind, count in told if count]
            if tally.was_held and tally.rows:
                events.append(LedgerEvent(number, table.id, EventKind.HELD, -tally.rows, "released"))
        moved = sorted(self._elsewhere.items())
        events += [LedgerEvent(number, table.id, kind, count, "gate") for (number, kind), count in moved if count]
        return events


def report_of(number: int, tally: Tally, *, state: BatchState = "staged") -> BatchReport:
    """What to tell of a batch."""
    if state == "held":
        return BatchReport(number, "held", rows=tally.rows, reason=f"failed {tally.failed}")
    kinds = {kind.value: tally.kinds[kind] for kind in DECIDED}
    return BatchReport(number, state, rows=tally.rows, reason=tally.reason, **kinds)


def row_checks(tallies: Sequence[Tally], names: Sequence[str], *, readable: str) -> dict[str, int]:
    """Failed rows by check name; records that cannot be split under the name of their own."""
    counted = {name: sum(tally.counts.failed[name] for tally in tallies) for name in names}
    unreadable = sum(tally.unreadable for tally in tallies)
    return {**counted, readable: unreadable} if unreadable else counted
