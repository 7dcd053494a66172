"""The small SQL of row predicates: what it is, what it is not, and how it is spelled."""

from __future__ import annotations

import datetime as dt

import pytest

from lakehouse.contract.model import ColumnType, Logical
from lakehouse.policy.predicates import PredicateError, holds, mistakes, parse

DAY = dt.date(2024, 2, 29)
TYPES = {
    "region": ColumnType(Logical.STRING),
    "n": ColumnType(Logical.INTEGER),
    "price": ColumnType(Logical.DECIMAL, 10, 2),
    "score": ColumnType(Logical.FLOAT),
    "open": ColumnType(Logical.BOOLEAN),
    "born": ColumnType(Logical.DATE),
    "at": ColumnType(Logical.TIMESTAMP),
}


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("region   =\n 'EU'", "region = 'EU'"),
        ("region in('EU','it''s')", "region IN ('EU', 'it''s')"),
        ("not region in ('EU')", "region NOT IN ('EU')"),
        ("NOT n IS NULL", "n IS NOT NULL"),
        ("n Between 1 And 2 and open", "n BETWEEN 1 AND 2 AND open"),
        ("not n not between -1 and 2", "NOT n NOT BETWEEN -1 AND 2"),
        ("region like 'a\\_%'", "region LIKE 'a\\_%'"),
        ("(open)", "open"),
        ("((open) = (true))", "open = TRUE"),
        ("(open and (n = 1)) and n = 2", "open AND n = 1 AND n = 2"),
        ("open or n = 1 and n = 2", "open OR n = 1 AND n = 2"),
        ("(open or n = 1) and n = 2", "(open OR n = 1) AND n = 2"),
        ("not (open or n = 1)", "NOT (open OR n = 1)"),
        ("not open = false", "NOT open = FALSE"),
        ("price<-1.50", "price < -1.5"),
        ("price >= 000.10", "price >= 0.1"),
        ("n = -0", "n = 0"),
        ("n = 100", "n = 100"),
        ("score > 15E-1", "score > 1.5e0"),
        ("score > 1e+22", "score > 1e22"),
        ("score > -5e-324", "score > -5e-324"),
        ("born = date '2024-02-29'", "born = DATE '2024-02-29'"),
        ("CURRENT_DATE > born", "current_date > born"),
        ("at < timestamp '2024-02-29 00:00:00.500'", "at < TIMESTAMP '2024-02-29 00:00:00.5'"),
        ("at < timestamp '0001-01-01 00:00:00'", "at < TIMESTAMP '0001-01-01 00:00:00'"),
        ("date = 1", "date = 1"),
        ("timestamp IS NULL", "timestamp IS NULL"),
    ],
)
def test_one_text_per_meaning(text, canonical):
    predicate = parse(text)
    assert predicate.text == canonical
    assert parse(canonical) == predicate
    assert parse(canonical).condition == predicate.condition


