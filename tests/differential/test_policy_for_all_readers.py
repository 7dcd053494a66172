"""Trino's views, asked by each reader in DuckDB: the tests of groups and days that only views for all readers have.

No Trino runs here. The compiler makes the same view with DuckDB's words, `current_groups()` a macro and the day the
engine's, so that combinations of groups, days and ceilings with groups are held against the interpreter all the same.
"""

from __future__ import annotations

import datetime as dt

import pytest
from sqlglot import exp, parse_one

from lakehouse.policy import compile as compiler
from lakehouse.policy import printing, reach
from lakehouse.policy.frame import Frame
from tests.differential import policy_corpus as corpus
from tests.differential.policy_engine import PRESENT, Engine, interpreted


def for_all(world: corpus.World, request: corpus.Request) -> str | None:
    """The view of all readers in DuckDB's words, with the request's groups and day put in where Trino computes them."""
    table = world.project.table(request.table)
    if request.purpose not in reach.purposes(world.policy, table):
        return None
    tree = compiler.for_all_readers(world.policy, Frame(table, "duckdb", None), request.purpose, present=PRESENT)
    return tree.transform(_said, request).sql("duckdb")


def _said(node: exp.Expr, request: corpus.Request) -> exp.Expr:
    """A node of the view as it is for the request; what is put in is not looked into again, so inner nodes come first."""
    if isinstance(node, exp.Anonymous) and node.name == "current_groups":
        return exp.array(*(exp.Literal.string(group) for group in ("", *request.groups)))
    if isinstance(node, exp.CurrentTimestamp):
        moment = dt.datetime.combine(request.day, dt.time(23, 59, 59)).isoformat()
        return parse_one(f"CAST('{moment}+00' AS TIMESTAMPTZ)", dialect="duckdb")
    if isinstance(node, exp.Anonymous) and node.name == "date_add":
        unit, back, _ = node.expressions
        # The interval's end may be before year 1, where DuckDB has days and the interpreter ends.
        return parse_one(
            f"CAST(DATE '{request.day}' - INTERVAL {back.this.name} {unit.name} AS DATE)", dialect="duckdb"
        )
    if isinstance(node, exp.Anonymous) and node.name == "with_timezone":
        day = node.expressions[0].this.transform(_said, request)
        return exp.AtTimeZone(this=exp.cast(day, "TIMESTAMP"), zone=node.expressions[1])
    return node


@pytest.mark.parametrize("seed", range(10, 13))
def test_every_reader_sees_what_the_interpreter_says(seed):
    for world in corpus.worlds(20, seed=seed):
        engine = Engine(world)
        for request in world.requests:
            expected = interpreted(world, request)
            query = for_all(world, request)
            seen = engine.ask(query) if query else None
            assert not seen if expected is None else seen == expected, request  # denied: no view, or an empty one
        engine.close()


def test_printed_for_trino_they_can_be_read_again():
    for world in corpus.worlds(20, seed=5):
        for view in compiler.trino_views(world.policy, world.project, present=lambda _: PRESENT):
            text = printing.sql(view)
            again = parse_one(text, dialect="trino")
            # sqlglot knows DATE_ADD and writes its unit in capitals
            assert f"{again.sql('trino', pretty=True)}\n".casefold() == text.casefold()
