"""Types, formats and bounds as a contract writes them, turned into what the platform computes with.

ODCS writes date formats in Java's letters (`yyyy-MM-dd`) and decimals as a physical type (`decimal(12,3)`); the
platform speaks strptime and `ColumnType`. Bounds come out as exact text in one notation (see `model.Check`).
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from zoneinfo import ZoneInfo

from lakehouse.contract.model import ColumnType, Logical

DEFAULT_DATE = "%Y-%m-%d"
DEFAULT_TIMESTAMP = "%Y-%m-%d %H:%M:%S"

#: Letters that have an exact twin in the readers of `quality`; a fraction of a second follows a point.
_LETTERS: dict[str, str] = {
    "yyyy": "%Y",
    "uuuu": "%Y",
    "yy": "%y",
    "M": "%m",
    "MM": "%m",
    "MMM": "%b",
    "MMMM": "%B",
    "d": "%d",
    "dd": "%d",
    "DDD": "%j",
    "H": "%H",
    "HH": "%H",
    "h": "%I",
    "hh": "%I",
    "mm": "%M",
    "ss": "%S",
    "SSS": "%f",
    "SSSSSS": "%f",
    "a": "%p",
    "XX": "%z",
    "XXX": "%z",
}
#: Words in place of a format: what has passed since 1970-01-01 UTC, as systems that stream changes write it.
EPOCHS = ("epoch_d", "epoch_s", "epoch_ms", "epoch_us")
_TOKEN = re.compile(r"'((?:[^']|'')*)'|([A-Za-z])\2*|([^A-Za-z'])")
_DECIMAL = re.compile(r"^\s*(?:decimal|numeric|number)\s*\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\)\s*$", re.IGNORECASE)
_FLOAT = re.compile(r"^\s*(?:double(?:\s+precision)?|float|float8|float64|real|f64)\s*$", re.IGNORECASE)
MOST_DIGITS = 38


def strptime_format(java: str) -> str:
    """Java's date letters as a strptime format.

    Raises:
        ValueError: a letter that has no exact twin; the message names it.
    """
    if java in EPOCHS:
        return java
    parts: list[str] = []
    place = 0
    while place < len(java):
        match = _TOKEN.match(java, place)
        if match is None:
            raise ValueError("a quote is not closed")
        place = match.end()
        quoted, letter, other = match.group(1), match.group(2), match.group(3)
        if quoted is not None:
            parts.append((quoted.replace("''", "'") or "'").replace("%", "%%"))
        elif letter:
            run = match.group(0)
            if run not in _LETTERS:
                raise ValueError(f"`{run}` is not among {', '.join(_LETTERS)}")
            if letter == "S" and not java[: match.start()].endswith("."):
                raise ValueError("a fraction of a second must follow a point")
            parts.append(_LETTERS[run])
        elif other == "%":
            raise ValueError("formats are written in Java's letters, such as `yyyy-MM-dd HH:mm:ss`")
        else:
            parts.append(other)
    return "".join(parts)


def number_type(physical: str | None) -> ColumnType:
    """What ODCS `number` means: its physical type must say.

    Raises:
        ValueError: neither an exact decimal nor a float is named; the message says what to write.
    """
    text = physical or ""
    match = _DECIMAL.match(text)
    if match:
        precision, scale = int(match.group(1)), int(match.group(2) or 0)
        if not 1 <= precision <= MOST_DIGITS or scale > precision:
            raise ValueError(f"decimal digits must be 1 to {MOST_DIGITS}, and the scale at most the precision")
        return ColumnType(Logical.DECIMAL, precision=precision, scale=scale)
    if _FLOAT.match(text):
        return ColumnType(Logical.FLOAT)
    raise ValueError("`number` needs `physicalType: decimal(precision,scale)`, or `double` for a measured value")


def bound(text: str, column: ColumnType, *, exclusive: int = 0) -> str:
    """A bound in the platform's notation, made inclusive.

    Args:
        text: as the contract writes it; dates and times in the column's own format, or ISO.
        column: the type of the column.
        exclusive: -1 for an upper, 1 for a lower bound that is itself not allowed, else 0.

    Raises:
        ValueError: the text is no value of that type.
    """
    match column.logical:
        case Logical.INTEGER | Logical.DECIMAL | Logical.FLOAT:
            return _number_bound(text, column, exclusive)
        case Logical.DATE:
            day = _moment(text, column.format or DEFAULT_DATE).date()
            return (day + timedelta(days=exclusive)).isoformat()
        case Logical.TIMESTAMP:
            moment = _moment(text, column.format or DEFAULT_TIMESTAMP)
            aware = moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(column.time_zone))
            return (aware.astimezone(UTC) + timedelta(microseconds=exclusive)).isoformat()
        case Logical.BOOLEAN if text not in {"true", "false"}:
            raise ValueError("must be `true` or `false`")
        case Logical.BOOLEAN | Logical.STRING:
            return text


def _number_bound(text: str, column: ColumnType, exclusive: int) -> str:
    if column.logical is Logical.INTEGER:
        return str(_whole(text) + exclusive)
    if column.logical is Logical.DECIMAL:
        return str(_exact(text, column) + exclusive * Decimal(1).scaleb(-(column.scale or 0)))
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("must be a finite number")
    return repr(math.nextafter(value, math.inf * exclusive) if exclusive else value)


def _whole(text: str) -> int:
    if not re.fullmatch(r"[+-]?[0-9]+", text):
        raise ValueError("must be a whole number")
    return int(text)


def _exact(text: str, column: ColumnType) -> Decimal:
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise ValueError("must be a number") from None
    if not value.is_finite():
        raise ValueError("must be a finite number")
    scale = column.scale or 0
    if value != round(value, scale):
        raise ValueError(f"has more than the {scale} decimal places of the column")
    return value.quantize(Decimal(1).scaleb(-scale)) if value.adjusted() < MOST_DIGITS - scale else value


def _moment(text: str, pattern: str) -> datetime:
    if pattern in EPOCHS:
        pattern = DEFAULT_TIMESTAMP
    try:
        return datetime.strptime(text, pattern)  # noqa: DTZ007 - the zone is the caller's
    except ValueError:
        pass  # not in the column's format: ISO is allowed as well
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("must be written in the column's format, or as ISO 8601") from None
