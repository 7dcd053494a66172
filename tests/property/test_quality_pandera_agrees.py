"""One contract, two judges: plain pandera and the compiled pass fail the same rows for the same checks."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pandera.polars as pa
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pandera.config import ValidationDepth, config_context

from lakehouse.contract.model import Check, CheckKind, Column, ColumnType, Logical, Rule, Table
from lakehouse.model import TableId, Tier
from lakehouse.quality import check_rows, compile_row_checks, pandera_schema

TYPES = {
    "text": ColumnType(Logical.STRING),
    "number": ColumnType(Logical.INTEGER),
    "money": ColumnType(Logical.DECIMAL, precision=10, scale=2),
    "price": ColumnType(Logical.DECIMAL, precision=38, scale=10),
    "measure": ColumnType(Logical.FLOAT),
    "flag": ColumnType(Logical.BOOLEAN),
    "day": ColumnType(Logical.DATE),
    "instant": ColumnType(Logical.TIMESTAMP),
}
DAY, INSTANT = date(2024, 2, 28), datetime(2024, 2, 28, 12, tzinfo=UTC)
VALUES = {
    "text": st.sampled_from(["", "a", "ab", "abc", "\u00e4\u00f6", "x1", "x1\n", "12", "A"]),
    "number": st.one_of(st.integers(-3, 3), st.integers(-(2**63), 2**63 - 1)),
    "money": st.decimals(min_value=-4, max_value=4, places=2),
    "price": st.decimals(min_value=-4, max_value=4, places=10),
    "measure": st.one_of(st.sampled_from([math.nan, math.inf, -math.inf, -0.0, 0.0]), st.floats(-4, 4, width=16)),
    "flag": st.booleans(),
    "day": st.one_of(st.dates(DAY - timedelta(2), DAY + timedelta(2)), st.dates()),
    "instant": st.one_of(
        st.integers(-3, 3).map(lambda hours: INSTANT + timedelta(hours=hours)),
        st.datetimes(timezones=st.just(UTC)),
    ),
}
LITERALS = {
    "text": ["a", "ab", "\u00e4\u00f6", "", "x1"],
    "number": ["-2", "0", "2", "3"],
    "money": ["-2.5", "0", "0.25", "3"],
    "price": ["-2.5", "0", "0.0000000001", "3"],
    "measure": ["-2.5", "0", "0.25", "1e0"],
    "flag": ["true", "false"],
    "day": ["2024-02-27", "2024-02-28", "2024-02-29"],
    "instant": ["2024-02-28T11:00:00+00:00", "2024-02-28T13:00:00.000001+00:00"],
}
NUMBERS = ["number", "money", "price", "measure"]
ORDERED = [*NUMBERS, "day", "instant"]
OPERATORS = ["<", "<=", ">", ">=", "==", "!="]


def of(rule: Rule, columns: st.SearchStrategy, **options: st.SearchStrategy) -> st.SearchStrategy[Check]:
    return st.builds(Check, st.just(""), st.just(CheckKind.ROW), st.just(rule), columns, **options)


def one_column(names, rule, options) -> st.SearchStrategy[Check]:
    return st.sampled_from(names).flatmap(lambda name: of(rule, st.just((name,)), **options(name)))


def limits(name: str) -> dict[str, st.SearchStrategy]:
    literals = LITERALS[name]
    return {"minimum": st.sampled_from(literals[:2]), "maximum": st.none() | st.sampled_from(literals[1:])}


def upper(name: str) -> dict[str, st.SearchStrategy]:
    return {"maximum": st.sampled_from(LITERALS[name])}


def listed(name: str) -> dict[str, st.SearchStrategy]:
    return {"values": st.lists(st.sampled_from(LITERALS[name]), min_size=1, max_size=3).map(tuple)}


def literal(name: str) -> dict[str, st.SearchStrategy]:
    return {"operator": st.sampled_from(OPERATORS), "values": st.sampled_from(LITERALS[name]).map(lambda one: (one,))}


def pair(columns: tuple[str, str]) -> st.SearchStrategy[Check]:
    operators = st.sampled_from(OPERATORS)
    return of(Rule.COMPARE, st.just((columns[0],)), operator=operators, other=st.just(columns[1]))


PATTERNS = st.sampled_from(["a|ab", "[a-z]+", "x[0-9]", "(?i)a", "(?m)x1", r"\d*"])
CHECKS = st.one_of(
    one_column(list(TYPES), Rule.REQUIRED, lambda _: {}),
    one_column(list(TYPES), Rule.TYPE, lambda _: {}),
    one_column(list(TYPES), Rule.ENUM, listed),
    one_column(ORDERED, Rule.RANGE, limits),
    one_column(ORDERED, Rule.RANGE, upper),
    one_column(list(TYPES), Rule.COMPARE, literal),
    of(Rule.PATTERN, st.just(("text",)), pattern=PATTERNS),
    of(Rule.LENGTH, st.just(("text",)), minimum=st.just("1"), maximum=st.sampled_from([None, "2"])),
    of(Rule.LENGTH, st.just(("text",)), maximum=st.just("2")),
    st.tuples(st.sampled_from(NUMBERS), st.sampled_from(NUMBERS)).flatmap(pair),
    st.sampled_from([("day", "day"), ("instant", "instant"), ("text", "text"), ("flag", "flag")]).flatmap(pair),
)
ROWS = st.lists(st.fixed_dictionaries({name: st.none() | value for name, value in VALUES.items()}), max_size=8)


def table_of(checks: list[Check]) -> Table:
    named = []
    for place, check in enumerate(checks):
        # pandera has one `nullable` a column, so a second required check of a column could not be told apart.
        if check.rule is not Rule.REQUIRED or all(
            (one.rule, one.columns) != (check.rule, check.columns) for one in named
        ):
            named.append(Check(**{**vars(check), "name": f"check_{place}"}))
    columns = tuple(Column(name, name, kind, "system.operations") for name, kind in TYPES.items())
    return Table(TableId(Tier.CURATED, "demo", "sample"), "t", columns, (), checks=tuple(named))


def frame_of(rows: list[dict]) -> pl.DataFrame:
    schema = {
        "text": pl.String,
        "number": pl.Int64,
        "money": pl.Decimal(10, 2),
        "price": pl.Decimal(38, 10),
        "measure": pl.Float64,
        "flag": pl.Boolean,
        "day": pl.Date,
        "instant": pl.Datetime("us", "UTC"),
    }
    return pl.DataFrame({name: [row[name] for row in rows] for name in schema}, schema=schema)


def pandera_verdicts(table: Table, frame: pl.DataFrame) -> set[tuple[str, int]]:
    required = {check.columns[0]: check.name for check in table.checks if check.rule is Rule.REQUIRED}
    try:
        pandera_schema(table).validate(frame, lazy=True)
    except pa.errors.SchemaErrors as problem:
        cases = problem.failure_cases
    else:
        return set()
    # Frame-level cases come one per column of the row: the set makes them one.
    return {
        (required[case["column"]] if case["check"] == "not_nullable" else case["check"], case["index"])
        for case in cases.select("column", "check", "index").iter_rows(named=True)
    }


def pass_verdicts(table: Table, frame: pl.DataFrame) -> set[tuple[str, int]]:
    judged = compile_row_checks(table).judge_typed(frame)
    return {
        (check.name, row)
        for row, mask in enumerate(judged.failed.to_list())
        for place, check in enumerate(judged.checks)
        if mask >> place & 1
    }


@given(st.lists(CHECKS, min_size=1, max_size=6), ROWS)
def test_pandera_and_the_pass_fail_the_same_rows(checks, rows):
    table, frame = table_of(checks), frame_of(rows)
    assert pass_verdicts(table, frame) == pandera_verdicts(table, frame)


@given(st.lists(CHECKS, min_size=1, max_size=6), ROWS)
def test_a_whole_table_has_as_many_failures_as_its_rows(checks, rows):
    table, frame = table_of(checks), frame_of(rows)
    expected = compile_row_checks(table).judge_typed(frame).counts()
    assert {one.name: one.failed_rows for one in check_rows(table, frame.lazy())} == expected


def test_trap_7_a_lazy_frame_needs_the_data_depth():
    check = Check("range_number", CheckKind.ROW, Rule.RANGE, ("number",), maximum="0")
    schema = pandera_schema(table_of([check]))
    bad = frame_of([dict.fromkeys(TYPES) | {"number": 1}]).lazy()
    schema.validate(bad, lazy=True)  # trap 7: pandera looks at the schema only, and bad data passes
    with config_context(validation_depth=ValidationDepth.SCHEMA_AND_DATA), pytest.raises(pa.errors.SchemaErrors):
        schema.validate(bad, lazy=True)


def test_a_schema_is_plain_pandera():
    table = table_of([Check("", CheckKind.ROW, Rule.REQUIRED, ("money",))])
    schema = pandera_schema(table)
    assert isinstance(schema, pa.DataFrameSchema)
    assert not schema.columns["money"].nullable
    row = dict.fromkeys(TYPES) | {"money": Decimal("1.00")}
    frame = frame_of([row]).with_columns(_entity=pl.lit("e"))
    assert schema.validate(frame).equals(frame)
