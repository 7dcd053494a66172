"""Each rule on each kind of value, null-safe, as one bit of a mask."""

from __future__ import annotations

import polars as pl
import pytest

from lakehouse.contract.model import ColumnType, Logical, Rule
from lakehouse.errors import ContractError, SchemaMismatchError
from lakehouse.model import UNNAMED, Tier
from lakehouse.quality import MOST_CHECKS, compile_row_checks, names_of, pandera_schema

STRING = ColumnType(Logical.STRING)
INTEGER = ColumnType(Logical.INTEGER)
FLOAT = ColumnType(Logical.FLOAT)
MONEY = ColumnType(Logical.DECIMAL, precision=10, scale=2)
GERMAN_DATE = ColumnType(Logical.DATE, format="%d.%m.%Y")
BERLIN = ColumnType(Logical.TIMESTAMP, format="%d.%m.%Y %H:%M", time_zone="Europe/Berlin")


def failing(judged, name):
    place = [check.name for check in judged.checks].index(name)
    return [bool(mask >> place & 1) for mask in judged.failed.to_list()]


RULES = [
    (STRING, Rule.ENUM, {"values": ("a", "b")}, ["a", "A", "c", ""], [False, True, True, False]),
    (INTEGER, Rule.ENUM, {"values": ("1", "2")}, ["2", "02", "3", ""], [False, False, True, False]),
    (MONEY, Rule.ENUM, {"values": ("1.5",)}, ["1.50", "1.51"], [False, True]),
    (
        INTEGER,
        Rule.RANGE,
        {"minimum": "1", "maximum": "7"},
        ["1", "7", "0", "8", ""],
        [False, False, True, True, False],
    ),
    (INTEGER, Rule.RANGE, {"maximum": "7"}, ["-9", "8"], [False, True]),
    (MONEY, Rule.RANGE, {"minimum": "-0.25"}, ["-0.25", "-0.26"], [False, True]),
    (FLOAT, Rule.RANGE, {"minimum": "0", "maximum": "1"}, ["0", "1", "1.0000001"], [False, False, True]),
    (GERMAN_DATE, Rule.RANGE, {"minimum": "2011-03-01"}, ["01.03.2011", "28.02.2011"], [False, True]),
    # literals are UTC whatever the column's zone is: midnight in Berlin is still the day before
    (
        BERLIN,
        Rule.RANGE,
        {"minimum": "2011-03-01T00:00:00+00:00"},
        ["01.03.2011 01:00", "01.03.2011 00:59"],
        [False, True],
    ),
    (
        BERLIN,
        Rule.RANGE,
        {"maximum": "2011-03-01T00:00:00.999999+00:00"},
        ["01.03.2011 01:00", "01.03.2011 01:01"],
        [False, True],
    ),
    (
        STRING,
        Rule.PATTERN,
        {"pattern": "[0-9]+"},
        ["12", "a12", "12a", "12\n", "٣", ""],
        [False, True, True, True, True, False],
    ),
    (STRING, Rule.PATTERN, {"pattern": "(?m)a|bc"}, ["a", "ab", "bc\nx"], [False, True, True]),
    (STRING, Rule.LENGTH, {"minimum": "2", "maximum": "3"}, ["äö", "äöüß", "ä", ""], [False, True, True, False]),
    (INTEGER, Rule.COMPARE, {"operator": "!=", "values": ("0",)}, ["1", "0", ""], [False, True, False]),
    (ColumnType(Logical.BOOLEAN), Rule.ENUM, {"values": ("true",)}, ["1", "0", ""], [False, True, False]),
]


@pytest.mark.parametrize(("column_type", "rule", "options", "texts", "expected"), RULES)
def test_a_rule_fails_exactly_the_rows_that_break_it(judge, check, *, column_type, rule, options, texts, expected):
    judged = judge(column_type, texts, check(rule, "x", name="promise", **options))
    assert failing(judged, "promise") == expected


