"""What the views of a purpose show, without a request: by column and group the most, and what keeps rows out.

For the graph and for whoever wants an overview; neither a clock nor an engine is asked. Somebody in several groups may be
shown more than each of them alone. What one request gets is decided in `compile`, the meaning of it all is in `decide`.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lakehouse.policy import reach, treatments
from lakehouse.policy.classes import class_of
from lakehouse.policy.views import ViewName, view_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lakehouse.contract.model import Column, Project, Table
    from lakehouse.policy.model import Grant, Policy, Purpose, Sensitivity
    from lakehouse.policy.treatments import Treatment


@dataclass(frozen=True)
class ShownColumn:
    """A column of a view.

    Attributes:
        column: the contract's column.
        sensitivity: its class.
        by_group: what a group is shown at most, whatever rows and days; groups without a grant are not in it.
        text: whether the column is text in this purpose, whatever its type, because some grant shows its token.
    """

    column: Column
    sensitivity: Sensitivity
    by_group: tuple[tuple[str, Treatment], ...]
    text: bool


@dataclass(frozen=True)
class ShownTable:
    """A view: its columns, and in words what keeps rows out of it."""

    view: ViewName
    table: Table
    columns: tuple[ShownColumn, ...]
    limits: tuple[str, ...]


@dataclass(frozen=True)
class Showing:
    """A purpose and its views, in order of name.

    Attributes:
        purpose: why people read.
        tables: what they are shown.
        digest: changes when something of this changes, row predicates too; who is in which group does not count.
    """

    purpose: Purpose
    tables: tuple[ShownTable, ...]
    digest: str


def showings(policy: Policy, project: Project) -> tuple[Showing, ...]:
    """Every purpose with a grant that matches a table, in order of name."""
    by_purpose: dict[str, list[ShownTable]] = {}
    for purpose, table in reach.pairs(policy, project):
        by_purpose.setdefault(purpose, []).append(_shown(policy, policy.purposes[purpose], table))
    return tuple(_showing(policy, policy.purposes[name], tables) for name, tables in by_purpose.items())


def _showing(policy: Policy, purpose: Purpose, tables: Sequence[ShownTable]) -> Showing:
    ordered = tuple(sorted(tables, key=lambda shown: shown.view))
    said = [_said(policy, purpose.name, shown) for shown in ordered]
    text = json.dumps([purpose.legal, purpose.isolation, said], sort_keys=True)
    return Showing(purpose, ordered, hashlib.sha256(text.encode()).hexdigest()[:16])


def _shown(policy: Policy, purpose: Purpose, table: Table) -> ShownTable:
    grants = reach.grants(policy, purpose.name, table)
    granted = {group: [grant for grant in grants if group in grant.groups] for group in purpose.groups}
    columns = tuple(
        ShownColumn(
            column=column,
            sensitivity=class_of(policy, column),
            by_group=tuple(
                (group, _most(policy, purpose.name, table, column, group=group, grants=own))
                for group, own in granted.items()
                if own
            ),
            text=reach.shows_token(policy, purpose.name, table, column),
        )
        for column in table.columns
    )
    return ShownTable(view_name(policy, purpose.name, table), table, columns, tuple(_limits(policy, purpose, table)))


def _most(
    policy: Policy, purpose: str, table: Table, column: Column, *, group: str, grants: Sequence[Grant]
) -> Treatment:
    """The maximum of the group's grants under every ceiling that this group alone does not escape."""
    most = reach.treatment(policy, grants[0], table, column)
    for grant in grants[1:]:
        # Incomparable ones are a static error, which no loaded policy has.
        most = treatments.join(most, reach.treatment(policy, grant, table, column)) or most
    for ceiling in reach.ceilings(policy, table, column):
        free = reach.escaping(policy, ceiling.unless, purpose)
        if free is not None and group not in free:
            limit = reach.at_most(policy, ceiling, purpose, table, column)
            most = treatments.typed(treatments.meet(most, limit), column.type.logical)
    return most


def _limits(policy: Policy, purpose: Purpose, table: Table) -> Iterator[str]:
    """Columns are named, never the values that predicates compare them with."""
    for grant in reach.grants(policy, purpose.name, table):
        if grant.rows is not None:
            yield f"grant {grant.id}: by {', '.join(grant.rows.columns)}"
        if grant.until is not None:
            yield f"grant {grant.id}: until {grant.until.isoformat()}"
    for ceiling in reach.row_ceilings(policy, table):
        free = reach.escaping(policy, ceiling.unless, purpose.name)
        if free is not None:
            but = f", but for {', '.join(sorted(free))}" if free else ""
            yield f"ceiling {ceiling.id}: by {', '.join(ceiling.only_rows.columns)}{but}"
    if any(column.personal for column in table.columns):
        if purpose.consent is not None:
            yield f"consent of the {purpose.consent}"
        if purpose.max_age is not None:
            yield f"not older than P{purpose.max_age.count}{purpose.max_age.unit}"


def _said(policy: Policy, purpose: str, shown: ShownTable) -> list[object]:
    """All of a view that a change may be in."""
    rules = (*reach.grants(policy, purpose, shown.table), *reach.row_ceilings(policy, shown.table))
    predicates = [getattr(rule, "rows", None) or getattr(rule, "only_rows", None) for rule in rules]
    columns = [
        [each.column.name, str(each.column.type), each.text, [(group, str(said)) for group, said in each.by_group]]
        for each in shown.columns
    ]
    texts = [predicate.text if predicate else None for predicate in predicates]
    return [str(shown.view), str(shown.table.id), shown.limits, texts, columns]
