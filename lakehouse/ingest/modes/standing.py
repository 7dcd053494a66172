"""A staged table as it would stand if the transaction were committed now: files that are there, and files just written.

Rows are looked up by key and files rewritten in the same transaction, so that a run, however many batches it takes, is one
version. A file is read whole to be rewritten, two at a time: memory does not grow with the table.
"""

# pyarrow ships without types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from lakehouse import storage
from lakehouse.ingest.modes.rules import PLACE
from lakehouse.ingest.modes.versions import closed, without
from lakehouse.storage.read import scan_files

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pyarrow as pa

    from lakehouse.contract.model import Table
    from lakehouse.ingest.behind import WriteBehind
    from lakehouse.storage import Lake


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
        present = () if anew or not storage.is_there(lake, table.id) else storage.snapshot(lake, table.id).files
        self._there = dict.fromkeys(present)

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

        def kept(path: str) -> pl.DataFrame:
            rows = without(scan_files([path], self._schema).collect(), leaving.get((path,)))
            return closed(rows, closing.get((path,)))

        self.rows.tx.rewrite(touched, kept)
        for path in touched:
            self._there.pop(path, None)
