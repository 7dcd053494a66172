"""Where rows of a governed table belong: order, split into files, and which statistics a file may show.

A file's name says who wrote it (token, transaction), which level it has (`b` body, `t0` fresh tail, `t1`, `t2` merged tail)
and which event months it spans, so pruning, merging and recovery need no further bookkeeping. Statistics stand on allowed
columns only; a personal event time shows nothing finer than its month.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from lakehouse.errors import StorageError
from lakehouse.model import BATCH, ENTITY, LANDED_AT, ROW, Tier, entity_of, token_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lakehouse.contract.model import Layout, Table

ROWS_PER_FILE = 25_000  # of laid-out bodies
ROWS_PER_LOOSE_FILE = 1_000_000  # of tables without layout
ROWS_PER_SPANNING_FILE = 250_000
ROWS_WORTH_A_FILE = 4_096  # fewer rows a month than this: one fresh file spans several months
MAX_FILES, MAX_RANGES = 1_024, 32
MOST_MONTHS = 120  # that one file spans: `9999-12-31` for "open" must not make a file of all months there are
NO_MONTH = "null"  # rows without event time
BODY, FRESH = "b", "t0"
_MONTH = "__month"
_LAST_MONTH = "9999-12"
_PREFIX = 11  # hex digits

_NAME = re.compile(
    r"(?P<token>\d{12})-(?P<tx>[0-9a-f]{12})-(?P<number>\d{5})-(?P<level>b|t\d)-(?P<first>all|null|\d{4}-\d{2})(?:_(?P<last>\d{4}-\d{2}))?\.parquet"
)


@dataclass(frozen=True)
class Placement:
    """How a table's rows are laid out.

    Attributes:
        layout: the contract's word.
        entity_column: surrogates, for layouts with `entity`.
        time_column: the event time (date or timestamp), if the table has one.
        statistics_columns: columns whose least and greatest value may stand in the Delta log.
        personal_time: the event time is personal: only its month's first and last instant may be shown.
    """

    layout: Layout = "none"
    entity_column: str | None = None
    time_column: str | None = None
    statistics_columns: tuple[str, ...] = ()
    personal_time: bool = False

    @staticmethod
    def of(table: Table, tier: Tier) -> Placement:
        """The placement of a contract's table in a tier."""
        entity = ENTITY if table.entity is not None else None
        platform = (BATCH, ROW, LANDED_AT, ENTITY)
        if tier is Tier.RAW:
            return Placement("none", entity, statistics_columns=platform)
        platform += (*(entity_of(role.name) for role in table.roles), *(token_of(c.name) for c in table.tokenised))
        shown = tuple(c.name for c in table.columns if not c.personal or c.token_of)
        return Placement(
            table.layout,
            entity,
            table.event_time,
            (*platform, *shown),
            personal_time=table.event_time is not None and table.column(table.event_time).personal,
        )

    @property
    def by_month(self) -> bool:
        """Whether files belong to event months."""
        return self.layout in {"time", "time+entity"} and self.time_column is not None

    @property
    def order(self) -> tuple[str, ...]:
        """The columns rows of one month are sorted by."""
        if self.layout == "time" and self.time_column:
            return (self.time_column,)
        if self.layout in {"entity", "time+entity"} and self.entity_column:
            return (self.entity_column,)
        return (self.time_column,) if self.layout == "time+entity" and self.time_column else ()

    @property
    def laid_out(self) -> bool:
        """Whether there is a body that tails are merged into."""
        return bool(self.order)


@dataclass(frozen=True)
class FileName:
    """What a data file's name says."""

    token: int
    transaction: str
    level: str
    first: str
    last: str

    @staticmethod
    def parse(path: str) -> FileName | None:
        """The name's parts, None for a file that is not ours."""
        found = _NAME.fullmatch(path.rpartition("/")[2])
        if found is None:
            return None
        first = found["first"]
        return FileName(int(found["token"]), found["tx"], found["level"], first, found["last"] or first)

    def touches(self, months: Sequence[str]) -> bool:
        """Whether the file may hold rows of one of these months."""
        if self.first == "all":
            return True
        return any(self.first <= month <= self.last for month in months)

    def within(self, months: Sequence[str]) -> bool:
        """Whether all rows of the file are of these months."""
        return self.first != "all" and set(months_between(self.first, self.last)) <= set(months)


