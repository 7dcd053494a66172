"""From delivered text to typed values, as polars expressions: exact or null, never rounded, never an exception.

What text is a value of a type stands here and nowhere else; what a row must promise beyond that is `rules`. Polars
alone is too generous: it rounds decimals, reads `1e3` as a decimal, `24-01-01` as the year 24, second 60 as the next
minute and drops nanoseconds. So decimals, dates and timestamps must also match a shape (an anchored expression without
alternatives that overlap: about 50 M rows/s), and the years 1 to 9999 are the only ones.

    integer    [+-]digits within 64 bits             decimal    [+-]digits[.digits], at most `scale` fraction digits
    float      decimal or e-notation, finite         boolean    true/false, t/f, yes/no, y/n, 1/0 in lower, upper, Title
    date       the format, else 2024-12-31           timestamp  the format, else ISO 8601 with or without zone
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Final

import polars as pl

from lakehouse.contract.model import Logical
from lakehouse.errors import ContractError
from lakehouse.model import Finding, Level

if TYPE_CHECKING:
    from lakehouse.contract.model import Column, ColumnType

TRUE_WORDS: Final = tuple(
    form for word in ("true", "t", "yes", "y", "1") for form in {word, word.upper(), word.title()}
)
FALSE_WORDS: Final = tuple(
    form for word in ("false", "f", "no", "n", "0") for form in {word, word.upper(), word.title()}
)
FIRST_DAY: Final = date(1, 1, 1)
LAST_DAY: Final = date(9999, 12, 31)
FIRST_INSTANT: Final = datetime(1, 1, 1, tzinfo=UTC)
LAST_INSTANT: Final = datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)

_TYPES: Final[dict[Logical, pl.DataType]] = {
    Logical.STRING: pl.String(),
    Logical.INTEGER: pl.Int64(),
    Logical.FLOAT: pl.Float64(),
    Logical.BOOLEAN: pl.Boolean(),
    Logical.DATE: pl.Date(),
    Logical.TIMESTAMP: pl.Datetime("us", "UTC"),
}
_DEFAULT_FORMATS: Final[dict[Logical, tuple[str, ...]]] = {
    Logical.DATE: ("%Y-%m-%d",),
    Logical.TIMESTAMP: (
        "%Y-%m-%d %H:%M:%S.%f",
        "%Y-%m-%dT%H:%M:%S.%f",
        "%Y-%m-%d %H:%M:%S.%f%z",
        "%Y-%m-%dT%H:%M:%S.%f%z",
        "%Y-%m-%d",
    ),
}
#: strptime directive -> (chrono directive, shape). A directive that is not here is a mistake in the contract.
_DIRECTIVES: Final = {
    "Y": ("%Y", "[0-9]{4}"),
    "y": ("%y", "[0-9]{2}"),
    "m": ("%m", "[0-9]{1,2}"),
    "d": ("%d", "[0-9]{1,2}"),
    "j": ("%j", "[0-9]{1,3}"),
    "b": ("%b", "[A-Za-z]{3}"),
    "B": ("%B", "[A-Za-z]{3,9}"),
    "H": ("%H", "[0-9]{1,2}"),
    "I": ("%I", "[0-9]{1,2}"),
    "M": ("%M", "[0-5]?[0-9]"),
    "S": ("%S", "[0-5]?[0-9]"),
    "p": ("%p", "[AaPp][Mm]"),
    "z": ("%#z", "(?:Z|[+-][0-9]{2}:?[0-9]{2})"),
    "%": ("%%", "%"),
}
_SPECIAL: Final = frozenset("\\.+*?()|[]{}^$#&-~")


def delivered(column: Column) -> pl.Expr:
    """The column's text, null where it is one of the column's null words."""
    text = pl.col(column.name)
    if not column.null_words:
        return text
    if len(column.null_words) == 1:
        return pl.when(text != column.null_words[0]).then(text).alias(column.name)
    return pl.when(~text.is_in(list(column.null_words))).then(text).alias(column.name)


def parsed(name: str, column_type: ColumnType, *, where: str = "") -> pl.Expr:
    """The value that the text column `name` spells; to be narrowed by `kept`.

    Raises:
        ContractError: the type's format holds a directive that is not supported.
    """
    text = pl.col(name)
    formats = (column_type.format,) if column_type.format else _DEFAULT_FORMATS.get(column_type.logical, ())
    match column_type.logical:
        case Logical.STRING:
            value = text
        case Logical.INTEGER | Logical.FLOAT:
            value = text.cast(polars_type(column_type), strict=False)
        case Logical.DECIMAL:
            value = _decimal(text, column_type)
        case Logical.BOOLEAN:
            words = pl.when(text.is_in(list(TRUE_WORDS))).then(statement=True)
            value = words.when(text.is_in(list(FALSE_WORDS))).then(statement=False)
        case Logical.DATE:
            value = pl.coalesce([_date(text, form, where) for form in formats])
        case Logical.TIMESTAMP:
            value = pl.coalesce([_timestamp(text, form, column_type.time_zone, where) for form in formats])
    return value.alias(name)


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
    return frame.select(parsed("text", column_type)).select(kept("text", column_type)).to_series()


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
        read(pl.Series(["1"]), column.type)
    except pl.exceptions.PolarsError:
        spelled = f"format `{column.type.format}` in time zone `{column.type.time_zone}`"
        message = f"column `{column.name}`: {spelled} cannot be read"
        hint = "hours need minutes; zones are named as in `Europe/Berlin`"
        raise ContractError([Finding("quality-format", Level.ERROR, column.where, message, hint)]) from None


def chrono(form: str, where: str = "") -> tuple[str, str]:
    """A strptime format as chrono reads it, and the anchored shape that its texts must have.

    Raises:
        ContractError: a directive that is not supported.
    """
    read, shape, place = "", "", 0
    while place < len(form):
        here = form[place : place + 3]
        if here == ".%f":
            read, shape, place = read + "%.f", shape + r"(?:\.[0-9]{1,6})?", place + 3
        elif here[0] == "%":
            if here[1:2] not in _DIRECTIVES:
                raise ContractError([_unsupported(form, f"%{here[1:2]}", where)])
            directive, digits = _DIRECTIVES[here[1]]
            read, shape, place = read + directive, shape + digits, place + 2
        else:
            read, place = read + here[0], place + 1
            shape += f"\\{here[0]}" if here[0] in _SPECIAL else here[0]
    return read, rf"\A{shape}\z"


def _decimal(text: pl.Expr, column_type: ColumnType) -> pl.Expr:
    scale = column_type.scale or 0
    fraction = rf"(?:\.[0-9]{{0,{scale}}})?" if scale else ""
    shape = rf"\A[+-]?[0-9]*{fraction}\z"
    return _shaped(text, shape).cast(polars_type(column_type), strict=False)


def _date(text: pl.Expr, form: str, where: str) -> pl.Expr:
    read_as, shape = chrono(form, where)
    return _shaped(text, shape).str.to_date(read_as, strict=False, cache=False)


def _timestamp(text: pl.Expr, form: str, zone: str, where: str) -> pl.Expr:
    read_as, shape = chrono(form, where)
    value = _shaped(text, shape).str.to_datetime(read_as, time_unit="us", strict=False, cache=False)
    if "%#z" not in read_as:
        # A local time that the clocks skip or show twice is no one instant: null, hence a type failure. From 2100 on
        # polars knows no summer time any more (its zone tables end there) and takes the standard offset.
        value = value.dt.replace_time_zone(zone, ambiguous="null", non_existent="null")
    return value.dt.convert_time_zone("UTC")


def _shaped(text: pl.Expr, shape: str) -> pl.Expr:
    # The text is gated rather than the value: an expression that is named twice would be computed twice.
    return pl.when(text.str.contains(shape)).then(text)


def _unsupported(form: str, directive: str, where: str) -> Finding:
    known = " ".join(f"%{letter}" for letter in _DIRECTIVES)
    message = f"format `{form}` has `{directive}`, which is not supported"
    return Finding("quality-format", Level.ERROR, where, message, f"use {known} and .%f")
