"""What of a policy reaches a table: its grants by purpose, what they show of each column, and the ceilings above.

Built for projects of a thousand tables: patterns stand in an index, so that a table looks its eight possible patterns up
instead of trying every grant, and what was found for a table is kept as long as the policy lives. Nothing here asks for
groups, rows or days: that is `compile`'s and `explain`'s part. `decide` has the same meaning written plainly and apart;
tests hold the two together.
"""

from __future__ import annotations

import itertools
import weakref
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from lakehouse.contract.model import Logical
from lakehouse.model import Tier
from lakehouse.policy import classes, treatments
from lakehouse.policy.treatments import CLEAR, REDACT, TOKEN, Treatment

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from lakehouse.contract.model import Column, Project, Table
    from lakehouse.model import TableId
    from lakehouse.policy.model import Ceiling, Entry, Grant, Policy, RowCeiling, TablePattern, Unless

_Rule = TypeVar("_Rule")
_Parts = tuple[Tier | None, str | None, str | None]


def grants(policy: Policy, purpose: str, table: Table) -> tuple[Grant, ...]:
    """The purpose's grants that match the table, whatever their groups, rows and days, in the policy's order."""
    return _reached(policy, table).grants.get(purpose, ())


def purposes(policy: Policy, table: Table) -> tuple[str, ...]:
    """The purposes with a grant that matches the table, sorted."""
    return tuple(sorted(purpose for purpose in _reached(policy, table).grants if purpose in policy.purposes))


def pairs(policy: Policy, project: Project) -> tuple[tuple[str, Table], ...]:
    """Every purpose and table with a grant between them, sorted: the views that must exist."""
    found = [(purpose, table) for table in project.tables for purpose in purposes(policy, table)]
    return tuple(sorted(found, key=lambda pair: (pair[0], pair[1].id)))


def row_ceilings(policy: Policy, table: Table) -> tuple[RowCeiling, ...]:
    """The row ceilings that cover the table, whoever escapes them."""
    return _reached(policy, table).row_ceilings


def ceilings(policy: Policy, table: Table, column: Column) -> tuple[Ceiling, ...]:
    """The ceilings that cover the column, whoever escapes them."""
    reached = _reached(policy, table)
    found = reached.ceilings.get(column.name)
    if found is None:
        rules = reached.open_ceilings
        found = tuple(rule for rule in rules if not rule.categories or _above(rule.categories, column.category))
        reached.ceilings[column.name] = found
    return found


def escaping(policy: Policy, unless: Unless | None, purpose: str) -> frozenset[str] | None:
    """The groups that a ceiling lets pass under the purpose; None: it lets everybody pass."""
    if unless is None or (unless.purposes and purpose not in unless.purposes):
        return frozenset()
    if unless.groups or not unless.purposes:
        return frozenset(unless.groups).intersection(policy.groups)
    return None


def treatment(policy: Policy, grant: Grant, table: Table, column: Column) -> Treatment:
    """What the grant shows of the column before any ceiling, typed: its most specific entry, else the class default.

    A category entry does not reach a column whose class comes from a longer prefix or was raised by its contract; such an
    entry can only lower the default.
    """
    reached = _reached(policy, table)
    kept = reached.treatments.get(id(grant))
    if kept is None or kept[0] is not grant:
        kept = reached.treatments[id(grant)] = (grant, {})
    shown = kept[1].get(column.name)
    if shown is None:
        shown = kept[1][column.name] = _resolve(policy, grant, table, column)
    return shown


def entry_for(grant: Grant, table: Table, column: Column) -> Entry | None:
    """The grant's most specific entry for the column, whether it reaches it or not."""
    best: Entry | None = None
    for entry in grant.columns:
        if entry.category is None:
            if entry.column == column.name and entry.table == table.id.table:
                return entry
        elif classes.covers(entry.category, column.category) and (
            best is None or len(entry.category) > len(best.category or "")
        ):
            best = entry
    return best


def reaches(policy: Policy, entry: Entry, column: Column) -> bool:
    """Whether an entry for the column may show more of it than the class does: no category opens what is classed below it."""
    if entry.category is None:
        return True
    deciding = classes.class_prefix(policy.classes, column.category) or ""
    return len(entry.category) >= len(deciding) and not classes.raised(policy, column)


def at_most(policy: Policy, ceiling: Ceiling, purpose: str, table: Table, column: Column) -> Treatment:
    """What the ceiling lets the purpose show of the column at most, typed.

    `token` counts as `redact` where there is none: without a pseudonym domain, or on what is no text and no grant shows
    as a token, so that the column would change its type.
    """
    said = ceiling.at_most
    if said == TOKEN and not is_token(table, column):
        text = column.type.logical is Logical.STRING
        if not has_token(table, column) or not (text or shows_token(policy, purpose, table, column)):
            said = REDACT
    return counts_as(said, table, column)


def shows_token(policy: Policy, purpose: str, table: Table, column: Column) -> bool:
    """Whether some grant of the purpose shows the column as `token`; the column is then text in the purpose's view."""
    return any(treatment(policy, grant, table, column) == TOKEN for grant in grants(policy, purpose, table))


