"""The reference interpreter: what the language's page says, as plain code, slow on purpose.

`shown` answers for one row of one table which treatment each column has, `answer` applies it to the values of many rows.
Everything else that decides (the compiler, the prover, Trino's rules, explanations) is tested against this module, so it
shares nothing with `reach` and `compile` but the words themselves: treatments, predicates and classes. It takes a policy
that passed the static checks; of one that did not it may refuse, or show less.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from lakehouse.contract.model import Logical
from lakehouse.model import ENTITY, RESTRICTED_UNTIL, VALID_TO, token_of
from lakehouse.policy import predicates, treatments
from lakehouse.policy.classes import class_of, class_prefix, covers, raised
from lakehouse.policy.treatments import CLEAR, REDACT, TOKEN, Treatment

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from lakehouse.contract.model import Column, Table
    from lakehouse.policy.model import Ceiling, Entry, Grant, Policy, Purpose, RowCeiling, Unless

Refusal = Literal["denied", "invisible"]


@dataclass(frozen=True)
class Consent:
    """A row of `consent_current`: what an entity said last of a purpose; `expires_on` is inclusive."""

    entity: str
    purpose: str
    given: bool
    expires_on: dt.date | None = None

    def in_force(self, purpose: str, day: dt.date) -> bool:
        """Whether it lets the purpose see the entity's rows on the day."""
        return self.given and self.purpose == purpose and (self.expires_on is None or day <= self.expires_on)


def shown(
    policy: Policy,
    table: Table,
    groups: Collection[str],
    purpose: str,
    *,
    day: dt.date,
    row: Mapping[str, object] | None = None,
    consented: bool = True,
) -> Mapping[str, Treatment] | Refusal:
    """Which treatment each column of a row has for people of these groups, reading for the purpose on the day (UTC).

    `row` has Python values by column, the platform's columns among them; a missing one is NULL. Without `row` predicates
    are true and everything is young. `consented`: what `consent_current` says of the row.
    """
    who = {group for group in groups if group in policy.groups}
    granted = _granted(policy, table, who, purpose, day)
    if not granted:
        return "denied"
    why = policy.purposes[purpose]
    if row is not None:
        granted = [grant for grant in granted if _holds(grant.rows, row, table, day)]
        if not _row_passes(policy, table, who, why, day=day, row=row):
            return "invisible"
    if not granted or (why.consent is not None and _personal(table) and not consented):
        return "invisible"
    return {column.name: _column(policy, table, column, granted, who) for column in table.columns}


def answer(
    policy: Policy,
    table: Table,
    rows: Iterable[Mapping[str, object]],
    groups: Collection[str],
    purpose: str,
    *,
    day: dt.date,
    consents: Collection[Consent] = (),
) -> list[tuple[object, ...]] | Literal["denied"]:
    """What people of these groups see of the rows: a tuple of values in the contract's order for each visible one."""
    seen: list[tuple[object, ...]] = []
    if shown(policy, table, groups, purpose, day=day) == "denied":
        return "denied"
    for row in rows:
        if table.versioned and row.get(VALID_TO) is not None:
            continue  # a version that has ended: views show what is true now
        consented = any(said.entity == row.get(ENTITY) and said.in_force(purpose, day) for said in consents)
        decided = shown(policy, table, groups, purpose, day=day, row=row, consented=consented)
        if not isinstance(decided, str):
            seen.append(tuple(_value(decided[column.name], column, table, row) for column in table.columns))
    return seen


def _granted(policy: Policy, table: Table, who: set[str], purpose: str, day: dt.date) -> list[Grant]:
    """G of the page: the purpose's grants that match the table, name one of the groups and have not ended."""
    why = policy.purposes.get(purpose)
    if why is None or not who.intersection(why.groups):
        return []
    return [
        grant
        for grant in policy.grants
        if grant.purpose == purpose
        and any(pattern.matches(table.id) for pattern in grant.tables)
        and who.intersection(why.groups).intersection(grant.groups)
        and (grant.until is None or day <= grant.until)
    ]


def _holds(predicate: predicates.Predicate | None, row: Mapping[str, object], table: Table, day: dt.date) -> bool:
    """Whether the predicate is TRUE on the row; NULL is not."""
    if predicate is None:
        return True
    types = {column.name: column.type for column in table.columns}
    return predicates.holds(predicate, row, types, day=day) is True


def _row_passes(
    policy: Policy, table: Table, who: set[str], why: Purpose, *, day: dt.date, row: Mapping[str, object]
) -> bool:
    """Row ceilings, age and restriction; consent is known to the caller."""
    for ceiling in policy.row_ceilings:
        applies = _covers_rows(ceiling, table) and not _escapes(ceiling.unless, who, why.name)
        if applies and not _holds(ceiling.only_rows, row, table, day):
            return False
    if why.max_age is not None and _personal(table):
        happened = row.get(table.event_time) if table.event_time else None
        if happened is None or _utc_day(happened) < why.max_age.before(day):
            return False
    return why.legal or row.get(RESTRICTED_UNTIL) is None


