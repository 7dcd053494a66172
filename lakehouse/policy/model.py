"""Typed policies: what the loader makes of the documents under `policies/`. Frozen values; what they mean is in `decide`.

Names are as written (lower case, case-sensitive). `where` is `file:line` of the entry. Everything is sorted by the loader
so that two orders of the same documents are one Policy, apart from `where`.
"""

from __future__ import annotations

import calendar
import datetime as dt
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Literal

from lakehouse.model import Tier

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lakehouse.model import TableId
    from lakehouse.policy.predicates import Predicate
    from lakehouse.policy.treatments import Treatment


class Sensitivity(IntEnum):
    """The class of a column, in order; from the longest matching category prefix, raised by its contract at most."""

    PUBLIC = 0
    INTERNAL = 1
    CONFIDENTIAL = 2
    RESTRICTED = 3


@dataclass(frozen=True)
class TablePattern:
    """`tier.domain.table`, each part a whole name or None for `*`; tier `*` is staged, curated and features."""

    tier: Tier | None
    domain: str | None
    table: str | None
    where: str = field(default="", compare=False)

    def matches(self, table: TableId) -> bool:
        """Whether the pattern covers the table; raw is never covered."""
        if table.tier is Tier.RAW:
            return False
        pairs = ((self.tier, table.tier), (self.domain, table.domain), (self.table, table.table))
        return all(wanted is None or wanted == part for wanted, part in pairs)

    def __str__(self) -> str:
        return ".".join(part or "*" for part in (self.tier, self.domain, self.table))


@dataclass(frozen=True)
class Entry:
    """One line of a grant's `columns`: a category prefix, or a column of a table by its bare name, and what it shows."""

    treatment: Treatment
    category: str | None = None
    table: str | None = None  # bare table name: every matched table of that name
    column: str | None = None
    where: str = field(default="", compare=False)


@dataclass(frozen=True)
class Unless:
    """Whom a ceiling lets pass: any-of within groups and within purposes, both where both are given."""

    groups: tuple[str, ...] = ()
    purposes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Approval:
    """What makes a grant an exception."""

    approved_by: str
    approved_on: dt.date
    ticket: str


@dataclass(frozen=True)
class Grant:
    """Groups may read tables for a purpose. `until` is inclusive; `domain` is None for exceptions."""

    id: str
    groups: tuple[str, ...]
    purpose: str
    tables: tuple[TablePattern, ...]
    columns: tuple[Entry, ...] = ()
    rows: Predicate | None = None
    until: dt.date | None = None
    view: str | None = None  # `as`
    why: str = ""
    domain: str | None = None
    approval: Approval | None = None
    where: str = field(default="", compare=False)


@dataclass(frozen=True)
class Ceiling:
    """Nobody outside `unless` sees more than `at_most`. `domain` is None for the platform's."""

    id: str
    at_most: Treatment
    categories: tuple[str, ...] = ()
    tables: tuple[TablePattern, ...] = ()
    unless: Unless | None = None
    why: str = ""
    domain: str | None = None
    where: str = field(default="", compare=False)


@dataclass(frozen=True)
class RowCeiling:
    """Nobody outside `unless` sees other rows than these. `having` () means: a missing column is an error."""

    id: str
    tables: tuple[TablePattern, ...]
    only_rows: Predicate
    having: tuple[str, ...] = ()
    unless: Unless | None = None
    why: str = ""
    domain: str | None = None
    where: str = field(default="", compare=False)


@dataclass(frozen=True)
class Age:
    """One ISO 8601 number of years, months or days (`P3Y`, `P18M`, `P90D`)."""

    count: int
    unit: Literal["Y", "M", "D"]

    def before(self, day: dt.date) -> dt.date:
        """The day so long before `day`; where a month is too short its last day, before year 1 the first of all days."""
        if self.unit == "D":
            return dt.date.fromordinal(max(1, day.toordinal() - self.count))
        months = day.year * 12 + day.month - 1 - self.count * (12 if self.unit == "Y" else 1)
        year, month = divmod(months, 12)
        if year < 1:
            return dt.date.min
        return dt.date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))


@dataclass(frozen=True)
class Purpose:
    """Why someone reads. `consent` is the entity type that must have consented, None when it is not required."""

    name: str
    description: str
    groups: tuple[str, ...]
    legal_basis: str
    consent: str | None = None
    max_age: Age | None = None
    isolation: Literal["view", "copy"] = "view"
    data_use: str | None = None
    dpv: str | None = None
    legal: bool = False
    stewardship: bool = False
    where: str = field(default="", compare=False)


Outcome = Literal["denied", "invisible"]
#: What a test's row may hold.
Cell = str | int | float | bool | None


@dataclass(frozen=True)
class PolicyTest:
    """What a domain expects of its policy. `expect` is a treatment per column, or an outcome for the whole table.

    `row` None: row predicates are true, everybody consented, everything is young. With `row`, missing columns are NULL.
    """

    groups: tuple[str, ...]
    purpose: str
    table: TableId
    expect: tuple[tuple[str, Treatment], ...] | Outcome
    day: dt.date | None = None
    consent: bool = True
    row: tuple[tuple[str, Cell], ...] | None = None
    domain: str = ""
    where: str = field(default="", compare=False)


@dataclass(frozen=True)
class Policy:
    """All documents of `policies/` that speak of access.

    Attributes:
        classes: category prefix -> class.
        defaults: class -> what a grant shows without an entry.
        identifying: category prefixes of direct identifiers.
        forbidden: tier -> category prefixes that no contract there may have; `identifying` is a word of its own.
        groups: group -> its members, sorted.
        places: where classes and defaults are written, `classes.<prefix>` and `defaults.<class>` -> `file:line`.
    """

    classes: Mapping[str, Sensitivity]
    defaults: Mapping[Sensitivity, Treatment]
    identifying: tuple[str, ...] = ()
    forbidden: Mapping[Tier, tuple[str, ...]] = field(default_factory=dict[Tier, tuple[str, ...]])
    ceilings: tuple[Ceiling, ...] = ()
    row_ceilings: tuple[RowCeiling, ...] = ()
    purposes: Mapping[str, Purpose] = field(default_factory=dict[str, Purpose])
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    grants: tuple[Grant, ...] = ()
    tests: tuple[PolicyTest, ...] = ()
    retention: str = "P7Y"
    quarantine_days: int = 30
    places: Mapping[str, str] = field(default_factory=dict[str, str], compare=False)

    def groups_of(self, user: str) -> frozenset[str]:
        """The groups a person is in; none for somebody unknown."""
        return frozenset(group for group, members in self.groups.items() if user in members)