@dataclass(frozen=True)
class Part:
    """Rows that become one file, and the months they are of (None when the table has no event time)."""

    frame: pl.DataFrame
    level: str
    span: str
    months: tuple[str, ...] | None


def file_name(*, token: int, transaction: str, number: int, part: Part) -> str:
    """The data file's name."""
    return f"{token:012d}-{transaction}-{number:05d}-{part.level}-{part.span}.parquet"


def months_between(first: str, last: str) -> list[str]:
    """All months from `first` to `last`, both included."""
    if first == last:
        return [first]
    low, high = _index(first), _index(last)
    return [_month(index) for index in range(low, high + 1)]


def month_expression(column: str) -> pl.Expr:
    """Months since year 0 of a date or timestamp column (UTC)."""
    value = pl.col(column)
    return value.dt.year().cast(pl.Int32) * 12 + value.dt.month().cast(pl.Int32) - 1


def month_filter(column: str, months: Sequence[str], dtype: pl.DataType) -> pl.Expr:
    """Rows of these months, as ranges that Parquet statistics can prune by."""
    terms: list[pl.Expr] = []
    for month in sorted(set(months)):
        if month == NO_MONTH:
            terms.append(pl.col(column).is_null())
            continue
        start, end = month_bounds(month)
        inside = pl.col(column) >= pl.lit(_as(start, dtype), dtype=dtype)
        terms.append(inside if end is None else inside & (pl.col(column) < pl.lit(_as(end, dtype), dtype=dtype)))
    return pl.any_horizontal(terms) if terms else pl.lit(value=False)


def month_bounds(month: str) -> tuple[dt.datetime, dt.datetime | None]:
    """The month's first instant and the next month's first; there is no month after 9999-12."""
    index = _index(month)
    return _start(index), None if month == _LAST_MONTH else _start(index + 1)


def arrange(
    frame: pl.DataFrame, placement: Placement, *, exact: bool = False, level: str = FRESH, cells: int | None = None
) -> Iterator[Part]:
    """Sort rows by layout and split them into the parts that become files.

    Args:
        frame: the rows.
        placement: the table's placement.
        exact: never let a file span several months.
        level: `t0` for fresh tails, `b` for bodies.
        cells: how many months (or ranges of surrogates) the whole table has; those of the frame by default.
    """
    if frame.is_empty():
        return
    if placement.by_month:
        yield from _by_month(frame, placement, exact=exact, level=level, cells=cells)
        return
    ordered = _sorted(frame, placement)
    rows = body_rows(frame.height, cells or 1) if placement.laid_out and level == BODY else ROWS_PER_LOOSE_FILE
    months = _months_of(frame, placement)
    for piece in _slices(ordered, rows):
        yield Part(piece, level, "all", months)


def kept_part(path: str, frame: pl.DataFrame, placement: Placement) -> Part:
    """Some rows of a file as a file of its own: where they belong is in its name."""
    name = FileName.parse(path)
    if name is None or name.first == "all":
        return Part(frame, BODY if name is None else name.level, "all", _months_of(frame, placement))
    span = name.first if name.first == name.last else f"{name.first}_{name.last}"
    return Part(frame, name.level, span, tuple(months_between(name.first, name.last)))


