"""Row predicates as SQL trees of one dialect, with the meaning of `predicates.holds`.

No operator is left to the engines' implicit casts, which differ and may fail at run time: a number that a column cannot
hold is moved to the next one it can, columns of different numeric types are compared in a type that holds both, floating
columns give NULL for NaN. IN and BETWEEN are only used where they mean nothing else than their comparisons.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from typing import TYPE_CHECKING

from sqlglot import exp

from lakehouse.contract.model import ColumnType, Logical
from lakehouse.policy.expressions import Dialect, exact, floating, sql_type
from lakehouse.policy.predicate_meaning import compare, like
from lakehouse.policy.predicate_syntax import (
    MIRRORED,
    Absence,
    ColumnName,
    Comparison,
    Condition,
    Conjunction,
    Constant,
    Disjunction,
    Leaf,
    Likeness,
    Membership,
    Negation,
    Operand,
    Operator,
    Range,
    Today,
    Truth,
    instant,
)

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping

_SIGNS: dict[Operator, type[exp.Binary]] = {
    "=": exp.EQ,
    "<>": exp.NEQ,
    "<": exp.LT,
    "<=": exp.LTE,
    ">": exp.GT,
    ">=": exp.GTE,
}
#: The widest decimal of both engines, and what an integer column counts as.
_WIDEST = 38
_INTEGER_DIGITS = 19
_INTEGER_BOUNDS = (Decimal(-(2**63)), Decimal(2**63 - 1))
#: Exact for every literal and column; the default context rounds to 28 digits.
_EXACT = Context(prec=2 * _WIDEST + 2)


def sql_tree(
    condition: Condition, types: Mapping[str, ColumnType], *, dialect: Dialect, day: exp.Expr, table: str | None
) -> exp.Expr:
    """The condition for a table of these columns; `day` stands for `current_date`, `table` qualifies the columns."""
    return _Printer(types, dialect, day, table).condition(condition)


@dataclass(frozen=True)
class _Printer:
    types: Mapping[str, ColumnType]
    dialect: Dialect
    day: exp.Expr
    table: str | None

    def condition(self, condition: Condition) -> exp.Expr:
        match condition:
            case Conjunction(parts):
                return exp.and_(*map(self.condition, parts), copy=False)
            case Disjunction(parts):
                return exp.or_(*map(self.condition, parts), copy=False)
            case Negation(inner):
                return exp.Not(this=exp.paren(self.condition(inner), copy=False))
            case _:
                return self.leaf(condition)

    def leaf(self, leaf: Leaf) -> exp.Expr:
        match leaf:
            case Truth(operand):
                return self.operand(operand)
            case Comparison(sign, left, right):
                return self.comparison(sign, left, right)
            case Membership(operand, items):
                return self.membership(operand, items)
            case Range(operand, low, high):
                return exp.and_(self.comparison(">=", operand, low), self.comparison("<=", operand, high), copy=False)
            case _:
                return self.of_one(leaf)

    def of_one(self, leaf: Likeness | Absence) -> exp.Expr:
        """What asks one operand only; of a literal it is known."""
        operand = leaf.operand
        if isinstance(leaf, Absence):
            known = not isinstance(operand, ColumnName)
            return exp.false() if known else exp.Is(this=self.operand(operand), expression=exp.null())
        if isinstance(operand, Constant):
            return _truth(like(str(operand.value), leaf.pattern))
        return exp.Like(this=self.operand(operand), expression=exp.Literal.string(leaf.pattern))

    def operand(self, operand: Operand) -> exp.Expr:
        if isinstance(operand, Today):
            return self.day.copy()
        if isinstance(operand, Constant):
            return self.constant(operand)
        column = exp.column(operand.name, table=self.table, quoted=True)
        if self.types[operand.name].logical is not Logical.FLOAT:
            return column
        return exp.case().when(exp.Not(this=exp.IsNan(this=column.copy())), column)

    def constant(self, constant: Constant) -> exp.Expr:
        """A literal of every family but exact numbers, which are written in the type of what they compare with."""
        value = constant.value
        if isinstance(value, bool):
            return _truth(value)
        match constant.family:
            case "floating":
                return floating(float(value))  # pyright: ignore[reportArgumentType] - the family says so
            case "date":
                return exp.cast(exp.Literal.string(str(value)), "DATE")
            case "timestamp":
                return self.timestamp(value)  # pyright: ignore[reportArgumentType] - the family says so
            case _:
                return exp.Literal.string(str(value))

    def timestamp(self, value: dt.datetime) -> exp.Expr:
        written = exp.Literal.string(f"{instant(value)}+00:00")
        kind = "TIMESTAMPTZ"
        if self.dialect == "trino":
            kind = f"TIMESTAMP({6 if value.microsecond % 1000 else 3}) WITH TIME ZONE"
        return exp.cast(written, exp.DataType.build(kind, dialect=self.dialect))

    def comparison(self, sign: Operator, left: Operand, right: Operand) -> exp.Expr:
        if isinstance(left, Constant) and isinstance(right, Constant):
            return _truth(compare(sign, left.value, right.value) is True)
        if isinstance(left, Constant):
            sign, left, right = MIRRORED[sign], right, left
        if isinstance(left, ColumnName) and isinstance(right, Constant) and isinstance(right.value, Decimal):
            return self.with_number(sign, left, right.value)
        if isinstance(left, ColumnName) and isinstance(right, ColumnName):
            types = self.types[left.name], self.types[right.name]
            if {kind.logical for kind in types} <= {Logical.INTEGER, Logical.DECIMAL} and _scale(*types):
                return self.of_numbers(sign, left, right)
        return _SIGNS[sign](this=self.operand(left), expression=self.operand(right))

    def with_number(self, sign: Operator, column: ColumnName, value: Decimal) -> exp.Expr:
        """A column against an exact number that its type may not hold."""
        kind = self.types[column.name]
        moved = _moved(sign, value, kind)
        if isinstance(moved, bool):
            return self.known(column, moved)
        sign, value = moved
        return _SIGNS[sign](this=self.operand(column), expression=exact(value, kind))

    def known(self, operand: Operand, answer: bool) -> exp.Expr:  # noqa: FBT001 - a value, no switch
        """An answer that only NULL changes, to unknown."""
        absent = exp.Is(this=self.operand(operand), expression=exp.null())
        return exp.case().when(exp.Not(this=absent), _truth(answer))

    def membership(self, operand: Operand, items: tuple[Operand, ...]) -> exp.Expr:
        constants = [item for item in items if isinstance(item, Constant)]
        if isinstance(operand, Constant) or len(constants) < len(items):
            return exp.or_(*(self.comparison("=", operand, item) for item in items), copy=False)
        listed = [written for item in constants if (written := self.listed(operand, item)) is not None]
        return exp.In(this=self.operand(operand), expressions=listed) if listed else self.known(operand, answer=False)

    def listed(self, operand: Operand, item: Constant) -> exp.Expr | None:
        """An item of IN in the operand's type, None when that does not hold it."""
        if not isinstance(item.value, Decimal) or not isinstance(operand, ColumnName):
            return self.constant(item)
        kind = self.types[operand.name]
        return exact(item.value, kind) if not isinstance(_moved("=", item.value, kind), bool) else None

    def of_numbers(self, sign: Operator, left: ColumnName, right: ColumnName) -> exp.Expr:
        """Two columns of exact numbers, in a decimal that holds both, or by whole numbers and fractions."""
        kinds = self.types[left.name], self.types[right.name]
        scale = _scale(*kinds)
        precision = max(_precision(kind) - (kind.scale or 0) for kind in kinds) + scale
        if precision <= _WIDEST:
            both = ColumnType(Logical.DECIMAL, precision, scale)
            return _SIGNS[sign](this=self.as_decimal(left, both), expression=self.as_decimal(right, both))
        same, less = self.by_parts(left, right, scale=scale, sign=sign)
        known = exp.and_(*(exp.Not(this=exp.Is(this=self.operand(x), expression=exp.null())) for x in (left, right)))
        return exp.case().when(known, exp.Not(this=exp.paren(same)) if sign == "<>" else less)

    def by_parts(self, left: ColumnName, right: ColumnName, *, scale: int, sign: Operator) -> tuple[exp.Expr, exp.Expr]:
        """Whether the parts before and after the point are the same, and whether they are ordered as the sign says."""
        (whole, rest), (other, other_rest) = self.parts(left, scale), self.parts(right, scale)
        same = exp.EQ(this=whole, expression=other)
        equal = exp.and_(same, exp.EQ(this=rest, expression=other_rest))
        if sign in {"=", "<>"}:
            return equal, equal
        strict = _SIGNS["<" if sign.startswith("<") else ">"](this=whole.copy(), expression=other.copy())
        ordered = _SIGNS[sign](this=rest.copy(), expression=other_rest.copy())
        return equal, exp.or_(strict, exp.and_(same.copy(), ordered))

    def parts(self, column: ColumnName, scale: int) -> tuple[exp.Expr, exp.Expr]:
        """A number before and after the point, both with its sign, in types that all columns of the scale share."""
        kind = self.types[column.name]
        before, after = ColumnType(Logical.DECIMAL, _WIDEST, 0), ColumnType(Logical.DECIMAL, _WIDEST, scale)
        if not kind.scale:
            return self.as_decimal(column, before), exact(0, after)
        if kind.scale == kind.precision:  # no digit before the point, not even for the 1 of `% 1`
            return exact(0, before), self.as_decimal(column, after)
        rest = self.operand(column) % exact(1, kind)
        return (
            exp.cast(self.operand(column) - rest, sql_type(before, dialect=self.dialect)),
            exp.cast(rest.copy(), sql_type(after, dialect=self.dialect)),
        )

    def as_decimal(self, column: ColumnName, kind: ColumnType) -> exp.Expr:
        written, own = sql_type(kind, dialect=self.dialect), sql_type(self.types[column.name], dialect=self.dialect)
        return self.operand(column) if written == own else exp.cast(self.operand(column), written)


