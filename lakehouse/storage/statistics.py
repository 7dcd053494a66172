"""Statistics of a data file as the Delta log shows them: only on allowed columns, never narrower than the truth.

A bound that cannot be written exactly (long text, a NaN among floats, a decimal that JSON readers would round) is left
out: a missing bound costs a skipped chance, a wrong one costs rows.
"""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import polars as pl

from lakehouse.storage.layout import Part, Placement, month_bounds

if TYPE_CHECKING:
    from collections.abc import Sequence

LONGEST_TEXT = 64
_MILLISECOND = dt.timedelta(milliseconds=1)
_LAST_MILLISECOND = dt.datetime.max.replace(tzinfo=dt.UTC) - _MILLISECOND


def statistics(part: Part, placement: Placement) -> str:
    """The `stats` JSON of one file."""
    frame = part.frame
    personal = placement.time_column if placement.personal_time else None
    columns = [c for c in frame.columns if c in placement.statistics_columns and c != personal]
    columns = [c for c in columns if _comparable(frame.schema[c])]
    least, greatest, nulls = _bounds(frame, columns)
    if personal is not None and part.months and "null" not in part.months:
        start, end = month_bounds(part.months[0])[0], month_bounds(part.months[-1])[1]
        date = frame.schema[personal] == pl.Date
        least[personal] = _text(start.date() if date else start, up=False)
        if end is not None:
            # a timestamp inside the month's last millisecond must stay below the bound
            greatest[personal] = _text(end.date() - dt.timedelta(days=1) if date else end, up=True)
    content = {"numRecords": frame.height, "minValues": least, "maxValues": greatest, "nullCount": nulls}
    return json.dumps(content, ensure_ascii=False, allow_nan=False)


def _bounds(frame: pl.DataFrame, columns: Sequence[str]) -> tuple[dict[str, Any], dict[str, Any], dict[str, int]]:
    """Least and greatest value and null count by column, one pass."""
    wanted: list[pl.Expr] = []
    for column in columns:
        value = pl.col(column)
        wanted += [value.min().alias(f"<{column}"), value.max().alias(f">{column}")]
        wanted.append(value.null_count().alias(f"0{column}"))
        if frame.schema[column].is_float():
            wanted.append(value.is_nan().any().alias(f"n{column}"))
    found: dict[str, Any] = frame.select(wanted).row(0, named=True) if wanted else {}
    least: dict[str, Any] = {}
    greatest: dict[str, Any] = {}
    for column in columns:
        low, high = found[f"<{column}"], found[f">{column}"]
        if low is None or found.get(f"n{column}"):
            continue
        pair = _text(low, up=False), _text(high, up=True)
        if None not in pair:
            least[column], greatest[column] = pair
    return least, greatest, {column: found[f"0{column}"] for column in columns}


def _comparable(dtype: pl.DataType) -> bool:
    return dtype.is_numeric() or dtype.is_temporal() or dtype == pl.String


def _text(value: Any, *, up: bool) -> Any:
    """A bound as Delta's JSON has it, None when it has no exact form."""
    if isinstance(value, dt.datetime):
        return _instant(value, up=up)
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, str):
        return value if len(value) <= LONGEST_TEXT else None
    if isinstance(value, Decimal):
        near = float(value)
        return near if Decimal(repr(near)) == value else None
    if isinstance(value, float):
        return value if abs(value) != float("inf") else None
    return value


def _instant(value: dt.datetime, *, up: bool) -> str | None:
    """Delta cuts timestamps to milliseconds, so an upper bound is rounded up first; none is left after year 9999."""
    cut = value.replace(microsecond=value.microsecond // 1000 * 1000)
    if up and cut != value:
        if cut > _LAST_MILLISECOND:
            return None
        cut += _MILLISECOND
    return cut.isoformat(timespec="milliseconds").replace("+00:00", "Z")
