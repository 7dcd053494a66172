"""A version's rows as a DuckDB view over its files: how dbt and SQL read governed tables.

The statement is a tree until DuckDB gets it. The file list is frozen: make the view anew for another version.
"""

# pyarrow and deltalake ship no or partial types: what they give back is unknown to the checker in every line of this file.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownParameterType=false, reportMissingTypeStubs=false

# ruff: noqa: PLR0402 - `from lakehouse.storage import x` would go through the package's re-exports, an import cycle.

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
import pyarrow as pa
from sqlglot import exp

import lakehouse.storage.files as files
import lakehouse.storage.s3 as s3
from lakehouse.errors import StorageError

if TYPE_CHECKING:
    import duckdb

    from lakehouse.storage.read import Snapshot

# Trap 6: without `can_have_nan` DuckDB skips row groups that hold NaN.
OPTIONS = {"union_by_name": True, "can_have_nan": True, "hive_partitioning": False}
_PLAIN = {
    "int64": "BIGINT",
    "int32": "INTEGER",
    "double": "DOUBLE",
    "bool": "BOOLEAN",
    "date32[day]": "DATE",
    "binary": "BLOB",
    "string": "VARCHAR",
}


def duckdb_view(connection: duckdb.DuckDBPyConnection, name: str, snapshot: Snapshot) -> None:
    """Make a view of one version's rows on a DuckDB connection; `name` may be `schema.view`."""
    let_read(connection, snapshot)
    connection.execute(view_tree(name, snapshot).sql(dialect="duckdb", identify=True))


def let_read(connection: duckdb.DuckDBPyConnection, snapshot: Snapshot) -> None:
    """Let the database read from the S3 store through Arrow; its own extension for that is not in the wheel."""
    if snapshot.files and not files.is_local(snapshot.files[0]) and s3.PROTOCOL not in connection.list_filesystems():
        connection.register_filesystem(s3.filesystem())


def view_tree(name: str, snapshot: Snapshot) -> exp.Create:
    """The statement of `duckdb_view`."""
    view = exp.to_table(name, dialect="duckdb")
    return exp.Create(this=view, kind="VIEW", replace=True, expression=rows_tree(snapshot))


def rows_tree(snapshot: Snapshot) -> exp.Select:
    """The query of one version's rows."""
    if snapshot.files:
        listed = exp.Array(expressions=[exp.Literal.string(path) for path in snapshot.files])
        settings = [exp.EQ(this=exp.to_identifier(k), expression=exp.convert(v)) for k, v in OPTIONS.items()]
        source = exp.Anonymous(this="read_parquet", expressions=[listed, *settings])
        # A column that came as metadata alone is in no file until one is written; the newest file's name is the last.
        there = _names_in(snapshot.files[-1])
        columns = [_column(item.name) if item.name in there else _null(item) for item in snapshot.schema]
        return exp.select(*columns).from_(exp.Table(this=source))
    return exp.select(*map(_null, snapshot.schema)).where(exp.false())


def _names_in(file: str) -> set[str]:
    options = s3.scan_options(file)
    return set(pl.scan_parquet(file, storage_options=options, glob=False).collect_schema().names())


def _column(name: str) -> exp.Column:
    return exp.column(exp.to_identifier(name, quoted=True))


def _null(item: pa.Field) -> exp.Expr:
    value = exp.cast(exp.null(), _duckdb_type(item.type), dialect="duckdb")
    return exp.alias_(value, exp.to_identifier(item.name, quoted=True))


def _duckdb_type(kind: pa.DataType) -> str:
    if pa.types.is_decimal(kind):
        return f"DECIMAL({kind.precision}, {kind.scale})"
    if pa.types.is_timestamp(kind):
        return "TIMESTAMPTZ" if kind.tz else "TIMESTAMP"
    try:
        return _PLAIN[str(kind)]
    except KeyError:
        raise StorageError(f"`{kind}` has no counterpart in DuckDB", hint="use a contract type") from None
