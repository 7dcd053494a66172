"""From delivered text to typed values, as polars expressions: exact or null, never rounded, never an exception.

What text is a value of a type stands here (dates in `moments`) and nowhere else; what a row must promise beyond that is
`rules`. Polars alone is too generous: it rounds decimals and reads `1e3` as a decimal. So decimals must also match a shape,
as must every number with marks of its own, and the years 1 to 9999 are the only ones.

    integer    [+-]digits within 64 bits             decimal    [+-]digits[.digits], at most `scale` fraction digits
    float      decimal or e-notation, finite         boolean    true/false, t/f, yes/no, y/n, 1/0 in lower, upper, Title
    date       the formats, else 2024-12-31          timestamp  the formats, else ISO 8601 with or without zone
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from lakehouse.contract.model import Column, Logical
from lakehouse.errors import ContractError
from lakehouse.model import Finding, Level
from lakehouse.quality.moments import (
    FIRST_DAY,
    FIRST_INSTANT,
    LAST_DAY,
    LAST_INSTANT,
    birth_date,
    moment,
    sex,
    shaped,
    year_start,
)

if TYPE_CHECKING:
    from lakehouse.contract.model import ColumnType

TRUE_WORDS: Final = tuple(
    form for word in ("true", "t", "yes", "y", "1") for form in {word, word.upper(), word.title()}
)
FALSE_WORDS: Final = tuple(
    form for word in ("false", "f", "no", "n", "0") for form in {word, word.upper(), word.title()}
)
_TYPES: Final[dict[Logical, pl.DataType]] = {
    Logical.STRING: pl.String(),
    Logical.INTEGER: pl.Int64(),
    Logical.FLOAT: pl.Float64(),
    Logical.BOOLEAN: pl.Boolean(),
    Logical.DATE: pl.Date(),
    Logical.TIMESTAMP: pl.Datetime("us", "UTC"),
}


def delivered(column: Column) -> pl.Expr:
    """The column's text, null where it is one of the column's null words."""
    text = pl.col(column.name)
    if not column.null_words:
        return text
    if len(column.null_words) == 1:
        return pl.when(text != column.null_words[0]).then(text).alias(column.name)
    return pl.when(~text.is_in(list(column.null_words))).then(text).alias(column.name)


def parsed(column: Column, *, native: bool = False) -> pl.Expr:
    """The value that the text column spells; to be narrowed by `kept`.

    Args:
        column: what it holds, and how that is written.
        native: dates may also be written as ISO 8601, because some feed delivers them as dates and not as text.

    Raises:
        ContractError: a format holds a directive that is not supported.
    """
    text = pl.col(column.name)
    match column.type.logical:
        case Logical.STRING:
            value = text
        case Logical.INTEGER | Logical.FLOAT:
            plain = column.thousands is None and column.decimal == "."
            value = (text if plain else _plain(text, column)).cast(polars_type(column.type), strict=False)
        case Logical.DECIMAL:
            value = _plain(text, column).cast(polars_type(column.type), strict=False)
        case Logical.BOOLEAN:
            words = pl.when(text.is_in(list(TRUE_WORDS))).then(statement=True)
            value = words.when(text.is_in(list(FALSE_WORDS))).then(statement=False)
        case Logical.DATE | Logical.TIMESTAMP:
            value = moment(column, native=native)
    return value.alias(column.name)


def transformed(column: Column) -> pl.Expr:
    """The value that a transform makes of another column's text; null where it cannot be read."""
    transform = column.transform
    if transform is None:
        raise ContractError([Finding("quality-transform", Level.ERROR, column.where, "the column has no transform")])
    text = pl.col(transform.source)
    match transform.how:
        case "czech_birth_date":
            value = birth_date(text, column.pivot)
        case "czech_sex":
            value = sex(text, column.pivot)
        case "year_start":
            value = year_start(text, transform.base or 0)
    return value.alias(column.name)


def holds(name: str, column_type: ColumnType) -> pl.Expr | None:
    """Whether the typed column `name` holds a value that text can spell: finite, within the years 1 to 9999.

    None stands for always.
    """
    value = pl.col(name)
    match column_type.logical:
        case Logical.FLOAT:
            return value.is_finite()
        case Logical.DATE:
            return value.is_between(FIRST_DAY, LAST_DAY)
        case Logical.TIMESTAMP:
            return value.is_between(FIRST_INSTANT, LAST_INSTANT)
        case _:
            return None


def kept(name: str, column_type: ColumnType) -> pl.Expr:
    """The typed column `name`, null where `holds` is false."""
    condition = holds(name, column_type)
    return pl.col(name) if condition is None else pl.when(condition).then(pl.col(name)).alias(name)


def read(texts: pl.Series, column_type: ColumnType) -> pl.Series:
    """Texts as typed values, null where they are not exactly values of the type."""
    frame = pl.DataFrame({"text": texts}, schema={"text": pl.String})
    column = Column("text", "text", column_type, "")
    return frame.select(parsed(column)).select(kept("text", column_type)).to_series()


def polars_type(column_type: ColumnType) -> pl.DataType:
    """The polars type that values of a contract type have in staged, curated and feature tables."""
    if column_type.logical is Logical.DECIMAL:
        return pl.Decimal(column_type.precision or 38, column_type.scale or 0)
    return _TYPES[column_type.logical]


def try_type(column: Column) -> None:
    """Reads one text as the column's type, so that a type nobody can read fails when compiled, not at midnight.

    Raises:
        ContractError: the format or the time zone cannot be read.
    """
    try:
        pl.DataFrame({column.name: ["1"]}).select(parsed(column))
    except pl.exceptions.PolarsError:
        formats = ", ".join(f"`{form}`" for form in column.formats or (column.type.format,))
        spelled = f"format {formats} in time zone `{column.type.time_zone}`"
        message = f"column `{column.name}`: {spelled} cannot be read"
        hint = "hours need minutes; zones are named as in `Europe/Berlin`"
        raise ContractError([Finding("quality-format", Level.ERROR, column.where, message, hint)]) from None


def _plain(text: pl.Expr, column: Column) -> pl.Expr:
    """Numbers as polars reads them; null where the marks are not where they belong."""
    point, mark = _escaped(column.decimal), _escaped(column.thousands or "")
    grouped = rf"[0-9]{{1,3}}(?:{mark}[0-9]{{3}})+"
    match column.type.logical:
        case Logical.DECIMAL:
            whole, fraction = "[0-9]*", rf"(?:{point}[0-9]{{0,{column.type.scale}}})?" if column.type.scale else ""
        case Logical.FLOAT:
            whole, fraction = "[0-9]*", rf"(?:{point}[0-9]*)?(?:[eE][+-]?[0-9]+)?"
        case _:
            whole, fraction = "[0-9]+", ""
    if column.thousands is not None:
        whole = f"(?:{whole}|{grouped})"
    found = shaped(text, rf"\A[+-]?{whole}{fraction}\z")
    if column.thousands is not None:
        found = found.str.replace_all(column.thousands, "", literal=True)
    return found if column.decimal == "." else found.str.replace(column.decimal, ".", literal=True)


def _escaped(mark: str) -> str:
    return f"\\{mark}" if mark == "." else mark
