"""Rebuilds a feature table with the project's function, over rows that had happened and were known.

The function gets one lazy frame per input of the contract, in its order, cut off by `known_rows`; it may also ask for
`as_of`, the day of the run (or of its `known_at`). Tables that refresh by month replace the months that changed and all
later ones, because features look back; all of them when the function or what it imports changed.
"""

# pyarrow ships no types: schemas and readers are unknown to the checker where they pass through.
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false

import datetime as dt
import inspect
from collections.abc import Callable, Mapping
from typing import cast

import polars as pl

from lakehouse import storage
from lakehouse.contract import arrow, derivation
from lakehouse.contract.model import Project, Table
from lakehouse.errors import ProjectError, SchemaMismatchError, UsageError
from lakehouse.model import ENTITY, TableId
from lakehouse.orchestration.loading import load_module
from lakehouse.policy.taint import used_columns
from lakehouse.storage import Lake
from lakehouse.transform import refresh
from lakehouse.transform.code import fingerprint, function_files
from lakehouse.transform.point_in_time import come_into_sight, known_rows


def rebuild(
    lake: Lake,
    project: Project,
    table: Table,
    *,
    function: str,
    versions: Mapping[TableId, int],
    known_at: dt.datetime | None = None,
) -> int | None:
    """Compute and commit the table's stale months, or all of it.

    A run for a past `known_at` replaces the whole table by what it would have been on that day; the next run without
    one brings it back to the present.

    Args:
        lake: the lake.
        project: its contracts.
        table: the feature table.
        function: `module:name` in the project.
        versions: the versions of the inputs to read.
        known_at: the instant of knowledge, whose day is `as_of` then; default: now, the start of this run.

    Returns:
        The committed version; None when nothing was stale.

    Raises:
        ProjectError: the function is not there.
        SchemaMismatchError: its rows do not have the contract's columns.
        KnowledgeTimeError: `known_at` is past, and an input keeps no history.
        UsageError: `known_at` lies in the future.
    """
    started = lake.now()
    if known_at is not None and known_at > started:
        raise UsageError("`known_at` lies in the future", where=str(table.id), hint="leave it out for now")
    made_by = fingerprint(function_files(project.root, function.partition(":")[0]))
    stale = None
    if known_at is None:
        stale = _stale(lake, project, table, code=made_by, versions=versions, now=started)
    if stale == ():
        return None
    day = (known_at or started).astimezone(dt.UTC).date()
    inputs = [
        known_rows(lake, project, name, as_of=day, run_start=started, known_at=known_at, version=versions[name])
        for name in table.inputs
    ]
    inputs = [_declared(frame, project, table, name) for frame, name in zip(inputs, table.inputs, strict=True)]
    frame = _computed(project, table, function=function, inputs=inputs, as_of=day)
    months = None if stale is None else _onwards(frame, table, stale)
    if months is not None:
        frame = frame.filter(_month(table).is_in(months))
    return storage.replace(
        lake,
        table.id,
        table,
        frame.to_arrow().to_reader(),
        months=months,
        inputs={
            **{str(name): version for name, version in versions.items()},
            refresh.CODE: made_by,
            (refresh.SEEN_AT if known_at is None else refresh.KNOWN_AT): storage.to_micros(known_at or started),
        },
        holder="features",
    )


def instant(text: str, *, where: str) -> dt.datetime:
    """The instant that run configuration writes (ISO 8601 with an offset), such as `2011-06-30T23:59:59+00:00`.

    Raises:
        UsageError: it is none, or has no offset.
    """
    try:
        found = dt.datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        hint = "write it like `2011-06-30T23:59:59+00:00`"
        raise UsageError("`known_at` is not an instant with an offset", where=where, hint=hint)
    return found


def _stale(
    lake: Lake, project: Project, table: Table, *, code: int, versions: Mapping[TableId, int], now: dt.datetime
) -> tuple[str, ...] | None:
    """The months of changed inputs, and of rows that were there before but could not be seen yet; None for all."""
    stale = refresh.stale_months(lake, project, table, inputs=table.inputs, code=code)
    seen_at = storage.inputs_of(lake, table.id).get(refresh.SEEN_AT) if stale is not None else None
    if stale is None or seen_at is None:
        return None
    since = storage.from_micros(seen_at)
    fresh = [
        come_into_sight(lake, project, name, since=since, until=now, version=versions[name]) for name in table.inputs
    ]
    return tuple(sorted({*stale, *(month for months in fresh for month in months)}))


def feature_function(project: Project, where: str) -> Callable[..., pl.LazyFrame]:
    """The function at `module:name` of the project.

    Raises:
        ProjectError: there is no such module or function.
    """
    module, _, name = where.partition(":")
    function: object = getattr(load_module(project.root, module), name, None)
    if not callable(function):
        raise ProjectError(f"there is no function `{name}`", where=module, hint="name it like the feature table")
    return cast("Callable[..., pl.LazyFrame]", function)


def _declared(frame: pl.LazyFrame, project: Project, table: Table, name: TableId) -> pl.LazyFrame:
    """Only what the contract says that the table is made of: its sensitivity was judged by that (`policy.taint`)."""
    given = used_columns(project, table)
    if given is None:
        return frame
    ours = {*derivation.readable(project.table(name))} - {column for used, column in given if used == name}
    return frame.drop(sorted(ours - {ENTITY}), strict=False)


def _computed(
    project: Project, table: Table, *, function: str, inputs: list[pl.LazyFrame], as_of: dt.date
) -> pl.DataFrame:
    call = feature_function(project, function)
    asked = {"as_of": as_of} if "as_of" in inspect.signature(call).parameters else {}
    rows = call(*inputs, **asked)
    wanted = arrow.schema(table, table.id.tier).names
    found = rows.collect_schema().names()
    odd = sorted(set(wanted) ^ set(found))
    if odd:
        raise SchemaMismatchError(
            f"the function and the contract differ in {', '.join(f'`{name}`' for name in odd)}",
            where=function,
            hint="return the contract's columns, `_landed_at`, and `_entity`, `_entity_<role>` and `<column>__token` "
            "where the contract says so",
        )
    return rows.select(wanted).collect()


def _onwards(frame: pl.DataFrame, table: Table, stale: tuple[str, ...]) -> list[str]:
    last = cast("dt.date | None", frame.select(pl.col(_event_time(table)).cast(pl.Date).max()).item())
    return refresh.onwards(stale, until=last or dt.date.fromisoformat(f"{max(stale)}-01"))


def _month(table: Table) -> pl.Expr:
    return pl.col(_event_time(table)).dt.strftime("%Y-%m")


def _event_time(table: Table) -> str:
    if table.event_time is None:
        raise ProjectError("a table that refreshes by month needs an event time", where=table.where or str(table.id))
    return table.event_time
