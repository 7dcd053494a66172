"""Raw read from the first row to the last, file by file, as long as its files hold the rows in order.

They do, unless a file that had been rejected was taken later: batches are numbered when they arrive. Reading this way opens
each file once and sorts nothing; whoever finds raw out of order, or wants a few batches only, asks for them one by one.
"""

# pyarrow ships without types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportMissingTypeStubs=false

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from lakehouse.model import BATCH, ROW
from lakehouse.storage.read import scan_files

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from lakehouse.storage import Snapshot

#: A row's place as one number; a batch has fewer rows than this.
_MOST_ROWS = 1 << 40


def in_order(raw: Snapshot) -> bool:
    """Whether rows stand in order of batch and row, in each file and from file to file."""
    last = -1
    for path in raw.files:
        place = scan_files([path], raw.schema).select(pl.col(BATCH) * _MOST_ROWS + pl.col(ROW))
        found = place.collect().to_series()
        if found.is_empty():
            continue
        if found[0] <= last or not found.is_sorted():
            return False
        last = found[-1]
    return True


def portions(raw: Snapshot, batches: Collection[int] | None, *, rows: int) -> Iterator[pl.LazyFrame]:
    """All rows of these batches (None: of all) as they stand, about so many at once."""
    group: list[str] = []
    waiting = 0
    for path, count in zip(raw.files, raw.file_rows, strict=True):
        count = count or 0  # noqa: PLW2901 - a file of ours says how many rows it has
        if group and waiting + count > rows:
            yield _of(scan_files(group, raw.schema), batches)
            group, waiting = [], 0
        if count > rows:
            for start in range(0, count, rows):
                yield _of(scan_files([path], raw.schema).slice(start, rows), batches)
        else:
            group.append(path)
            waiting += count
    if group:
        yield _of(scan_files(group, raw.schema), batches)


def _of(rows: pl.LazyFrame, batches: Collection[int] | None) -> pl.LazyFrame:
    return rows if batches is None else rows.filter(pl.col(BATCH).is_in(list(batches)))
