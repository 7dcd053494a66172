"""Reading governed tables: a snapshot is one version's files, pruned by month without touching them.

Engines get file lists, never the Delta log, so every reader sees exactly one version and DuckDB, polars and dbt read the
same bytes. `months` prunes by file names; rows of a file that spans several months are filtered too.
"""

# pyarrow and deltalake ship no or partial types: what they give back is unknown to the checker in every line of this file.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownParameterType=false, reportMissingTypeStubs=false

# ruff: noqa: PLR0402 - `from lakehouse.storage import x` would go through the package's re-exports, an import cycle.

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import polars as pl

import lakehouse.storage.delta as delta
import lakehouse.storage.files as files
import lakehouse.storage.s3 as s3
from lakehouse.errors import StorageError
from lakehouse.storage.layout import NO_MONTH, FileName, month_filter, months_between
from lakehouse.storage.protocol import UNCHANGED

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from lakehouse.storage.lake import Lake, Target


@dataclass(frozen=True)
class Snapshot:
    """One version of a table.

    Attributes:
        table: the table.
        version: the Delta version.
        files: its files, absolute; `file_rows` says how many rows each has.
        schema: its schema.
        rows: how many rows all files hold.
        bytes: how many bytes they are.
        time_column: the event time that files are laid out by, if any.
    """

    table: Target
    version: int
    files: tuple[str, ...] = field(repr=False)
    schema: pa.Schema = field(repr=False)
    rows: int
    bytes: int
    time_column: str | None = None
    file_rows: tuple[int | None, ...] = field(default=(), repr=False)

    def files_for(self, *, months: Sequence[str] | None = None) -> tuple[str, ...]:
        """The files that may hold rows of these months; all when `months` is None."""
        if months is None:
            return self.files
        return tuple(path for path in self.files if (n := FileName.parse(path)) is None or n.touches(months))

    def months(self) -> tuple[str, ...] | None:
        """The event months the table may have rows of, None when files are not laid out by month."""
        found: set[str] = set()
        for path in self.files:
            name = FileName.parse(path)
            if name is None or name.first == "all":
                return None
            found.update(months_between(name.first, name.last))
        return tuple(sorted(found - {NO_MONTH}))

    def scan(self, *, months: Sequence[str] | None = None) -> pl.LazyFrame:
        """The rows, of these months only when given.

        Raises:
            StorageError: months of a table without event time.
        """
        return scan_files(
            self.files_for(months=months), self.schema, months=months, time_column=self.time_column, where=self.table
        )


def scan_files(
    paths: Sequence[str],
    schema: pa.Schema,
    *,
    months: Sequence[str] | None = None,
    time_column: str | None = None,
    where: Target | None = None,
    place: str | None = None,
) -> pl.LazyFrame:
    """Rows of data files with exactly this schema; columns a file does not have yet are null.

    `place` names a further column for the file that a row is in.
    """
    columns = delta.polars_schema(schema)
    if not paths:
        frame = pl.LazyFrame(schema={**columns, **({place: pl.String} if place else {})})
    else:
        frame = pl.scan_parquet(
            list(paths),
            schema=dict(columns),
            missing_columns="insert",
            glob=False,
            hive_partitioning=False,
            include_file_paths=place,
            storage_options=s3.scan_options(paths[0]),
        )
    if months is None or not any((n := FileName.parse(p)) is None or not n.within(months) for p in paths):
        return frame
    if time_column is None:
        raise StorageError("the table has no event time to choose months by", where=str(where))
    return frame.filter(month_filter(time_column, months, columns[time_column]))


def exists(lake: Lake, table: Target) -> bool:
    """Whether the table has been committed to; refuses what would be read wrongly."""
    return delta.handle(lake.uri(table)) is not None


def is_there(lake: Lake, table: Target) -> bool:
    """The same for who reads the table next, which refuses what `exists` would: one listing, and not all of the log."""
    return delta.is_there(lake.uri(table))