def _utc_day(happened: object) -> dt.date:
    if isinstance(happened, dt.datetime):
        return happened.astimezone(dt.UTC).date()
    if isinstance(happened, dt.date):
        return happened
    raise TypeError("an event time is a date or an instant")


def _personal(table: Table) -> bool:
    return any(column.personal for column in table.columns)


def _escapes(unless: Unless | None, who: set[str], purpose: str) -> bool:
    """Any-of within groups and within purposes, both where both are given."""
    if unless is None or not (unless.groups or unless.purposes):
        return False
    by_group = not unless.groups or bool(who.intersection(unless.groups))
    by_purpose = not unless.purposes or purpose in unless.purposes
    return by_group and by_purpose


def _covers_rows(ceiling: RowCeiling, table: Table) -> bool:
    names = {column.name for column in table.columns}
    return any(pattern.matches(table.id) for pattern in ceiling.tables) and names.issuperset(ceiling.having)


def _covers_column(ceiling: Ceiling, table: Table, column: Column) -> bool:
    by_category = not ceiling.categories or any(covers(prefix, column.category) for prefix in ceiling.categories)
    by_table = not ceiling.tables or any(pattern.matches(table.id) for pattern in ceiling.tables)
    return by_category and by_table


def _column(policy: Policy, table: Table, column: Column, granted: Sequence[Grant], who: set[str]) -> Treatment:
    """The maximum of what the grants show, under every ceiling that is not escaped."""
    purpose = granted[0].purpose
    most = _granted_treatment(policy, granted[0], table, column)
    for grant in granted[1:]:
        greater = treatments.join(most, _granted_treatment(policy, grant, table, column))
        if greater is None:
            raise ValueError(f"grants of purpose `{purpose}` show `{table.id}.{column.name}` in two incomparable ways")
        most = greater
    for ceiling in policy.ceilings:
        if _covers_column(ceiling, table, column) and not _escapes(ceiling.unless, who, purpose):
            at_most = _ceiling_treatment(policy, ceiling, purpose, table, column)
            most = treatments.typed(treatments.meet(most, at_most), column.type.logical)
    return most


def _granted_treatment(policy: Policy, grant: Grant, table: Table, column: Column) -> Treatment:
    """What one grant shows of the column before any ceiling: its most specific entry, else the class default.

    A category entry that does not reach the column is no permission; it can only lower the default.
    """
    default = _counts_as(policy.defaults[class_of(policy, column)], table, column)
    entries = [entry for entry in grant.columns if _is_for(entry, table, column)]
    if not entries:
        return default
    entry = max(entries, key=_specificity)
    said = _counts_as(entry.treatment, table, column)
    if _reaches(policy, entry, column):
        return said
    return treatments.typed(treatments.meet(default, said), column.type.logical)


def _is_for(entry: Entry, table: Table, column: Column) -> bool:
    if entry.category is not None:
        return covers(entry.category, column.category)
    return (entry.table, entry.column) == (table.id.table, column.name)


def _specificity(entry: Entry) -> tuple[bool, int]:
    """A column before every category, a longer category before a shorter one."""
    return (entry.category is None, len(entry.category or ""))


def _reaches(policy: Policy, entry: Entry, column: Column) -> bool:
    if entry.category is None:
        return True
    deciding = class_prefix(policy.classes, column.category) or ""
    return not raised(policy, column) and len(entry.category) >= len(deciding)


def _counts_as(treatment: Treatment, table: Table, column: Column) -> Treatment:
    """What a treatment is for the column: its type may lack it, and surrogates and tokens are tokens already."""
    if treatment == TOKEN and _is_token(table, column):
        return CLEAR
    return treatments.typed(treatment, column.type.logical)


def _ceiling_treatment(policy: Policy, ceiling: Ceiling, purpose: str, table: Table, column: Column) -> Treatment:
    """What a ceiling lets through; `token` only where there is one that a grant of the purpose shows."""
    said = ceiling.at_most
    if said == TOKEN and not _is_token(table, column) and not _has_token(policy, purpose, table, column):
        said = REDACT
    return _counts_as(said, table, column)


def _has_token(policy: Policy, purpose: str, table: Table, column: Column) -> bool:
    if column.pseudonym_domain is None and not _is_key(table, column):
        return False
    if column.type.logical is Logical.STRING:
        return True
    return any(
        _granted_treatment(policy, grant, table, column) == TOKEN
        for grant in policy.grants
        if grant.purpose == purpose and any(pattern.matches(table.id) for pattern in grant.tables)
    )


def _is_key(table: Table, column: Column) -> bool:
    return table.entity is not None and table.entity.key == column.name


def _is_token(table: Table, column: Column) -> bool:
    """Whether the column holds surrogates or tokens and nothing else."""
    surrogate = table.entity is not None and table.entity.surrogate == column.name
    return surrogate or column.token_of is not None


def _value(treatment: Treatment, column: Column, table: Table, row: Mapping[str, object]) -> object:
    token = row.get(ENTITY if _is_key(table, column) else token_of(column.name))
    text = token if isinstance(token, str) else None
    return treatments.apply(treatment, row.get(column.name), column.type, token=text)
