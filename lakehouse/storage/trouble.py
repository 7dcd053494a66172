"""What a control database says when it cannot be used, as an error of ours: kind and place, never the driver's text.

Only for trouble of the outside: a lost connection, a full or read-only disk, a lock that is held for too long. A statement
that the database refuses is a mistake of this program and stays what it is.
"""

# sqlite3's and psycopg's own attributes are asked for by name: which of them is there depends on the driver.

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from lakehouse.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Generator

    import sqlalchemy as sa

_AGAIN = "then run the command again"
_UNREACHABLE = ("the control database cannot be reached", f"check that it runs and `LAKEHOUSE_CONTROL_URL`, {_AGAIN}")
_REFUSED = ("the control database does not let us in", "check user, password and database in `LAKEHOUSE_CONTROL_URL`")
_BUSY = ("the control database was locked for too long", f"another program keeps it locked: wait or end it, {_AGAIN}")
_FULL = ("the disk of the control database is full", f"make room, {_AGAIN}")
_READ_ONLY = (
    "the control database cannot be written",
    f"check its owner and mode, and how its disk is mounted, {_AGAIN}",
)
_CLOSED = (
    "the control database cannot be opened",
    f"check the path, owner and mode of the file and its folder, {_AGAIN}",
)
_DISK = ("the disk of the control database reports an error", f"check the disk, {_AGAIN}")
_BROKEN = ("the control database is damaged", "restore its backup, then run `lakehouse recover`")
#: By the beginning of what SQLite names its error.
_SQLITE = {
    "SQLITE_BUSY": _BUSY,
    "SQLITE_LOCKED": _BUSY,
    "SQLITE_PROTOCOL": _BUSY,
    "SQLITE_FULL": _FULL,
    "SQLITE_READONLY": _READ_ONLY,
    "SQLITE_CANTOPEN": _CLOSED,
    "SQLITE_IOERR": _DISK,
    "SQLITE_CORRUPT": _BROKEN,
    "SQLITE_NOTADB": _BROKEN,
}
#: By the beginning of PostgreSQL's SQLSTATE; what libpq says by itself has none.
_STATES = {
    "08": _UNREACHABLE,
    "57P": _UNREACHABLE,
    "53300": ("the control database has no connection left", f"end other programs or raise its limit, {_AGAIN}"),
    "53": _FULL,
    "55P03": _BUSY,
    "40": _BUSY,
    "25006": _READ_ONLY,
    "28": _REFUSED,
    "3D": _REFUSED,
    "58": _DISK,
}


@contextmanager
def told(engine: sa.Engine) -> Generator[None]:
    """Turn trouble of the database within into an error of ours.

    Raises:
        StorageError: the database cannot be used.
    """
    try:
        yield
    except (DBAPIError, PoolTimeoutError) as error:
        found = _known(error)
        if found is None:
            raise
        what, hint = found
        # `from None`: the driver's text may say more than kind and place, and Dagster keeps causes
        raise StorageError(what, where=_place(engine.url), hint=hint) from None


def _known(error: DBAPIError | PoolTimeoutError) -> tuple[str, str] | None:
    if not isinstance(error, DBAPIError):
        return _UNREACHABLE
    name = getattr(error.orig, "sqlite_errorname", None)
    if isinstance(name, str):
        return next((said for start, said in _SQLITE.items() if name.startswith(start)), None)
    state = getattr(error.orig, "sqlstate", None)
    if isinstance(state, str):
        return next((said for start, said in _STATES.items() if state.startswith(start)), None)
    return _UNREACHABLE if error.connection_invalidated or _of_connection(error) else None


def _of_connection(error: DBAPIError) -> bool:
    """Whether libpq could not connect, or lost the connection: an operational error that no server has numbered."""
    return type(error.orig).__name__ in {"OperationalError", "ConnectionTimeout"} and not hasattr(
        error.orig, "sqlite_errorname"
    )


def _place(url: sa.URL) -> str:
    """The database without user and password: the file, or the server and the name."""
    if url.get_backend_name() == "sqlite":
        return url.database or "sqlite"
    server = f"{url.host or 'localhost'}:{url.port}" if url.port else url.host or "localhost"
    return f"{server}/{url.database}" if url.database else server
