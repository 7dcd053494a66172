"""The copies that purposes with `isolation: copy` are read from: made in the lake, and opened for one reader.

A copy lies in the lake's system tables and holds only what the purpose may show, so no filter and no statistic of a reader's
query ever touches a row that he may not see. Its commit notes what it was made of and under which rules.
"""

# duckdb and pyarrow ship no or partial types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownParameterType=false, reportMissingTypeStubs=false

# ruff: noqa: PLR0402 - `from lakehouse.serving import x` would go through the package's re-export, an import cycle.

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa
from sqlglot import exp

import lakehouse.serving.lockdown as lockdown
from lakehouse import storage
from lakehouse.errors import LeaseTakenError, RefusedError, StorageError
from lakehouse.model import ENTITY
from lakehouse.policy.copies import Copy, copies, copy_of, has_ended
from lakehouse.policy.frame import ALIAS
from lakehouse.policy.views import BASE, CONSENT, view_name
from lakehouse.serving.consenting import consent_in_force
from lakehouse.serving.views import on_files
from lakehouse.storage.views import let_read

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lakehouse.contract.model import Project, Table
    from lakehouse.policy.model import Policy
    from lakehouse.policy.views import ViewName
    from lakehouse.storage import Held, Lake, Snapshot, SystemTable

_BATCH = 65_536  # rows
_KIND, _RULES = "copy", "rules"


def place(name: ViewName) -> SystemTable:
    """Where the copy below a view is."""
    return storage.SystemTable(f"{_KIND}/{name.schema}/{name.name}")


def make_copies(lake: Lake, project: Project, policy: Policy, purpose: str) -> tuple[str, ...]:
    """Make the purpose's copies anew, of those tables that are there; returns the names of their views.

    Raises:
        StorageError: a copy cannot be made; never with a value of a row.
    """
    there = (table for table in copies(policy, project.tables, purpose) if storage.is_there(lake, table.id))
    made: list[str] = []
    for table in there:
        name = view_name(policy, purpose, table)
        with storage.lease(lake, place(name), holder=_KIND) as held:
            _make(held, project, policy, purpose, table)
        made.append(name.name)
    return tuple(made)


def empty_obsolete(lake: Lake, project: Project, policy: Policy) -> tuple[str, ...]:
    """Empty the copies that nothing is read from any more: of purposes, grants or tables that are gone, or of grants that ended.

    Returns:
        Their names. One that somebody makes just now is left for the next time.
    """
    day = lake.now().date()
    wanted = {
        place(view_name(policy, purpose, table))
        for purpose in policy.purposes
        for table in copies(policy, project.tables, purpose)
        if not has_ended(policy, purpose, table, day=day)
    }
    emptied: list[str] = []
    for table in storage.system_tables(lake, _KIND):
        snapshot = storage.snapshot(lake, table)
        if table not in wanted and snapshot.rows:
            nothing = snapshot.schema.empty_table().to_reader()
            with contextlib.suppress(LeaseTakenError), storage.lease(lake, table, holder=_KIND) as held:
                storage.replace_all(held, nothing, placement=storage.Placement(), inputs={})
                emptied.append(str(table))
    return tuple(emptied)


def open_copy(lake: Lake, policy: Policy, purpose: str, table: Table) -> Snapshot:
    """The version of the purpose's copy of a table that is to be read now.

    Raises:
        RefusedError: there is none yet, or it was made under other rules than today's.
    """
    # The platform's columns of the table itself: a restriction that came after the copy asks for a new one.
    present = storage.snapshot(lake, table.id).schema.names
    wanted = copy_of(policy, purpose, table, day=lake.now().date(), present=present)
    target = place(wanted.name)
    if storage.is_there(lake, target):
        snapshot = storage.snapshot(lake, target)
        # INVARIANT: what an older policy showed is never read under a newer one
        if storage.inputs_of(lake, target, snapshot.version).get(_RULES) == wanted.rules:
            return snapshot
        why = "was made under other rules than today's"
    else:
        why = "is not made yet"
    raise RefusedError(
        f"the copy that `{wanted.name}` stands on {why}",
        where=str(table.id),
        hint=f"materialise the asset `serving/{purpose}`; Dagster's automation does so by itself",
    )


def _make(held: Held, project: Project, policy: Policy, purpose: str, table: Table) -> None:
    lake = held.lake
    source = storage.snapshot(lake, table.id)
    copy = copy_of(policy, purpose, table, day=lake.now().date(), present=source.schema.names)
    _require_columns(copy, source)
    reads = {f"{BASE}.{table.id}": source}
    if len(copy.reads) > 1:
        reads[f"{BASE}.{CONSENT}"] = consent_in_force(lake, project, policy)
    # Without rules nobody reads it: a grant that ended may be prolonged, and nothing is not what it shows then.
    rules = {} if copy.ended else {_RULES: copy.rules}
    inputs = {**rules, **{str(read.table): read.version for read in reads.values()}}
    connection = duckdb.connect(":memory:", config={**lockdown.SETTINGS, "preserve_insertion_order": True})
    with contextlib.closing(connection):
        rows = _rows(connection, copy, reads)
        columns = tuple(c.name for c in table.columns if not c.personal and c.name in rows.schema.names)
        entity = (ENTITY,) if ENTITY in rows.schema.names else ()
        placement = storage.Placement("none", statistics_columns=(*entity, *columns))
        storage.replace_all(held, rows, placement=placement, inputs=inputs)


def _require_columns(copy: Copy, source: Snapshot) -> None:
    asked = {column.name for column in copy.tree.find_all(exp.Column) if column.table == ALIAS}
    lacking = sorted(asked.difference(source.schema.names))
    if lacking:
        raise RefusedError(
            f"the table does not have {', '.join(f'`{name}`' for name in lacking)} of its contract yet",
            where=str(copy.table.id),
            hint=f"`lakehouse rebuild {copy.table.id}` gives the table the contract's columns",
        )


def _rows(connection: duckdb.DuckDBPyConnection, copy: Copy, reads: Mapping[str, Snapshot]) -> pa.RecordBatchReader:
    """What the copy holds, as a stream."""
    connection.execute("SET TimeZone = 'UTC'")
    for snapshot in reads.values():
        let_read(connection, snapshot)
    where = str(copy.table.id)
    tree = on_files(copy.tree, reads, where=where)
    try:
        reader = connection.sql(tree.sql(dialect="duckdb", identify=True)).to_arrow_reader(_BATCH)
    except duckdb.Error:
        reader = None
    if reader is None:
        raise _failed(where)
    return pa.RecordBatchReader.from_batches(reader.schema, _batches(reader, where=where))


def _batches(reader: pa.RecordBatchReader, *, where: str) -> Iterator[pa.RecordBatch]:
    while True:
        try:
            batch = reader.read_next_batch()
        except StopIteration:
            return
        except OSError:  # how pyarrow passes on what the database says in the middle of a stream
            break
        yield batch
    raise _failed(where)


def _failed(where: str) -> StorageError:
    # Raised outside the handlers: the database's text, which may quote a value, must not hang on to our error.
    return StorageError(
        "the copy cannot be computed", where=where, hint="run it again; it may need more memory than there is"
    )
