"""Rebuild: every batch of raw through the gate anew, and one commit that replaces the staged table or some of its months.

The result is what a fresh ingest of the same files under today's contract gives, row for row, whatever stood there before;
the ledger leads there by net events. Nothing is visible before the commit, so whoever dies runs it again. `replay` is the
same for rows that were set aside, and does nothing when there are none.
"""

# pyarrow ships without types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportMissingTypeStubs=false

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import polars as pl

from lakehouse import storage
from lakehouse.contract.change import Kind
from lakehouse.errors import RefusedError
from lakehouse.ingest.anew import Anew
from lakehouse.ingest.applied import changes_since, require_applied, standing_contract
from lakehouse.ingest.behind import ahead
from lakehouse.ingest.gate import Gate, Workplace, from_raw
from lakehouse.ingest.gateway import leases, tidied
from lakehouse.ingest.rawform import RawForm, extended, first
from lakehouse.ingest.report import IngestReport
from lakehouse.ingest.tokenising import with_versions
from lakehouse.model import BATCH, Tier
from lakehouse.storage.applied import under
from lakehouse.storage.intents import Effects
from lakehouse.storage.protocol import add_columns

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lakehouse.contract.model import Project, Table
    from lakehouse.storage import Applied, Held, Lake

    Progress = Callable[[int, int], None]

_LANDED = ("raw", "staged", "held")


def rebuild(
    lake: Lake,
    project: Project,
    table: Table,
    *,
    months: Sequence[str] | None = None,
    drop_lost: bool = False,
    progress: Progress | None = None,
) -> IngestReport:
    """Gate all raw batches of a table anew, in order of their numbers, and replace what is staged in one commit.

    As a whole this also applies the table's contract; of months only if the table stands under it already.

    Args:
        lake: the lake.
        project: all contracts.
        table: the staged table.
        months: replace the rows of these event months only (`2011-03`); None replaces everything.
        drop_lost: let go of rows whose batches an older control database has lost (`lakehouse recover`): raw cannot give
            them again, and nobody knows whether their files have been delivered anew.
        progress: told after each portion: rows gated so far, and all there are.

    Raises:
        RefusedError: nothing has landed, the table has no months or another name, other months would change too, or rows
            of lost batches would go.
        LeaseTakenError: somebody else works on the table.
    """
    if months is not None and not storage.Placement.of(table, Tier.STAGED).by_month:
        raise RefusedError(
            "only a table laid out by month can be rebuilt by month", where=str(table.id), hint="rebuild it as a whole"
        )
    with leases(lake, table, holder="rebuild") as (raw, staged):
        row = standing_contract(lake, project, table)
        if months is not None or (row and any(c.kind is Kind.RENAMED_TABLE for c in changes_since(row, table))):
            require_applied(row, table)
        _require_landed(lake, table)
        if not drop_lost:
            _require_nothing_lost(lake, table)
        said = columns_of_raw(raw, table, row)
        anew = Anew(None if months is None else tuple(sorted(set(months))))
        # rows of other months keep their tokens, so those of some months must be made alike
        known = with_versions(lake, table, said, renew=months is None)
        noted = under(lake, table, {**known, "replay": False})
        form = RawForm.of(table, said)
        work = Workplace(lake, project, table, raw, staged, anew=anew, raw_form=form, noted=(noted,))
        report = _gate_anew(work, progress)
    return tidied(lake, table, report)


def replay(lake: Lake, project: Project, table: Table, *, progress: Progress | None = None) -> IngestReport:
    """Let rows come in that were set aside, as if they had been delivered under today's contract from the start.

    One that passes now also takes its place in the order of deliveries: it may come before a row that was staged since.
    So this is a rebuild, unless nothing is in quarantine and no batch is held.

    Raises:
        RefusedError: nothing has landed.
        LeaseTakenError: somebody else works on the table.
    """
    return rebuild(lake, project, table, progress=progress) if set_aside(lake, table) else IngestReport()


def set_aside(lake: Lake, table: Table) -> int:
    """How many rows are in quarantine or in held batches."""
    rows = storage.balance(lake, table.id).rows
    return int(rows["quarantined"].sum()) + int(rows["held"].sum())


def columns_of_raw(raw: Held, table: Table, row: Applied | None) -> dict[str, Any]:
    """Give raw the columns that the contract adds; what is known of raw then.

    The columns and what the lake knows of them are one step: whoever dies before or after it finds both alike.
    """
    if row is None:
        return first(table)
    said = extended(row.raw, table)
    if said["order"] != list(row.raw["order"]):
        schema = RawForm.of(table, said).schema
        add_columns(raw, schema, effects=Effects(applied=[replace(row, raw=said)]))
    return said


def _require_landed(lake: Lake, table: Table) -> None:
    if not storage.exists(lake, table.id.at(Tier.RAW)):
        raise RefusedError(
            "nothing has landed yet", where=str(table.id), hint=f"run `lakehouse ingest {table.id} FILE`"
        )


def lost_rows(lake: Lake, table: Table) -> int:
    """How many staged rows are of batches that the control database has lost; a rebuild cannot make them again."""
    manifest = storage.batches(lake, table.id)
    lost = manifest.filter(pl.col("state") == "lost")["number"].to_list()
    if not lost or not storage.exists(lake, table.id):
        return 0
    return storage.scan(lake, table.id).filter(pl.col(BATCH).is_in(lost)).select(pl.len()).collect().item()


def _require_nothing_lost(lake: Lake, table: Table) -> None:
    if rows := lost_rows(lake, table):
        raise RefusedError(
            f"{rows} staged rows are of batches that were lost with an older control database",
            where=str(table.id),
            hint=f"deliver their files again, then run `lakehouse rebuild {table.id} --drop-lost --yes`",
        )


def _gate_anew(work: Workplace, progress: Progress | None) -> IngestReport:
    """One gate run over everything that raw has, by the contract of the workplace."""
    landed = storage.batches(work.lake, work.table.id).filter(pl.col("state").is_in(_LANDED))
    rows: dict[int, int] = dict(landed.select("number", "rows").rows())
    total, done = sum(rows.values()), 0
    gate = Gate(work)
    try:
        for number in rows:
            gate.expect(number)
        for frame in ahead(from_raw(work, rows)):
            gate.take(frame)
            done += frame.height
            if progress is not None:
                progress(done, total)
        return gate.close(storage.snapshot(work.lake, work.table.id.at(Tier.RAW)).version)
    finally:
        gate.abandon()
