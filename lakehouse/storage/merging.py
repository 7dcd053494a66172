"""Merging tails: small files of arriving batches become part of the sorted body, at a bounded cost.

The tail goes into the body when it holds more than 15 % of the rows: at most 1 / 0.15 = 6.7 bytes rewritten per byte that
came in. At 64 fresh files these are merged with each other only, one more byte per byte. Rows never change, so months that
are merged are not "changed" and verdicts stay valid.
"""

# pyarrow and deltalake ship no or partial types: what they give back is unknown to the checker in every line of this file.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from lakehouse.storage.commits import Transaction, begin
from lakehouse.storage.layout import BODY, FileName, Placement, months_between
from lakehouse.storage.protocol import MERGE
from lakehouse.storage.read import Snapshot, is_there, scan_files, snapshot
from lakehouse.storage.recovery import lease

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lakehouse.contract.model import Table
    from lakehouse.storage.lake import Lake, Target

TAIL_SHARE = 0.15
TAIL_FILES = 64
ROWS_AT_ONCE = 250_000


def merge_tail(lake: Lake, contract: Table) -> int | None:
    """Merge the tail of a contract's table if it is due; returns the new version, None when there is nothing to do.

    Raises:
        LeaseTakenError: somebody writes the table; merging can wait.
    """
    return merge(lake, contract.id, Placement.of(contract, contract.id.tier))


def merge(lake: Lake, table: Target, placement: Placement) -> int | None:
    """Merge the tail of a table laid out like this, if it is due."""
    if not is_there(lake, table) or plan(snapshot(lake, table), placement) is None:
        return None
    with lease(lake, table, holder="merge") as held:
        current = snapshot(lake, table)
        due = plan(current, placement)
        if due is None:
            return None
        tx = begin(lake, table, held, current.schema, placement)
        try:
            if due.into_body:
                _into_body(tx, current, due)
            else:
                _among_themselves(tx, current, due)
            tx.remove(due.files)
            return tx.commit(MERGE)
        finally:
            tx.abandon()


@dataclass(frozen=True)
class Plan:
    """A merge that is due: the files it rewrites, body files among them when the tail goes into the body."""

    into_body: bool
    files: tuple[str, ...]


def plan(current: Snapshot, placement: Placement) -> Plan | None:
    """The merge that is due now, if any."""
    tail = [path for path in current.files if level_of(path) != BODY]
    sized = dict(zip(current.files, current.file_rows, strict=True))
    if placement.laid_out and sum(sized[path] or 0 for path in tail) > TAIL_SHARE * current.rows:
        if not placement.by_month:
            return Plan(into_body=True, files=current.files)
        touched = sorted({month for path in tail for month in _months(path)})
        body = [path for path in current.files_for(months=touched) if level_of(path) == BODY]
        return Plan(into_body=True, files=(*body, *tail))
    levels = Counter(level_of(path) for path in tail)
    # one level at a time: a byte is rewritten once per level, and a level is 64 times rarer than the one below
    full = next((level for level in sorted(levels) if levels[level] >= TAIL_FILES), None)
    return None if full is None else Plan(into_body=False, files=tuple(p for p in tail if level_of(p) == full))


def level_of(path: str) -> str:
    """A file's level; a file that we did not name counts as body."""
    name = FileName.parse(path)
    return BODY if name is None else name.level


def _among_themselves(tx: Transaction, current: Snapshot, due: Plan) -> None:
    level = f"t{int(level_of(due.files[0])[1:]) + 1}"
    sized = dict(zip(current.files, current.file_rows, strict=True))
    group: list[str] = []
    for path in (*sorted(due.files), ""):
        if group and (not path or sum(sized[p] or 0 for p in (*group, path)) > ROWS_AT_ONCE):
            tx.write(scan_files(group, current.schema).collect(), level=level)
            group = []
        group.append(path)


def _into_body(tx: Transaction, current: Snapshot, due: Plan) -> None:
    if not tx.placement.by_month:
        for cell, cells in _surrogate_ranges(current, tx.placement):
            tx.write(cell, level=BODY, cells=cells)
        return
    cells = len({month for path in current.files for month in _months(path)})
    touched = sorted({month for path in due.files for month in _months(path)})
    for month in touched:
        paths = [path for path in due.files if (n := FileName.parse(path)) and n.touches([month])]
        rows = scan_files(paths, current.schema, months=[month], time_column=tx.placement.time_column)
        tx.write(rows.collect(), level=BODY, cells=cells)


def _months(path: str) -> list[str]:
    name = FileName.parse(path)
    return months_between(name.first, name.last) if name else []


def _surrogate_ranges(current: Snapshot, placement: Placement) -> Iterator[tuple[pl.DataFrame, int]]:
    """The whole table in ranges of surrogates (evenly spread hex digits), each small enough to be sorted at once."""
    column = pl.col(placement.order[0])
    cells = min(256, max(1, -(-current.rows // ROWS_AT_ONCE)))
    edges = [f"{256 * cell // cells:02x}" for cell in range(1, cells)]
    for cell in range(cells):
        low = edges[cell - 1] if cell else None
        high = edges[cell] if cell < len(edges) else None
        terms = [column >= low] if low else [column.is_null() | (column < high)] if high else []
        terms += [column < high] if low and high else []
        yield scan_files(current.files, current.schema).filter(*terms).collect(), cells
