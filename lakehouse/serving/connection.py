"""A person's way into the lake on the embedded engine: who he is and what for, to a connection that shows just that.

The policy decides and compiles, per query with the reader's groups and the day as constants; the session runs. People who
can read the lake's files do not need any of it: this engine is for whoever owns them.
"""

# deltalake and pyarrow ship no or partial types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from lakehouse import storage
from lakehouse.contract.load import load_project
from lakehouse.errors import QueryError, RefusedError, UsageError
from lakehouse.policy.compile import duckdb_view
from lakehouse.policy.load import load_policy
from lakehouse.policy.reach import pairs
from lakehouse.serving.consenting import consent_in_force
from lakehouse.serving.copying import open_copy
from lakehouse.serving.session import Limits, Session
from lakehouse.serving.views import ServedView
from lakehouse.settings import load_settings

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    import polars as pl
    import pyarrow as pa
    from sqlglot import exp

    from lakehouse.contract.model import Project, Table
    from lakehouse.policy.compile import View
    from lakehouse.policy.model import Policy
    from lakehouse.storage import Lake, Snapshot

#: PEP 249.
apilevel, threadsafety, paramstyle = "2.0", 1, "qmark"


@dataclass(frozen=True)
class Reader:
    """Somebody who reads for a purpose, under one policy and one set of contracts."""

    user: str
    purpose: str
    policy: Policy = field(repr=False)
    project: Project = field(repr=False)
    lake: Lake = field(repr=False)

    def views(self) -> dict[str, Table]:
        """His views by name, as of today."""
        day = self.lake.now().date()
        reached = (table for purpose, table in pairs(self.policy, self.project) if purpose == self.purpose)
        views = ((self._compiled(table, day), table) for table in reached)
        return {view.name.name: table for view, table in views if view is not None}

    def serve(self, tables: Sequence[Table]) -> list[ServedView]:
        """These tables' views on the versions of this moment; a day that ended since is a refusal."""
        day = self.lake.now().date()
        versions: dict[str, Snapshot] = {}
        served: list[ServedView] = []
        for table in tables:
            rows = self._rows(table)
            view = self._compiled(table, day, present=rows.schema.names)
            if view is None:
                raise _denied()
            own, *others = view.reads
            reads = {f"{own.schema}.{own.name}": rows}
            for relation in others:
                key = f"{relation.schema}.{relation.name}"
                if key not in versions:
                    versions[key] = consent_in_force(self.lake, self.project, self.policy)
                reads[key] = versions[key]
            names = tuple(column.name for column in table.columns)
            served.append(ServedView(view.name.name, names, cast("exp.Select", view.tree), reads))
        return served

    def _rows(self, table: Table) -> Snapshot:
        if self.policy.purposes[self.purpose].isolation == "copy":
            return open_copy(self.lake, self.policy, self.purpose, table)
        return storage.snapshot(self.lake, table.id)

    def _compiled(self, table: Table, day: dt.date, *, present: Sequence[str] = ()) -> View | None:
        groups = self.policy.groups_of(self.user)
        return duckdb_view(self.policy, self.project, self.purpose, table.id, groups=groups, day=day, present=present)


class Connection:
    """Queries of one reader for one purpose."""

    def __init__(self, reader: Reader, *, limits: Limits | None = None) -> None:
        self._reader = reader
        self._tables = reader.views()
        if not self._tables:
            raise _denied()
        columns = {name: tuple(column.name for column in table.columns) for name, table in self._tables.items()}
        self.views: Mapping[str, tuple[str, ...]] = columns
        self.tables: Mapping[str, str] = {str(table.id): name for name, table in self._tables.items()}
        self._session = Session(columns, self._serve, purpose=reader.purpose, limits=limits)

    def _serve(self, names: Sequence[str]) -> list[ServedView]:
        return self._reader.serve([self._tables[name] for name in names])

    def arrow(self, sql: str) -> pa.Table:
        """The whole result; see `Session.run` for what it raises."""
        return self._session.run(sql)

    def pl(self, sql: str) -> pl.DataFrame:
        """The whole result as a polars frame."""
        import polars as pl  # noqa: PLC0415 - 0.2 s that other results do not need

        frame = pl.from_arrow(self.arrow(sql))
        return frame if isinstance(frame, pl.DataFrame) else frame.to_frame()

    def cursor(self) -> Cursor:
        """A cursor as PEP 249 has it."""
        return Cursor(self._session)

    def execute(self, sql: str) -> Cursor:
        """A cursor that has run the query."""
        return self.cursor().execute(sql)

    def cancel(self) -> None:
        """Stop every query that is running, from any thread."""
        self._session.cancel()

    def commit(self) -> None:
        """Nothing: queries change nothing."""

    def close(self) -> None:
        """End the connection."""
        self._session.close()

    def __enter__(self) -> Connection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()


class Cursor:
    """One query after another, row by row."""

    arraysize = 1

    def __init__(self, session: Session) -> None:
        self._session = session
        self._rows: Iterator[tuple[Any, ...]] | None = None
        self.description: list[tuple[str, str, None, None, None, None, None]] | None = None
        self.rowcount = -1

    def execute(self, sql: str, parameters: Sequence[object] = ()) -> Cursor:
        """Run a query.

        Raises:
            UsageError: there are parameters; and what `Session.run` raises.
        """
        if parameters:
            raise UsageError("queries take no parameters", hint="write the values into the query")
        answer = self._session.stream(sql)
        schema = answer.schema
        self.description = [(item.name, str(item.type), None, None, None, None, None) for item in schema]
        self._rows = (row for batch in answer for row in zip(*(c.to_pylist() for c in batch.columns), strict=True))
        return self

    def fetchone(self) -> tuple[Any, ...] | None:
        """The next row, None after the last."""
        return next(self._result(), None)

    def fetchmany(self, size: int | None = None) -> list[tuple[Any, ...]]:
        """The next rows."""
        rows = self._result()
        wanted = self.arraysize if size is None else size
        return [row for _, row in zip(range(wanted), rows, strict=False)]

    def fetchall(self) -> list[tuple[Any, ...]]:
        """All other rows."""
        return list(self._result())

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return self._result()

    def close(self) -> None:
        """Forget the result."""
        self._rows = None

    def _result(self) -> Iterator[tuple[Any, ...]]:
        if self._rows is None:
            raise QueryError("there is no result to fetch from", hint="run a query with `execute`")
        return self._rows


def connect(
    user: str, purpose: str, *, lake: str | None = None, project: Path | None = None, limits: Limits | None = None
) -> Connection:
    """A connection that shows what this person may see for this purpose.

    Args:
        user: a member of groups in `policies/groups.yaml`.
        purpose: one of `policies/purposes.yaml`.
        lake: the lake's place; default `LAKEHOUSE_LAKE`, else `.lake` in the project.
        project: the project's root; found from the working directory when not given.
        limits: how far one query may go.

    Raises:
        PolicyError: the policy has mistakes.
        RefusedError: this person may read nothing for this purpose.
    """
    settings = load_settings(project, lake=lake)
    contracts = load_project(settings.project)
    policy = load_policy(settings.project, contracts)
    return Connection(Reader(user, purpose, policy, contracts, storage.open_lake(settings)), limits=limits)


def _denied() -> RefusedError:
    # The same words for whom nobody knows, for what no purpose is, and for who has no grant: they tell of nobody else.
    return RefusedError(
        "denied: this person may read nothing for this purpose",
        hint="ask the owner of the data for a grant; `lakehouse explain-access` shows who may read what",
    )
