"""Which months of a table are stale: the months of its inputs that changed since it was last built.

Months are calendar months (`2011-03`) of event time. Storage knows an input's months by UTC instants; a day by a shop's
clock may lie in the neighbour month, so months are widened by the input's time zone before they are used.
"""
# pyarrow has no types: a schema is unknown to the checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from lakehouse import storage
from lakehouse.contract.arrow import schema
from lakehouse.contract.model import Logical

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from lakehouse.contract.model import Project, Table
    from lakehouse.model import TableId
    from lakehouse.storage import Lake

#: Stand among the inputs of a commit: the fingerprint of the code, and the instants (microseconds) of a look at the past
#: and of a look from the present.
CODE, KNOWN_AT, SEEN_AT = "code", "known_at", "seen_at"

_DAY = dt.timedelta(days=1)


@dataclass(frozen=True)
class Span:
    """Adjacent months as days, and as instants a day wider at both ends (UTC)."""

    first_day: dt.date
    next_day: dt.date

    @property
    def first_instant(self) -> str:
        """The earliest instant that may fall into the span in any time zone."""
        return f"{self.first_day - _DAY} 00:00:00 UTC"

    @property
    def next_instant(self) -> str:
        """The instant from which none falls into the span in any time zone."""
        return f"{self.next_day + _DAY} 00:00:00 UTC"


def stale_months(
    lake: Lake, project: Project, table: Table, *, inputs: Iterable[TableId], code: int | None = None
) -> tuple[str, ...] | None:
    """The months to rebuild, in order; empty when nothing changed; None when everything must be rebuilt.

    Everything is rebuilt when the table refreshes in full, was never built, has another schema than its contract, an
    input cannot tell its months, `code` (a fingerprint) is another than the one that the commit noted, or the table
    shows what was known at an earlier time.
    """
    if table.refresh.mode != "by_month" or not storage.exists(lake, table.id):
        return None
    if storage.snapshot(lake, table.id).schema != schema(table, table.id.tier) or storage.needs_refresh(lake, table):
        return None
    built_from = storage.inputs_of(lake, table.id)
    if KNOWN_AT in built_from or (code is not None and built_from.get(CODE) != code):
        return None
    months: set[str] = set()
    for name in inputs:
        since = built_from.get(str(name))
        changed = storage.changed_months(lake, name, since) if since is not None else None
        if changed is None:
            return None
        months.update(local_months(changed, zone=_zone(project.table(name))))
    return tuple(sorted(months))


def local_months(months: Iterable[str], *, zone: str) -> list[str]:
    """The months of `zone`'s clock that instants of these UTC months can fall into."""
    clock = ZoneInfo(zone)
    found: set[str] = set()
    for month in months:
        first = _first_day(month)
        start = dt.datetime(first.year, first.month, 1, tzinfo=dt.UTC)
        after = _next_month(first)
        end = dt.datetime(after.year, after.month, 1, tzinfo=dt.UTC) - dt.timedelta(microseconds=1)
        found.update(instant.astimezone(clock).strftime("%Y-%m") for instant in (start, end))
    return sorted(found)


def onwards(months: Sequence[str], *, until: dt.date) -> list[str]:
    """Every month from the earliest of `months` to the month of `until`: what rows that look back can reach."""
    if not months:
        return []
    first, found = _first_day(min(months)), list[str]()
    last = max(until, _first_day(max(months)))
    while first <= last:
        found.append(first.strftime("%Y-%m"))
        first = _next_month(first)
    return found


def spans(months: Iterable[str]) -> list[Span]:
    """Months joined to as few spans as possible."""
    joined: list[Span] = []
    for first in sorted(_first_day(month) for month in set(months)):
        if joined and joined[-1].next_day == first:
            joined[-1] = Span(joined[-1].first_day, _next_month(first))
        else:
            joined.append(Span(first, _next_month(first)))
    return joined


def pinned(lake: Lake, inputs: Iterable[TableId]) -> Mapping[TableId, int]:
    """The inputs' current versions, each of which passed its blocking checks.

    Raises:
        RefusedError: the current version of an input failed a blocking check or was not judged yet.
    """
    return {name: storage.require_passed(lake, name) for name in inputs}


def _zone(table: Table) -> str:
    if table.event_time is None:
        return "UTC"
    column_type = table.column(table.event_time).type
    return column_type.time_zone if column_type.logical is Logical.TIMESTAMP else "UTC"


def _first_day(month: str) -> dt.date:
    return dt.date.fromisoformat(f"{month}-01")


def _next_month(day: dt.date) -> dt.date:
    return (day.replace(day=28) + dt.timedelta(days=4)).replace(day=1)
