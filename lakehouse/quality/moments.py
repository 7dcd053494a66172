"""Dates and instants out of text, as polars expressions: exactly what the format says, or null.

A format is read by chrono and must also match a shape (an anchored expression without alternatives that overlap: about
50 M rows/s), because polars alone reads `24-01-01` as the year 24, second 60 as the next minute and drops nanoseconds.
What a two-digit year, a skipped or a doubled hour means is the contract's word, never a guess.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Final

import polars as pl

from lakehouse.contract.formats import EPOCHS
from lakehouse.contract.model import Logical
from lakehouse.errors import ContractError
from lakehouse.model import Finding, Level

if TYPE_CHECKING:
    from lakehouse.contract.model import Column

FIRST_DAY: Final = date(1, 1, 1)
LAST_DAY: Final = date(9999, 12, 31)
FIRST_INSTANT: Final = datetime(1, 1, 1, tzinfo=UTC)
LAST_INSTANT: Final = datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)

#: ISO 8601, what a column without a format holds, and what dates of Parquet and Arrow are written as.
ISO: Final[dict[Logical, tuple[str, ...]]] = {
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
_DAY: Final = 86_400
#: Units of an epoch format in a second; days are counted for themselves.
_PER_SECOND: Final = {"epoch_s": 1, "epoch_ms": 1_000, "epoch_us": 1_000_000}
_FIRST_SECOND: Final = -62_135_596_800
_LAST_SECOND: Final = 253_402_300_799
#: Longer than any gap that clocks have had (a day, at the date line), shorter than the time between two changes.
_BEFORE_GAP: Final = "25h"


def moment(column: Column, *, native: bool = False) -> pl.Expr:
    """The date or instant that the text column spells, by the first of its formats that reads it.

    Args:
        column: of type date or timestamp.
        native: it may also come from a file that holds dates as such, which are written as ISO 8601.

    Raises:
        ContractError: a format holds a directive that is not supported.
    """
    kind = column.type
    formats = column.formats or ((kind.format,) if kind.format else ISO[kind.logical])
    if native:
        formats += tuple(form for form in ISO[kind.logical] if form not in formats)
    text = pl.col(column.name)
    read = _date if kind.logical is Logical.DATE else _timestamp
    return pl.coalesce([read(text, form, column) for form in formats])


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
            digits = _whole_width(digits) if _touched(form, place) else digits
            read, shape, place = read + directive, shape + digits, place + 2
        else:
            read, place = read + here[0], place + 1
            shape += f"\\{here[0]}" if here[0] in _SPECIAL else here[0]
    return read, rf"\A{shape}\z"


def _touched(form: str, place: int) -> bool:
    """Whether the directive at `place` has a neighbour without anything between them, as in `%y%m%d`."""
    before, after = form[max(place - 2, 0) : place], form[place + 2 : place + 4]
    return any(len(each) == 2 and each[0] == "%" and each[1] != "%" for each in (before, after))  # noqa: PLR2004


def _whole_width(digits: str) -> str:
    """The shape with every digit there: where nothing stands between, `93011` would be read as the 1st of January."""
    return digits.replace("{1,2}", "{2}").replace("{1,3}", "{3}").replace("]?", "]")


def shaped(text: pl.Expr, shape: str) -> pl.Expr:
    """The text where it has a shape, else null."""
    # The text is gated rather than the value: an expression that is named twice would be computed twice.
    return pl.when(text.str.contains(shape)).then(text)


def _date(text: pl.Expr, form: str, column: Column) -> pl.Expr:
    if form in EPOCHS:
        return _epoch_day(text, form)
    text, form = _with_century(text, form, column)
    read_as, shape = chrono(form, column.where)
    return shaped(text, shape).str.to_date(read_as, strict=False, cache=False)


def _timestamp(text: pl.Expr, form: str, column: Column) -> pl.Expr:
    if form in EPOCHS:
        return _epoch_instant(text, form)
    text, form = _with_century(text, form, column)
    read_as, shape = chrono(form, column.where)
    value = shaped(text, shape).str.to_datetime(read_as, time_unit="us", strict=False, cache=False)
    if "%#z" not in read_as:
        value = _on_the_clock(value, column)
    return value.dt.convert_time_zone("UTC")


def _on_the_clock(value: pl.Expr, column: Column) -> pl.Expr:
    """A local time as an instant. From 2100 on polars knows no summer time any more: its zone tables end there.

    A time that the clocks show twice or skip is no one instant unless the contract names it: null, hence a type failure.
    """
    zone = column.type.time_zone
    twice = {"earlier": "earliest", "later": "latest", "error": "null"}[column.fold]
    ambiguous = pl.lit(twice)
    instant = value.dt.replace_time_zone(zone, ambiguous=ambiguous, non_existent="null")
    if column.gap == "error":
        return instant
    # RFC 5545: the offset that was valid before the gap, so a time in it is moved on by the gap's length.
    first = pl.lit("earliest")
    exists = value.dt.replace_time_zone(zone, ambiguous=first, non_existent="null").is_not_null()
    earlier = value.dt.offset_by(f"-{_BEFORE_GAP}")
    earlier = earlier.dt.replace_time_zone(zone, ambiguous=first, non_existent="null")
    moved = earlier.dt.convert_time_zone("UTC").dt.offset_by(_BEFORE_GAP).dt.convert_time_zone(zone)
    return pl.when(exists).then(instant).otherwise(moved)


def _with_century(text: pl.Expr, form: str, column: Column) -> tuple[pl.Expr, str]:
    """Text and format with four-digit years, where the contract says which century two digits mean.

    The century goes into the text: the 29th of February is in 2000 but not in 1900.
    """
    before, found, after = form.partition("%y")
    if column.pivot is None or not found:
        return text, form
    shapes = [chrono(part, column.where)[1][2:-2] for part in (before, after)]
    parts = text.str.extract_groups(rf"\A({shapes[0]})([0-9]{{2}})({shapes[1]})\z").struct
    year = parts.field("2")
    century = pl.when(year.cast(pl.Int8) >= column.pivot).then(pl.lit("19")).otherwise(pl.lit("20"))
    return pl.concat_str(parts.field("1"), century, year, parts.field("3")), f"{before}%Y{after}"


def _epoch_day(text: pl.Expr, form: str) -> pl.Expr:
    number = shaped(text, r"\A-?[0-9]{1,18}\z").cast(pl.Int64, strict=False)
    unit = 1 if form == "epoch_d" else _PER_SECOND[form] * _DAY
    days = pl.when(number % unit == 0).then(number // unit)
    inside = days.is_between(_FIRST_SECOND // _DAY, _LAST_SECOND // _DAY)
    return pl.when(inside).then(days).cast(pl.Int32).cast(pl.Date)


def _epoch_instant(text: pl.Expr, form: str) -> pl.Expr:
    number = shaped(text, r"\A-?[0-9]{1,18}\z").cast(pl.Int64, strict=False)
    per_second = _PER_SECOND.get(form, 0)
    first, last = (
        (_FIRST_SECOND * per_second, (_LAST_SECOND + 1) * per_second - 1)
        if per_second
        else (_FIRST_SECOND // _DAY, _LAST_SECOND // _DAY)
    )
    micros = 1_000_000 // per_second if per_second else _DAY * 1_000_000
    inside = pl.when(number.is_between(first, last)).then(number) * micros
    return inside.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")


def birth_date(text: pl.Expr, pivot: int | None) -> pl.Expr:
    """The date in a Czech birth number (`yymmdd`, then perhaps three or four digits): women's months are 50 higher.

    Which century it is, `pivot` says; else the number's length does: ten digits came in 1954.
    """
    parts = text.str.extract_groups(r"\A([0-9]{2})([0-9]{2})([0-9]{2})/?([0-9]{3,4})?\z").struct
    year, month = parts.field("1").cast(pl.Int8), parts.field("2").cast(pl.Int8)
    if pivot is None:
        recent = (parts.field("4").str.len_bytes() == 4) & (year < 54)  # noqa: PLR2004 - the law of 1954
        old = recent.fill_null(value=False).not_()
    else:
        old = year >= pivot
    century = pl.when(old).then(pl.lit("19")).otherwise(pl.lit("20"))
    plain = pl.when(month > 50).then(month - 50).otherwise(month)  # noqa: PLR2004 - women
    spelled = pl.concat_str(century, parts.field("1"), plain.cast(pl.String).str.zfill(2), parts.field("3"))
    return spelled.str.to_date("%Y%m%d", strict=False, cache=False)


def sex(text: pl.Expr, pivot: int | None) -> pl.Expr:
    """`F` or `M`, out of the same number."""
    female = text.str.slice(2, 2).cast(pl.Int8, strict=False) > 50  # noqa: PLR2004 - women
    found = pl.when(female).then(pl.lit("F")).otherwise(pl.lit("M"))
    return pl.when(birth_date(text, pivot).is_not_null()).then(found)


def year_start(text: pl.Expr, base: int) -> pl.Expr:
    """January 1st of that many years after `base`; one word may stand before the number, as in `Year 0`."""
    told = text.str.extract(r"\A(?:[A-Za-z]+ )?([+-]?[0-9]{1,5})\z")
    number = told.cast(pl.Int32, strict=False) + base
    year = pl.when(number.is_between(FIRST_DAY.year, LAST_DAY.year)).then(number)
    return pl.concat_str(year.cast(pl.String).str.zfill(4), pl.lit("-01-01")).str.to_date("%Y-%m-%d", strict=False)


def _unsupported(form: str, directive: str, where: str) -> Finding:
    known = " ".join(f"%{letter}" for letter in _DIRECTIVES)
    message = f"format `{form}` has `{directive}`, which is not supported"
    return Finding("quality-format", Level.ERROR, where, message, f"use {known} and .%f")
