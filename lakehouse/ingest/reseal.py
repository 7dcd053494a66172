"""Sealing raw anew: what was kept clear and should not have been goes under its entities' keys, and the old files go away.

The one case in which rows of raw are written again: in one commit, after which the old files are retired and deleted. What staged shows does not change. Rows that cannot be opened any more keep their seal and
lose what stood beside it in clear.
"""

# pyarrow ships without types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportMissingTypeStubs=false

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import polars as pl

from lakehouse import storage
from lakehouse.errors import RefusedError
from lakehouse.ingest.applied import require_applied, standing_contract
from lakehouse.ingest.gate import ROWS_AT_ONCE
from lakehouse.ingest.gateway import leases
from lakehouse.ingest.opener import DESTROYED, ERASED, LOST, Opener, lost_batches
from lakehouse.ingest.rawform import RawForm, with_layouts
from lakehouse.ingest.rawread import portions
from lakehouse.ingest.sealer import Sealer
from lakehouse.model import BAD, BATCH, ROW, Tier
from lakehouse.storage.protocol import RETIRE

if TYPE_CHECKING:
    from collections.abc import Callable

    from lakehouse.contract.model import Project, Table
    from lakehouse.storage import Applied, Lake


@dataclass(frozen=True)
class Resealing:
    """What sealing a table's raw anew means.

    Attributes:
        columns: raw's columns that stand in clear and will not.
        rows: all rows of raw; each is written again.
        files: how many files are retired.
    """

    columns: tuple[str, ...]
    rows: int
    files: int


def plan(lake: Lake, project: Project, table: Table) -> Resealing:
    """What there is to do; no columns when raw shows nothing that the contract seals.

    Raises:
        RefusedError: nothing has landed, or the contract has to be applied first.
    """
    form = RawForm.of(table, _standing(lake, project, table).raw, former=True)
    raw = storage.snapshot(lake, table.id.at(Tier.RAW))
    beside = [name for name in raw.schema.names if name in form.sealed]
    shown = raw.scan().select(pl.col(beside).is_not_null().any()).collect(engine="streaming") if beside else None
    columns = () if shown is None else tuple(name for name in beside if shown[name].item())
    return Resealing(columns, raw.rows, len(raw.files))


def reseal(
    lake: Lake, project: Project, table: Table, *, progress: Callable[[int, int], None] | None = None
) -> Resealing:
    """Write all of raw again by today's contract and delete the files before; run again it finds nothing to do.

    Args:
        lake: the lake.
        project: all contracts.
        table: the staged table.
        progress: told after each portion: rows sealed so far, and all there are.

    Raises:
        RefusedError: nothing has landed, or the contract has to be applied first.
        LeaseTakenError: somebody else works on the table.
    """
    raw_id = table.id.at(Tier.RAW)
    with leases(lake, table, holder="reseal") as (held, _):
        found = plan(lake, project, table)
        if not found.columns:
            return found
        row = _standing(lake, project, table)
        said = with_layouts(row.raw, table, former=True)
        form = RawForm.of(table, said, former=True)
        opener = Opener(lake, table, form, lost=lost_batches(lake, table))
        sealer = Sealer(lake, table, form, since=lake.now())
        placement = storage.Placement.of(table, Tier.RAW)
        tx = storage.begin(lake, raw_id, held, form.schema, placement, append_only=True, retires=True)
        present = storage.snapshot(lake, raw_id)
        done = 0
        try:
            for part in portions(present, None, rows=ROWS_AT_ONCE):
                rows = part.collect()
                tx.write(_sealed_anew(rows, opener, sealer))
                done += rows.height
                if progress is not None:
                    progress(done, found.rows)
            tx.remove(present.files)
            tx.commit(RETIRE, applied=[replace(row, raw=said)])
        finally:
            tx.abandon()
        storage.delete_retired(lake, raw_id)
    return found


def _standing(lake: Lake, project: Project, table: Table) -> Applied:
    row = standing_contract(lake, project, table)
    if row is None or not storage.exists(lake, table.id.at(Tier.RAW)):
        raise RefusedError("nothing has landed yet", where=str(table.id), hint=f"`lakehouse ingest {table.id} FILE`")
    require_applied(row, table)
    return row


def _sealed_anew(rows: pl.DataFrame, opener: Opener, sealer: Sealer) -> pl.DataFrame:
    opened = opener.open(rows)
    closed = opened[BAD].is_in([ERASED, DESTROYED, LOST]).fill_null(value=False)
    anew = sealer.seal(sealer.name(opened.filter(~closed)))
    if not closed.any():
        return anew
    # a closed row keeps its place, its surrogates and its seals; what stood beside them in clear goes
    kept = [
        pl.lit(None, kind).alias(name) if name in sealer.sealed else pl.col(name) for name, kind in anew.schema.items()
    ]
    return pl.concat([anew, rows.filter(closed).select(kept)]).sort(BATCH, ROW)
