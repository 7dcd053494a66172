"""The SQL of treatments, run in DuckDB, shows what `treatments.apply` says: hand-made answers, edges, any values."""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal

import duckdb
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlglot import exp

from lakehouse.contract.arrow import arrow_type
from lakehouse.contract.model import ColumnType, Logical
from lakehouse.policy.expressions import shown, sql_type
from lakehouse.policy.treatments import CLEAR, HIDE, MONTH, REDACT, TOKEN, YEAR, Kind, Treatment, apply, parse
from tests.differential import treatment_corpus as corpus

COLUMN = exp.column("v", quoted=True)
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
ZONES = ("UTC", "America/New_York", "Pacific/Kiritimati")
TYPES = tuple(corpus.EDGES)
BY_TYPE = pytest.mark.parametrize("column_type", TYPES, ids=str)


@pytest.fixture(scope="module")
def engine():
    with duckdb.connect() as connection:
        yield connection


def run(engine, treatment: Treatment, column_type: ColumnType, values: list[object]) -> list[object]:
    table = pa.table({"v": pa.array(values, arrow_type(column_type)), "t": pa.array(tokens_of(values), pa.string())})
    engine.register("cells", table)
    cell = shown(treatment, COLUMN, column_type, dialect="duckdb", token=exp.column("t", quoted=True))
    query = exp.select(fetched(cell, column_type, treatment), exp.func("typeof", cell)).from_("cells")
    rows = engine.execute(query.sql("duckdb")).fetchall()
    if treatment.kind is not Kind.TOKEN:
        assert {kind for _, kind in rows} <= {TYPE_NAMES.get(column_type.logical, str(column_type).upper())}
    return [value for value, _ in rows]


def fetched(cell: exp.Expr, column_type: ColumnType, treatment: Treatment = CLEAR) -> exp.Expr:
    """Instants as microseconds: Python cannot hold the first and the last ones in the session's zone."""
    instants = column_type.logical is Logical.TIMESTAMP and treatment.kind is not Kind.TOKEN
    return exp.func("epoch_us", cell) if instants else cell


TYPE_NAMES = {
    Logical.STRING: "VARCHAR",
    Logical.INTEGER: "BIGINT",
    Logical.FLOAT: "DOUBLE",
    Logical.BOOLEAN: "BOOLEAN",
    Logical.DATE: "DATE",
    Logical.TIMESTAMP: "TIMESTAMP WITH TIME ZONE",
}


def tokens_of(values: list[object]) -> list[str | None]:
    """As the gate writes them: NULL has no token."""
    return [None if value is None else f"t{n}" for n, value in enumerate(values)]


def as_seen(value: object) -> object:
    """One spelling per value: instants in microseconds, the sign of zero, which no engine promises, dropped."""
    if isinstance(value, dt.datetime):
        return (value - EPOCH) // dt.timedelta(microseconds=1)
    return 0.0 if isinstance(value, float) and value == 0 else value


def agrees(engine, treatment: Treatment, column_type: ColumnType, values: list[object]) -> None:
    tokens = tokens_of(values)
    expected = [apply(treatment, value, column_type, token=token) for value, token in zip(values, tokens, strict=True)]
    assert list(map(as_seen, run(engine, treatment, column_type, values))) == list(map(as_seen, expected))


@pytest.mark.parametrize("case", corpus.CASES, ids=str)
def test_answers_worked_out_by_hand(engine, case):
    treatment = parse(case.treatment)
    assert apply(treatment, case.value, case.type) == case.shows
    assert as_seen(run(engine, treatment, case.type, [case.value])[0]) == as_seen(case.shows)


@pytest.mark.parametrize("zone", ZONES)
@BY_TYPE
def test_every_treatment_on_every_edge(engine, column_type, zone):
    engine.execute(f"SET TimeZone = '{zone}'")
    for treatment in (*corpus.TREATMENTS, TOKEN):
        agrees(engine, treatment, column_type, list(corpus.EDGES[column_type]))


@BY_TYPE
def test_literals_of_the_corpus_are_its_values(engine, column_type):
    """What another engine is asked with is what is meant."""
    for value in corpus.EDGES[column_type]:
        written = fetched(corpus.literal(value, column_type, dialect="duckdb"), column_type)
        ((found,),) = engine.execute(exp.select(written).sql("duckdb")).fetchall()  # to its end: one result at a time
        assert as_seen(found) == as_seen(value) or (math.isnan(value) and math.isnan(found))


