"""Whole views as polars frames: for Python that wants to go on with what somebody may see, not to write SQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from lakehouse.errors import RefusedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

    from lakehouse.serving.connection import Connection


def frame(connection: Connection, name: str, *, columns: Sequence[str] | None = None) -> pl.DataFrame:
    """What a view shows, all rows of it.

    Args:
        connection: a person's for a purpose.
        name: a view (`claims_notice`), or the table that it shows (`staged.claims.notice`).
        columns: which of its columns; default: all.

    Raises:
        RefusedError: the purpose shows no such view to this person, or the frame goes beyond the connection's limits.
        UsageError: there is no such column.
    """
    view = connection.tables.get(name, name)
    if view not in connection.views:
        # One answer for what there is not and for what others see.
        raise RefusedError(
            f"denied: `{name}` is no view of this purpose for this person",
            hint=f"views: {', '.join(sorted(connection.views))}",
        )
    chosen = [exp.column(exp.to_identifier(column, quoted=True)) for column in columns or connection.views[view]]
    select = exp.select(*chosen).from_(exp.Table(this=exp.to_identifier(view, quoted=True)))
    return connection.pl(select.sql(dialect="duckdb"))
