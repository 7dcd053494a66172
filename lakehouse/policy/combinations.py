"""Which combinations of groups a column of a view tells apart, for engines where one view serves all groups.

A reader is a set of groups; what matters of it is which grants are his and which ceilings he escapes. Those are unions of
what each single group brings, so the combinations that can occur are the unions of the groups' own. What a column shows
under one is a list of levels (`Step`); making SQL of it is in `columns`.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lakehouse.policy import treatments
from lakehouse.policy.treatments import HIDE, Treatment

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable, Sequence

    from lakehouse.contract.model import Logical
    from lakehouse.policy.predicates import Predicate

#: More branches than this in one column are refused: nobody could read the view, and planning would slow down.
MOST_COMBINATIONS = 64
#: Unions looked at before giving up; far more than 64 of them can be alike.
_MOST_UNIONS = 4096


class TooManyCombinationsError(ValueError):
    """A column tells more combinations of groups apart than a view may."""


@dataclass(frozen=True)
class Condition:
    """When a grant's rows are visible to its groups: its predicate and its last day, None for always."""

    rows: Predicate | None = None
    until: dt.date | None = None

    @property
    def always(self) -> bool:
        """Whether there is nothing to test."""
        return self.rows is None and self.until is None

    @property
    def order(self) -> tuple[str, str]:
        """A place among others that no order of documents changes."""
        return (self.rows.text if self.rows else "", self.until.isoformat() if self.until else "")


@dataclass(frozen=True)
class Level:
    """Grants that show the same of a column under the same condition, and the groups that have one of them."""

    shows: Treatment
    condition: Condition
    groups: frozenset[str]


@dataclass(frozen=True)
class Limit:
    """Ceilings that the same groups escape, and what they let through together; no groups: nobody escapes."""

    at_most: Treatment
    groups: frozenset[str]


#: A step of a column's decision: what is shown where one of the conditions holds.
Step = tuple[Treatment, tuple[Condition, ...]]


@dataclass(frozen=True)
class Branch:
    """What one combination sees: the tests of groups (all must hold) and the steps, the greatest first.

    A test is a set of groups of which the reader has one, or has none.
    """

    tests: tuple[tuple[frozenset[str], bool], ...]
    steps: tuple[Step, ...]


def branches(levels: Sequence[Level], limits: Sequence[Limit], logical: Logical) -> tuple[Branch, ...]:
    """The combinations that a column tells apart; one branch without tests when all readers see the same.

    Combinations that see nothing of the column are left out, and those that see no row.

    Raises:
        TooManyCombinationsError: there are more than `MOST_COMBINATIONS`.
    """
    readers = frozenset[str]().union(*(level.groups for level in levels))
    fixed = [limit.at_most for limit in limits if not limit.groups]
    capped = _merged(levels, fixed, logical)
    open_limits = [limit for limit in limits if limit.groups and _cuts(limit, capped, readers)]
    bits = [level.groups for level in capped] + [limit.groups for limit in open_limits]
    found: dict[tuple[tuple[frozenset[str], bool], ...], tuple[Step, ...]] = {}
    for union in _unions([*bits, readers]):
        if not union >> len(bits):
            continue  # none of the grants is theirs
        held = [bool(union >> place & 1) for place in range(len(bits))]
        active = [level for level, mine in zip(capped, held, strict=False) if mine]
        escaped = held[len(capped) :]
        bounds = [limit.at_most for limit, free in zip(open_limits, escaped, strict=True) if not free]
        shown = steps([(_capped(level.shows, bounds, logical), level.condition) for level in active])
        tests = _needed(tuple(zip(bits, held, strict=True)), capped, shown, bounds=bounds, logical=logical)
        found[tuple(dict.fromkeys(test for test in tests if not test[0] >= readers))] = shown
    return _told_apart(found)


def _cuts(limit: Limit, levels: Iterable[Level], readers: frozenset[str]) -> bool:
    """Whether some reader sees less of some level because of the limit."""
    lowers = any(not treatments.below(level.shows, limit.at_most) for level in levels)
    return lowers and not limit.groups >= readers


