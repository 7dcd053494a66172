"""Why people see what they see: each column's treatment, the rows, and every rule that had a say in them.

An explanation is of one table, one purpose and one set of groups that somebody is in, without a row: it says what is shown
at most, and under which conditions. It is built on `reach` and held against `decide` by tests; what it says in words is in
`explain_words`. People are counted here, never named.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from lakehouse.policy import reach, treatments
from lakehouse.policy.classes import class_of, class_prefix, raised

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Collection, Sequence

    from lakehouse.contract.model import Column, Table
    from lakehouse.policy.model import Ceiling, Entry, Grant, Policy, Purpose, RowCeiling, Sensitivity
    from lakehouse.policy.treatments import Treatment

#: Why a grant shows what it shows: an entry, the default of the class, or an entry that could only lower that default.
Basis = Literal["entry", "default", "lowered"]
_UNREACHED = "no grant of the purpose reaches the table"


@dataclass(frozen=True)
class Question:
    """For whom, for what and on which day. Without groups every group by itself, without a purpose every purpose.

    Several groups: somebody who is in all of them. Without a day all grants stand, whatever their end.
    """

    groups: tuple[str, ...] = ()
    purpose: str | None = None
    day: dt.date | None = None


@dataclass(frozen=True)
class Said:
    """What one grant says of a column.

    Attributes:
        grant: the grant.
        granted: what it shows of the column by itself.
        shown: what is left of that under the ceilings.
        basis: what made it so.
        entry: the grant's entry for the column, also one that changed nothing because it does not reach the column.
    """

    grant: Grant
    granted: Treatment
    shown: Treatment
    basis: Basis
    entry: Entry | None


@dataclass(frozen=True)
class Cut:
    """A ceiling that shows less than was granted, and the groups that it lets pass under this purpose."""

    ceiling: Ceiling
    at_most: Treatment
    lifted_for: tuple[str, ...]


@dataclass(frozen=True)
class Seen:
    """What is seen of one column: `shown` at most, on the rows of the first of `said`, which has the greatest first.

    `prefix` is the category that the class comes from; `raised`: by the contract, above that category's.
    """

    column: Column
    sensitivity: Sensitivity
    prefix: str
    raised: bool
    shown: Treatment
    said: tuple[Said, ...]
    cuts: tuple[Cut, ...]

    @property
    def heard(self) -> tuple[Said, ...]:
        """Those that have a say on some row: behind a grant of all rows, whoever shows less has none."""
        heard: list[Said] = []
        for each in self.said:
            if any(one.grant.rows is None and one.shown != each.shown for one in heard):
                break
            heard.append(each)
        return tuple(heard)

    @property
    def varies(self) -> bool:
        """Whether some rows show less of the column than others."""
        return any(said.shown != self.shown for said in self.heard)


@dataclass(frozen=True)
class RowCut:
    """A row ceiling that holds, and the groups that it lets pass under this purpose."""

    ceiling: RowCeiling
    lifted_for: tuple[str, ...]


@dataclass(frozen=True)
class Access:
    """What people of these groups see of the table for the purpose. `denied` says why it is nothing, None when it is not.

    `consent` and `aged` say whether the purpose's consent and age concern the table.
    """

    table: Table
    purpose: Purpose
    groups: tuple[str, ...]
    denied: str | None = None
    grants: tuple[Grant, ...] = ()
    row_cuts: tuple[RowCut, ...] = ()
    consent: bool = False
    aged: bool = False
    columns: tuple[Seen, ...] = ()


@dataclass(frozen=True)
class Denial:
    """Groups that see nothing of a table, for some purposes or for all that they may use, and why."""

    groups: tuple[str, ...]
    why: str


def explain(
    policy: Policy, table: Table, groups: Collection[str], purpose: Purpose, *, day: dt.date | None = None
) -> Access:
    """What people of exactly these groups see of the table. Without a day all grants stand, whatever their end.

    Groups that nobody knows count for nothing, as in every decision.
    """
    who = frozenset(groups).intersection(policy.groups)
    reached = reach.grants(policy, purpose.name, table)
    named = [grant for grant in reached if who.intersection(grant.groups, purpose.groups)]
    grants = tuple(grant for grant in named if day is None or grant.until is None or day <= grant.until)
    access = Access(table, purpose, tuple(sorted(who)))
    if not grants:
        return Access(table, purpose, access.groups, denied=_why_denied(purpose, who, reached, named))
    personal = any(column.personal for column in table.columns)
    return Access(
        table,
        purpose,
        access.groups,
        grants=grants,
        row_cuts=_row_cuts(policy, table, who, purpose.name),
        consent=personal and purpose.consent is not None,
        aged=personal and purpose.max_age is not None,
        columns=tuple(_seen(policy, table, column, grants, who) for column in table.columns),
    )


def answers(policy: Policy, table: Table, question: Question) -> tuple[Access, ...]:
    """One explanation for each purpose and each who is asked for, the denied ones too, in order.

    Purposes that groups may not use are left out of what is asked for them, unless it was that purpose that was asked for.
    """
    found: list[Access] = []
    for name, purpose in sorted(policy.purposes.items()):
        if question.purpose not in {None, name}:
            continue
        whos = [question.groups] if question.groups else [(group,) for group in purpose.groups]
        found += [
            explain(policy, table, who, purpose, day=question.day)
            for who in whos
            if question.purpose is not None or set(who).intersection(purpose.groups)
        ]
    return tuple(found)


def people(policy: Policy, groups: Collection[str]) -> int:
    """How many are in all of these groups."""
    members = [frozenset(policy.groups[group]) for group in groups]
    return len(members[0].intersection(*members)) if members else 0


def denials(policy: Policy, told: Sequence[Access]) -> tuple[Denial, ...]:
    """What a table's explanations deny, by groups; groups that may use no purpose at all are the last.

    That a purpose does not reach the table is no news of groups that another one lets read it.
    """
    found: dict[tuple[str, ...], list[Access]] = {}
    inside = {access.groups for access in told if access.denied is None}
    for access in told:
        if access.denied is not None and not (access.denied == _UNREACHED and access.groups in inside):
            found.setdefault(access.groups, []).append(access)
    users = {group for purpose in policy.purposes.values() for group in purpose.groups}
    without = [Denial((group,), "may use no purpose") for group in policy.groups if group not in users]
    return (*(Denial(groups, _reasons(denied)) for groups, denied in sorted(found.items())), *without)


def _reasons(denied: Sequence[Access]) -> str:
    near = [f"`{access.purpose.name}`: {access.denied}" for access in denied if access.denied != _UNREACHED]
    return "; ".join(near) or "no grant for a purpose of theirs reaches the table"


def _why_denied(purpose: Purpose, who: frozenset[str], reached: Sequence[Grant], named: Sequence[Grant]) -> str:
    if not who.intersection(purpose.groups):
        return "the purpose is for other groups"
    if not reached:
        return _UNREACHED
    if not named:
        return f"{_listed(reached)} for other groups"
    ends = ", ".join(f"`{grant.id}` on {grant.until}" for grant in named)
    return f"ended: {ends}"


def _listed(grants: Sequence[Grant]) -> str:
    names = ", ".join(f"`{grant.id}`" for grant in grants)
    return f"grant {names} is" if len(grants) == 1 else f"grants {names} are"


def _row_cuts(policy: Policy, table: Table, who: frozenset[str], purpose: str) -> tuple[RowCut, ...]:
    found: list[RowCut] = []
    for ceiling in reach.row_ceilings(policy, table):
        free = reach.escaping(policy, ceiling.unless, purpose)
        if free is not None and not free.intersection(who):
            found.append(RowCut(ceiling, tuple(sorted(free))))
    return tuple(found)


def _seen(policy: Policy, table: Table, column: Column, grants: Sequence[Grant], who: frozenset[str]) -> Seen:
    purpose = grants[0].purpose
    limits: list[Cut] = []
    for ceiling in reach.ceilings(policy, table, column):
        free = reach.escaping(policy, ceiling.unless, purpose)
        if free is not None and not free.intersection(who):
            at_most = reach.at_most(policy, ceiling, purpose, table, column)
            limits.append(Cut(ceiling, at_most, tuple(sorted(free))))
    said = _greatest_first([_said(policy, grant, table, column, limits) for grant in grants])
    most = said[0]
    return Seen(
        column=column,
        sensitivity=class_of(policy, column),
        prefix=class_prefix(policy.classes, column.category) or "",
        raised=raised(policy, column),
        shown=most.shown,
        said=tuple(said),
        cuts=tuple(cut for cut in limits if not treatments.below(most.granted, cut.at_most)),
    )


def _said(policy: Policy, grant: Grant, table: Table, column: Column, limits: Sequence[Cut]) -> Said:
    granted = reach.treatment(policy, grant, table, column)
    shown = granted
    for limit in limits:
        shown = treatments.typed(treatments.meet(shown, limit.at_most), column.type.logical)
    entry = reach.entry_for(grant, table, column)
    basis: Basis = "entry"
    if entry is None or not reach.reaches(policy, entry, column):
        default = reach.counts_as(policy.defaults[class_of(policy, column)], table, column)
        basis = "default" if granted == default else "lowered"
    return Said(grant, granted, shown, basis, entry)


def _greatest_first(said: Sequence[Said]) -> list[Said]:
    """The grants of one purpose are comparable; equals stay in the policy's order."""
    rest, ordered = list(said), list[Said]()
    while rest:
        greatest = next(one for one in rest if all(treatments.below(each.granted, one.granted) for each in rest))
        ordered.append(greatest)
        rest.remove(greatest)
    return ordered
