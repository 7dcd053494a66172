"""The batch manifest: every delivered file once, with what became of it.

A batch is one source file. The same file again (table, source, name and content) finds its batch, so nothing is taken
twice. State changes that belong to a commit come with it (`BatchUpdate`); only refusals before any commit are made here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from lakehouse.errors import StorageError
from lakehouse.storage.control import batch_table, from_micros, to_micros

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Sequence

    from lakehouse.storage.lake import Lake, Target

_SCHEMA = pl.Schema(
    {
        "number": pl.Int64,
        "table": pl.String,
        "source": pl.String,
        "name_hash": pl.String,
        "sha256": pl.String,
        "size": pl.Int64,
        "landed_at": pl.Datetime("us", "UTC"),
        "delivered_at": pl.Datetime("us", "UTC"),
        "state": pl.String,
        "rows": pl.Int64,
        "reason": pl.String,
        "terms": pl.String,
        "as_of": pl.Int64,
        "drift": pl.String,
    }
)


#: What tells one delivered file from another within a table, and states in which none of its rows is in the lake.
_IDENTITY = ("source", "name_hash", "sha256")
_UNTAKEN = ("reserved", "rejected")


@dataclass(frozen=True)
class Batch:
    """One delivered file.

    Attributes:
        number: the lake-wide `_batch`.
        state: `reserved`, `raw`, `staged`, `held`, `rejected`, or `lost`: its rows are in raw, but a control database from a
            backup does not know them; the file is to be delivered again.
        name_hash: hash of the file's name, which may be personal itself.
        terms: what a held batch was judged by, so that it is judged again when that has changed.
        as_of: when a snapshot's dump was true, in microseconds; known once it is applied.
        drift: in which ways it differed from the contract, and what was decided; words and counts.
    """

    number: int
    table: str
    source: str
    name_hash: str
    sha256: str
    size: int
    landed_at: dt.datetime
    delivered_at: dt.datetime | None
    state: str
    rows: int | None = None
    reason: str | None = None
    terms: str | None = None
    as_of: int | None = None
    drift: str | None = None


@dataclass(frozen=True)
class Delivered:
    """What a delivered file is known by, and when it came."""

    source: str
    name_hash: str
    sha256: str
    size: int
    landed_at: dt.datetime
    delivered_at: dt.datetime | None = None


def reserve(
    lake: Lake,
    table: Target,
    *,
    source: str,
    name_hash: str,
    sha256: str,
    size: int,
    landed_at: dt.datetime,
    delivered_at: dt.datetime | None = None,
) -> Batch:
    """The batch of a delivered file: a new one, or the one it already has."""
    return reserve_all(lake, table, [Delivered(source, name_hash, sha256, size, landed_at, delivered_at)])[0]


def reserve_all(lake: Lake, table: Target, files: Sequence[Delivered]) -> list[Batch]:
    """The batches of delivered files in one transaction; new ones are numbered in the order of the files."""
    name = lake.key(table)
    values = {
        (file.source, file.name_hash, file.sha256): {
            "table_id": name,
            "source": file.source,
            "name_hash": file.name_hash,
            "sha256": file.sha256,
            "size": file.size,
            "landed_at": to_micros(file.landed_at),
            "delivered_at": None if file.delivered_at is None else to_micros(file.delivered_at),
            "state": "reserved",
        }
        for file in files
    }
    names, hashes = {file.name_hash for file in files}, {file.sha256 for file in files}
    these = sa.and_(batch_table.c.name_hash.in_(names), batch_table.c.sha256.in_(hashes))
    found = sa.select(batch_table).where(batch_table.c.table_id == name, these)
    with lake.control.write("manifest.reserve") as connection:
        known = _by_identity(connection, found)
        new = [row for key, row in values.items() if key not in known]
        # nothing of these is in the lake: they land now, and their keys live from now on
        late = [values[key] for key, batch in known.items() if key in values and batch.state in _UNTAKEN]
        if late:
            mine = [batch_table.c[each] == sa.bindparam(f"of_{each}") for each in _IDENTITY]
            statement = batch_table.update().where(batch_table.c.table_id == name, *mine)
            statement = statement.values(landed_at=sa.bindparam("now"))
            told = [{f"of_{each}": row[each] for each in _IDENTITY} | {"now": row["landed_at"]} for row in late]
            connection.execute(statement, told)
            known = _by_identity(connection, found)
        if new:
            insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
            # another process may reserve the same file just now: then its number is the one
            connection.execute(insert(batch_table).on_conflict_do_nothing(), new)
            known = _by_identity(connection, found)
    return [known[file.source, file.name_hash, file.sha256] for file in files]


def _by_identity(connection: sa.Connection, found: sa.Select[Any]) -> dict[tuple[str, str, str], Batch]:
    batches = [_batch(row) for row in connection.execute(found)]
    return {(batch.source, batch.name_hash, batch.sha256): batch for batch in batches}


def get_batch(lake: Lake, number: int) -> Batch:
    """The batch of that number.

    Raises:
        StorageError: there is none.
    """
    with lake.control.read() as connection:
        row = connection.execute(sa.select(batch_table).where(batch_table.c.number == number)).one_or_none()
    if row is None:
        raise StorageError(f"there is no batch `{number}`", hint="see `lakehouse status`")
    return _batch(row)


def batches(lake: Lake, table: Target | None = None) -> pl.DataFrame:
    """All batches, of one table when given, by number."""
    query = sa.select(batch_table).order_by(batch_table.c.number)
    if table is not None:
        query = query.where(batch_table.c.table_id == lake.key(table))
    with lake.control.read() as connection:
        rows = connection.execute(query).all()
    columns: dict[str, list[Any]] = {name: [] for name in _SCHEMA.names()}
    for row in rows:
        batch = _batch(row)
        for name, values in columns.items():
            values.append(getattr(batch, name))
    return pl.DataFrame(columns, schema=_SCHEMA)


def reject(lake: Lake, batch: Batch, reason: str) -> None:
    """Note that a delivered file cannot be taken; the reason must not hold a value of it.

    Raises:
        StorageError: rows of the batch are already in the lake.
    """
    mine = sa.and_(batch_table.c.number == batch.number, batch_table.c.state.in_(("reserved", "rejected")))
    with lake.control.write("manifest.update") as connection:
        changed = connection.execute(batch_table.update().where(mine).values(state="rejected", reason=reason))
        if changed.rowcount != 1:
            raise StorageError("rows of the batch are in the lake already", where=f"batch {batch.number}")


def _batch(row: Any) -> Batch:
    return Batch(
        number=row.number,
        table=row.table_id,
        source=row.source,
        name_hash=row.name_hash,
        sha256=row.sha256,
        size=row.size,
        landed_at=from_micros(row.landed_at),
        delivered_at=None if row.delivered_at is None else from_micros(row.delivered_at),
        state=row.state,
        rows=row.rows,
        reason=row.reason,
        terms=row.terms,
        as_of=row.as_of,
        drift=row.drift,
    )
