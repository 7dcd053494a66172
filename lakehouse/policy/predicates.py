"""Row predicates: the small SQL of `rows:` and `only_rows:`, parsed, checked against a table, and answered for one row.

The import place of predicates. `parse` reads text, `mistakes` knows what it means for a table's columns, `holds` is the
reference meaning (three-valued, on Python values), `tree` the same as SQL. Evaluation never raises for values of the
columns' types. There are no implicit casts: text, dates (`DATE '…'`), instants (`TIMESTAMP '…'`, UTC), booleans, exact
numbers (integers and decimals alike, of any precision) and floating numbers (literals with an exponent, `1.5e0`) compare
only with their own family. NaN counts as NULL, infinities are values. Text compares by code point.
"""

from __future__ import annotations

import datetime as dt
import difflib
import math
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING

from lakehouse.contract.model import Logical
from lakehouse.policy.predicate_meaning import answer
from lakehouse.policy.predicate_parser import PredicateError, read
from lakehouse.policy.predicate_syntax import (
    ColumnName,
    Condition,
    Constant,
    Family,
    Leaf,
    Likeness,
    Operand,
    Today,
    Truth,
    canonical,
    conditions_in,
    operands_in,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlglot import exp

    from lakehouse.contract.model import ColumnType
    from lakehouse.policy.expressions import Dialect

__all__ = ["Predicate", "PredicateError", "family_of", "holds", "mistakes", "parse", "tree"]

_FAMILIES: dict[Logical, Family] = {
    Logical.STRING: "text",
    Logical.INTEGER: "number",
    Logical.DECIMAL: "number",
    Logical.FLOAT: "floating",
    Logical.BOOLEAN: "boolean",
    Logical.DATE: "date",
    Logical.TIMESTAMP: "timestamp",
}
_SPOKEN: dict[Family, str] = {
    "text": "text",
    "number": "an exact number",
    "floating": "a floating number",
    "boolean": "a boolean",
    "date": "a date",
    "timestamp": "an instant",
}
#: How a literal is written that compares with a column of the family.
_LITERALS: dict[Family, str] = {
    "text": "'text'",
    "number": "1.5",
    "floating": "1.5e0",
    "boolean": "TRUE",
    "date": "DATE '2020-01-31'",
    "timestamp": "TIMESTAMP '2020-01-31 12:00:00'",
}


@dataclass(frozen=True)
class Predicate:
    """A parsed predicate; `text` is canonical, two predicates of one tree are equal."""

    text: str
    condition: Condition = field(compare=False, repr=False)

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns it uses, sorted."""
        return tuple(sorted({operand.name for operand in self._operands if isinstance(operand, ColumnName)}))

    @cached_property
    def uses_day(self) -> bool:
        """Whether the answer may change with the day."""
        return any(isinstance(operand, Today) for operand in self._operands)

    @property
    def _operands(self) -> list[Operand]:
        return [operand for leaf in conditions_in(self.condition) for operand in operands_in(leaf)]


def parse(text: str) -> Predicate:
    """A predicate as policies write it.

    Raises:
        PredicateError: the text is outside of the language.
    """
    condition = read(text)
    return Predicate(canonical(condition), condition)


def family_of(operand: Operand, types: Mapping[str, ColumnType]) -> Family:
    """What an operand can be compared with; KeyError for a column that the types do not have."""
    if isinstance(operand, ColumnName):
        return _FAMILIES[types[operand.name].logical]
    return operand.family if isinstance(operand, Constant) else "date"


def mistakes(predicate: Predicate, types: Mapping[str, ColumnType]) -> list[str]:
    """What is wrong with the predicate for a table of these columns, in the order it is written; none twice."""
    found = [mistake for leaf in conditions_in(predicate.condition) for mistake in _leaf_mistakes(leaf, types)]
    return list(dict.fromkeys(found))


def _leaf_mistakes(leaf: Leaf, types: Mapping[str, ColumnType]) -> list[str]:
    operands = operands_in(leaf)
    unknown = [
        _unknown(operand.name, types)
        for operand in operands
        if isinstance(operand, ColumnName) and operand.name not in types
    ]
    if unknown:
        return unknown
    first = operands[0]
    family = family_of(first, types)
    if isinstance(leaf, Truth) and family != "boolean":
        return [f"`{first}` is {_SPOKEN[family]}, not a condition: compare it with something"]
    if isinstance(leaf, Likeness) and family != "text":
        return [f"`{first}` is {_SPOKEN[family]}: `LIKE` is for text"]
    return [_different(first, other, types) for other in operands[1:] if family_of(other, types) != family]


def _unknown(name: str, types: Mapping[str, ColumnType]) -> str:
    if name.startswith("_") or name.endswith("__token"):
        return f"`{name}` is a column of the platform: predicates use columns of the contract"
    near = difflib.get_close_matches(name, types, n=1) or difflib.get_close_matches(name.lower(), types, n=1)
    return f"column `{name}` does not exist" + (f": did you mean `{near[0]}`?" if near else "")


def _different(first: Operand, other: Operand, types: Mapping[str, ColumnType]) -> str:
    families = (family_of(first, types), family_of(other, types))
    said = f"`{first}` is {_SPOKEN[families[0]]} and `{other}` is {_SPOKEN[families[1]]}, which do not compare"
    if isinstance(other, Constant):
        return f"{said}: write a literal like `{_LITERALS[families[0]]}`"
    return f"{said}: write a literal like `{_LITERALS[families[1]]}`" if isinstance(first, Constant) else said


def holds(
    predicate: Predicate, row: Mapping[str, object], types: Mapping[str, ColumnType], *, day: dt.date
) -> bool | None:
    """The answer for one row, None for unknown. A column that the row lacks is NULL, one that the types lack a KeyError."""

    def value(operand: Operand) -> object:
        if isinstance(operand, Constant):
            return operand.value
        if isinstance(operand, Today):
            return day
        found = row.get(operand.name)
        if types[operand.name].logical is Logical.TIMESTAMP and isinstance(found, dt.datetime):
            return found if found.tzinfo else found.replace(tzinfo=dt.UTC)
        return None if _not_a_number(found) else found

    return answer(predicate.condition, value)


def _not_a_number(value: object) -> bool:
    return (isinstance(value, float) and math.isnan(value)) or (isinstance(value, Decimal) and value.is_nan())


def tree(
    predicate: Predicate,
    types: Mapping[str, ColumnType],
    *,
    dialect: Dialect,
    day: exp.Expr,
    table: str | None = None,
) -> exp.Expr:
    """The predicate as SQL of one dialect, for a table without `mistakes`; `day` is put in for `current_date`."""
    from lakehouse.policy.predicate_sql import sql_tree  # noqa: PLC0415 - policies load without sqlglot

    return sql_tree(predicate.condition, types, dialect=dialect, day=day, table=table)
