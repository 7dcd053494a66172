"""The contracts as the static checks look at them: which tables a pattern matches, which columns are alike.

A thousand tables and four hundred grants are checked in seconds because tables stand in an index by the parts of their
names, and columns that no rule can tell apart are looked at once.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from lakehouse.policy import reach

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from lakehouse.contract.findings import Findings
    from lakehouse.contract.model import Column, ColumnType, Project, Table
    from lakehouse.model import TableId
    from lakehouse.policy.documents import Draft
    from lakehouse.policy.model import Grant, Policy, TablePattern, Unless
    from lakehouse.policy.rules import Said
    from lakehouse.policy.treatments import Treatment

_Parts = tuple[str | None, str | None, str | None]
#: How many names a finding spells out.
MOST_NAMES = 3


@dataclass(frozen=True)
class Likes:
    """Columns of one table that a grant without an entry of their own shows alike.

    `signature` stands for what they are, in every table; None: a grant has an entry for the one column.
    """

    first: Column
    names: tuple[str, ...]
    signature: int | None
    has_token: bool


@dataclass
class Ground:
    """What every static check stands on."""

    draft: Draft
    policy: Policy
    project: Project
    findings: Findings
    _by_parts: dict[_Parts, list[Table]] = field(default_factory=dict[_Parts, "list[Table]"])
    _likes: dict[TableId, tuple[Likes, ...]] = field(default_factory=dict["TableId", "tuple[Likes, ...]"])
    _types: dict[TableId, dict[str, ColumnType]] = field(default_factory=dict["TableId", "dict[str, ColumnType]"])
    _signatures: dict[tuple[object, ...], int] = field(default_factory=dict[tuple[object, ...], int])
    _shown: dict[tuple[int, int], Treatment] = field(default_factory=dict[tuple[int, int], "Treatment"])
    _named: dict[int, frozenset[str | None]] = field(default_factory=dict[int, "frozenset[str | None]"])

    def __post_init__(self) -> None:
        for table in self.project.tables:
            name = table.id
            for parts in itertools.product((name.tier, None), (name.domain, None), (name.table, None)):
                self._by_parts.setdefault(parts, []).append(table)

    @cached_property
    def entries(self) -> Mapping[str, Said[Grant]]:
        """The grants as they were written, by id."""
        return {said.value.id: said for said in self.draft.grants}

    def matched(self, pattern: TablePattern) -> Sequence[Table]:
        """The tables a pattern matches."""
        return self._by_parts.get((pattern.tier, pattern.domain, pattern.table), ())

    def tables(self, patterns: Iterable[TablePattern]) -> list[Table]:
        """The tables that some of the patterns match, each once, in the project's order."""
        found = {table.id: table for pattern in patterns for table in self.matched(pattern)}
        return list(found.values())

    def types(self, table: Table) -> Mapping[str, ColumnType]:
        """The types of a table's columns by name."""
        found = self._types.get(table.id)
        if found is None:
            found = self._types[table.id] = {column.name: column.type for column in table.columns}
        return found

    def likes(self, table: Table) -> tuple[Likes, ...]:
        """The table's columns, those together that only their names tell apart."""
        found = self._likes.get(table.id)
        if found is None:
            together: dict[tuple[object, ...], list[Column]] = {}
            for column in table.columns:
                together.setdefault(_signature(table, column), []).append(column)
            found = tuple(self._alike(table, signature, columns) for signature, columns in together.items())
            self._likes[table.id] = found
        return found

    def _alike(self, table: Table, signature: tuple[object, ...] | None, columns: Sequence[Column]) -> Likes:
        first = columns[0]
        number = None if signature is None else self._signatures.setdefault(signature, len(self._signatures))
        made = reach.has_token(table, first) or reach.is_token(table, first)
        return Likes(first, tuple(column.name for column in columns), number, made)

    def alike(self, table: Table, grants: Sequence[Grant]) -> Iterator[Likes]:
        """The table's columns in groups that each of these grants shows alike."""
        if not any(table.id.table in self.names(grant) for grant in grants):
            yield from self.likes(table)
            return
        named = {entry.column for grant in grants for entry in grant.columns if entry.table == table.id.table}
        for likes in self.likes(table):
            columns = [table.column(name) for name in likes.names]
            together = [column for column in columns if column.name not in named]
            if together:
                yield replace(likes, first=together[0], names=tuple(column.name for column in together))
            for column in columns:
                if column.name in named:
                    yield self._alike(table, None, [column])

    def names(self, grant: Grant) -> frozenset[str | None]:
        """The tables that the grant has an entry for by name."""
        found = self._named.get(id(grant))
        if found is None:
            found = self._named[id(grant)] = frozenset(entry.table for entry in grant.columns if entry.table)
        return found

    def shown(self, grant: Grant, table: Table, likes: Likes) -> Treatment:
        """What the grant shows of the columns, typed; kept by what they are, not by where they stand."""
        if likes.signature is None:
            return reach.treatment(self.policy, grant, table, likes.first)
        key = (id(grant), likes.signature)
        found = self._shown.get(key)
        if found is None:
            found = self._shown[key] = reach.treatment(self.policy, grant, table, likes.first)
        return found


def _signature(table: Table, column: Column) -> tuple[object, ...]:
    return (
        column.category,
        column.classification,
        column.type.logical,
        reach.is_token(table, column),
        reach.has_token(table, column),
    )


def is_personal(table: Table) -> bool:
    """Whether the table has a personal column: consent and age are for such tables alone."""
    return any(column.personal for column in table.columns)


def escapes_always(unless: Unless | None, groups: Iterable[str], purpose: str) -> bool:
    """Whether whoever is in just one of the groups passes the ceiling under the purpose."""
    if unless is None or (unless.purposes and purpose not in unless.purposes):
        return False
    return not unless.groups or set(groups) <= set(unless.groups)


def listed(names: Iterable[object]) -> str:
    """The first few names, in backticks, and how many more there are."""
    found = [f"`{name}`" for name in names]
    more = len(found) - MOST_NAMES
    return ", ".join(found[:MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