def test_a_row_that_fails_its_type_is_not_judged_on_by_other_rules(judge, check):
    rules = (check(Rule.RANGE, "x", minimum="1"), check(Rule.ENUM, "x", values=("1",)), check(Rule.REQUIRED, "x"))
    judged = judge(INTEGER, ["abc", "", "0"], *rules)
    masks = [names_of(mask, judged.checks) for mask in judged.failed.to_list()]
    assert masks == [("type_x",), ("required_x",), ("range_x", "enum_x")]


@pytest.mark.parametrize(
    ("operator", "expected"),
    [
        ("<", [0, 1, 1, 0]),
        ("<=", [0, 0, 1, 0]),
        (">", [1, 1, 0, 0]),
        (">=", [1, 0, 0, 0]),
        ("==", [1, 0, 1, 0]),
        ("!=", [0, 1, 0, 0]),
    ],
)
def test_columns_are_compared_across_number_types(table, check, operator, expected):
    sample = table(
        {"a": INTEGER, "b": MONEY}, check(Rule.COMPARE, "a", "b", name="order", operator=operator, other="b")
    )
    frame = pl.DataFrame({"a": ["1", "2", "3", ""], "b": ["1.50", "2.00", "2.99", "1"]})
    assert failing(compile_row_checks(sample).judge(frame), "order") == [bool(one) for one in expected]


def test_other_columns_pass_through_and_order_does_not_matter(table):
    sample = table({"a": STRING, "b": INTEGER})
    frame = pl.DataFrame({"b": ["1"], "_row": pl.Series([7], dtype=pl.Int64), "a": ["x"]})
    judged = compile_row_checks(sample).judge(frame)
    assert judged.typed.columns == ["a", "b", "_row"]
    assert judged.typed.row(0) == ("x", 1, 7)
    assert judged.failed.dtype == pl.UInt64


def test_no_rows_and_no_checks_give_empty_verdicts(table):
    passing = compile_row_checks(table({"a": STRING}))
    judged = passing.judge(pl.DataFrame({"a": ["x", "y"]}))
    assert (judged.failed.to_list(), judged.clean, judged.counts()) == ([0, 0], True, {})
    empty = passing.judge(pl.DataFrame(schema={"a": pl.String}))
    assert (empty.failed.len(), empty.typed.height, empty.clean) == (0, 0, True)


def test_only_rows_without_any_failure_are_good(judge):
    judged = judge(INTEGER, ["1", "x", "3"])
    assert judged.good["x"].to_list() == [1, 3]
    assert not judged.clean


@pytest.mark.parametrize("places", [63, 64, MOST_CHECKS - 1])
def test_every_check_has_its_bit_and_one_too_many_is_refused(table, check, places):
    many = [check(Rule.RANGE, "x", name=f"below_{place}", maximum="0") for place in range(places)]
    judged = compile_row_checks(table({"x": INTEGER}, *many)).judge(pl.DataFrame({"x": ["1", "0"]}))
    assert judged.failed.to_list() == [2 ** (places + 1) - 2, 0]
    assert sum(judged.counts().values()) == places
    more = [check(Rule.RANGE, "x", name=f"above_{place}", minimum="0") for place in range(MOST_CHECKS - places)]
    with pytest.raises(ContractError, match="129 row checks, a row's mask holds 128"):
        compile_row_checks(table({"x": INTEGER}, *many, *more))


def test_a_derived_column_is_judged_as_it_stands_in_the_frame(table, check):
    sample = table({"a": STRING, "line": INTEGER}, check(Rule.RANGE, "line", maximum="1"), derived=("line",))
    judged = compile_row_checks(sample).judge(pl.DataFrame({"a": ["x", "y"], "line": [1, 2]}))
    assert failing(judged, "range_line") == [False, True]


def test_a_frame_without_a_delivered_column_or_with_a_typed_one_is_refused(table):
    passing = compile_row_checks(table({"a": STRING, "b": INTEGER}))
    with pytest.raises(SchemaMismatchError, match="column `b` is missing"):
        passing.judge(pl.DataFrame({"a": ["x"]}))
    with pytest.raises(SchemaMismatchError, match="column `b` is Int64, not String"):
        passing.judge(pl.DataFrame({"a": ["x"], "b": [1]}))
    with pytest.raises(SchemaMismatchError, match="column `b` is String, not Int64"):
        passing.judge_typed(pl.DataFrame({"a": ["x"], "b": ["1"]}))


