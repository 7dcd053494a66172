"""The words of row predicates: the nodes of the tree and its canonical text.

Operands are columns, literals and `current_date`; conditions compare them and are joined by AND, OR and NOT. Frozen
values: equal trees have equal texts, and a text parses to its own tree. Reading text is in `policy.predicate_parser`,
types and meaning are in `policy.predicates`, SQL is in `policy.predicate_sql`.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal as OneOf

#: What can be compared with each other: whole numbers and decimals are one type, floating numbers another.
Family = OneOf["text", "number", "floating", "boolean", "date", "timestamp"]
Operator = OneOf["=", "<>", "<", "<=", ">", ">="]
#: `a < b` is `b > a`.
MIRRORED: dict[Operator, Operator] = {"=": "=", "<>": "<>", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
Value = str | bool | Decimal | float | dt.date | dt.datetime


@dataclass(frozen=True)
class ColumnName:
    """A column of the table the predicate is asked of."""

    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Constant:
    """A literal: numbers are exact Decimals, or floats when they were written with an exponent."""

    family: Family
    value: Value

    def __str__(self) -> str:
        value = self.value
        if isinstance(value, str):
            return "'" + value.replace("'", "''") + "'"
        if isinstance(value, bool):
            return "TRUE" if value else "FALSE"
        if isinstance(value, Decimal):
            return plain(value)
        if isinstance(value, dt.datetime):
            return f"TIMESTAMP '{instant(value)}'"
        if isinstance(value, dt.date):
            return f"DATE '{value.isoformat()}'"
        written = repr(value).replace("e+", "e")
        return written if "e" in written else f"{written}e0"


@dataclass(frozen=True)
class Today:
    """`current_date`: the UTC day of the request."""

    def __str__(self) -> str:
        return "current_date"


Operand = ColumnName | Constant | Today


@dataclass(frozen=True)
class Truth:
    """A boolean operand that stands as a condition by itself."""

    operand: Operand


@dataclass(frozen=True)
class Comparison:
    """`left operator right`."""

    operator: Operator
    left: Operand
    right: Operand


@dataclass(frozen=True)
class Membership:
    """`operand IN (items)`."""

    operand: Operand
    items: tuple[Operand, ...]


@dataclass(frozen=True)
class Range:
    """`operand BETWEEN low AND high`, both ends included."""

    operand: Operand
    low: Operand
    high: Operand


@dataclass(frozen=True)
class Likeness:
    """`operand LIKE 'pattern'`: `%` is any text, `_` one code point, everything else, backslashes too, is itself."""

    operand: Operand
    pattern: str


@dataclass(frozen=True)
class Absence:
    """`operand IS NULL`."""

    operand: Operand


@dataclass(frozen=True)
class Negation:
    """`NOT condition`; `a NOT IN (…)` and the like are the negation of the positive form."""

    condition: Condition


@dataclass(frozen=True)
class Conjunction:
    """Conditions joined by AND, at least two."""

    conditions: tuple[Condition, ...]


@dataclass(frozen=True)
class Disjunction:
    """Conditions joined by OR, at least two."""

    conditions: tuple[Condition, ...]


Leaf = Truth | Comparison | Membership | Range | Likeness | Absence
Condition = Leaf | Negation | Conjunction | Disjunction


def plain(value: Decimal) -> str:
    """Digits without exponent and without zeros that say nothing."""
    written = format(value, "f")
    if "." in written:
        written = written.rstrip("0").rstrip(".")
    return "0" if written in {"-0", ""} else written


def instant(value: dt.datetime) -> str:
    """`2020-01-01 00:00:00`, with as many decimals of the second as say something."""
    written = f"{value.year:04d}-{value:%m-%d %H:%M:%S}"
    return f"{written}.{value.microsecond:06d}".rstrip("0") if value.microsecond else written


def canonical(condition: Condition) -> str:
    """The one text of a condition: upper case words, single blanks, only the parentheses that it needs."""
    if isinstance(condition, Disjunction):
        return " OR ".join(_within(part, Disjunction) for part in condition.conditions)
    if isinstance(condition, Conjunction):
        return " AND ".join(_within(part, Disjunction, Conjunction) for part in condition.conditions)
    if not isinstance(condition, Negation):
        return _leaf(condition, "")
    inner = condition.condition
    if isinstance(inner, Membership | Range | Likeness | Absence):
        return _leaf(inner, "NOT ")
    return f"NOT {_within(inner, Disjunction, Conjunction)}"


def _within(condition: Condition, *looser: type[Condition]) -> str:
    text = canonical(condition)
    return f"({text})" if isinstance(condition, looser) else text


def _leaf(leaf: Leaf, negated: str) -> str:
    match leaf:
        case Truth(operand):
            return str(operand)
        case Comparison(operator, left, right):
            return f"{left} {operator} {right}"
        case Membership(operand, items):
            return f"{operand} {negated}IN ({', '.join(map(str, items))})"
        case Range(operand, low, high):
            return f"{operand} {negated}BETWEEN {low} AND {high}"
        case Likeness(operand, pattern):
            return f"{operand} {negated}LIKE {Constant('text', pattern)}"
        case Absence(operand):
            return f"{operand} IS {negated}NULL"


def conditions_in(condition: Condition) -> list[Leaf]:
    """The leaves, in the order they are written."""
    match condition:
        case Negation(inner):
            return conditions_in(inner)
        case Conjunction(parts) | Disjunction(parts):
            return [leaf for part in parts for leaf in conditions_in(part)]
        case _:
            return [condition]


def operands_in(leaf: Leaf) -> list[Operand]:
    """The operands of a leaf, in the order they are written."""
    match leaf:
        case Comparison(_, left, right):
            return [left, right]
        case Membership(operand, items):
            return [operand, *items]
        case Range(operand, low, high):
            return [operand, low, high]
        case _:
            return [leaf.operand]
