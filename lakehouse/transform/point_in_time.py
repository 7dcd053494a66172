"""Point-in-time reads: only what had happened by `as_of`, and only what was known by `known_at`.

Event time is the contract's `event_time`. A row is known from when it landed, or from the delivery time in its file's
name where the contract says `delivered_at`. Reads ahead of time are refused nowhere but cut off: a row without event
time or without a time of knowledge is not shown, because nothing says that it was there.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import polars as pl

from lakehouse import storage
from lakehouse.contract.model import Logical
from lakehouse.errors import KnowledgeTimeError, UsageError
from lakehouse.model import BATCH, LANDED_AT, Tier

if TYPE_CHECKING:
    from lakehouse.contract.model import Project, Table
    from lakehouse.model import TableId
    from lakehouse.storage import Lake

_KNOWN = "_known_at"


def known_rows(
    lake: Lake,
    project: Project,
    table: TableId,
    *,
    as_of: dt.datetime | dt.date,
    run_start: dt.datetime,
    known_at: dt.datetime | None = None,
    version: int | None = None,
) -> pl.LazyFrame:
    """Rows of a table with event time up to `as_of` that were known by `known_at`; the table's own columns.

    Args:
        lake: the lake.
        project: its contracts.
        table: the table to read.
        as_of: the last instant of event time, or a day, whose end by the table's clock is meant.
        run_start: when the run began.
        known_at: the instant of knowledge; default `run_start`.
        version: the table's pinned version; default the current one.

    Raises:
        KnowledgeTimeError: `known_at` is before `run_start` and the table keeps no history: its rows may have been
            replaced since, and what they were then is not there.
        UsageError: the table has no event time, or an instant has no time zone.
    """
    contract = project.table(table)
    known = run_start if known_at is None else known_at
    if known.tzinfo is None or run_start.tzinfo is None:
        raise UsageError("`known_at` and `run_start` need a time zone", where=str(table), hint="pass UTC instants")
    if known < run_start and not keeps_past(contract):
        raise KnowledgeTimeError(
            "the table keeps no history, so what was known in the past cannot be read",
            where=str(table),
            hint="read its staged inputs, or give it `history: true`",
        )
    frame = _with_knowledge(lake, contract, version=version)
    return known_by(frame, contract, as_of=as_of, known_at=known).drop(_KNOWN)


def known_by(frame: pl.LazyFrame, table: Table, *, as_of: dt.datetime | dt.date, known_at: dt.datetime) -> pl.LazyFrame:
    """The rows of a frame with `_known_at` that had happened by `as_of` and were known by `known_at`."""
    return frame.filter(_seen(table, as_of=as_of, known_at=known_at))


def come_into_sight(
    lake: Lake, project: Project, table: TableId, *, since: dt.datetime, until: dt.datetime, version: int | None = None
) -> list[str]:
    """The months, by the table's clock, of rows that a run at `until` sees and one at `since` did not.

    Rows can be there before they may be seen: a file named for today is known when today is over. No version tells when
    that time has come.
    """
    contract = project.table(table)
    now, before = (_seen(contract, as_of=at.astimezone(dt.UTC).date(), known_at=at) for at in (until, since))
    column = contract.column(contract.event_time or "")
    event = pl.col(column.name)
    if column.type.logical is not Logical.DATE:
        event = event.dt.convert_time_zone(column.type.time_zone)
    fresh = _with_knowledge(lake, contract, version=version).filter(now, ~before)
    return fresh.select(event.dt.strftime("%Y-%m").unique().sort()).collect(engine="streaming").to_series().to_list()


def keeps_past(table: Table) -> bool:
    """Whether what the table said at an earlier time can still be read: its rows never change, or it has history."""
    return table.history or (table.id.tier is Tier.STAGED and table.load_mode == "append")


def _with_knowledge(lake: Lake, table: Table, *, version: int | None) -> pl.LazyFrame:
    """A table's rows with `_known_at`, from when each was known."""
    frame = storage.scan(lake, table.id, version=version)
    if any(source.delivered_at for source in table.sources):
        return _delivered(frame, storage.batches(lake, table.id))
    return frame.with_columns(pl.col(LANDED_AT).alias(_KNOWN))


def _seen(table: Table, *, as_of: dt.datetime | dt.date, known_at: dt.datetime) -> pl.Expr:
    return _happened(table, as_of) & (pl.col(_KNOWN) <= known_at)


def _happened(table: Table, as_of: dt.datetime | dt.date) -> pl.Expr:
    if table.event_time is None:
        raise UsageError("the table has no event time", where=table.where or str(table.id), hint="add `event_time`")
    column = table.column(table.event_time)
    clock = ZoneInfo(column.type.time_zone)
    event = pl.col(column.name)
    if isinstance(as_of, dt.datetime):
        if as_of.tzinfo is None:
            raise UsageError("`as_of` needs a time zone", where=str(table.id), hint="pass a UTC instant, or a day")
        if column.type.logical is Logical.DATE:
            # A day has happened when it is over.
            return event < as_of.astimezone(clock).date()
        return event <= as_of
    if column.type.logical is Logical.DATE:
        return event <= as_of
    tomorrow = as_of + dt.timedelta(days=1)
    midnight = dt.datetime(tomorrow.year, tomorrow.month, tomorrow.day, tzinfo=clock)
    return event < midnight.astimezone(dt.UTC)


def _delivered(frame: pl.LazyFrame, batches: pl.DataFrame) -> pl.LazyFrame:
    """Known from the delivery of the row's batch, or from its landing where the batch has no delivery time."""
    delivered = batches.lazy().select(pl.col("number").alias(BATCH), pl.col("delivered_at").alias(_KNOWN))
    joined = frame.join(delivered, on=BATCH, how="left", maintain_order="left")
    return joined.with_columns(pl.coalesce(_KNOWN, LANDED_AT).alias(_KNOWN))
