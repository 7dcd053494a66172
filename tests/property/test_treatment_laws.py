"""The laws of treatments: an order of information, its meets and joins, before and after typing."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.contract.model import ColumnType, Logical
from lakehouse.policy.treatments import CLEAR, HIDE, REDACT, Kind, Treatment, apply, below, join, meet, typed

PLAIN = [Treatment(kind) for kind in Kind if kind not in {Kind.PREFIX, Kind.BUCKET, Kind.PARTIAL}]
PARAMETERS = st.one_of(st.integers(1, 12), st.sampled_from([2**53, 2**63, 10**18 - 1]))
treatments = st.sampled_from(PLAIN) | st.builds(
    Treatment, st.sampled_from([Kind.PREFIX, Kind.BUCKET, Kind.PARTIAL]), PARAMETERS
)
logicals = st.sampled_from(list(Logical))
#: Every treatment with parameters to 12: meets of buckets to 6 are among them or checked apart.
ALL = [*PLAIN, *(Treatment(kind, n) for kind in (Kind.PREFIX, Kind.BUCKET, Kind.PARTIAL) for n in range(1, 13))]
SMALL = [one for one in ALL if one.n <= 4]


@given(treatments, treatments, treatments)
def test_the_order_is_partial(a, b, c):
    assert below(a, a)
    assert a == b or not (below(a, b) and below(b, a))
    assert below(a, c) or not (below(a, b) and below(b, c))
    assert below(HIDE, a)
    assert below(a, CLEAR)
    assert a == HIDE or below(REDACT, a)


@given(treatments, treatments, treatments)
def test_meet_is_commutative_associative_and_idempotent(a, b, c):
    assert meet(a, b) == meet(b, a)
    assert meet(a, meet(b, c)) == meet(meet(a, b), c)
    assert meet(a, a) == a
    assert below(a, b) == (meet(a, b) == a)


@pytest.mark.parametrize("kind", Kind)
def test_meet_is_the_greatest_below_both(kind):
    """Against every treatment there is, with parameters small enough that the meets of all pairs are among them."""
    for a, b in product([one for one in SMALL if one.kind is kind], SMALL):
        lower = [one for one in ALL if below(one, a) and below(one, b)]
        assert [one for one in lower if all(below(other, one) for other in lower)] == [meet(a, b)]


@given(treatments, treatments)
def test_join_is_the_least_above_both_or_nothing(a, b):
    assert join(a, b) == join(b, a)
    if below(a, b) or below(b, a):
        assert join(a, b) in {a, b}
        assert meet(a, join(a, b)) == a
        assert join(a, meet(a, b)) == a
    else:
        assert join(a, b) is None


@given(treatments, treatments, logicals)
def test_typing_is_idempotent_lowers_and_keeps_the_order(a, b, logical):
    assert typed(typed(a, logical), logical) == typed(a, logical)
    assert below(typed(a, logical), a)
    if below(a, b):
        assert below(typed(a, logical), typed(b, logical))


@given(treatments, treatments, treatments, logicals)
def test_typed_meets_are_a_lattice_of_the_type(a, b, c, logical):
    """What columns use: meet, then type. The order in which ceilings come must not matter there either."""

    def both(x, y):
        return typed(meet(x, y), logical)

    a, b, c = (typed(one, logical) for one in (a, b, c))
    assert both(a, both(b, c)) == both(both(a, b), c)
    assert below(both(a, b), a)
    for one in (typed(one, logical) for one in ALL):
        if below(one, a) and below(one, b):
            assert below(one, both(a, b))


@given(treatments, treatments, logicals)
def test_typing_before_or_after_a_meet_is_the_same(a, b, logical):
    assert typed(meet(typed(a, logical), typed(b, logical)), logical) == typed(meet(a, b), logical)


MONEY = ColumnType(Logical.DECIMAL, 5, 2)
VALUES: dict[ColumnType, st.SearchStrategy[object]] = {
    ColumnType(Logical.STRING): st.text("ab\N{GRINNING FACE}", max_size=7),
    ColumnType(Logical.INTEGER): st.one_of(st.integers(-40, 40), st.integers(-(2**63), -(2**63) + 40)),
    MONEY: st.integers(-99999, 99999).map(lambda cents: Decimal(f"{cents}e-2")),
    ColumnType(Logical.FLOAT): st.one_of(
        st.floats(-40, 40), st.floats(), st.integers(-(2**53) - 5, -(2**53) + 40).map(float)
    ),
    ColumnType(Logical.BOOLEAN): st.booleans(),
    ColumnType(Logical.DATE): st.dates(dt.date(2019, 11, 1), dt.date(2021, 2, 1)),
    ColumnType(Logical.TIMESTAMP): st.datetimes(
        dt.datetime(2019, 11, 1), dt.datetime(2021, 2, 1), timezones=st.just(dt.UTC)
    ),
}


def token_of(value: object) -> str:
    """A function of the value, an injective one at most: what is equal has one token, also 0.0 and -0.0, or a fold in UTC."""
    if isinstance(value, float):
        value += 0.0
    return f"token of {value.isoformat() if isinstance(value, dt.datetime) else repr(value)}"


def shows(treatment: Treatment, value: object, column_type: ColumnType) -> object:
    return apply(treatment, value, column_type, token=None if value is None else token_of(value))


@pytest.mark.parametrize("column_type", VALUES, ids=str)
def test_what_is_below_can_be_computed_from_what_is_above(column_type):
    """The order means information: values that the greater treatment shows alike, the lesser one shows alike."""
    values = VALUES[column_type]
    fitting = treatments.map(lambda one: typed(one, column_type.logical))

    @given(fitting, fitting, st.lists(st.none() | values, min_size=2, max_size=30))
    def check(one, other, values):
        lesser, greater = typed(meet(one, other), column_type.logical), other
        assert below(lesser, greater)
        seen: dict[object, object] = {}
        for value in values:
            above = shows(greater, value, column_type)
            below_it = shows(lesser, value, column_type)
            assert seen.setdefault(above, below_it) == below_it

    check()


@pytest.mark.parametrize("column_type", VALUES, ids=str)
def test_null_stays_null_and_shown_values_are_shown_the_same_again(column_type):
    @given(treatments, VALUES[column_type])
    def check(treatment, value):
        assert shows(treatment, None, column_type) is None
        shown = shows(treatment, value, column_type)
        if typed(treatment, column_type.logical).kind in {Kind.YEAR, Kind.MONTH, Kind.BUCKET, Kind.PREFIX, Kind.CLEAR}:
            assert shows(treatment, shown, column_type) == shown

    check()


@given(st.text(max_size=12), st.integers(1, 20))
def test_partial_never_shows_half_of_a_text(text, n):
    shown = apply(Treatment(Kind.PARTIAL, n), text, ColumnType(Logical.STRING))
    assert shown.startswith("***")
    end = shown.removeprefix("***")
    assert text.endswith(end)
    assert len(end) * 2 < max(len(text), 1)


@given(st.integers(-(2**63), 2**63 - 1), st.integers(1, 2**64))
def test_buckets_are_the_multiples_below(value, width):
    shown = apply(Treatment(Kind.BUCKET, width), value, ColumnType(Logical.INTEGER))
    if shown is None:
        assert value // width * width < -(2**63)
    else:
        assert shown % width == 0
        assert shown <= value < shown + width