def _truth(answer: bool) -> exp.Expr:  # noqa: FBT001 - a value, no switch
    return exp.true() if answer else exp.false()


def _precision(kind: ColumnType) -> int:
    return _INTEGER_DIGITS if kind.logical is Logical.INTEGER else kind.precision or _WIDEST


def _scale(*kinds: ColumnType) -> int:
    return max(kind.scale or 0 for kind in kinds)


def _bounds(kind: ColumnType) -> tuple[Decimal, Decimal]:
    if kind.logical is Logical.INTEGER:
        return _INTEGER_BOUNDS
    greatest = Decimal(f"{10 ** _precision(kind) - 1}e-{_scale(kind)}")
    return greatest.copy_negate(), greatest


def _moved(sign: Operator, value: Decimal, kind: ColumnType) -> tuple[Operator, Decimal] | bool:
    """The same comparison with a number of the column's type, or its answer where that is one for all its numbers."""
    least, greatest = _bounds(kind)
    step = Decimal(f"1e-{_scale(kind)}")
    floor = value.quantize(step, ROUND_FLOOR, context=_EXACT)
    if floor == value and least <= value <= greatest:
        return sign, value
    if sign in {"=", "<>"}:
        return sign == "<>"
    if sign in {"<", "<="}:
        return floor >= greatest or (floor >= least and ("<=", floor))
    ceiling = value.quantize(step, ROUND_CEILING, context=_EXACT)
    return ceiling <= least or (ceiling <= greatest and (">=", ceiling))