def in_place(lake: Lake, table: Target, schema: pa.Schema) -> pa.Schema:
    """The schema with its columns in the order that the table has them: columns that came later are its last."""
    handle = delta.handle(lake.uri(table))
    if handle is None:
        return schema
    present = delta.table_schema(handle)
    return present if sorted(map(str, present)) == sorted(map(str, schema)) else schema


def snapshot(lake: Lake, table: Target, version: int | None = None) -> Snapshot:
    """One version of a table, the current one by default.

    Raises:
        StorageError: there is no such table or version.
        UnsupportedTableError: the table uses a Delta feature that would read wrongly.
    """
    uri = lake.uri(table)
    handle = delta.handle(uri, version)
    if handle is None:
        raise StorageError("the table is not in the lake yet", where=str(table), hint="ingest or build it first")
    active = delta.active(handle).sort("path")
    paths = tuple(files.join(uri, path) for path in active["path"].to_list())
    schema = delta.table_schema(handle)
    counted = active["num_records"]
    rows = int(counted.sum()) if not counted.null_count() else _count(paths, schema)
    return Snapshot(
        table,
        handle.version(),
        paths,
        schema,
        rows,
        int(active["size_bytes"].sum()),
        _time(handle.metadata().description),
        tuple(counted.to_list()),
    )


def scan(lake: Lake, table: Target, *, version: int | None = None, months: Sequence[str] | None = None) -> pl.LazyFrame:
    """A table's rows, lazily; see `snapshot` and `Snapshot.scan`."""
    return snapshot(lake, table, version).scan(months=months)


def inputs_of(lake: Lake, table: Target, version: int | None = None) -> dict[str, int]:
    """The versions of the tables that a version's rows (default the present ones) were made of; empty when not noted."""
    entry = _changing_entry(lake, table, snapshot(lake, table).version if version is None else version)
    return dict(entry.note.get("inputs", {})) if entry is not None else {}


def changed_months(lake: Lake, table: Target, since: int | None) -> list[str] | None:
    """The event months changed after version `since`, None when that may be everything."""
    current = snapshot(lake, table).version
    if since is None or since > current:
        return None
    changed: set[str] = set()
    for version in range(since + 1, current + 1):
        entry = delta.entry(lake.uri(table), version)
        months = entry.note.get("months") if entry is not None else None
        if entry is None or months is None:
            return None
        if entry.note.get("kind") not in UNCHANGED:
            changed.update(months)
    return None if NO_MONTH in changed else sorted(changed)


def data_version(lake: Lake, table: Target, version: int) -> int:
    """The latest version up to this one that changed rows (merges and fences do not)."""
    uri = lake.uri(table)
    while version > 0:
        entry = delta.entry(uri, version)
        if entry is None or entry.note.get("kind") not in UNCHANGED:
            return version
        version -= 1
    return version


@dataclass(frozen=True)
class Figures:
    """What `status` tells about a table."""

    rows: int
    files: int
    bytes: int
    version: int
    last_commit_at: dt.datetime | None


def table_figures(lake: Lake, table: Target) -> Figures | None:
    """Rows, files, bytes, version and age of a table; None when it is not there yet."""
    if not is_there(lake, table):
        return None
    now = snapshot(lake, table)
    entry = _changing_entry(lake, table, now.version)
    at = dt.datetime.fromtimestamp(entry.at_millis / 1000, tz=dt.UTC) if entry is not None else None
    return Figures(now.rows, len(now.files), now.bytes, now.version, at)


def _changing_entry(lake: Lake, table: Target, version: int) -> delta.Entry | None:
    return delta.entry(lake.uri(table), data_version(lake, table, version))


def _count(paths: Sequence[str], schema: pa.Schema) -> int:
    return int(scan_files(paths, schema).select(pl.len()).collect().item())


def _time(description: str | None) -> str | None:
    try:
        said: Any = json.loads(description or "{}")
    except ValueError:
        return None  # a table described by somebody else
    return said.get("time") if isinstance(said, dict) else None
