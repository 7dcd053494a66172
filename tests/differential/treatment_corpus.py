"""Values that break treatments, per column type, and what each treatment must show of them: data for every engine.

`CASES` are known answers by hand; `EDGES` are values for which any engine must agree with `treatments.apply`, under every
treatment of `TREATMENTS`. `literal` writes a value as SQL of one dialect, so that a test needs no table.
"""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass
from decimal import Decimal

from sqlglot import exp

from lakehouse.contract.model import ColumnType, Logical
from lakehouse.policy.expressions import Dialect, sql_type
from lakehouse.policy.treatments import parse

STRING, INTEGER, FLOAT = ColumnType(Logical.STRING), ColumnType(Logical.INTEGER), ColumnType(Logical.FLOAT)
BOOLEAN, DATE, TIMESTAMP = ColumnType(Logical.BOOLEAN), ColumnType(Logical.DATE), ColumnType(Logical.TIMESTAMP)


def decimal(precision: int, scale: int) -> ColumnType:
    return ColumnType(Logical.DECIMAL, precision, scale)


def at(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


LEAST, GREATEST = -(2**63), 2**63 - 1
EXACT = 2**53
#: One of every kind, and parameters at the limits of the types.
TREATMENTS = tuple(
    parse(text)
    for text in (
        "hide", "redact", "year", "month", "clear",
        "prefix(1)", "prefix(3)", "prefix(999999999999999999)",
        "partial(1)", "partial(4)", "partial(999999999999999999)",
        "bucket(1)", "bucket(3)", "bucket(7)", "bucket(10)", "bucket(1000)", "bucket(9007199254740992)",
        "bucket(99999999999999999)", "bucket(999999999999999999)",
    )
)  # fmt: skip

_ACCENT = "e\N{COMBINING ACUTE ACCENT}"
_FACE = "\N{GRINNING FACE}"
_FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"

EDGES: dict[ColumnType, tuple[object, ...]] = {
    STRING: (
        None, "", "a", "ab", "abc", "abcd", "12345678", "it's", "a\\b", "***", " ", "\n", "a\nb", "ž", _ACCENT, _FACE,
        _FACE * 2, _FACE * 9, f"x{_FACE}y{_FACE}z", _ACCENT * 4, _FAMILY, "\U0010ffff\ud7ff\ue000", "ﷺ", "العربية", "x" * 5000,
    ),
    INTEGER: (
        None, 0, 1, -1, 2, 3, -3, 7, -7, 9, -10, 10, 999, -1000, EXACT, -EXACT, LEAST, LEAST + 1, LEAST + 2, LEAST + 3, LEAST + 5,
        LEAST + 10, LEAST + 808, LEAST + 1000, GREATEST, GREATEST - 1, GREATEST - 7, 10**18, -(10**18),
    ),
    decimal(1, 0): (None, *map(Decimal, ("0", "9", "-9", "-1", "-7"))),
    decimal(5, 2): (None, *map(Decimal, ("0.00", "0.01", "-0.01", "999.99", "-999.99", "-990.00", "-3.00", "-2.99", "7.50"))),
    decimal(18, 4): (None, *map(Decimal, ("0.0000", "-0.0001", "99999999999999.9999", "-99999999999999.9999", "12.3456"))),
    decimal(38, 0): (None, *map(Decimal, ("0", "-1", "9" * 38, "-" + "9" * 38, "-" + "9" * 37 + "3", "-" + "9" * 37 + "0"))),
    decimal(38, 10): (None, *map(Decimal, ("0.0000000001", "-0.0000000001", "9" * 28 + "." + "9" * 10, "-" + "9" * 28 + "." + "9" * 10))),
    decimal(38, 38): (None, *map(Decimal, ("0." + "0" * 38, "0." + "9" * 38, "-0." + "9" * 38, "-0." + "0" * 37 + "1"))),
    FLOAT: (
        None, 0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 3.0, -3.0, 1.5, -1.5, 1e-300, -1e-300, 5e-324, -5e-324, float(EXACT), -float(EXACT),
        float(EXACT - 1), -float(EXACT - 1), -float(EXACT - 2), -float(EXACT - 3), EXACT / 2 + 0.5, -EXACT / 2 - 0.5, 1e16, -1e16,
        1e308, -1.7976931348623157e308, math.nan, math.inf, -math.inf, 0.1, -0.1, 999.9999999999999, -1000.0000000000001,
    ),
    BOOLEAN: (None, True, False),
    DATE: (
        None,
        *map(dt.date.fromisoformat, ("0001-01-01", "0001-12-31", "1582-10-04", "1582-10-15", "1582-12-31", "1900-02-28", "1969-12-31",
             "1970-01-01", "2000-02-29", "2024-01-01", "2024-12-31", "9999-01-01", "9999-12-31")),
    ),
    TIMESTAMP: (
        None,
        *map(at, ("0001-01-01", "0001-12-31T23:59:59.999", "1582-10-10T12:00", "1969-12-31T23:59:59.999", "1970-01-01", "2000-02-29T13:14:15",
             "2019-12-31T23:59:59.999", "2020-01-01", "2020-01-01T00:00:00.001", "2020-03-31T02:30", "2024-12-31T12:30", "9999-12-31T23:59:59.999")),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One answer worked out by hand."""

    treatment: str
    type: ColumnType
    value: object
    shows: object

    def __str__(self) -> str:
        return f"{self.treatment} of {self.type} {ascii(self.value)[:40]}"


CASES = (
    Case("hide", STRING, "abc", None),
    Case("hide", BOOLEAN, value=True, shows=None),
    Case("redact", STRING, "", "***"),
    Case("redact", STRING, "abc", "***"),
    Case("redact", STRING, None, None),
    Case("redact", INTEGER, 5, None),
    Case("prefix(2)", STRING, "abc", "ab"),
    Case("prefix(2)", STRING, "a", "a"),
    Case("prefix(2)", STRING, "", ""),
    Case("prefix(2)", STRING, f"{_FACE}bc", f"{_FACE}b"),
    Case("prefix(1)", STRING, _ACCENT, "e"),
    Case("prefix(2)", INTEGER, 123, None),
    Case("partial(4)", STRING, "", "***"),
    Case("partial(4)", STRING, "a", "***"),
    Case("partial(4)", STRING, "ab", "***"),
    Case("partial(4)", STRING, "abc", "***c"),
    Case("partial(4)", STRING, "abcdefgh", "***fgh"),
    Case("partial(4)", STRING, "abcdefghi", "***fghi"),
    Case("partial(4)", STRING, "abcdefghij", "***ghij"),
    Case("partial(4)", STRING, _FACE * 3, f"***{_FACE}"),
    Case("partial(4)", STRING, None, None),
    Case("year", DATE, dt.date(2020, 5, 6), dt.date(2020, 1, 1)),
    Case("month", DATE, dt.date(2020, 5, 6), dt.date(2020, 5, 1)),
    Case("month", DATE, dt.date(9999, 12, 31), dt.date(9999, 12, 1)),
    Case("year", DATE, dt.date(1, 12, 31), dt.date(1, 1, 1)),
    Case("year", TIMESTAMP, at("2019-12-31T23:59:59.999"), at("2019-01-01")),
    Case("month", TIMESTAMP, at("2020-03-01T00:00"), at("2020-03-01")),
    Case("month", TIMESTAMP, at("1969-12-31T23:59"), at("1969-12-01")),
    Case("year", STRING, "2020-05-06", "***"),
    Case("bucket(10)", INTEGER, 19, 10),
    Case("bucket(10)", INTEGER, 20, 20),
    Case("bucket(10)", INTEGER, -1, -10),
    Case("bucket(10)", INTEGER, -10, -10),
    Case("bucket(10)", INTEGER, LEAST + 8, LEAST + 8),
    Case("bucket(10)", INTEGER, LEAST + 7, None),
    Case("bucket(1)", INTEGER, LEAST, LEAST),
    Case("bucket(10)", INTEGER, GREATEST, GREATEST - 7),
    Case("bucket(10)", decimal(5, 2), Decimal("19.99"), Decimal("10.00")),
    Case("bucket(10)", decimal(5, 2), Decimal("-0.01"), Decimal("-10.00")),
    Case("bucket(10)", decimal(5, 2), Decimal("-990.01"), None),
    Case("bucket(1000)", decimal(5, 2), Decimal("999.99"), Decimal("0.00")),
    Case("bucket(1000)", decimal(5, 2), Decimal("-0.01"), None),
    Case("bucket(1)", decimal(38, 38), Decimal("-0.5"), None),
    Case("bucket(10)", FLOAT, 19.99, 10.0),
    Case("bucket(10)", FLOAT, -0.5, -10.0),
    Case("bucket(10)", FLOAT, -0.0, 0.0),
    Case("bucket(10)", FLOAT, float(EXACT), None),
    Case("bucket(3)", FLOAT, -float(EXACT - 1), None),
    Case("bucket(10)", FLOAT, math.nan, None),
    Case("bucket(10)", FLOAT, -math.inf, None),
    Case("bucket(10)", STRING, "19", "***"),
    Case("bucket(10)", BOOLEAN, value=True, shows=None),
    Case("clear", FLOAT, math.nan, None),
    Case("clear", FLOAT, math.inf, None),
    Case("clear", FLOAT, -math.inf, None),
    Case("clear", FLOAT, 1e308, 1e308),
    Case("clear", FLOAT, None, None),
    Case("clear", STRING, "", ""),
)


def literal(value: object, column_type: ColumnType, *, dialect: Dialect) -> exp.Expr:
    """A value in its column's type; text goes through as it is, so it holds no NUL."""
    if value is None:
        written: exp.Expr = exp.null()
    elif isinstance(value, bool):
        written = exp.true() if value else exp.false()
    elif isinstance(value, float):
        words = {math.inf: "Infinity", -math.inf: "-Infinity"}
        written = exp.Literal.string("NaN" if math.isnan(value) else words.get(value, repr(value)))
    elif isinstance(value, dt.datetime):
        written = exp.Literal.string(f"{value.year:04d}-{value:%m-%d %H:%M:%S}.{value.microsecond:06d}+00:00")
    else:
        written = exp.Literal.string(format(value, "f") if isinstance(value, Decimal) else str(value))
    return exp.cast(written, sql_type(column_type, dialect=dialect))
