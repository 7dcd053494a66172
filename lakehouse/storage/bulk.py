"""Many rows in and out of the control database at once, by the same statements on SQLite and PostgreSQL.

What is looked for goes into a temporary table that ends with the transaction (in memory on SQLite), then one join
answers. A driver's own bulk path fills it: `executemany` on SQLite, `COPY` on PostgreSQL.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import OperationalError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from sqlalchemy.sql.dml import Insert


def insert_new(connection: sa.Connection, table: sa.Table) -> Insert:
    """An insert that leaves rows alone that are there already: the first insert stays."""
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    return insert(table).on_conflict_do_nothing()


def listed(
    connection: sa.Connection,
    name: str,
    columns: Mapping[str, sa.types.TypeEngine[Any]],
    rows: Iterable[tuple[Any, ...]],
) -> sa.Table:
    """A temporary table of rows, gone when the transaction ends."""
    postgres = connection.dialect.name == "postgresql"
    table = sa.Table(
        name,
        sa.MetaData(),
        *(sa.Column(column, kind) for column, kind in columns.items()),
        prefixes=["TEMPORARY"],
        postgresql_on_commit="DROP",
    )
    if not postgres:  # there it lives as long as the connection
        connection.execute(sa.schema.DropTable(table, if_exists=True))
    connection.execute(sa.schema.CreateTable(table))
    if postgres:
        _copy(connection, name, rows)
    elif some := [tuple(row) for row in rows]:
        connection.exec_driver_sql(str(table.insert().compile(dialect=connection.dialect)), some)
    return table


def listed_bytes(connection: sa.Connection, name: str, column: str, values: Sequence[bytes]) -> sa.Table:
    """A temporary table of one column of bytes, all of one length."""
    table = listed(connection, name, {column: sa.LargeBinary(len(values[0]) if values else 0)}, ())
    if connection.dialect.name == "postgresql":
        _copy(connection, name, ((value,) for value in values))
    elif values:
        _insert_cut(connection, table.insert(), {column: values})
    return table


def insert_rows(
    connection: sa.Connection, table: sa.Table, columns: Mapping[str, Sequence[bytes]], **constants: str | int
) -> int:
    """Insert rows, leaving alone those that are there; returns how many were new.

    The rows come in the order of the primary key: two processes at once then wait for each other instead of blocking each
    other, and pages are filled in turn.

    Args:
        connection: a writing transaction.
        table: where to.
        columns: columns of bytes; all of a column have one length.
        constants: columns that are the same in all rows.
    """
    if connection.dialect.name == "postgresql":
        kinds = {column: table.c[column].type for column in (*columns, *constants)}
        rows = ((*row, *constants.values()) for row in zip(*columns.values(), strict=True))
        return insert_listed(connection, table, listed(connection, f"new_{table.name}", kinds, rows))
    return _insert_cut(connection, insert_new(connection, table), columns, **constants)


def _insert_cut(
    connection: sa.Connection, insert: Insert, columns: Mapping[str, Sequence[bytes]], **constants: str | int
) -> int:
    """Insert in one statement that cuts rows out of one run of bytes per column.

    SQLite does that in 0.6 of the time that a row at a time takes, and leaves Python's lock to others all the while.
    """
    count = len(next(iter(columns.values())))
    if not count:
        return 0
    first: Any = sa.select(sa.literal(0).label("i")).cte("n", recursive=True)
    numbers = first.union_all(sa.select(first.c.i + 1).where(first.c.i + 1 < count))
    # SQLAlchemy keeps the statements it has compiled, with the values in them: these here, megabytes each, stay outside
    run = {f"run_{column}": b"".join(values) for column, values in columns.items()}
    cut = [
        sa.func.substr(sa.bindparam(name, type_=sa.LargeBinary()), numbers.c.i * len(values[0]) + 1, len(values[0]))
        for name, values in zip(run, columns.values(), strict=True)
    ]
    # `on conflict` behind a select is taken for a join unless there is a `where`
    rows = sa.select(*cut, *(sa.literal(value) for value in constants.values())).where(sa.true())
    connection.execute(insert.from_select([*columns, *constants], rows), run)
    # the driver counts rows only of statements that begin with their verb, which one with a CTE does not
    return int(connection.exec_driver_sql("SELECT changes()").scalar_one())


def insert_listed(connection: sa.Connection, table: sa.Table, rows: sa.Table) -> int:
    """Insert the rows of a temporary table in the order of the primary key; returns how many were new."""
    key = [rows.c[column.name] for column in table.primary_key]
    # see `_insert_cut`
    wanted = sa.select(rows).where(sa.true()).order_by(*key)
    names = [column.name for column in rows.c]
    return connection.execute(insert_new(connection, table).from_select(names, wanted)).rowcount


def change(
    connection: sa.Connection,
    table: sa.Table,
    column: str,
    new: Callable[..., bytes],
    *,
    which: sa.ColumnElement[bool],
    others: Mapping[str, Any],
) -> int:
    """Set a column of some rows to `new(*primary key, old value)` and others to constants; returns how many were changed.

    SQLite calls the function from inside one statement, which takes half the time of fetching and updating row by row.
    """
    if connection.dialect.name == "postgresql":
        return _change_by_copy(connection, table, column, new, which=which, others=others)
    failures: list[Exception] = []

    def call(*row: Any) -> bytes | None:
        try:
            return new(*row)
        except Exception as error:
            failures.append(error)  # SQLite would only say that there was one
            raise

    key = list(table.primary_key)
    driver: Any = connection.connection.driver_connection
    driver.create_function("changed", len(key) + 1, call)
    values = {column: sa.func.changed(*key, table.c[column]), **others}
    try:
        return connection.execute(table.update().where(which).values(values)).rowcount
    except OperationalError as error:
        if failures:
            raise failures[0] from error
        raise


def _change_by_copy(
    connection: sa.Connection,
    table: sa.Table,
    column: str,
    new: Callable[..., bytes],
    *,
    which: sa.ColumnElement[bool],
    others: Mapping[str, Any],
) -> int:
    key = list(table.primary_key)
    found = connection.execute(sa.select(*key, table.c[column]).where(which).order_by(*key)).all()
    kinds = {each.name: each.type for each in (*key, table.c[column])}
    rows = listed(connection, f"new_{table.name}", kinds, ((*row[:-1], new(*row)) for row in found))
    # rows that were deleted meanwhile, or are no longer such, are left alone
    same = sa.and_(which, *(each == rows.c[each.name] for each in key))
    values = {column: rows.c[column], **others}
    return connection.execute(table.update().where(same).values(values)).rowcount


def fetch(connection: sa.Connection, wanted: sa.Select[*tuple[Any, ...]], schema: Mapping[str, Any]) -> pl.DataFrame:
    """All rows of a select, column by column; the driver's own values, so bytes, numbers and text only."""
    cursor: Any = connection.execute(wanted).cursor
    columns = list(zip(*cursor.fetchall(), strict=True)) or [()] * len(schema)
    return pl.DataFrame(
        [pl.Series(name, column, kind) for (name, kind), column in zip(schema.items(), columns, strict=True)]
    )


def _copy(connection: sa.Connection, name: str, rows: Iterable[tuple[Any, ...]]) -> None:
    driver: Any = connection.connection.driver_connection
    with driver.cursor() as cursor:
        with cursor.copy(f"COPY {name} FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
        cursor.execute(f"ANALYZE {name}")  # the planner takes an unknown table for a small one
