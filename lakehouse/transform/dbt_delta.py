"""The dbt-duckdb plugin: pinned versions in as views, results out as one commit of `lakehouse.storage`.

Loaded by dbt through `profiles.yml`, in the process that called `dbt_run.build`. Sources become views over `read_parquet`
of a pinned version's files; a model's result streams as Arrow batches into `storage.replace`, so neither its rows nor a
file list pass through dbt. Outside a build the plugin has nothing to offer and refuses to store.
"""
# pyarrow and dbt are partly typed: what is unknown comes from them.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa
from dbt.adapters.duckdb.plugins import BasePlugin
from sqlglot import exp

from lakehouse import storage
from lakehouse.contract.arrow import schema
from lakehouse.errors import LakehouseError, ProjectError, SchemaMismatchError
from lakehouse.transform import code, dbt_run
from lakehouse.transform.dbt_schema import schema_name, table_id
from lakehouse.transform.refresh import spans

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dbt.adapters.duckdb.utils import TargetConfig

    from lakehouse.contract.model import Table
    from lakehouse.model import TableId
    from lakehouse.transform.dbt_run import Session

#: Rows per Arrow batch: large enough to be cheap, small enough to stay far below a file.
BATCH_ROWS = 65_536


class Plugin(BasePlugin):
    """Reads from and writes to the lake of the session in progress."""

    _database: duckdb.DuckDBPyConnection | None = None

    def configure_connection(self, conn: duckdb.DuckDBPyConnection) -> None:
        """Fill the fresh in-memory database with views of the pinned versions and the spans to rebuild."""
        self._database = conn
        run = dbt_run.session()
        if run is None:
            return
        with _Recorded(run):
            conn.execute("SET TimeZone = 'UTC'")
            for name, version in run.versions.items():
                _create_view(conn, run, name, version=version)
            _create_spans(conn, run)

    def store(self, target_config: TargetConfig) -> None:
        """Commit the rows of a model's view to its table, then let the view show what was committed."""
        run, conn = dbt_run.session(), self._database
        if run is None or conn is None:
            raise ProjectError("dbt alone cannot write to a lake", hint="build the table with `lakehouse` or Dagster")
        relation = target_config.relation
        with _Recorded(run):
            name = table_id(str(relation.schema), str(relation.identifier))
            table = run.project.table(name)
            with conn.cursor() as cursor:
                cursor.execute("SET TimeZone = 'UTC'")
                reader = _rows(cursor, run, table)
                version = storage.replace(
                    run.lake, name, table, reader, months=run.months[name], inputs=run.inputs_of(name), holder="dbt"
                )
                run.built[name] = version
                _create_view(cursor, run, name, version=version)


class _Recorded:
    """Keeps a failure's own type for `dbt_run`, because dbt passes on only text."""

    def __init__(self, run: Session) -> None:
        self._run = run

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, problem: BaseException | None, trace: object) -> None:
        if isinstance(problem, LakehouseError):
            self._run.failures.append(problem)


def _rows(cursor: duckdb.DuckDBPyConnection, run: Session, table: Table) -> pa.RecordBatchReader:
    """The view's rows as a stream with the contract's columns in the contract's order."""
    where = str(code.model_file(run.project, table.id))
    wanted = schema(table, table.id.tier)
    view = exp.table_(table.id.table, db=schema_name(table.id))
    chosen = exp.select(*(exp.column(name, quoted=True) for name in wanted.names)).from_(view)
    every = exp.select("*").from_(view).limit(0)
    described = _reader(cursor, every, where=where).schema
    found = {column.name: column.type for column in described}
    _compare(found=found, wanted={column.name: column.type for column in wanted}, where=where)
    reader = _reader(cursor, chosen, where=where)
    return pa.RecordBatchReader.from_batches(reader.schema, _batches(reader, where=where))


def _reader(cursor: duckdb.DuckDBPyConnection, query: exp.Select, *, where: str) -> pa.RecordBatchReader:
    try:
        return cursor.sql(query.sql("duckdb")).to_arrow_reader(BATCH_ROWS)
    except duckdb.Error as problem:
        told = str(problem)
    # Raised outside the handler: the database's text, which may quote a value, must not hang on to our error.
    raise dbt_run.model_error(told, where=where)


def _batches(reader: pa.RecordBatchReader, *, where: str) -> Iterator[pa.RecordBatch]:
    while True:
        try:
            batch = reader.read_next_batch()
        except StopIteration:
            return
        except OSError as problem:  # how pyarrow passes on what the database says in the middle of a stream
            told = str(problem)
            break
        yield batch
    raise dbt_run.model_error(told, where=where)


def _compare(*, found: dict[str, pa.DataType], wanted: dict[str, pa.DataType], where: str) -> None:
    wrong = [f"`{name}` is missing" for name in wanted if name not in found]
    wrong += [f"`{name}` is not in the contract" for name in found if name not in wanted]
    wrong += [
        f"`{name}` is {found[name]} and not {type_}"
        for name, type_ in wanted.items()
        if name in found and found[name] != type_
    ]
    if wrong:
        raise SchemaMismatchError(
            f"the model does not give the contract's columns: {'; '.join(wrong)}",
            where=where,
            hint="select every column of the contract, `_landed_at`, `_entity`, `_entity_<role>` and `<column>__token` "
            "where the contract says so, cast to the contract's types",
        )


def _create_view(conn: duckdb.DuckDBPyConnection, run: Session, name: TableId, *, version: int) -> None:
    snapshot = storage.snapshot(run.lake, name, version)
    conn.execute(exp.Create(this=exp.to_identifier(schema_name(name)), kind="SCHEMA", exists=True).sql("duckdb"))
    storage.duckdb_view(conn, f"{schema_name(name)}.{name.table}", snapshot)


def _create_spans(conn: duckdb.DuckDBPyConnection, run: Session) -> None:
    """The table that the macros of `dbt/macros/months.sql` ask; all text, because it is pasted into date literals."""
    conn.execute("CREATE SCHEMA lakehouse_run")
    conn.execute(
        "CREATE TABLE lakehouse_run.span"
        " (model VARCHAR, first_day VARCHAR, next_day VARCHAR, first_instant VARCHAR, next_instant VARCHAR)"
    )
    for name, months in run.months.items():
        for span in spans(months or ()):
            conn.execute(
                "INSERT INTO lakehouse_run.span VALUES (?, ?, ?, ?, ?)",
                [
                    f"{schema_name(name)}.{name.table}",
                    span.first_day.isoformat(),
                    span.next_day.isoformat(),
                    span.first_instant,
                    span.next_instant,
                ],
            )
