"""What text is a value of a type: exact or a type failure, never rounded, never an exception."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from lakehouse.contract.model import ColumnType, Logical
from lakehouse.errors import ContractError

INTEGER = ColumnType(Logical.INTEGER)
MONEY = ColumnType(Logical.DECIMAL, precision=10, scale=2)
FLOAT = ColumnType(Logical.FLOAT)
BOOLEAN = ColumnType(Logical.BOOLEAN)
DATE = ColumnType(Logical.DATE, format="%Y-%m-%d")
BERLIN = ColumnType(Logical.TIMESTAMP, format="%Y-%m-%d %H:%M:%S", time_zone="Europe/Berlin")

GOOD = [
    (INTEGER, "1", 1),
    (INTEGER, "+5", 5),
    (INTEGER, "-0", 0),
    (INTEGER, "007", 7),
    (INTEGER, "9223372036854775807", 2**63 - 1),
    (INTEGER, "-9223372036854775808", -(2**63)),
    (MONEY, "1.5", Decimal("1.50")),
    (MONEY, "-.5", Decimal("-0.50")),
    (MONEY, "5.", Decimal("5.00")),
    (MONEY, "+3", Decimal("3.00")),
    (MONEY, "99999999.99", Decimal("99999999.99")),
    (ColumnType(Logical.DECIMAL, precision=38, scale=0), "9" * 38, Decimal("9" * 38)),
    (ColumnType(Logical.DECIMAL, precision=38, scale=38), "0." + "9" * 38, Decimal("0." + "9" * 38)),
    (FLOAT, "1.5", 1.5),
    (FLOAT, "1e3", 1000.0),
    (FLOAT, "-0", 0.0),
    (BOOLEAN, "true", True),
    (BOOLEAN, "No", False),
    (BOOLEAN, "Y", True),
    (BOOLEAN, "0", False),
    (DATE, "2024-02-29", date(2024, 2, 29)),
    (DATE, "2024-3-1", date(2024, 3, 1)),
    (DATE, "0001-01-01", date(1, 1, 1)),
    (DATE, "9999-12-31", date(9999, 12, 31)),
    (ColumnType(Logical.DATE, format="%d/%m/%Y"), "01/02/2024", date(2024, 2, 1)),
    (ColumnType(Logical.DATE, format="%y%m%d"), "930111", date(1993, 1, 11)),
    (BERLIN, "2024-06-01 12:00:00", datetime(2024, 6, 1, 10, tzinfo=UTC)),
    (BERLIN, "2024-03-31 03:00:00", datetime(2024, 3, 31, 1, tzinfo=UTC)),
    (
        ColumnType(Logical.TIMESTAMP, format="%Y-%m-%dT%H:%M:%S%z", time_zone="Europe/Berlin"),
        "2024-06-01T12:00:00-05:00",
        datetime(2024, 6, 1, 17, tzinfo=UTC),
    ),
    (
        ColumnType(Logical.TIMESTAMP, format="%Y-%m-%dT%H:%M:%S%z"),
        "2024-06-01T12:00:00Z",
        datetime(2024, 6, 1, 12, tzinfo=UTC),
    ),
    (
        ColumnType(Logical.TIMESTAMP, format="%Y-%m-%d %H:%M:%S.%f"),
        "2024-06-01 12:00:00.25",
        datetime(2024, 6, 1, 12, 0, 0, 250_000, tzinfo=UTC),
    ),
    (
        ColumnType(Logical.TIMESTAMP, format="%Y-%m-%d %H:%M"),
        "2024-06-01 12:30",
        datetime(2024, 6, 1, 12, 30, tzinfo=UTC),
    ),
    (ColumnType(Logical.TIMESTAMP), "2024-06-01T12:00:00", datetime(2024, 6, 1, 12, tzinfo=UTC)),
    (ColumnType(Logical.TIMESTAMP), "2024-06-01 12:00:00.5+02:00", datetime(2024, 6, 1, 10, 0, 0, 500_000, tzinfo=UTC)),
]

BAD = [
    (ColumnType(Logical.DATE, format="%y%m%d"), "93011"),
    (ColumnType(Logical.DATE, format="%Y%m%d"), "2024111"),
    (ColumnType(Logical.TIMESTAMP, format="%Y%m%d %H%M%S"), "20240111 12345"),
    *((INTEGER, text) for text in ("1.5", "1.0", "1e3", " 5", "5 ", "0x1F", "1_000", "1,000", "--1", "+", "-", "- 1")),
    *(
        (INTEGER, text)
        for text in (
            "\u0661\u0662\u0663",
            "\uff11\uff12",
            "NaN",
            "inf",
            "9223372036854775808",
            "-9223372036854775809",
            "5\n",
        )
    ),
    *((MONEY, text) for text in ("1.234", "1.230", "1e3", "1e-400", "NaN", "inf", " 1", "1 ", "1,5", ".", "-", "1..2")),
    *((MONEY, text) for text in ("100000000.00", "99999999.999", "\u0661.\u0665", "0x1", "1.5\n", "$1")),
    *(
        (FLOAT, text)
        for text in ("NaN", "nan", "inf", "-inf", "infinity", "1e999", "-1e999", "", " 1", "0x1F", "1,5")[:6]
    ),
    *((FLOAT, text) for text in ("-1e999", " 1", "0x1F", "1,5", "\u0661")),
    *((BOOLEAN, text) for text in ("tRuE", "2", "maybe", " true", "wahr")),
    *(
        (DATE, text)
        for text in ("2024-02-30", "2023-02-29", "10000-01-01", "+10000-01-01", "0000-01-01", "-0001-01-01")
    ),
    *(
        (DATE, text)
        for text in (
            "24-01-01",
            " 2024-01-01",
            "2024-01-01 ",
            "2024-01-01T00:00:00",
            "\u0662\u0660\u0662\u0664-01-01",
            "2024- 1-1",
        )
    ),
    # the clocks skip 02:00-03:00 in March and show it twice in October: neither names one instant
    (BERLIN, "2024-03-31 02:30:00"),
    (BERLIN, "2024-10-27 02:30:00"),
    # second 60 would silently be the next minute, a ninth digit would be dropped
    (BERLIN, "2024-06-01 12:00:60"),
    (BERLIN, "2024-06-01 24:00:00"),
    (BERLIN, "2024-06-01 12:00:00.5"),
    (BERLIN, "10000-01-01 00:00:00"),
    (BERLIN, "0001-01-01 00:00:00"),  # before year 1 in UTC
    (BERLIN, "2024-02-30 00:00:00"),
    (ColumnType(Logical.TIMESTAMP, format="%Y-%m-%d %H:%M:%S.%f"), "2024-06-01 12:00:00.123456789"),
    (ColumnType(Logical.TIMESTAMP), "2024-06-01T12:00:00 Europe/Berlin"),
    (ColumnType(Logical.TIMESTAMP), "yesterday"),
]


@pytest.mark.parametrize(("column_type", "text", "value"), GOOD, ids=str)
def test_text_becomes_exactly_its_value(judge, column_type, text, value):
    judged = judge(column_type, [text])
    assert judged.typed["x"].to_list() == [value]
    assert judged.failed.to_list() == [0]


@pytest.mark.parametrize(
    ("column_type", "text"), BAD, ids=lambda given: repr(given) if isinstance(given, str) else str(given)
)
def test_text_that_is_not_exactly_a_value_fails_its_type(judge, column_type, text):
    judged = judge(column_type, ["", text])
    assert judged.typed["x"].to_list() == [None, None]
    assert judged.counts() == {"type_x": 1}


def test_a_string_is_kept_as_delivered(judge):
    judged = judge(ColumnType(Logical.STRING), [" a ", "\u00e4", "", None, "x\x00"])
    assert judged.typed["x"].to_list() == [" a ", "\u00e4", None, None, "x\x00"]


@pytest.mark.parametrize("column_type", [INTEGER, MONEY, FLOAT, BOOLEAN, DATE, BERLIN], ids=str)
def test_null_words_are_null_and_no_type_failure(judge, column_type):
    judged = judge(column_type, ["N/A", "-999", "", None], null_words=("", "N/A", "-999"))
    assert judged.typed["x"].to_list() == [None] * 4
    assert judged.counts() == {"type_x": 0}


def test_without_null_words_empty_text_is_a_string_and_no_number(judge):
    assert judge(ColumnType(Logical.STRING), ["", None], null_words=()).typed["x"].to_list() == ["", None]
    assert judge(INTEGER, ["", None], null_words=()).counts() == {"type_x": 1}


def test_an_unknown_time_zone_is_the_contracts_mistake(judge):
    with pytest.raises(ContractError, match="cannot be read"):
        judge(ColumnType(Logical.TIMESTAMP, format="%Y-%m-%d %H:%M:%S", time_zone="Mars/Base"), [])


@pytest.mark.parametrize("form", ["%Q", "%f", "%Y-%", "%s"])
def test_a_format_that_is_not_understood_is_the_contracts_mistake(judge, form):
    with pytest.raises(ContractError, match="not supported"):
        judge(ColumnType(Logical.TIMESTAMP, format=form), ["2024"])


def test_a_format_that_polars_cannot_read_is_the_contracts_mistake(judge):
    with pytest.raises(ContractError, match="cannot be read"):
        judge(ColumnType(Logical.TIMESTAMP, format="%Y-%m-%d %H"), ["2024-01-01 12"])


def test_signs_of_a_format_are_taken_literally(judge):
    dotted = ColumnType(Logical.DATE, format="%d.%m.%Y")
    assert judge(dotted, ["01.02.2024", "01-02-2024"]).counts() == {"type_x": 1}
    assert judge(ColumnType(Logical.DATE, format="%b %d, %Y"), ["Feb 29, 2024"]).counts() == {"type_x": 0}
