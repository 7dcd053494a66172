"""SQL of treatments: one total expression per treatment, column type and dialect, as sqlglot trees.

Total: evaluation fails for no value of the column's type, and results outside of the type are NULL instead of an overflow.
Equal to `treatments.apply` on both engines. `shown` is the whole interface; what a column shows is decided elsewhere.

INVARIANT: DuckDB reads floating columns with `can_have_nan=true`, else it drops the guard against NaN by the statistics of
a Parquet file. Integers are BIGINT, instants TIMESTAMP WITH TIME ZONE. Results do not depend on the session's zone.
Infinite dates and instants, which only DuckDB knows, are not looked for: nothing at the gate makes them.
"""

from __future__ import annotations

import math
from decimal import Decimal
from typing import TYPE_CHECKING, Literal

from sqlglot import exp

from lakehouse.contract.model import Logical
from lakehouse.policy.predicate_syntax import plain
from lakehouse.policy.treatments import (
    FLOAT_EXACT,
    INTEGER_GREATEST,
    INTEGER_LEAST,
    MASK,
    Kind,
    Treatment,
    typed,
)

if TYPE_CHECKING:
    from lakehouse.contract.model import ColumnType

Dialect = Literal["duckdb", "trino"]

#: Longer than any text; beyond it engines refuse lengths.
_LONGEST = 2**31 - 1
_TYPES: dict[Logical, str] = {
    Logical.STRING: "VARCHAR",
    Logical.INTEGER: "BIGINT",
    Logical.FLOAT: "DOUBLE",
    Logical.BOOLEAN: "BOOLEAN",
    Logical.DATE: "DATE",
}


def sql_type(column_type: ColumnType, *, dialect: Dialect) -> exp.DataType:
    """The type of a column in the engine. Trino's Delta connector shows instants to the millisecond."""
    match column_type.logical:
        case Logical.DECIMAL:
            return exp.DataType.build(f"DECIMAL({column_type.precision or 38}, {column_type.scale or 0})")
        case Logical.TIMESTAMP:
            written = "TIMESTAMPTZ" if dialect == "duckdb" else "TIMESTAMP(3) WITH TIME ZONE"
            return exp.DataType.build(written, dialect=dialect)
        case logical:
            return exp.DataType.build(_TYPES[logical])


def shown(
    treatment: Treatment, column: exp.Expr, column_type: ColumnType, *, dialect: Dialect, token: exp.Expr | None = None
) -> exp.Expr:
    """What a column shows under a treatment, as a new tree of the column's type (`token`: of the token's).

    Raises:
        ValueError: the treatment is `token` and there is no token.
    """
    counts_as = typed(treatment, column_type.logical)
    match counts_as.kind:
        case Kind.HIDE:
            return exp.cast(exp.null(), sql_type(column_type, dialect=dialect))
        case Kind.YEAR | Kind.MONTH:
            return _first_day(counts_as.kind, column, column_type, dialect)
        case Kind.BUCKET:
            return _bucket(column, counts_as.n, column_type, dialect=dialect)
        case Kind.TOKEN:
            if token is None:
                raise ValueError("treatment `token` needs the column of tokens")
            return _finite(column, token, column_type, dialect)
        case Kind.CLEAR:
            return _finite(column, column, column_type, dialect)
        case _:
            return _text(counts_as, column, dialect)


def whole(value: int) -> exp.Expr:
    """A whole number within 64 bits as a literal."""
    if value == INTEGER_LEAST:
        # Its digits without the sign are beyond 64 bits.
        return exp.cast(exp.Literal.string(str(value)), "BIGINT")
    return exp.Literal.number(value)


def exact(value: int | Decimal, column_type: ColumnType) -> exp.Expr:
    """An exact number as a literal of an integer or decimal column's type, which has to hold it."""
    if column_type.logical is Logical.INTEGER:
        return whole(int(value))
    # A cast of text: engines read long numbers with a point as floating ones first.
    return exp.cast(exp.Literal.string(plain(Decimal(value))), sql_type(column_type, dialect="duckdb"))


def floating(value: float) -> exp.Expr:
    """A floating literal; the exponent is what makes it one, in both dialects."""
    written = repr(abs(value)).upper()
    positive = exp.Literal.number(written if "E" in written else f"{written}E0")
    # sqlglot spells a literal with a sign anew, without the exponent.
    return exp.Neg(this=positive) if math.copysign(1, value) < 0 else positive


def _redacted(column: exp.Expr) -> exp.Expr:
    """The cast keeps the column's type: Trino's literals have their length in theirs."""
    absent = exp.Is(this=column.copy(), expression=exp.null())
    return exp.cast(exp.case().when(exp.Not(this=absent), exp.Literal.string(MASK)), "VARCHAR")


