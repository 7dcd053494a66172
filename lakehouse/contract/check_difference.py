"""What two versions of a contract promise differently: checks that became stricter, looser, or others.

Checks are matched by what they promise about which columns, not by their names. A stricter row check turns staged rows into
failed ones, a looser one may let set-aside rows in; what is judged per batch or after the commit touches no row that stands.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from itertools import zip_longest
from typing import TYPE_CHECKING

from lakehouse.contract.change import Change, Effect, Kind
from lakehouse.contract.model import CheckKind, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lakehouse.contract.model import Check, Table

_BOUNDED = frozenset({Rule.RANGE, Rule.LENGTH, Rule.ROW_COUNT})
#: Rules that a row without a value keeps, so a column that no row has yet breaks none of them.
_NULL_PASSES = frozenset({Rule.TYPE, Rule.ENUM, Rule.RANGE, Rule.PATTERN, Rule.LENGTH, Rule.COMPARE})
_STRICTER = {CheckKind.ROW: Effect.REBUILD, CheckKind.BATCH: Effect.NOTHING, CheckKind.TABLE: Effect.NOTHING}
_LOOSER = {CheckKind.ROW: Effect.REPLAY, CheckKind.BATCH: Effect.REPLAY, CheckKind.TABLE: Effect.NOTHING}


def check_changes(old: Table, new: Table) -> Iterator[Change]:
    """The differences of two contracts' checks; columns of the old one bear the new names already."""
    present, gone = ({column.name: column.id for column in table.columns} for table in (new, old))
    added = {name for name, identity in present.items() if identity not in gone.values()}
    removed = {name for name, identity in gone.items() if identity not in present.values()}
    for before, after in _pairs(old, new):
        if after is None and before is not None and not removed & set(before.columns):
            yield Change(Kind.WIDER_CHECK, _LOOSER[before.kind], f"`{before.name}` is promised no more", before.name)
        elif before is None and after is not None:
            if added & set(after.columns) and (after.rule in _NULL_PASSES or after.kind is not CheckKind.ROW):
                continue
            if after.rule is not Rule.REQUIRED or not added & set(after.columns):
                yield Change(Kind.NARROWER_CHECK, _STRICTER[after.kind], f"`{after.name}` is promised now", after.name)
        elif before is not None and after is not None:
            yield from _changed(before, after)


def _pairs(old: Table, new: Table) -> Iterator[tuple[Check | None, Check | None]]:
    """Checks that promise the same of the same columns, side by side."""
    sides: dict[object, tuple[list[Check], list[Check]]] = {}
    for side, table in enumerate((old, new)):
        for check in table.checks:
            if check.rule is not Rule.CONSERVED:
                sides.setdefault(_place(check), ([], []))[side].append(check)
    for left, right in sides.values():
        yield from zip_longest(left, right)


def _place(check: Check) -> tuple[object, ...]:
    return (check.kind, check.rule, check.columns, check.other, check.target, check.target_columns)


def _changed(before: Check, after: Check) -> Iterator[Change]:
    looser, stricter, other = _directions(before, after)
    name, kind = after.name, after.kind
    if other or (looser and stricter):
        # neither way for certain: rows may fail that stood, and set-aside ones may pass
        yield Change(Kind.OTHER_CHECK, _STRICTER[kind], f"`{name}` promises something else", name)
    elif stricter:
        yield Change(Kind.NARROWER_CHECK, _STRICTER[kind], f"`{name}` promises more", name)
    elif looser:
        yield Change(Kind.WIDER_CHECK, _LOOSER[kind], f"`{name}` promises less", name)
    if kind is CheckKind.ROW and before.tolerance != after.tolerance:
        # how many rows of a batch may fail: a batch that is held may be released
        yield Change(Kind.OTHER, Effect.REPLAY, f"`{name}` holds batches at another share of failed rows", name)
    if before.severity != after.severity:
        yield Change(Kind.OTHER, Effect.NOTHING, f"`{name}` counts as {after.severity}", name)


def _directions(before: Check, after: Check) -> tuple[bool, bool, bool]:
    """Whether the check became looser, stricter, or something else."""
    looser = stricter = False
    if after.rule in _BOUNDED:
        low, high = _compare(before.minimum, after.minimum, least=True), _compare(before.maximum, after.maximum)
        looser, stricter = low > 0 or high > 0, low < 0 or high < 0
    elif after.rule is Rule.ENUM:
        old, new = set(before.values), set(after.values)
        looser, stricter = bool(new - old), bool(old - new)
    if after.kind is not CheckKind.ROW and before.tolerance != after.tolerance:
        more = (after.tolerance or 0) > (before.tolerance or 0)
        looser, stricter = looser or more, stricter or not more
    other = (before.pattern, before.operator) != (after.pattern, after.operator)
    other |= after.rule is Rule.COMPARE and before.values != after.values
    return looser, stricter, other


def _compare(old: str | None, new: str | None, *, least: bool = False) -> int:
    """1 when the new bound lets more in, -1 when it lets less in."""
    if old == new:
        return 0
    if old is None or new is None:
        return 1 if new is None else -1
    left, right = _number(new), _number(old)
    below = left < right if left is not None and right is not None else new < old
    return 1 if below == least else -1


def _number(text: str) -> Decimal | None:
    try:
        return Decimal(text)
    except InvalidOperation:
        return None  # a date or an instant, whose text has its order
