"""What queries may say means the same after the guard has rewritten it."""

from __future__ import annotations

import duckdb
import pytest

from lakehouse.serving import functions, guard
from tests.unit.serving.function_samples import SAMPLES, SHAPES

VIEWS = {"sample": ("i", "f", "n", "s", "d", "t", "b"), "other": ("i", "s")}
TEXTS = "['abc de', 'a', 'Zürich', null, 'ba na', 'x']"
#: sqlglot writes these in another way, which rounds its last digit otherwise.
ROUNDED = {"log2"}


@pytest.fixture(scope="module")
def tables():
    with duckdb.connect() as connection:
        connection.execute("attach ':memory:' as serve")
        connection.execute("create schema serve.trial")
        connection.execute("use serve.trial")
        connection.execute(
            "create table sample as select i::int as i, i * 1.5::double as f, (i * 2.25)::decimal(10, 2) as n, "
            f"{TEXTS}[i] as s, date '2023-12-30' + i::int as d, timestamp '2023-12-30 23:59:00' + interval (i) hour as t, "
            "i % 2 = 0 as b from range(1, 7) r(i)"
        )
        connection.execute("create table other as select i::int as i, 'o' || i as s from range(2, 9, 2) r(i)")
        yield connection


def rows(tables, sql):
    return sorted(map(repr, tables.execute(sql).fetchall()))


def test_every_function_has_a_sample():
    assert set(SAMPLES) == functions.CALLABLE


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_function_means_the_same(name, tables):
    call = f"round({SAMPLES[name]}, 9)" if name in ROUNDED else SAMPLES[name]
    sql = f"select {call} as x from sample"
    checked = guard.check(sql, purpose="trial", views=VIEWS)
    assert rows(tables, checked.text) == rows(tables, sql)
    assert checked.views == ("sample",)


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_shape_means_the_same(name, tables):
    sql = SHAPES[name]
    checked = guard.check(sql, purpose="trial", views=VIEWS)
    assert rows(tables, checked.text) == rows(tables, sql)
    assert set(checked.views) <= set(VIEWS)


@pytest.mark.parametrize("sql", ["select row_number() over () as a, s as b from sample", "select i, i from sample"])
def test_columns_keep_their_names(sql, tables):
    checked = guard.check(sql, purpose="trial", views=VIEWS)
    names = [column[0] for column in tables.execute(sql).description]
    assert [column[0] for column in tables.execute(checked.text).description] == names