def _finite(column: exp.Expr, result: exp.Expr, column_type: ColumnType, dialect: Dialect) -> exp.Expr:
    """The result where the column holds a value: NaN and infinities are NULL."""
    if column_type.logical is not Logical.FLOAT:
        return result.copy()
    name = "isfinite" if dialect == "duckdb" else "is_finite"
    return exp.case().when(exp.Anonymous(this=name, expressions=[column.copy()]), result.copy())


def _text(treatment: Treatment, column: exp.Expr, dialect: Dialect) -> exp.Expr:
    count = min(treatment.n, _LONGEST)
    if treatment.kind is Kind.PREFIX:
        return exp.Substring(this=column.copy(), start=whole(1), length=whole(count))
    return _partial(column, count, dialect) if treatment.kind is Kind.PARTIAL else _redacted(column)


def _partial(column: exp.Expr, count: int, dialect: Dialect) -> exp.Expr:
    length = exp.Length(this=column.copy())
    rest = _extreme("greatest", length.copy() - whole(1), whole(0))
    # `/` between whole numbers cuts in Trino, DuckDB's makes a floating number; sqlglot's `//` for Trino does as well.
    half = exp.IntDiv(this=rest, expression=whole(2))
    if dialect == "trino":
        half = exp.Div(this=rest, expression=whole(2), typed=True)
    start = length + whole(1) - _extreme("least", half, whole(count))
    return exp.DPipe(this=exp.Literal.string(MASK), expression=exp.Substring(this=column.copy(), start=start))


def _extreme(name: str, *values: exp.Expr) -> exp.Expr:
    """GREATEST or LEAST as the engines have it; sqlglot's own nodes guard DuckDB's against NULL, which is not needed."""
    return exp.Anonymous(this=name, expressions=list(values))


def _first_day(kind: Kind, column: exp.Expr, column_type: ColumnType, dialect: Dialect) -> exp.Expr:
    unit = exp.var(kind.value.upper())
    zone = exp.Literal.string("UTC")
    in_utc = exp.AtTimeZone(this=column.copy(), zone=zone)
    if column_type.logical is Logical.TIMESTAMP:
        cut = exp.TimestampTrunc(this=in_utc, unit=unit)
        # DuckDB's conversion to a zone forgets it, and a second one puts it back; Trino's keeps it.
        return exp.AtTimeZone(this=cut, zone=zone.copy()) if dialect == "duckdb" else cut
    if dialect == "trino":
        return exp.TimestampTrunc(this=column.copy(), unit=unit)
    # DATE_TRUNC is a timestamp in DuckDB and fails for the last dates of its range.
    month = exp.Month(this=column.copy()) if kind is Kind.MONTH else whole(1)
    return exp.Anonymous(this="make_date", expressions=[exp.Year(this=column.copy()), month, whole(1)])


def _bucket(column: exp.Expr, width: int, column_type: ColumnType, *, dialect: Dialect) -> exp.Expr:
    match column_type.logical:
        case Logical.FLOAT:
            return _floating_bucket(column, width)
        case Logical.INTEGER:
            least, beyond = INTEGER_LEAST, INTEGER_GREATEST + 1
        case _:
            beyond = 10 ** ((column_type.precision or 38) - (column_type.scale or 0))
            least = 1 - beyond
    if width >= beyond:
        return exp.cast(_wider_bucket(column, width, least, column_type), sql_type(column_type, dialect=dialect))
    rest = column.copy() % exact(width, column_type)
    down = column.copy() - rest
    # Only results within the type are computed: v - v % w is nearer to zero than v, one width less may be out of it.
    within = down.copy() >= exact(least + width, column_type)
    cut = exp.case().when(rest.copy() >= exact(0, column_type), down)
    cut = cut.when(within, down.copy() - exact(width, column_type))
    return exp.cast(cut, sql_type(column_type, dialect=dialect))


def _wider_bucket(column: exp.Expr, width: int, least: int, column_type: ColumnType) -> exp.Expr:
    """A bucket that no value fills: from 0 on it is 0; below 0 out of the type, but for the least number of 64 bits."""
    zero = exact(0, column_type)
    cut = exp.case().when(column.copy() >= zero, zero.copy())
    return cut if -width < least else cut.when(column.copy() < zero.copy(), exact(-width, column_type))


def _floating_bucket(column: exp.Expr, width: int) -> exp.Expr:
    """As `treatments.apply`: values and results of 2^53 and beyond are NULL, NaN too (it is below nothing)."""
    zero, bound = floating(0.0), floating(float(FLOAT_EXACT))
    in_bounds = exp.Abs(this=column.copy()) < bound
    if width >= FLOAT_EXACT:
        return exp.case().when(exp.and_(in_bounds, column.copy() >= zero), zero.copy())
    rest = column.copy() % floating(float(width))
    down = column.copy() - rest
    below = down.copy() - floating(float(width))
    cut = exp.case().when(rest.copy() >= zero, down)
    return exp.case().when(in_bounds, cut.when(below > floating(-float(FLOAT_EXACT)), below.copy()))
