"""What a column of a view shows: the maximum of the grants visible on the row, under the ceilings, as SQL.

Where grants differ, a CASE on their conditions; where groups differ and the view is for all readers, an outer CASE that
tests groups alone, so that the engine folds it while planning. Where nothing differs there is no CASE.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from lakehouse.model import ENTITY, token_of
from lakehouse.policy import expressions, reach
from lakehouse.policy.combinations import Branch, Condition, Level, Limit, Step, branches
from lakehouse.policy.frame import TEXT, Frame, every, in_groups, some
from lakehouse.policy.treatments import HIDE, Treatment

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from lakehouse.contract.model import Column
    from lakehouse.policy.model import Grant, Policy


def projection(
    policy: Policy, column: Column, frame: Frame, *, grants: Sequence[Grant], groups: Collection[str] | None
) -> exp.Expr:
    """The column under its own name, as the grants of one purpose show it. `groups` None: for all readers."""
    kind = _kind(policy, column, frame, grants)
    told_apart, text = frame.decisions.once(kind, lambda: _decided(policy, column, frame, grants, groups=groups))

    def make() -> exp.Expr:
        shown = _by_groups(told_apart, frame, column, text=text)
        return exp.alias_(shown, column.name, quoted=True, copy=False)

    return frame.node((column.name, column.type, reach.is_key(frame.table, column), text, told_apart), make)


def _kind(policy: Policy, column: Column, frame: Frame, grants: Sequence[Grant]) -> tuple[object, ...]:
    """All of a column that decides what is shown of it: two columns alike in this are shown alike."""
    table = frame.table
    # All grants of the purpose, the reader's or not: whether the column is text is the same for everybody.
    said = [entry for grant in reach.grants(policy, grants[0].purpose, table) for entry in grant.columns]
    named = any(entry.column == column.name and entry.table == table.id.table for entry in said)
    return (
        tuple(map(id, grants)),
        tuple(map(id, reach.ceilings(policy, table, column))),
        (column.name, table.id.table) if named else None,
        column.category,
        column.classification,
        column.type.logical,
        reach.has_token(table, column),
        reach.is_token(table, column),
    )


def _decided(
    policy: Policy, column: Column, frame: Frame, grants: Sequence[Grant], *, groups: Collection[str] | None
) -> tuple[tuple[Branch, ...], bool]:
    """What each combination of groups sees, and whether the column is text because of a token."""
    purpose = policy.purposes[grants[0].purpose]
    levels = [
        Level(
            reach.treatment(policy, grant, frame.table, column),
            Condition(grant.rows, grant.until if frame.today is None else None),
            # Whoever asks has a grant; one reader of these grants has them all.
            frozenset(grant.groups).intersection(purpose.groups) if groups is None else frozenset({purpose.name}),
        )
        for grant in grants
    ]
    limits = _limits(policy, column, frame, purpose.name, groups=groups)
    text = reach.shows_token(policy, purpose.name, frame.table, column)
    return branches(levels, limits, column.type.logical), text


def _limits(
    policy: Policy, column: Column, frame: Frame, purpose: str, *, groups: Collection[str] | None
) -> list[Limit]:
    """The ceilings on the column that hold for these groups; None: for all readers, with those who escape."""
    found: list[Limit] = []
    for ceiling in reach.ceilings(policy, frame.table, column):
        free = reach.escaping(policy, ceiling.unless, purpose)
        if free is None or (groups is not None and free.intersection(groups)):
            continue
        at_most = reach.at_most(policy, ceiling, purpose, frame.table, column)
        found.append(Limit(at_most, free if groups is None else frozenset()))
    return found


def _by_groups(told_apart: Sequence[Branch], frame: Frame, column: Column, *, text: bool) -> exp.Expr:
    """The outer CASE; whoever fits no branch sees nothing."""
    if len(told_apart) == 1 and not told_apart[0].tests:
        return _by_conditions(told_apart[0].steps, frame, column, text=text)
    ifs = [
        exp.If(
            this=every([_test(groups, held=held) for groups, held in branch.tests]),
            true=_by_conditions(branch.steps, frame, column, text=text),
        )
        for branch in told_apart
    ]
    return exp.Case(ifs=ifs, default=_shown(HIDE, frame, column, text=text))


def _test(groups: frozenset[str], *, held: bool) -> exp.Expr:
    mine = in_groups(groups)
    if held:
        return mine
    return exp.Not(this=exp.Paren(this=mine) if isinstance(mine, exp.Connector) else mine)


def _by_conditions(steps: Sequence[Step], frame: Frame, column: Column, *, text: bool) -> exp.Expr:
    """The inner CASE: the greatest treatment whose grants hold on the row. The last step needs no test."""
    *greater, (least, _) = steps
    last = _shown(least, frame, column, text=text)
    if not greater:
        return last
    ifs = [
        exp.If(
            this=some([frame.condition(condition) for condition in conditions]),
            true=_shown(treatment, frame, column, text=text),
        )
        for treatment, conditions in greater
    ]
    return exp.Case(ifs=ifs, default=last)


def _shown(treatment: Treatment, frame: Frame, column: Column, *, text: bool) -> exp.Expr:
    """`text`: some grant of the purpose shows the column as a token, so that it is text in the whole view."""
    itself = frame.column(column.name)
    if text and treatment == HIDE:
        return expressions.shown(HIDE, itself, TEXT, dialect=frame.dialect)
    token = frame.column(ENTITY if reach.is_key(frame.table, column) else token_of(column.name))
    return expressions.shown(treatment, itself, column.type, dialect=frame.dialect, token=token)
