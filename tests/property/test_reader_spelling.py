"""How values are spelled, held against Python's own parsing: dates, centuries, clocks, marks in numbers, encoded columns."""

from __future__ import annotations

import dataclasses
import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.contract.model import Check, CheckKind, Column, ColumnType, Logical, Rule, Source, Table, Transform
from lakehouse.model import TableId, Tier
from lakehouse.quality import compile_row_checks

DATE = ColumnType(Logical.DATE)
STAMP = ColumnType(Logical.TIMESTAMP, time_zone="UTC")
MONEY = ColumnType(Logical.DECIMAL, precision=12, scale=2)
FIRST, LAST = date(1, 1, 1), date(9999, 12, 31)


def judged(column: Column, texts: list[str | None], *, native: bool = False) -> list[object]:
    """The values; one is missing exactly where its type check failed."""
    source = None if column.transform is None else column.transform.source
    columns = (column,) if source is None else (Column(source, source, ColumnType(Logical.STRING), "x"), column)
    check = Check("type_x", CheckKind.ROW, Rule.TYPE, ("x",))
    sources = (Source("s", format="parquet"),) if native else ()
    table = Table(TableId(Tier.STAGED, "demo", "t"), "t", columns, (), checks=(check,), sources=sources)
    frame = pl.DataFrame({source or "x": texts}, schema={source or "x": pl.String})
    result = compile_row_checks(table).judge(frame)
    values = result.typed["x"].to_list()
    for text, value, mask in zip(texts, values, result.failed.to_list(), strict=True):
        assert (value is None) == (not text or mask == 1)
    return values


def column(kind: ColumnType, **how) -> Column:
    return Column("x", "x", kind, "system.operations", **how)


@given(st.lists(st.dates(), max_size=20), st.permutations(["%d.%m.%Y", "%Y%m%d", "%m/%d/%Y"]))
def test_the_first_format_that_reads_wins(days, formats):
    texts = [day.strftime(formats[number % 3]).rjust(8, "0") for number, day in enumerate(days)]
    found = judged(column(DATE, formats=tuple(formats)), texts)
    assert found == [_first(text, formats) for text in texts]


def _first(text: str, formats: list[str]) -> date | None:
    for form in formats:
        shape = form.replace(".", r"\.")
        shape = shape.replace("%Y", r"\d{4}").replace("%m", r"\d{1,2}").replace("%d", r"\d{1,2}")
        if not re.fullmatch(shape, text, re.ASCII):
            continue
        try:
            return datetime.strptime(text, form).date()
        except ValueError:
            continue
    return None


@given(
    st.lists(st.tuples(st.integers(0, 99), st.integers(1, 12), st.integers(1, 31)), max_size=20), st.integers(0, 100)
)
def test_two_digit_years_have_the_century_that_the_pivot_says(parts, pivot):
    texts = [f"{year:02}{month:02}{day:02}" for year, month, day in parts]
    wanted = [_day((1900 if year >= pivot else 2000) + year, month, day) for year, month, day in parts]
    assert judged(column(DATE, formats=("%y%m%d",), pivot=pivot), texts) == wanted
    stamps = [f"{text[:2]}/{text[2:4]}/{text[4:]} 00:00" for text in texts]
    found = judged(column(STAMP, formats=("%y/%m/%d %H:%M",), pivot=pivot), stamps)
    assert [None if moment is None else moment.date() for moment in found] == wanted


def _day(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None


#: Zones with gaps of an hour, half an hour and a whole day.
ZONES = ["Europe/Prague", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "UTC"]
near = st.sampled_from(
    [
        *(datetime(2024, 3, 31, 2), datetime(2024, 10, 27, 2), datetime(2024, 3, 10, 2), datetime(2024, 11, 3, 1)),
        *(datetime(2024, 10, 6, 2), datetime(2024, 4, 7, 2), datetime(2011, 12, 30), datetime(2011, 12, 31)),
    ]
).flatmap(lambda start: st.integers(-180, 180).map(lambda minutes: start + timedelta(minutes=minutes)))


@given(
    st.lists(near, max_size=20),
    st.sampled_from(ZONES),
    st.sampled_from(["earlier", "later", "error"]),
    st.sampled_from(["forward", "error"]),
)
def test_folds_and_gaps_are_what_the_contract_names(moments, zone, fold, gap):
    kind = dataclasses.replace(STAMP, time_zone=zone, format="%Y-%m-%d %H:%M:%S")
    found = judged(column(kind, fold=fold, gap=gap), [moment.isoformat(sep=" ") for moment in moments])
    assert found == [_instant(moment, ZoneInfo(zone), fold, gap) for moment in moments]


def _instant(moment: datetime, zone: ZoneInfo, fold: str, gap: str) -> datetime | None:
    early, late = (moment.replace(tzinfo=zone, fold=which).utcoffset() for which in (0, 1))
    if early == late:
        return (moment - early).replace(tzinfo=UTC)
    if early < late:  # skipped: Python's fold=0 is the offset before the gap
        return None if gap == "error" else (moment - early).replace(tzinfo=UTC)
    return {"earlier": (moment - early).replace(tzinfo=UTC), "later": (moment - late).replace(tzinfo=UTC)}.get(fold)


MARKS = [(".", None), (",", "."), (",", " "), (".", ","), (",", None), (".", "'"), (",", "\u00a0")]


@given(
    st.lists(
        st.decimals(-(10**9), 10**9, places=2).map(str) | st.text("0123456789+-., '\u00a0eE", max_size=12), max_size=20
    ),
    st.sampled_from(MARKS),
    st.booleans(),
)
def test_numbers_with_marks_are_exact_or_fail(texts, marks, grouped):
    point, mark = marks
    spelled = [_marked(text, point, mark) if grouped else text for text in texts]
    whole = "[0-9]*" if mark is None else rf"(?:[0-9]*|[0-9]{{1,3}}(?:{re.escape(mark)}[0-9]{{3}})+)"
    values = judged(column(MONEY, decimal=point, thousands=mark), spelled)
    floats = judged(column(ColumnType(Logical.FLOAT), decimal=point, thousands=mark), spelled)
    integers = judged(column(ColumnType(Logical.INTEGER), thousands=mark), spelled)
    for text, value, float_value, integer in zip(spelled, values, floats, integers, strict=True):
        plain = text.replace(mark or "\0", "").replace(point, ".")
        digits = re.search("[0-9]", text)
        if digits and re.fullmatch(rf"[+-]?{whole}(?:{re.escape(point)}[0-9]{{0,2}})?", text):
            assert value == (Decimal(plain) if abs(Decimal(plain)) < 10**10 else None)
        else:
            assert value is None
        if float_value is not None:
            assert float_value == float(plain)
        if digits and re.fullmatch(rf"[+-]?{whole}", text):
            assert integer == int(plain) == float_value


def _marked(text: str, point: str, mark: str | None) -> str:
    match = re.fullmatch(r"([+-]?)([0-9]+)\.([0-9]+)", text)
    if match is None:
        return text
    sign, whole, fraction = match.groups()
    return f"{sign}{int(whole):,}".replace(",", mark or "") + point + fraction


@given(
    st.lists(st.integers(-(10**18), 10**18) | st.integers(-(10**6), 10**6), max_size=20),
    st.sampled_from(["s", "ms", "us", "d"]),
)
def test_epochs_are_exact(numbers, unit):
    micros = {"s": 10**6, "ms": 10**3, "us": 1, "d": 86_400 * 10**6}[unit]
    wanted = [_since(number * micros) for number in numbers]
    texts = [str(number) for number in numbers]
    assert judged(column(STAMP, formats=(f"epoch_{unit}",)), texts) == wanted
    days = [None if moment is None or moment.time() != datetime.min.time() else moment.date() for moment in wanted]
    assert judged(column(DATE, formats=(f"epoch_{unit}",)), texts) == days


def _since(micros: int) -> datetime | None:
    try:
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)
    except OverflowError:
        return None


