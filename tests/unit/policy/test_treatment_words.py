"""Treatments as people write them, what fits which type, and values that are not values."""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal

import pytest

from lakehouse.contract.model import ColumnType, Logical
from lakehouse.policy.treatments import (
    CLEAR,
    HIDE,
    MONTH,
    REDACT,
    TOKEN,
    YEAR,
    Kind,
    Treatment,
    apply,
    fits,
    join,
    meet,
    parse,
    typed,
)

WRITTEN = ("hide", "redact", "year", "month", "prefix(1)", "bucket(10)", "partial(4)", "token", "clear")


@pytest.mark.parametrize("text", WRITTEN)
def test_a_treatment_prints_as_it_is_written(text):
    assert str(parse(text)) == text


def test_every_kind_can_be_written():
    assert {parse(text).kind for text in WRITTEN} == set(Kind)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("mask", "`mask` is no treatment: use one of `hide`, `redact`"),
        ("", "`` is no treatment"),
        ("Clear", "`Clear` is no treatment"),
        (" clear", "is no treatment"),
        ("clear\n", "is no treatment"),
        ("partial (4)", "is no treatment"),
        ("partial(4", "is no treatment"),
        ("partial", "`partial` needs a number: write `partial(n)`"),
        ("bucket", "needs a number: write `bucket(w)`"),
        ("clear()", "`clear` takes no number: write `clear`"),
        ("year(2)", "`year` takes no number"),
        ("prefix()", "`n` in `prefix()` must be a whole number of at least 1"),
        ("prefix(0)", "whole number of at least 1"),
        ("prefix(-1)", "whole number of at least 1"),
        ("prefix(1.5)", "whole number of at least 1"),
        ("prefix(01)", "whole number of at least 1"),
        ("prefix(+1)", "whole number of at least 1"),
        ("prefix(1_0)", "whole number of at least 1"),
        ("prefix( 1)", "whole number of at least 1"),
        ("prefix(\u0664)", "whole number of at least 1"),
        ("bucket(1e3)", "`w` in `bucket(1e3)`"),
        ("bucket(1000000000000000000)", "at most 18 digits"),
    ],
    ids=ascii,
)
def test_what_is_no_treatment_is_refused(text, said):
    with pytest.raises(ValueError, match=r"treatment|must be") as refused:
        parse(text)
    assert said in str(refused.value)


@pytest.mark.parametrize(("kind", "n"), [(Kind.PREFIX, 0), (Kind.BUCKET, -1), (Kind.CLEAR, 1)])
def test_parameters_cannot_be_made_up(kind, n):
    with pytest.raises(ValueError, match="number"):
        Treatment(kind, n)


TYPED = {
    Logical.STRING: "hide redact redact redact prefix(1) redact partial(4) token clear",
    Logical.INTEGER: "hide hide hide hide hide bucket(10) hide token clear",
    Logical.DECIMAL: "hide hide hide hide hide bucket(10) hide token clear",
    Logical.FLOAT: "hide hide hide hide hide bucket(10) hide token clear",
    Logical.BOOLEAN: "hide hide hide hide hide hide hide token clear",
    Logical.DATE: "hide hide year month hide hide hide token clear",
    Logical.TIMESTAMP: "hide hide year month hide hide hide token clear",
}


@pytest.mark.parametrize("logical", Logical)
def test_what_a_type_lacks_counts_as_redact_and_without_text_as_hide(logical):
    assert " ".join(str(typed(parse(text), logical)) for text in WRITTEN) == TYPED[logical]
    assert {text for text in WRITTEN if fits(parse(text), logical)} == {
        text for text in WRITTEN if typed(parse(text), logical) == parse(text)
    }


@pytest.mark.parametrize(
    ("a", "b", "both", "greater"),
    [
        ("year", "month", "year", "month"),
        ("month", "clear", "month", "clear"),
        ("bucket(4)", "bucket(6)", "bucket(12)", None),
        ("bucket(20)", "bucket(10)", "bucket(20)", "bucket(10)"),
        ("prefix(2)", "prefix(5)", "prefix(2)", "prefix(5)"),
        ("partial(2)", "partial(5)", "partial(2)", "partial(5)"),
        ("prefix(2)", "partial(2)", "redact", None),
        ("token", "partial(4)", "redact", None),
        ("token", "year", "redact", None),
        ("redact", "token", "redact", "token"),
        ("hide", "redact", "hide", "redact"),
        ("hide", "clear", "hide", "clear"),
    ],
)
def test_meets_and_joins_by_hand(a, b, both, greater):
    first, second = parse(a), parse(b)
    assert meet(first, second) == meet(second, first) == parse(both)
    assert join(first, second) == join(second, first) == (parse(greater) if greater else None)


def test_a_meet_may_be_wider_than_anything_people_write():
    wide = meet(Treatment(Kind.BUCKET, 10**18 - 1), Treatment(Kind.BUCKET, 10**18))
    assert wide.n == 10**18 * (10**18 - 1)
    assert apply(wide, 5, ColumnType(Logical.INTEGER)) == 0
    assert apply(wide, -5, ColumnType(Logical.INTEGER)) is None


def test_a_token_is_shown_where_there_is_a_value():
    text, floating = ColumnType(Logical.STRING), ColumnType(Logical.FLOAT)
    assert apply(TOKEN, "a", text, token="t1") == "t1"
    assert apply(TOKEN, None, text, token=None) is None
    assert apply(TOKEN, math.nan, floating, token="t1") is None


def test_instants_of_other_zones_are_shown_in_utc():
    instant = dt.datetime.fromisoformat("2020-01-01T01:00:00+05:00")
    for treatment, shows in ((YEAR, "2019-01-01"), (MONTH, "2019-12-01"), (CLEAR, "2019-12-31T20:00:00")):
        expected = dt.datetime.fromisoformat(shows).replace(tzinfo=dt.UTC)
        found = apply(treatment, instant, ColumnType(Logical.TIMESTAMP))
        assert (found, found.tzinfo) == (expected, dt.UTC)


def test_exact_numbers_are_not_rounded_to_the_context():
    money = ColumnType(Logical.DECIMAL, 38, 10)
    value = Decimal("9" * 28 + ".9999999999")
    assert apply(Treatment(Kind.BUCKET, 1), value, money) == Decimal("9" * 28)
    assert apply(CLEAR, value, money) == value
    assert apply(CLEAR, Decimal("NaN"), money) is None
    assert apply(REDACT, value, money) is apply(HIDE, value, money) is None
