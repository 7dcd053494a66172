"""What a row must promise beyond its type, as polars expressions over typed columns: true where the promise is broken.

A rule other than `required` passes on null, so that a value that is missing, or that failed its type, is reported once
and not again by every other rule. In typed frames NaN is no value either: it fails `type` and `required`, other rules pass it.
Literals of the contract are read by `convert`, exactly as delivered text of that column would be.
"""

from __future__ import annotations

import operator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from lakehouse.contract.model import Logical, Rule
from lakehouse.errors import ContractError
from lakehouse.model import Finding, Level
from lakehouse.quality.convert import holds, polars_type, read

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from lakehouse.contract.model import Check, Column, Table


#: Up to here comparing with each value is faster than a set (four times for three short strings).
_FEW: Final = 8
_NUMBERS: Final = frozenset({Logical.INTEGER, Logical.DECIMAL, Logical.FLOAT})
_OPERATIONS: Final[dict[str, Callable[[pl.Expr, pl.Expr], pl.Expr]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}


def values_of(table: Table) -> dict[str, pl.Expr]:
    """Typed columns as rules see them: NaN is no value, as pandera has it."""
    return {
        column.name: pl.col(column.name).fill_nan(None) if column.type.logical is Logical.FLOAT else pl.col(column.name)
        for column in table.columns
    }


def broken(check: Check, table: Table, values: Mapping[str, pl.Expr]) -> pl.Expr | None:
    """True where a row breaks the check, null counts as false; None when no typed row can break it.

    Args:
        check: a row check.
        table: its table.
        values: per column its typed value, null where there is none or the type failed.

    Raises:
        ContractError: the check cannot be judged on these columns.
    """
    if check.rule is Rule.ENTITY or (not check.columns and check.rule in {Rule.UNKNOWN, Rule.MISSING, Rule.TYPE}):
        return None  # only delivered rows can differ from the contract, or name nobody
    column = subject(check, table)
    value = values[column.name]
    if check.rule in {Rule.PATTERN, Rule.LENGTH} and column.type.logical is not Logical.STRING:
        raise mistake(check, f"rule `{check.rule}` is for strings, column `{column.name}` is {column.type}")
    match check.rule:
        case Rule.TYPE:
            held = holds(column.name, column.type)
            found = None if held is None else ~held
        case Rule.REQUIRED:
            found = value.is_null()
        case Rule.ENUM:
            found = _not_among(value, literals(check, column, check.values))
        case Rule.RANGE:
            found = _outside(value, bounds(check, column), polars_type(column.type))
        case Rule.PATTERN:
            found = ~value.str.contains(anchored(check))
        case Rule.LENGTH:
            found = _outside(value.str.len_chars(), lengths(check), pl.UInt32())
        case Rule.COMPARE:
            found = ~_compared(check, table, values)
        case _:
            raise mistake(check, f"rule `{check.rule}` does not judge a row by itself")
    return found


def subject(check: Check, table: Table) -> Column:
    """The column that a row check is about."""
    if not check.columns:
        raise mistake(check, "names no column")
    return _column(check, table, check.columns[0])


def literals(check: Check, column: Column, texts: Sequence[str]) -> pl.Series:
    """The contract's literals (ISO dates, UTC instants, whatever format the column is delivered in), typed.

    Raises:
        ContractError: there is none, or one is not a value of the column's type.
    """
    if not texts:
        raise mistake(check, "lists no value")
    series = pl.Series("literal", list(texts), dtype=pl.String)
    typed = read(series, replace(column.type, format=None, time_zone="UTC"))
    for text, unreadable in zip(texts, typed.is_null(), strict=True):
        if unreadable:
            raise mistake(check, f"`{text}` is not a value of type {column.type} of column `{column.name}`")
    return typed


def bounds(check: Check, column: Column) -> tuple[Any, Any]:
    """Minimum and maximum of a range, typed as the column is; both inclusive, None where there is none.

    Raises:
        ContractError: there is neither, one is not a value of the column, or nothing lies between them.
    """
    lower, upper = (
        None if text is None else literals(check, column, [text]).item() for text in (check.minimum, check.maximum)
    )
    return _not_empty(check, lower, upper)


def lengths(check: Check) -> tuple[int | None, int | None]:
    """Minimum and maximum of a length or a number of rows; both inclusive.

    Raises:
        ContractError: there is neither, one is not a whole number, or nothing lies between them.
    """
    for text in (check.minimum, check.maximum):
        if text is not None and not (text.isascii() and text.isdigit()):
            raise mistake(check, f"`{text}` is not a whole number")
    lower, upper = (None if text is None else int(text) for text in (check.minimum, check.maximum))
    return _not_empty(check, lower, upper)


def _not_empty(check: Check, lower: Any, upper: Any) -> tuple[Any, Any]:
    if lower is None and upper is None:
        raise mistake(check, "has neither minimum nor maximum")
    if lower is not None and upper is not None and lower > upper:
        raise mistake(check, f"nothing lies between `{check.minimum}` and `{check.maximum}`")
    return lower, upper


def anchored(check: Check) -> str:
    """The check's pattern for the whole text; flags inside the pattern cannot loosen the anchors.

    Raises:
        ContractError: the pattern is missing or not a regular expression.
    """
    if check.pattern is None:
        raise mistake(check, "has no pattern")
    pattern = rf"\A(?:{check.pattern})\z"
    try:
        pl.select(pl.lit("").str.contains(pattern))
    except pl.exceptions.ComputeError:
        raise mistake(check, f"pattern `{check.pattern}` is not a regular expression (RE2)") from None
    return pattern


def mistake(check: Check, message: str) -> ContractError:
    """An error of the contract, at the check's place."""
    finding = Finding("quality-check", Level.ERROR, check.where, f"check `{check.name}`: {message}")
    return ContractError([finding])


def _not_among(value: pl.Expr, allowed: pl.Series) -> pl.Expr:
    if allowed.len() > _FEW:
        return ~value.is_in(allowed.implode())
    return pl.all_horizontal([value != pl.lit(one, dtype=allowed.dtype) for one in allowed])


def _outside(value: pl.Expr, limits: tuple[Any, Any], dtype: pl.DataType) -> pl.Expr:
    lower, upper = (None if limit is None else pl.lit(limit, dtype=dtype) for limit in limits)
    if lower is None:
        return value > upper
    return value < lower if upper is None else (value < lower) | (value > upper)


def comparison(check: Check, table: Table) -> tuple[Column, Column | pl.Series]:
    """What a comparison compares: a column with another column, or with a series of one typed literal.

    Raises:
        ContractError: there is nothing to compare with, or the two have no common order.
    """
    column = subject(check, table)
    if check.other is None:
        if len(check.values) != 1:
            raise mistake(check, "compares with neither a column nor one value")
        return column, literals(check, column, check.values)
    other = _column(check, table, check.other)
    kinds = {column.type.logical, other.type.logical}
    if len(kinds) > 1 and not kinds <= _NUMBERS:
        raise mistake(check, f"cannot compare {column.type} `{column.name}` with {other.type} `{other.name}`")
    return column, other


def operation(check: Check) -> Callable[[pl.Expr, pl.Expr], pl.Expr]:
    """The comparison that the check's operator names."""
    if check.operator is None:
        raise mistake(check, "has no operator")
    return _OPERATIONS[check.operator]


def _compared(check: Check, table: Table, values: Mapping[str, pl.Expr]) -> pl.Expr:
    column, other = comparison(check, table)
    right = pl.lit(other.item(), dtype=other.dtype) if isinstance(other, pl.Series) else values[other.name]
    return operation(check)(values[column.name], right)


def _column(check: Check, table: Table, name: str) -> Column:
    try:
        return table.column(name)
    except KeyError:
        raise mistake(check, f"there is no column `{name}` in `{table.id}`") from None