numbers = st.tuples(
    st.integers(0, 99), st.integers(0, 13) | st.integers(50, 63), st.integers(0, 32), st.sampled_from(["", "123", "/1234"])
)  # fmt: skip


@given(st.lists(numbers, max_size=20), st.sampled_from([None, 0, 54, 100]))
def test_birth_numbers_give_date_and_sex(parts, pivot):
    texts = [f"{year:02}{month:02}{day:02}{rest}" for year, month, day, rest in parts]
    wanted = []
    for year, month, day, rest in parts:
        recent = year < pivot if pivot is not None else rest == "/1234" and year < 54
        wanted.append(_day((2000 if recent else 1900) + year, month - 50 if month > 50 else month, day))
    birth = column(DATE, derived="transform", transform=Transform("b", "czech_birth_date"), pivot=pivot)
    assert judged(birth, texts) == wanted
    sexes = [None if day is None else "F" if part[1] > 50 else "M" for day, part in zip(wanted, parts, strict=True)]
    how = Transform("b", "czech_sex")
    sex = column(ColumnType(Logical.STRING), derived="transform", transform=how, pivot=pivot)
    assert judged(sex, texts) == sexes


@given(st.lists(st.text(max_size=8), max_size=20))
def test_any_text_is_a_birth_number_or_fails(texts):
    birth = column(DATE, derived="transform", transform=Transform("b", "czech_birth_date"))
    assert len(judged(birth, texts)) == len(texts)


@given(
    st.lists(st.integers(-20_000, 20_000).map(str) | st.text("0123456789-+.", max_size=5), max_size=20),
    st.integers(0, 3000),
)
def test_years_start_at_their_base(texts, base):
    start = column(DATE, derived="transform", transform=Transform("b", "year_start", base))
    wanted = [
        _day(base + int(text), 1, 1) if re.fullmatch(r"[+-]?[0-9]{1,5}", text) and base + int(text) > 0 else None
        for text in texts
    ]
    assert judged(start, texts) == wanted


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (DATE, "2024-01-02", date(2024, 1, 2)),
        (DATE, "2024-01-02 00:00:01", None),
        (STAMP, "2024-01-02 03:04:05.000006", datetime(2024, 1, 2, 3, 4, 5, 6, tzinfo=UTC)),
        (STAMP, "2024-01-02 03:04:05Z", datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)),
        (STAMP, "2024-01-02", datetime(2024, 1, 2, tzinfo=UTC)),
        (STAMP, "2024-01-02 03:04:05.000000006", None),
    ],
)
def test_dates_of_parquet_and_arrow_are_read_beside_the_columns_own_format(kind, text, value):
    own = column(kind, formats=("%d.%m.%Y",))
    assert judged(own, [text], native=True) == [value]
    assert judged(own, [text]) == [None]


def test_null_words_are_missing_and_nothing_else_is():
    of = dataclasses.replace(column(ColumnType(Logical.INTEGER)), null_words=("", " ", "?"))
    check = Check("type_x", CheckKind.ROW, Rule.TYPE, ("x",))
    table = Table(TableId(Tier.STAGED, "demo", "t"), "t", (of,), (), checks=(check,))
    result = compile_row_checks(table).judge(pl.DataFrame({"x": ["", " ", "?", "  ", "??", "1"]}))
    assert result.typed["x"].to_list() == [None] * 5 + [1]
    assert result.failed.to_list() == [0, 0, 0, 1, 1, 0]