def test_rows_that_name_nobody_fail_and_the_helper_column_goes_no_further(table, check):
    sample = table({"a": STRING}, check(Rule.ENTITY, "a"))
    frame = pl.DataFrame({"a": ["x", ""], UNNAMED: [False, True], "b": [1, 2]})
    judged = compile_row_checks(sample).judge(frame)
    assert failing(judged, "entity_a") == [False, True]
    assert judged.typed.columns == ["a", "b"]
    assert compile_row_checks(table({"a": STRING})).judge(frame).typed.columns == ["a", "b"]


def test_typed_rows_are_not_asked_whose_they_are(table, check):
    sample = table({"a": STRING}, check(Rule.ENTITY, "a"))
    assert compile_row_checks(sample).judge_typed(pl.DataFrame({"a": ["x", None]})).clean
    assert pandera_schema(sample).validate(pl.DataFrame({"a": ["x", None]}, schema={"a": pl.String})).height == 2


def test_a_gate_that_does_not_say_whom_rows_name_is_refused(table, check):
    sample = table({"a": STRING}, check(Rule.ENTITY, "a"))
    with pytest.raises(SchemaMismatchError, match="column `__unnamed` is missing"):
        compile_row_checks(sample).judge(pl.DataFrame({"a": ["x"]}))


def test_a_staged_column_without_its_type_check_is_refused(table):
    complete = table({"x": INTEGER})
    lacking = type(complete)(complete.id, complete.odcs_id, complete.columns, ())
    with pytest.raises(ContractError, match="add row check `type_x`"):
        compile_row_checks(lacking)
    curated = compile_row_checks(table({"x": INTEGER}, tier=Tier.CURATED))
    assert curated.judge_typed(pl.DataFrame({"x": [1]})).clean
    with pytest.raises(ContractError, match="no type check"):
        curated.judge(pl.DataFrame({"x": ["1"]}))


WRONG = [
    (INTEGER, Rule.RANGE, {"minimum": "one"}, "`one` is not a value of type integer"),
    (INTEGER, Rule.RANGE, {"minimum": "10", "maximum": "9"}, "nothing lies between `10` and `9`"),
    (STRING, Rule.LENGTH, {"minimum": "10", "maximum": "9"}, "nothing lies between"),
    (INTEGER, Rule.RANGE, {}, "neither minimum nor maximum"),
    (INTEGER, Rule.ENUM, {}, "lists no value"),
    (INTEGER, Rule.PATTERN, {"pattern": "a"}, "is for strings"),
    (STRING, Rule.PATTERN, {}, "has no pattern"),
    (STRING, Rule.PATTERN, {"pattern": "(?=a)"}, "not a regular expression"),
    (STRING, Rule.LENGTH, {"minimum": "-1"}, "not a whole number"),
    (STRING, Rule.LENGTH, {}, "neither minimum nor maximum"),
    (INTEGER, Rule.COMPARE, {"operator": "<"}, "neither a column nor one value"),
    (INTEGER, Rule.COMPARE, {"operator": "<", "other": "nowhere"}, "no column `nowhere`"),
    (INTEGER, Rule.COMPARE, {"values": ("1",)}, "has no operator"),
    (INTEGER, Rule.COMPARE, {"operator": "<", "other": "s"}, "cannot compare integer `x` with string `s`"),
]


@pytest.mark.parametrize(("column_type", "rule", "options", "message"), WRONG)
def test_a_check_that_cannot_be_judged_is_the_contracts_mistake(table, check, *, column_type, rule, options, message):
    sample = table({"x": column_type, "s": STRING}, check(rule, "x", name="promise", **options))
    with pytest.raises(ContractError, match=message) as caught:
        compile_row_checks(sample)
    assert "contract.yaml:7" in str(caught.value)
