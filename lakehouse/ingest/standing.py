"""A staged table as it would stand if the transaction were committed now: files that are there, and files just written.

Rows are looked up by key and files rewritten in the same transaction, so that a run, however many batches it takes, is one
version. A file is read whole to be rewritten, some at a time: memory does not grow with the table.
"""

# pyarrow ships without types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from lakehouse import storage
from lakehouse.ingest.modes import PLACE
from lakehouse.ingest.versions import closed, without
from lakehouse.storage.read import scan_files

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pyarrow as pa

    from lakehouse.contract.model import Table
    from lakehouse.ingest.behind import WriteBehind
    from lakehouse.storage import Lake

#: Rows of files that are read at once to be rewritten.
ROWS_AT_ONCE = 250_000


class Standing:
    """The files of one table within one transaction.

    Args:
        lake: the lake.
        table: the staged table.
        rows: the transaction's writes.
        schema: the table's.
        anew: what is there counts for nothing.
    """

    def __init__(self, lake: Lake, table: Table, rows: WriteBehind, schema: pa.Schema, *, anew: bool) -> None:
        self.rows = rows
        self._schema = schema
        self._there: dict[str, int | None] = {}
        if not anew and storage.exists(lake, table.id):
            present = storage.snapshot(lake, table.id)
            self._there = dict(zip(present.files, present.file_rows, strict=True))

    @property
    def there(self) -> list[str]:
        """The files of the table that this transaction has left as they are."""
        return list(self._there)

    @property
    def written(self) -> list[str]:
        """The files of this transaction."""
        self.rows.wait()
        return [f"{self.rows.tx.uri}/{file.path}" for file in self.rows.tx.files]

    def scan(self, paths: Iterable[str]) -> pl.LazyFrame:
        """The rows of some of the files, with their PLACE."""
        return scan_files(list(paths), self._schema, place=PLACE)

    def apply(self, gone: pl.DataFrame, ended: pl.DataFrame) -> None:
        """Rewrite the files that rows leave, or whose versions' ends have changed."""
        touched = pl.concat([gone.select(PLACE), ended.select(PLACE)]).to_series().unique().sort().to_list()
        self.rows.wait()
        leaving = gone.partition_by(PLACE, as_dict=True)
        closing = ended.partition_by(PLACE, as_dict=True)
        for group in self._groups(touched):
            kept: list[tuple[str, pl.DataFrame]] = []
            for path in group:
                frame = scan_files([path], self._schema).collect()
                frame = without(frame, leaving.get((path,), gone.clear()))
                kept.append((path, closed(frame, closing.get((path,), ended.clear()))))
            self.rows.tx.rewrite(kept)
        for path in touched:
            self._there.pop(path, None)

    def _groups(self, paths: Iterable[str]) -> Iterator[list[str]]:
        counted = {f"{self.rows.tx.uri}/{file.path}": file.rows for file in self.rows.tx.files} | self._there
        group: list[str] = []
        rows = 0
        for path in paths:
            group.append(path)
            rows += counted.get(path) or ROWS_AT_ONCE
            if rows >= ROWS_AT_ONCE:
                yield group
                group, rows = [], 0
        if group:
            yield group
