"""Copies, made in DuckDB and read through their views, show what the interpreter shows of the table itself."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from dataclasses import replace

import pytest

from lakehouse.policy import copies, reach
from lakehouse.policy.views import copy_relation
from tests.differential import policy_corpus as corpus
from tests.differential.policy_engine import PRESENT, Engine, interpreted


def copied(world: corpus.World) -> corpus.World:
    """The world with every purpose as copies: nothing in its policy depends on the reader's groups or on the day."""
    policy, day = world.policy, dt.timedelta(1)
    purposes = {name: replace(purpose, isolation="copy") for name, purpose in policy.purposes.items()}
    grants = tuple(
        replace(grant, groups=purposes[grant.purpose].groups, until=corpus.DAY + day)
        for grant in policy.grants
        if grant.rows is None or not grant.rows.uses_day
    )

    def of_all(rule):
        return replace(rule, unless=rule.unless and replace(rule.unless, groups=()))

    changed = replace(
        policy,
        purposes=purposes,
        grants=grants,
        ceilings=tuple(map(of_all, policy.ceilings)),
        row_ceilings=tuple(of_all(rule) for rule in policy.row_ceilings if not rule.only_rows.uses_day),
    )
    return replace(world, policy=changed)


def make(engine: Engine, day: dt.date) -> None:
    """The copies as they are made on the day."""
    world = engine.world
    for purpose, table in reach.pairs(world.policy, world.project):
        copy = copies.copy_of(world.policy, purpose, table, day=day, present=PRESENT)
        name = copy_relation(copy.name, trino=False)
        sql = copy.tree.sql(dialect="duckdb", identify=True)
        engine.connection.execute(f'CREATE SCHEMA IF NOT EXISTS copy; CREATE TABLE copy."{name.name}" AS {sql}')


@pytest.mark.parametrize("earlier", [0, 2])
def test_the_corpus(earlier):
    """A copy may be some days old: what ended since, consent or age, the view on it leaves out."""
    kinds: Counter[str] = Counter()
    for world in map(copied, corpus.worlds(60, seed=5)):
        engine = Engine(world)
        make(engine, min(request.day for request in world.requests) - dt.timedelta(earlier))
        for request in world.requests:
            expected = interpreted(world, request)
            assert engine.answer(request) == expected, request
            kinds["denied" if expected is None else "rows" if expected else "empty"] += 1
        engine.close()
    assert min(kinds["denied"], kinds["rows"]) > 50
    assert kinds["empty"] > 10


def test_a_copy_holds_no_row_and_no_value_that_its_readers_may_not_see():
    """Whoever reads a copy's statistics, or its files, learns what the view shows and no more."""
    rows = 0
    for world in map(copied, corpus.worlds(30, seed=6)):
        engine = Engine(world)
        make(engine, corpus.DAY)
        for purpose, table in reach.pairs(world.policy, world.project):
            request = corpus.Request(world.policy.purposes[purpose].groups, purpose, table.id, corpus.DAY)
            copy = copies.copy_of(world.policy, purpose, table, day=corpus.DAY, present=PRESENT)
            names = ", ".join(f'"{column.name}"' for column in table.columns)
            there = engine.ask(f'SELECT {names} FROM copy."{copy_relation(copy.name, trino=False).name}"')
            assert there == interpreted(world, request)
            rows += there.total()
        engine.close()
    assert rows > 100


def test_a_copy_is_empty_once_its_grants_have_ended():
    for world in map(copied, corpus.worlds(5, seed=5)):
        engine = Engine(world)
        make(engine, corpus.DAY + dt.timedelta(2))
        for (name,) in engine.connection.execute(
            "SELECT table_name FROM duckdb_tables() WHERE schema_name = 'copy'"
        ).fetchall():
            assert engine.connection.execute(f'SELECT count(*) FROM copy."{name}"').fetchone() == (0,)
        engine.close()


def test_rules_follow_what_is_shown_and_not_the_day():
    table = None
    for world in map(copied, corpus.worlds(20, seed=5)):
        for purpose, table in reach.pairs(world.policy, world.project):
            first, later, open_now = (
                copies.copy_of(world.policy, purpose, table, day=corpus.DAY + dt.timedelta(days), present=present).rules
                for days, present in ((0, PRESENT), (2, PRESENT), (0, ()))
            )
            assert first == later
            assert (first == open_now) == world.policy.purposes[purpose].legal
            other = replace(world.policy, grants=tuple(replace(grant, columns=()) for grant in world.policy.grants))
            told = {
                copies.copy_of(each, purpose, table, day=corpus.DAY, present=()).tree.sql()
                for each in (world.policy, other)
            }
            rules = {
                copies.copy_of(each, purpose, table, day=corpus.DAY, present=()).rules for each in (world.policy, other)
            }
            assert len(rules) == len(told)
    assert table is not None
