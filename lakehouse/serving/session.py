"""A reader's session: each query in a database of its own that has the views it names, and nothing else.

A database per query costs 20 ms and keeps nothing from one query for the next: no table, no setting, no broken state. What is
run has passed the guard; what an engine says of a failure is never passed on, for it may quote a cell. Who the reader is,
and which views he has, is `connection`'s.
"""

# duckdb and pyarrow ship no or partial types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownParameterType=false, reportMissingTypeStubs=false

# ruff: noqa: PLR0402 - `from lakehouse.serving import x` would go through the package's re-export, an import cycle.

from __future__ import annotations

import contextlib
import threading
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import duckdb
import pyarrow as pa

import lakehouse.serving.failures as failures
import lakehouse.serving.guard as guard
import lakehouse.serving.lockdown as lockdown
from lakehouse.errors import LakehouseError, QueryError, RefusedError
from lakehouse.storage.views import let_read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from types import TracebackType

    from lakehouse.serving.views import ServedView

    Serve = Callable[[Sequence[str]], Sequence[ServedView]]

_T = TypeVar("_T")
_BATCH = 16_384  # rows; a result is counted by the batch


@dataclass(frozen=True)
class Limits:
    """How far one query may go.

    Attributes:
        seconds: from its start to its last row; the engine looks at the clock every 2,048 rows.
        memory: bytes that the engine may hold; there is no file it could move them to.
        rows: rows of the result.
        bytes: bytes of the result.
        threads: threads of the engine; None: as many as there are processors.
    """

    seconds: float = 60
    memory: int = 2 * 1024**3
    rows: int = 1_000_000
    bytes: int = 1024**3
    threads: int | None = None


class Answer:
    """The rows of one query, batch by batch; its database is closed with it."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, limits: Limits, clock: threading.Timer) -> None:
        self._connection = connection
        self._limits = limits
        self._clock = clock
        self._reader: Any = None
        self._cancelled = False
        self._doubt: str | None = None

    @property
    def schema(self) -> pa.Schema:
        """The result's columns."""
        return self._reader.schema

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        rows = size = 0
        try:
            while (batch := _told(self._next, self._why)) is not None:
                rows, size = rows + batch.num_rows, size + batch.nbytes
                if rows > self._limits.rows:
                    raise RefusedError(
                        f"the result has more than {self._limits.rows:,} rows",
                        hint="add a `limit`, or sum up with `group by`",
                    )
                if size > self._limits.bytes:
                    raise RefusedError(
                        f"the result has more than {self._limits.bytes:,} bytes", hint="ask for fewer columns or rows"
                    )
                yield batch
        finally:
            self.close()

    def __enter__(self) -> Answer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()

    def start(self, checked: guard.Checked, serve: Serve) -> None:
        """Make the views, close the database, run the query."""
        self._doubt = checked.doubt
        try:
            _told(lambda: self._open(serve(checked.views)), self._why)
            self._reader = _told(lambda: self._connection.sql(checked.text).to_arrow_reader(_BATCH), self._why)
        except BaseException:
            self.close()
            raise

    def cancel(self) -> None:
        """Stop the query, from any thread."""
        self._cancelled = True
        _interrupt(self._connection)

    def close(self) -> None:
        """Forget the database; harmless when done already."""
        # A clock still on its way out holds the database, and the engine complains of that when the process ends.
        self._clock.cancel()
        self._clock.join()
        reader, self._reader = self._reader, None
        if reader is not None:
            # A reader that broke off may complain again while it closes; all has been said by then.
            with contextlib.suppress(Exception):
                reader.close()
        self._connection.close()

    def _open(self, needed: Sequence[ServedView]) -> None:
        snapshots = [snapshot for view in needed for snapshot in view.reads.values()]
        for snapshot in snapshots:
            let_read(self._connection, snapshot)
        lockdown.close(self._connection, sorted({path for snapshot in snapshots for path in snapshot.files}))
        for view in needed:
            self._connection.execute(view.statement().sql(dialect="duckdb", identify=True))

    def _next(self) -> pa.RecordBatch | None:
        return next(iter(self._reader), None) if self._reader is not None else None

    def _why(self, error: Exception) -> LakehouseError:
        if self._cancelled:
            return QueryError("the query was cancelled", hint="run it again")
        return failures.told(error, seconds=self._limits.seconds, memory=self._limits.memory, doubt=self._doubt)


class Session:
    """Queries over the views of one reader for one purpose.

    Args:
        columns: the columns of each of his views, by name.
        serve: opens those that one query needs, at one moment.
        purpose: what he reads for.
        limits: how far one query may go.
    """

    def __init__(
        self, columns: Mapping[str, Sequence[str]], serve: Serve, *, purpose: str, limits: Limits | None = None
    ) -> None:
        self._columns = columns
        self._serve = serve
        self._purpose = purpose
        self._limits = limits or Limits()
        self._running: weakref.WeakSet[Answer] = weakref.WeakSet()
        self._closed = False

    def run(self, sql: str) -> pa.Table:
        """The whole result.

        Raises:
            UsageError: the text is no SQL, or does not fit the views.
            RefusedError: it does what queries may not do, or goes beyond a limit.
            QueryError: it cannot be computed on the rows that it may see.
        """
        with self.stream(sql) as answer:
            schema = answer.schema
            return pa.Table.from_batches(list(answer), schema=schema)

    def stream(self, sql: str) -> Answer:
        """The result batch by batch; close it, or read it to its end. Raises what `run` raises."""
        if self._closed:
            raise QueryError("the session is closed", hint="connect again")
        checked = guard.check(sql, purpose=self._purpose, views=self._columns)
        settings: dict[str, str | bool | int | float | list[str]] = {
            **lockdown.SETTINGS,
            "memory_limit": f"{self._limits.memory // 1024} KiB",
        }
        if self._limits.threads is not None:
            settings["threads"] = self._limits.threads
        connection = duckdb.connect(":memory:", config=settings)
        clock = threading.Timer(self._limits.seconds, _interrupt, [connection])
        clock.daemon = True
        answer = Answer(connection, self._limits, clock)
        clock.start()
        self._running.add(answer)
        answer.start(checked, self._serve)
        return answer

    def cancel(self) -> None:
        """Stop every query that is running."""
        for answer in list(self._running):
            answer.cancel()

    def close(self) -> None:
        """End the session and what it runs."""
        self._closed = True
        for answer in list(self._running):
            answer.close()
        self._running.clear()

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()


def _interrupt(connection: duckdb.DuckDBPyConnection) -> None:
    """Stop what a connection does, if it is still open."""
    with contextlib.suppress(Exception):
        connection.interrupt()


def _told(work: Callable[[], _T], why: Callable[[Exception], LakehouseError]) -> _T:
    """The work's result; of a failure neither the engine's text nor its exception as the cause of ours."""
    try:
        return work()
    except LakehouseError:
        raise
    except Exception as error:  # noqa: BLE001 - INVARIANT: any text of the engine or of Arrow may quote a cell
        failure = why(error)
    raise failure