REFUSED = {
    "": "found the end",
    "a AND": "found the end",
    "NOT": "found the end",
    "()": "found `)` at character 2",
    "a = b = c": "found `=` at character 7",
    "a = 1 b = 2": "found `b` at character 7",
    "(a = 1": "expected `)`, found the end",
    "a = 1)": "found `)` at character 6",
    "(a = 1) = TRUE": "cannot be compared",
    "(a = 1) IS NULL": "cannot be compared",
    "a = (b = 1)": "expected",
    "a = NOT b": "found `NOT`",
    "a NOT = 1": "expected `IN`, `BETWEEN` or `LIKE`",
    "a IS TRUE": "expected `NULL`",
    "a IS NOT DISTINCT FROM b": "expected `NULL`",
    "a = NULL": "found `NULL`",
    "NULL": "found `NULL`",
    "a IN ()": "found `)`",
    "a IN (1,)": "found `)`",
    "a IN 1": "expected `(`",
    "a IN (SELECT b FROM c)": "found `b`",
    "a BETWEEN 1 OR 2": "expected `AND`",
    "a BETWEEN SYMMETRIC 1 AND 2": "expected `AND`",
    "a LIKE b": "expected a text",
    "a LIKE 'x' ESCAPE '!'": "found `ESCAPE`",
    "a LIKE ('x')": "expected a text",
    "a ILIKE 'x'": "found `ILIKE`",
    "a GLOB 'x'": "found `GLOB`",
    "a ~ 'x'": "`~` at character 3",
    "a != 1": "`!=` at character 3",
    "a == 1": "found `=`",
    "a < > 1": "found `>`",
    "a <=> 1": "found `>`",
    "a = -b": "expected a number after `-`",
    "a = +1": "`+` at character 5",
    "a - 1 = 0": "found `-`",
    "a = 1 - 1": "found `-`",
    "a = 2 * 3": "`*` at character 7",
    "a || 'x' = 'y'": "`|` at character 3",
    "a = 'x' 'y'": "found `'y'`",
    "lower(a) = 'x'": "there are no functions",
    "a = lower (b)": "there are no functions",
    "date(a) = 1": "there are no functions",
    "current_date() = a": "found `(`",
    "EXISTS (a)": "there are no functions",
    "a = ALL (b)": "there are no functions",
    "CASE WHEN a THEN b END": "found `WHEN`",
    "CAST(a AS int) = 1": "there are no functions",
    "a::int = 1": "`::` at character 2",
    '"a" = 1': '`"` at character 1',
    "`a` = 1": "at character 1",
    "[a] = 1": "at character 1",
    "t.a = 1": "`.` at character 2",
    "a = .5": "`.` at character 5",
    "a = 1.": "does not end",
    "a = 1.5.2": "does not end",
    "a = 0x1F": "does not end",
    "a = 1_000": "does not end",
    "a = 1e": "does not end",
    "a = 1e999": "too great",
    "a = " + "9" * 39: "more than 38 digits",
    "a = 0." + "1" * 39: "more than 38 digits",
    "a = 1" + "0" * 38: "more than 38 digits",
    "a = ?": "`?` at character 5",
    "a = $1": "`$` at character 5",
    "a = :p": "`:` at character 5",
    "a = @v": "`@` at character 5",
    "a = {{ x }}": "`{` at character 5",
    "a = 'x": "has no end",
    "a = '''": "has no end",
    "a = E'x'": "prefix",
    "a = N'x'": "prefix",
    "a = X'00'": "prefix",
    "a = $$x$$": "`$` at character 5",
    "a = U&'x'": "`&` at character 6",
    "a = DATE'2024-02-29'": "prefix",
    "a = DATE '2023-02-29'": "is no date",
    "a = DATE '24-02-29'": "is no date",
    "a = DATE '20240229'": "is no date",
    "a = DATE '2024-W09-4'": "is no date",
    "a = DATE 'infinity'": "is no date",
    "a = DATE '10000-01-01'": "is no date",
    "a = TIMESTAMP '2024-02-29'": "is no timestamp",
    "a = TIMESTAMP '2024-02-29T00:00:00'": "is no timestamp",
    "a = TIMESTAMP '2024-02-29 00:00:00Z'": "is no timestamp",
    "a = TIMESTAMP '2024-02-29 24:00:00'": "is no timestamp",
    "a = TIMESTAMP '2024-02-29 00:00:00.0000001'": "is no timestamp",
    "a = INTERVAL '1' DAY": "found `'1'`",
    "a = 1 -- b": "`--` at character 7",
    "a = 1 --": "`--` at character 7",
    "a = --1": "`--` at character 5",
    "a = 1 /* b */": "`/*` at character 7",
    "a = 1 # b": "`#` at character 7",
    "a = 1; DROP TABLE b": "`;` at character 6",
    "a = 'x\0'": "invisible character U+0000",
    "a = 'x\u202ey'": "invisible character U+202E",
    "a = 'x\ny'": "invisible character U+000A",
    "a\u00a0= 1": "at character 2",
    "\u0430 = 1": "at character 1",
    "a = \u0661": "at character 5",
    "a \uff1d 1": "at character 3",
    "(" * 31 + "a" + ")" * 31: "nested deeper than 30",
    "NOT " * 31 + "a": "nested deeper than 30",
    "a = '" + "x" * 10_000 + "'": "longer than 10,000 characters",
}


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: ascii(text)[:40])
def test_everything_else_is_refused_with_its_place(text):
    with pytest.raises(PredicateError) as refused:
        parse(text)
    assert REFUSED[text] in refused.value.message
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("a != 1", "write `<>`"),
        ("a LIKE lower('x')", "there are no functions"),
        ("a = NULL", "NULL is no literal: write `IS NULL`"),
        ("a = 1 -- x", "comments stand in the yaml file"),
        ('"a" = 1', "names are written without quotes, text in single quotes"),
        ("a = DATE '1'", "write `DATE '2020-01-31'`"),
        ("a = 1.", "numbers are written `12`, `0.5` or, floating, `1.5e0`"),
    ],
)
def test_what_to_write_instead(text, hint):
    with pytest.raises(PredicateError) as refused:
        parse(text)
    assert refused.value.hint == hint


def test_long_predicates_are_read():
    joined = parse(" OR ".join(f"n = {number}" for number in range(900)))
    assert holds(joined, {"n": 899}, TYPES, day=DAY)
    assert parse("(" * 30 + "open" + ")" * 30).text == "open"