def body_rows(rows: int, cells: int, *, most: int = MAX_FILES) -> int:
    """Rows per body file of one cell, so that a table of `cells` cells keeps within the most files it may have."""
    pieces = max(1, min(most, MAX_FILES // max(cells, 1), round(rows / ROWS_PER_FILE)))
    return -(-rows // pieces)


def _by_month(
    frame: pl.DataFrame, placement: Placement, *, exact: bool, level: str, cells: int | None
) -> Iterator[Part]:
    ordered = _sorted(frame, placement)
    runs = ordered.select(month_expression(placement.time_column or "").alias(_MONTH).rle().struct.unnest())
    spans: list[tuple[int | None, int]] = list(zip(runs["value"].to_list(), runs["len"].to_list(), strict=True))
    count = sum(month is not None for month, _ in spans)
    spanning = not exact and level != BODY and count > 1 and frame.height < count * ROWS_WORTH_A_FILE
    offset = 0
    loose: list[tuple[int, int]] = []
    for month, length in spans:
        if spanning and month is not None:
            loose.append((month, length))
        else:
            name = NO_MONTH if month is None else _month(month)
            rows = body_rows(length, cells or count, most=MAX_RANGES) if level == BODY else ROWS_PER_SPANNING_FILE
            for piece in _slices(ordered.slice(offset, length), rows):
                yield Part(piece, level, name, (name,))
        offset += length
    yield from _spanning(ordered, loose, level=level)


def _sorted(frame: pl.DataFrame, placement: Placement) -> pl.DataFrame:
    """Rows by month, then by the layout's column; rows that tie keep their order."""
    if not placement.laid_out:
        return frame
    (column,) = placement.order
    if column == placement.time_column:
        return frame.sort(column, maintain_order=True)
    month = month_expression(placement.time_column or "") if placement.by_month else pl.lit(0, dtype=pl.Int32)
    # One integer of month and the surrogate's first 44 bits sorts 17 times faster than month and text (0.08 s against
    # 1.39 s for 500 k rows). Surrogates are random, so longer prefixes decide nothing.
    prefix = pl.col(column).str.slice(0, _PREFIX).str.to_integer(base=16, strict=False)
    key = month.cast(pl.Int64).fill_null(-1) * 16**_PREFIX + prefix.fill_null(0)
    keys = frame.select(key.alias("key"), prefix.is_null().alias("odd"))
    if keys["odd"].sum() == frame[column].null_count():
        return frame[keys.select(pl.arg_sort_by("key", maintain_order=True)).to_series()]
    ordered = frame.with_columns(month.alias(_MONTH)).sort(_MONTH, column, maintain_order=True)
    return ordered.drop(_MONTH)


def _spanning(ordered: pl.DataFrame, loose: list[tuple[int, int]], *, level: str) -> Iterator[Part]:
    """Several small months in common files; `ordered` ends with their rows."""
    offset = ordered.height - sum(length for _, length in loose)
    group: list[tuple[int, int]] = []
    for index, run in enumerate(loose):
        group.append(run)
        rows = sum(length for _, length in group)
        more = index + 1 < len(loose) and loose[index + 1][0] - group[0][0] < MOST_MONTHS
        if rows < ROWS_PER_SPANNING_FILE and more:
            continue
        months = tuple(_month(value) for value, _ in group)
        span = months[0] if len(months) == 1 else f"{months[0]}_{months[-1]}"
        yield Part(ordered.slice(offset, rows), level, span, months)
        offset += rows
        group = []


def _slices(frame: pl.DataFrame, rows: int) -> Iterator[pl.DataFrame]:
    pieces = -(-frame.height // rows)
    size = -(-frame.height // pieces)
    for offset in range(0, frame.height, size):
        yield frame.slice(offset, size)


def _months_of(frame: pl.DataFrame, placement: Placement) -> tuple[str, ...] | None:
    if placement.time_column is None:
        return None
    found = frame.select(month_expression(placement.time_column).unique())[placement.time_column].to_list()
    return tuple(sorted(NO_MONTH if value is None else _month(value) for value in found))


def _index(month: str) -> int:
    if not re.fullmatch(r"(?!0000)\d{4}-(0[1-9]|1[0-2])", month):
        raise StorageError(f"`{month}` is not a month", hint="write it as `2011-03`")
    return int(month[:4]) * 12 + int(month[5:]) - 1


def _month(index: int) -> str:
    return f"{index // 12:04d}-{index % 12 + 1:02d}"


def _start(index: int) -> dt.datetime:
    return dt.datetime(index // 12, index % 12 + 1, 1, tzinfo=dt.UTC)


def _as(edge: dt.datetime, dtype: pl.DataType) -> dt.date | dt.datetime:
    return edge.date() if dtype == pl.Date else edge
