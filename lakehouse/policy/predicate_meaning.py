"""The reference meaning of row predicates on Python values: three-valued logic, slow and plain.

Values are None for NULL, texts, ints and Decimals, floats without NaN, booleans, dates and aware datetimes. What a
column's value is in a row is found out by `policy.predicates`; the same meaning as SQL is in `policy.predicate_sql`.
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

from lakehouse.policy.predicate_syntax import (
    Comparison,
    Condition,
    Conjunction,
    Disjunction,
    Leaf,
    Likeness,
    Membership,
    Negation,
    Operand,
    Operator,
    Range,
    Truth,
    operands_in,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_COMPARE: dict[Operator, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "<>": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def answer(condition: Condition, value: Callable[[Operand], object]) -> bool | None:
    """The answer for the values of its operands, None for unknown."""
    match condition:
        case Conjunction(parts):
            return _all(answer(part, value) for part in parts)
        case Disjunction(parts):
            return _any(answer(part, value) for part in parts)
        case Negation(inner):
            return _not(answer(inner, value))
        case Truth(operand):
            return compare("=", value(operand), right=True)
        case _:
            return _leaf_answer(condition, value)


def _leaf_answer(leaf: Leaf, value: Callable[[Operand], object]) -> bool | None:
    first, *others = (value(operand) for operand in operands_in(leaf))
    match leaf:
        case Comparison(sign):
            return compare(sign, first, others[0])
        case Membership():
            return _any(compare("=", first, other) for other in others)
        case Range():
            return _all((compare(">=", first, others[0]), compare("<=", first, others[1])))
        case Likeness(_, pattern):
            return None if first is None else like(str(first), pattern)
        case _:
            return first is None


def _all(answers: Iterable[bool | None]) -> bool | None:
    """AND of three-valued answers: false wins, then unknown."""
    known = list(answers)
    if False in known:
        return False
    return None if None in known else True


def _any(answers: Iterable[bool | None]) -> bool | None:
    """OR of three-valued answers: true wins, then unknown."""
    return _not(_all(_not(answer) for answer in answers))


def _not(answer: bool | None) -> bool | None:  # noqa: FBT001 - a value, no switch
    return None if answer is None else not answer


def compare(sign: Operator, left: object, right: object) -> bool | None:
    """A comparison of two values of one family, None when one is NULL."""
    if left is None or right is None:
        return None
    return _COMPARE[sign](left, right)


def like(text: str, pattern: str) -> bool:
    """Whether a text is like a pattern. By two places, because a regular expression of many `%` may not come back."""
    at = place = 0
    wild, tried = -1, 0
    while at < len(text):
        if place < len(pattern) and pattern[place] == "%":
            wild, tried = place, at
            place += 1
        elif place < len(pattern) and pattern[place] in {"_", text[at]}:
            at, place = at + 1, place + 1
        elif wild >= 0:  # the last `%` stands for one character more
            tried += 1
            at, place = tried, wild + 1
        else:
            return False
    return not pattern[place:].strip("%")
