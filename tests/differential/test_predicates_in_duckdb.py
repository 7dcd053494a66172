"""Row predicates as SQL, run in DuckDB, answer what `predicates.holds` says: a corpus of edges, and any predicates."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlglot import exp

from lakehouse.contract.arrow import arrow_type
from lakehouse.contract.model import Logical
from lakehouse.policy import predicates
from lakehouse.policy.predicate_syntax import (
    Absence,
    ColumnName,
    Comparison,
    Conjunction,
    Constant,
    Disjunction,
    Likeness,
    Membership,
    Negation,
    Range,
    Today,
    Truth,
    canonical,
)
from tests.differential import predicate_corpus as corpus
from tests.differential.treatment_corpus import at

ROWS = corpus.rows()
TYPES = corpus.TYPES
DAY = exp.cast(exp.Literal.string(corpus.DAY.isoformat()), "DATE")


@pytest.fixture(scope="module")
def engine():
    columns = {name: pa.array([row[name] for row in ROWS], arrow_type(kind)) for name, kind in TYPES.items()}
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'America/New_York'")
        connection.register("arrived", pa.table(columns))
        connection.execute("CREATE TABLE cells AS SELECT row_number() OVER () AS place, * FROM arrived")
        yield connection


def asked(engine, predicate: predicates.Predicate) -> list[bool | None]:
    condition = predicates.tree(predicate, TYPES, dialect="duckdb", day=DAY, table="cells")
    query = exp.select(condition).from_("cells").order_by("place")
    return [answer for (answer,) in engine.execute(query.sql("duckdb")).fetchall()]


def kept(engine, predicate: predicates.Predicate) -> list[int]:
    """The rows that a WHERE lets through: filters take other paths through an engine than columns."""
    condition = predicates.tree(predicate, TYPES, dialect="duckdb", day=DAY)
    query = exp.select("place").from_("cells").where(condition).order_by("place")
    return [place for (place,) in engine.execute(query.sql("duckdb")).fetchall()]


def agrees(engine, predicate: predicates.Predicate) -> list[bool | None]:
    assert predicates.mistakes(predicate, TYPES) == []
    expected = [predicates.holds(predicate, row, TYPES, day=corpus.DAY) for row in ROWS]
    assert asked(engine, predicate) == expected
    assert kept(engine, predicate) == [place for place, answer in enumerate(expected, 1) if answer]
    return expected


@pytest.mark.parametrize("text", corpus.PREDICATES, ids=ascii)
def test_the_corpus(engine, text):
    agrees(engine, predicates.parse(text))


def test_the_corpus_tells_things_apart(engine):
    """A corpus on which all predicates are always or never true would prove nothing."""
    answers = [frozenset(agrees(engine, predicates.parse(text))) for text in corpus.PREDICATES]
    assert sum({True, False} <= found for found in answers) > len(answers) * 0.6
    assert sum(None in found for found in answers) > len(answers) * 0.6


TEXTS = st.sampled_from(["EU", "eu", "", "a", "%", "é", "\N{GRINNING FACE}", "it's", "a\\b"])
EXACTS = st.one_of(
    st.integers(-3, 3).map(Decimal),
    st.sampled_from(["0.5", "1.505", "-1.5", "9223372036854775807.5", "-9223372036854775809", "9" * 38, "1000", "-999.995", "0." + "9" * 38]).map(Decimal),
)  # fmt: skip
LITERALS = {
    "text": TEXTS,
    "number": EXACTS,
    "floating": st.sampled_from([0.0, -0.0, 1.5, 1e308, 5e-324, 0.1]),
    "boolean": st.booleans(),
    "date": st.sampled_from([dt.date(2024, 2, 29), dt.date(1, 1, 1), dt.date(9999, 12, 31)]),
    "timestamp": st.sampled_from([at("2024-02-29"), at("2024-02-28T23:59:59.999"), at("1970-01-01T00:00:00.000001")]),
}
FAMILIES = {
    family: [name for name in TYPES if predicates.family_of(ColumnName(name), TYPES) == family] for family in LITERALS
}


@st.composite
def leaves(draw):
    family = draw(st.sampled_from(sorted(LITERALS)))
    constants = st.builds(Constant, st.just(family), LITERALS[family])
    operands = st.sampled_from(FAMILIES[family]).map(ColumnName) | constants
    if family == "date":
        operands |= st.just(Today())
    forms = [
        st.builds(Comparison, st.sampled_from(["=", "<>", "<", "<=", ">", ">="]), operands, operands),
        st.builds(Membership, operands, st.lists(operands, min_size=1, max_size=4).map(tuple)),
        st.builds(Range, operands, operands, operands),
        st.builds(Absence, operands),
    ]
    if family == "text":
        forms.append(st.builds(Likeness, operands, st.text(st.sampled_from("aEU%_é\\'"), max_size=4)))
    if family == "boolean":
        forms.append(st.builds(Truth, operands))
    return draw(st.one_of(forms))


CONDITIONS = st.recursive(
    leaves(),
    lambda inner: st.one_of(
        st.builds(Negation, inner),
        st.builds(Conjunction, st.lists(inner, min_size=2, max_size=3).map(tuple)),
        st.builds(Disjunction, st.lists(inner, min_size=2, max_size=3).map(tuple)),
    ),
    max_leaves=6,
)


@given(CONDITIONS)
def test_any_predicate(engine, condition):
    text = canonical(condition)
    predicate = predicates.parse(text)
    assert predicate.text == predicates.parse(predicate.text).text
    agrees(engine, predicate)


@given(leaves())
def test_a_leaf_is_read_as_it_is_written(leaf):
    assert predicates.parse(canonical(leaf)).condition == leaf


def test_not_a_number_in_a_file_without_statistics_of_it(engine, tmp_path):
    """Statistics of Parquet leave NaN out; `can_have_nan` of the reader makes filters look."""

    file = tmp_path / "floats.parquet"
    rows = [{"f": value} for value in (10.0, 1.0, float("nan"), None)]
    pa.parquet.write_table(pa.table({"f": pa.array([row["f"] for row in rows], pa.float64())}), file)
    for text in ("f > 5e0", "f < 5e0", "NOT f > 5e0", "f IS NULL", "f IS NOT NULL", "f <> 1e0"):
        predicate = predicates.parse(text)
        condition = predicates.tree(predicate, TYPES, dialect="duckdb", day=DAY).sql("duckdb")
        query = f"SELECT f FROM read_parquet('{file}', can_have_nan = true) WHERE {condition}"
        found = [repr(value) for (value,) in engine.execute(query).fetchall()]
        expected = [repr(row["f"]) for row in rows if predicates.holds(predicate, row, TYPES, day=corpus.DAY)]
        assert sorted(found) == sorted(expected)


def test_families_are_all_of_the_types():
    assert {kind.logical for kind in TYPES.values()} == set(Logical)