WIDTHS = st.one_of(
    st.integers(1, 100), st.integers(1, 2**65), st.sampled_from([2**53, 2**63 - 1, 2**63, 2**63 + 1, 10**40])
)
COUNTS = st.one_of(st.integers(1, 12), st.integers(1, 2**70))
NUMBERS = WIDTHS.map(lambda width: Treatment(Kind.BUCKET, width))
ANY = st.sampled_from([CLEAR, HIDE, REDACT, TOKEN])


PARTS = st.builds(Treatment, st.sampled_from([Kind.PREFIX, Kind.PARTIAL]), COUNTS)
SPANS = st.sampled_from([YEAR, MONTH])
INSTANTS = st.datetimes(timezones=st.just(dt.UTC))
NEAR_LEAST = st.integers(-(2**63), -(2**63) + 3000)
NEAR_EXACT = st.integers(-(2**53) - 40, -(2**53) + 3000).map(float)
#: Values of a type and treatments that mean something for it.
DRAWN = {
    Logical.STRING: (st.text(st.characters(exclude_categories=["Cs"]), max_size=20), PARTS),
    Logical.INTEGER: (st.one_of(st.integers(-(2**63), 2**63 - 1), NEAR_LEAST, st.integers(-50, 50)), NUMBERS),
    Logical.FLOAT: (st.one_of(st.floats(), NEAR_EXACT, st.floats(-1000, 1000)), NUMBERS),
    Logical.BOOLEAN: (st.booleans(), ANY),
    Logical.DATE: (st.dates(), SPANS),
    Logical.TIMESTAMP: (INSTANTS.map(lambda at: at.replace(microsecond=at.microsecond // 1000 * 1000)), SPANS),
}


def decimals(column_type: ColumnType) -> st.SearchStrategy[Decimal]:
    greatest = 10**column_type.precision - 1
    small = min(greatest, 2000)
    digits = st.integers(-greatest, greatest) | st.integers(-small, small) | st.integers(-greatest, small - greatest)
    return digits.map(lambda digits: Decimal(f"{digits}e-{column_type.scale}"))


@BY_TYPE
def test_any_values_and_parameters(engine, column_type):
    engine.execute("SET TimeZone = 'America/New_York'")
    values, treatments = DRAWN.get(column_type.logical) or (decimals(column_type), NUMBERS)

    @given(st.lists(st.none() | values, min_size=1, max_size=20), st.one_of(treatments, ANY))
    def check(values, treatment):
        agrees(engine, treatment, column_type, values)

    check()


def test_floats_of_a_file_without_statistics_of_nan(engine, tmp_path):
    """Statistics of Parquet leave NaN out; the guard needs the reader's `can_have_nan`."""
    file = tmp_path / "floats.parquet"
    values = [1.0, math.nan, None, 12.0, math.inf]
    pa.parquet.write_table(pa.table({"v": pa.array(values, pa.float64())}), file)
    for treatment in (CLEAR, parse("bucket(5)")):
        cell = shown(treatment, COLUMN, corpus.FLOAT, dialect="duckdb").sql("duckdb")
        found = engine.execute(f"SELECT {cell} FROM read_parquet('{file}', can_have_nan = true)").fetchall()
        assert [value for (value,) in found] == [apply(treatment, value, corpus.FLOAT) for value in values]


def test_results_outside_of_the_type_stay_null_where_a_query_uses_the_cell_often(engine):
    """Branches that would overflow must not be computed ahead because an expression stands twice."""
    for column_type, values in ((corpus.INTEGER, [-(2**63), -7, 5]), (corpus.decimal(38, 0), [-(10**38 - 1), -7, 5])):
        engine.register("cells", pa.table({"v": pa.array(map(Decimal, values), arrow_type(column_type))}))
        cell = shown(parse("bucket(10)"), COLUMN, column_type, dialect="duckdb")
        inner = exp.select(exp.alias_(cell, "c"), "v").from_("cells").subquery("inner")
        query = exp.select("c", "c + 1", "v - v % 10").from_(inner).where("c < 10 OR c IS NULL")
        shows = [(c, more) for c, more, _ in engine.execute(query.sql("duckdb")).fetchall()]
        assert shows == [(None, None), (-10, -9), (0, 1)]


def test_a_token_needs_its_column():
    with pytest.raises(ValueError, match="column of tokens"):
        shown(TOKEN, COLUMN, corpus.STRING, dialect="duckdb")


def test_types_have_names_in_both_dialects():
    assert sql_type(corpus.TIMESTAMP, dialect="trino").sql("trino") == "TIMESTAMP(3) WITH TIME ZONE"