def test_columns_and_the_day_are_known():
    predicate = parse("born < current_date AND (region LIKE 'x' OR n IN (1, price) OR NOT n BETWEEN 1 AND price)")
    assert predicate.columns == ("born", "n", "price", "region")
    assert predicate.uses_day
    assert not parse("born < DATE '2024-02-29'").uses_day
    assert parse("TRUE").columns == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("regoin = 'EU'", ["column `regoin` does not exist: did you mean `region`?"]),
        ("Region = 'EU'", ["column `Region` does not exist: did you mean `region`?"]),
        ("REGION = 'EU'", ["column `REGION` does not exist: did you mean `region`?"]),
        ("zzz = 1 OR zzz = 2", ["column `zzz` does not exist"]),
        ("_entity = 'x'", ["`_entity` is a column of the platform: predicates use columns of the contract"]),
        (
            "region__token = 'x'",
            ["`region__token` is a column of the platform: predicates use columns of the contract"],
        ),
        ("region", ["`region` is text, not a condition: compare it with something"]),
        ("1", ["`1` is an exact number, not a condition: compare it with something"]),
        ("n LIKE '1%'", ["`n` is an exact number: `LIKE` is for text"]),
        (
            "score > 1.5",
            [
                "`score` is a floating number and `1.5` is an exact number, which do not compare: write a literal like `1.5e0`"
            ],
        ),
        (
            "1.5e0 < n",
            [
                "`1.5e0` is a floating number and `n` is an exact number, which do not compare: write a literal like `1.5`"
            ],
        ),
        ("n = score", ["`n` is an exact number and `score` is a floating number, which do not compare"]),
        (
            "born IN (current_date, '2024-02-29')",
            [
                "`born` is a date and `'2024-02-29'` is text, which do not compare: write a literal like `DATE '2020-01-31'`"
            ],
        ),
        ("at = current_date", ["`at` is an instant and `current_date` is a date, which do not compare"]),
        (
            "open = 1",
            ["`open` is a boolean and `1` is an exact number, which do not compare: write a literal like `TRUE`"],
        ),
        (
            "n BETWEEN '1' AND born",
            [
                "`n` is an exact number and `'1'` is text, which do not compare: write a literal like `1.5`",
                "`n` is an exact number and `born` is a date, which do not compare",
            ],
        ),
        ("1 = '1'", ["`1` is an exact number and `'1'` is text, which do not compare: write a literal like `1.5`"]),
    ],
)
def test_types_and_names_are_checked_against_a_table(text, said):
    assert mistakes(parse(text), TYPES) == said


@pytest.mark.parametrize(
    "text", ["n = price", "n = 1.5", "price IN (n, 1)", "open", "born < current_date", "score = 1e0", "score IS NULL"]
)
def test_whole_numbers_and_decimals_are_one_type(text):
    assert mistakes(parse(text), TYPES) == []


ROW = {"region": "EU", "n": None, "score": float("nan"), "open": True, "born": DAY, "at": dt.datetime(2024, 2, 29)}


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("region = 'EU'", True),
        ("region = 'eu'", False),
        ("n = 1", None),
        ("n <> 1", None),
        ("NOT n = 1", None),
        ("n = 1 AND region = 'eu'", False),
        ("n = 1 OR open", True),
        ("n = 1 OR region = 'eu'", None),
        ("n IN (1, 2)", None),
        ("region IN ('x', 'EU')", True),
        ("1 IN (n, 1)", True),
        ("1 IN (n, 2)", None),
        ("1 NOT IN (n, 2)", None),
        ("2 BETWEEN n AND 1", False),
        ("0 BETWEEN n AND 1", None),
        ("n IS NULL", True),
        ("score IS NULL", True),
        ("score > 0e0", None),
        ("price IS NULL", True),
        ("born = current_date", True),
        ("at = TIMESTAMP '2024-02-29 00:00:00'", True),
        ("'a' LIKE '_'", True),
        ("0.1 = 0.10", True),
    ],
)
def test_answers_worked_out_by_hand(text, answer):
    assert holds(parse(text), ROW, TYPES, day=DAY) is answer


@pytest.mark.parametrize(
    ("text", "pattern", "alike"),
    [
        ("", "", True),
        ("", "%", True),
        ("", "_", False),
        ("abc", "abc", True),
        ("abc", "a%", True),
        ("abc", "%c", True),
        ("abc", "%%b%%", True),
        ("abc", "a_c", True),
        ("abc", "ab", False),
        ("abc", "abcd", False),
        ("abcabd", "%ab_", True),
        ("aXbXc", "a%X%c", True),
        ("a%", "a\\%", False),
        ("a\\b", "a\\%", True),
        ("a.c", "a.c", True),
        ("abc", "a.c", False),
        ("a\nb", "a_b", True),
        ("\N{GRINNING FACE}", "_", True),
        ("a" * 200, "%a" * 150 + "b", False),
    ],
    ids=ascii,
)
def test_like_by_hand(text, pattern, alike):
    assert holds(parse(f"region LIKE '{pattern}'"), {"region": text}, TYPES, day=DAY) is alike


def test_a_column_that_the_table_lacks_is_no_null():
    with pytest.raises(KeyError):
        holds(parse("zzz IS NULL"), ROW, TYPES, day=DAY)
