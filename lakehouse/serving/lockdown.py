"""How a DuckDB database is closed before anybody's query comes near it.

The guard decides what a query may say; this is what holds if the guard has a hole: no file but the tables' own, no writing, no
extension, no spill file (clear values would lie in it), and no way to change a setting back.
"""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import duckdb

#: Settings from the very first moment. Replacement scans would read the caller's Python variables.
SETTINGS: Mapping[str, bool | str] = {
    "allow_community_extensions": False,
    "allow_persistent_secrets": False,
    "allow_unsigned_extensions": False,
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "max_temp_directory_size": "0B",
    "preserve_insertion_order": False,
    "python_enable_replacements": False,
    "temp_directory": "",
}


def close(connection: duckdb.DuckDBPyConnection, paths: Sequence[str]) -> None:
    """Leave these files as all that can be read, and lock every setting."""
    told: tuple[tuple[str, exp.Expr], ...] = (
        ("TimeZone", exp.Literal.string("UTC")),
        ("enable_progress_bar", exp.false()),  # drawn on standard output after 2 s where Python was started with `-c`
        ("allowed_paths", exp.Array(expressions=[exp.Literal.string(path) for path in paths])),
        ("enable_external_access", exp.false()),
        ("lock_configuration", exp.true()),
    )
    for name, value in told:
        item = exp.SetItem(this=exp.EQ(this=exp.to_identifier(name), expression=value))
        connection.execute(exp.Set(expressions=[item]).sql(dialect="duckdb"))