def steps(shown: Iterable[tuple[Treatment, Condition]]) -> tuple[Step, ...]:
    """The grants of one reader as steps, the greatest first; the last is for every row that he sees.

    Raises:
        ValueError: two treatments are incomparable, which the static checks refuse.
    """
    by_treatment: dict[Treatment, set[Condition]] = {}
    for treatment, condition in shown:
        by_treatment.setdefault(treatment, set()).add(condition)
    ordered: list[Step] = []
    for treatment in sorted(by_treatment, key=functools.cmp_to_key(_descending)):
        conditions = by_treatment[treatment]
        if any(condition.always for condition in conditions):
            return (*ordered, (treatment, ()))
        ordered.append((treatment, tuple(sorted(conditions, key=lambda condition: condition.order))))
    # INVARIANT: a visible row has a grant that holds on it, so where no greater one does the least one does.
    return (*ordered[:-1], (ordered[-1][0], ()))


def _descending(a: Treatment, b: Treatment) -> int:
    if a == b:
        return 0
    if treatments.below(a, b):
        return 1
    if treatments.below(b, a):
        return -1
    raise ValueError(f"treatments `{a}` and `{b}` of one column are incomparable")


def _capped(treatment: Treatment, bounds: Iterable[Treatment], logical: Logical) -> Treatment:
    for bound in bounds:
        treatment = treatments.typed(treatments.meet(treatment, bound), logical)
    return treatment


def _merged(levels: Sequence[Level], fixed: Sequence[Treatment], logical: Logical) -> list[Level]:
    """Levels under the ceilings that nobody escapes; those alike are one. A single treatment needs no level at all."""
    groups: dict[tuple[Treatment, Condition], frozenset[str]] = {}
    for level in levels:
        kind = (_capped(level.shows, fixed, logical), level.condition)
        groups[kind] = groups.get(kind, frozenset()) | level.groups
    shown = {treatment for treatment, _ in groups}
    if len(shown) == 1:
        return [Level(shown.pop(), Condition(), frozenset[str]().union(*groups.values()))]
    merged = [Level(treatment, condition, held) for (treatment, condition), held in groups.items()]
    return sorted(merged, key=lambda level: (str(level.shows), level.condition.order))


def _unions(members: Sequence[frozenset[str]]) -> list[int]:
    """Every set of memberships that some set of groups has, as bits."""
    names = sorted(frozenset[str]().union(*members))
    vectors = {sum(1 << place for place, groups in enumerate(members) if name in groups) for name in names}
    unions = {0}
    for vector in sorted(vectors):
        unions |= {union | vector for union in unions}
        if len(unions) > _MOST_UNIONS:
            raise TooManyCombinationsError(f"more than {_MOST_UNIONS} combinations of groups")
    return sorted(unions)


def _needed(
    tests: Sequence[tuple[frozenset[str], bool]],
    levels: Sequence[Level],
    shown: Sequence[Step],
    *,
    bounds: Sequence[Treatment],
    logical: Logical,
) -> tuple[tuple[frozenset[str], bool], ...]:
    """The tests without those of levels that an unconditional one outdoes: they change nothing here.

    The unconditional levels that decide are one test: one of their groups is enough.
    """
    least = shown[-1][0]
    kept = list(tests[len(levels) :])
    deciding: frozenset[str] = frozenset()
    decided = False
    for level, (groups, held) in zip(levels, tests, strict=False):
        capped = _capped(level.shows, bounds, logical)
        if level.condition.always and capped == least and held:
            decided = True
        if level.condition.always and capped == least:
            deciding |= groups
    for level, test in zip(levels, tests, strict=False):
        capped = _capped(level.shows, bounds, logical)
        if not decided or not treatments.below(capped, least):
            kept.append(test)
    return ((deciding, True), *kept) if decided else tuple(kept)


def _told_apart(
    found: dict[tuple[tuple[frozenset[str], bool], ...], tuple[Step, ...]],
) -> tuple[Branch, ...]:
    if len(set(found.values())) == 1:
        return (Branch((), next(iter(found.values()))),)
    seeing = [Branch(tests, shown) for tests, shown in found.items() if shown != ((HIDE, ()),)]
    if len(seeing) > MOST_COMBINATIONS:
        raise TooManyCombinationsError(f"{len(seeing)} combinations of groups")
    return tuple(sorted(seeing, key=_order))


def _order(branch: Branch) -> list[tuple[list[str], bool]]:
    return [(sorted(groups), not held) for groups, held in branch.tests]
