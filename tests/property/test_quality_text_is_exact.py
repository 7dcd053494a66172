"""For any text whatever: the pass never raises, and what it takes is exactly the value that the text spells."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.contract.model import Check, CheckKind, Column, ColumnType, Logical, Rule, Table
from lakehouse.model import TableId, Tier
from lakehouse.quality import compile_row_checks

BERLIN = ColumnType(Logical.TIMESTAMP, format="%Y-%m-%d %H:%M:%S", time_zone="Europe/Berlin")
TYPES = (
    ColumnType(Logical.INTEGER),
    ColumnType(Logical.DECIMAL, precision=12, scale=3),
    ColumnType(Logical.FLOAT),
    ColumnType(Logical.BOOLEAN),
    ColumnType(Logical.DATE, format="%Y-%m-%d"),
    BERLIN,
    ColumnType(Logical.TIMESTAMP),
)
#: Text that looks almost right is where readers differ.
NEARLY = st.text(alphabet="0123456789+-.eE: TZx_,\u0661\uff11naif\n", max_size=30)
DATED = st.from_regex(
    r"[0-9]{1,5}-[0-9]{1,3}-[0-9]{1,3}( [0-9]{1,2}:[0-9]{1,2}:[0-9]{1,2}(\.[0-9]{1,9})?)?", fullmatch=True
)


def judged(column_type: ColumnType, texts: list[str]) -> tuple[list[object], list[int]]:
    column = Column("x", "x", column_type, "system.operations")
    check = Check("type_x", CheckKind.ROW, Rule.TYPE, ("x",))
    table = Table(TableId(Tier.STAGED, "demo", "t"), "t", (column,), (), checks=(check,))
    result = compile_row_checks(table).judge(pl.DataFrame({"x": texts}, schema={"x": pl.String}))
    return result.typed["x"].to_list(), result.failed.to_list()


@given(st.lists(st.one_of(st.text(), NEARLY, DATED), max_size=20), st.sampled_from(TYPES))
def test_any_text_is_null_a_value_or_a_type_failure(texts, column_type):
    values, failed = judged(column_type, texts)
    for text, value, mask in zip(texts, values, failed, strict=True):
        assert (value is None) == (text == "" or mask == 1)


@given(st.lists(NEARLY, max_size=20))
def test_integers_are_exact(texts):
    for text, value in zip(texts, judged(TYPES[0], texts)[0], strict=True):
        spelled = int(text) if re.fullmatch(r"[+-]?[0-9]+", text) else None
        assert value == (spelled if spelled is not None and -(2**63) <= spelled < 2**63 else None)


@given(
    st.lists(st.one_of(NEARLY, st.from_regex(r"[+-]?[0-9]{0,45}(\.[0-9]{0,45})?", fullmatch=True)), max_size=20),
    st.integers(1, 38).flatmap(lambda digits: st.tuples(st.just(digits), st.integers(0, digits))),
)
def test_decimals_are_exact(texts, shape):
    precision, scale = shape
    values, _ = judged(ColumnType(Logical.DECIMAL, precision=precision, scale=scale), texts)
    for text, value in zip(texts, values, strict=True):
        match = re.fullmatch(r"[+-]?([0-9]*)(?:\.([0-9]*))?", text)
        digits = (match[1] + (match[2] or "")) if match else ""
        fits = match and digits and len(match[2] or "") <= scale and ("." not in text or scale)
        if fits and len(match[1].lstrip("0")) <= precision - scale:
            assert value == Decimal(text)
        else:
            assert value is None


@given(
    st.lists(st.one_of(NEARLY, st.floats().map(repr), st.floats(allow_nan=False).map("{:.20e}".format)), max_size=20)
)
def test_floats_are_the_nearest_finite_double(texts):
    for text, value in zip(texts, judged(TYPES[2], texts)[0], strict=True):
        if value is None:
            spelled = (
                float(text) if re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", text) else math.inf
            )
            assert math.isinf(spelled)
        else:
            assert value == float(text)
            assert math.isfinite(value)


# Polars' zone tables end in 2100: no one knows the summer times after that.
@given(st.lists(st.datetimes(min_value=datetime(1, 1, 2), max_value=datetime(2099, 12, 30)), max_size=20))
def test_local_times_are_one_instant_or_fail(moments):
    zone = ZoneInfo("Europe/Berlin")
    moments = [moment.replace(microsecond=0) for moment in moments]
    values, _ = judged(BERLIN, [moment.isoformat(sep=" ") for moment in moments])
    for moment, value in zip(moments, values, strict=True):
        early, late = (moment.replace(tzinfo=zone, fold=fold).utcoffset() for fold in (0, 1))
        assert value == (None if early != late else (moment - early).replace(tzinfo=UTC))


@given(st.integers(0, 60 * 24 * 3))
def test_hours_that_the_clocks_skip_or_show_twice_fail(minutes):
    for start in (datetime(2024, 3, 30), datetime(2024, 10, 26)):
        test_local_times_are_one_instant_or_fail.hypothesis.inner_test([start + timedelta(minutes=minutes)])