def counts_as(written: Treatment, table: Table, column: Column) -> Treatment:
    """What a treatment is for the column: its type may lack it, and surrogates and tokens are tokens already."""
    if written == TOKEN and is_token(table, column):
        return CLEAR
    return treatments.typed(written, column.type.logical)


def is_key(table: Table, column: Column) -> bool:
    """Whether the column names the row's entity: its token is the surrogate."""
    return table.entity is not None and table.entity.key == column.name


def is_token(table: Table, column: Column) -> bool:
    """Whether the column holds surrogates or tokens and nothing else."""
    return column.token_of is not None or (table.entity is not None and table.entity.surrogate == column.name)


def has_token(table: Table, column: Column) -> bool:
    """Whether there is a token to show instead of the column's value."""
    return column.pseudonym_domain is not None or is_key(table, column)


@dataclass
class _Reached:
    """What was found for one table."""

    table: Table
    grants: Mapping[str, tuple[Grant, ...]]
    row_ceilings: tuple[RowCeiling, ...]
    open_ceilings: tuple[Ceiling, ...]  # those whose tables match, before categories
    ceilings: dict[str, tuple[Ceiling, ...]] = field(default_factory=dict[str, "tuple[Ceiling, ...]"])
    treatments: dict[int, tuple[Grant, dict[str, Treatment]]] = field(
        default_factory=dict[int, "tuple[Grant, dict[str, Treatment]]"]
    )


class _Patterns:
    """Rules by the parts of their table patterns."""

    def __init__(self, rules: Iterable[tuple[int, Sequence[TablePattern]]]) -> None:
        self._by_parts: dict[_Parts, list[int]] = {}
        for position, patterns in rules:
            for pattern in patterns:
                self._by_parts.setdefault((pattern.tier, pattern.domain, pattern.table), []).append(position)

    def matching(self, table: TableId) -> list[int]:
        """The places of the rules that match, in order."""
        if table.tier is Tier.RAW:
            return []
        ways = itertools.product((table.tier, None), (table.domain, None), (table.table, None))
        return sorted({position for parts in ways for position in self._by_parts.get(parts, ())})


class _Index:
    """One policy's patterns, and what was found for its tables. Holds no policy: it ends with it."""

    def __init__(self, policy: Policy) -> None:
        self._grants, self._ceilings, self._row_ceilings = policy.grants, policy.ceilings, policy.row_ceilings
        self._by_grant = _Patterns((place, grant.tables) for place, grant in enumerate(self._grants))
        self._by_ceiling = _Patterns((place, rule.tables) for place, rule in enumerate(self._ceilings))
        self._by_row_ceiling = _Patterns((place, rule.tables) for place, rule in enumerate(self._row_ceilings))
        self._everywhere = {place for place, rule in enumerate(self._ceilings) if not rule.tables}
        self._found: dict[TableId, _Reached] = {}

    def of(self, table: Table) -> _Reached:
        found = self._found.get(table.id)
        if found is None or found.table is not table:  # another version of the contract is another table
            found = self._found[table.id] = self._search(table)
        return found

    def _search(self, table: Table) -> _Reached:
        by_purpose: dict[str, list[Grant]] = {}
        for grant in _at(self._grants, self._by_grant.matching(table.id)):
            by_purpose.setdefault(grant.purpose, []).append(grant)
        names = {column.name for column in table.columns}
        rows = _at(self._row_ceilings, self._by_row_ceiling.matching(table.id))
        covering = sorted({*self._everywhere, *self._by_ceiling.matching(table.id)})
        return _Reached(
            table=table,
            grants={purpose: tuple(found) for purpose, found in by_purpose.items()},
            row_ceilings=tuple(rule for rule in rows if names.issuperset(rule.having)),
            open_ceilings=tuple(_at(self._ceilings, covering)),
        )


#: By the policy's identity: a policy holds mappings and has no hash. An entry leaves with its policy.
_INDEXES: dict[int, _Index] = {}


def _reached(policy: Policy, table: Table) -> _Reached:
    index = _INDEXES.get(id(policy))
    if index is None:
        index = _INDEXES[id(policy)] = _Index(policy)
        weakref.finalize(policy, _INDEXES.pop, id(policy), None)
    return index.of(table)


def _at(rules: Sequence[_Rule], places: Iterable[int]) -> list[_Rule]:
    return [rules[place] for place in places]


def _above(prefixes: Iterable[str], category: str) -> bool:
    return any(classes.covers(prefix, category) for prefix in prefixes)


def _resolve(policy: Policy, grant: Grant, table: Table, column: Column) -> Treatment:
    entry = entry_for(grant, table, column)
    if entry is not None and entry.category is None:
        return counts_as(entry.treatment, table, column)
    default = counts_as(policy.defaults[classes.class_of(policy, column)], table, column)
    if entry is None or entry.category is None:
        return default
    said = counts_as(entry.treatment, table, column)
    if reaches(policy, entry, column):
        return said
    return treatments.typed(treatments.meet(default, said), column.type.logical)
