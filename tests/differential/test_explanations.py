"""Explanations say what the interpreter decides: for every purpose and group of the project's own policy and of drawn ones.

And for people in several groups; with a day, and without one, where every grant stands.
"""

from __future__ import annotations

import datetime as dt
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse.contract.load import load_project
from lakehouse.policy import decide, explain, explain_words, treatments
from lakehouse.policy.load import load_policy
from tests.differential import policy_corpus as corpus

#: On this day no grant has ended.
FIRST = dt.date.min


def agree(policy, table, groups, purpose, *, day):
    """Holds one explanation against the decision; returns it."""
    told = explain.explain(policy, table, groups, policy.purposes[purpose], day=day)
    shown = decide.shown(policy, table, groups, purpose, day=day or FIRST)
    if told.denied is not None:
        assert shown == "denied"
        assert told.columns == ()
        assert explain_words.rows(told) == ()
        return told
    assert {seen.column.name: seen.shown for seen in told.columns} == shown
    assert explain_words.rows(told)
    for seen in told.columns:
        assert explain_words.decided(policy, seen)
        # What is shown is what the first grant grants, under the ceilings that are named and no other.
        rest = seen.said[0].granted
        for cut in seen.cuts:
            rest = treatments.typed(treatments.meet(rest, cut.at_most), seen.column.type.logical)
        assert rest == seen.shown
        assert bool(seen.cuts) == (seen.said[0].granted != seen.shown)
    return told


def every(policy, tables, *, days):
    combinations = [who for size in range(3) for who in itertools.combinations([*policy.groups, "unheard of"], size)]
    outcomes = set()
    for table, purpose, day in itertools.product(tables, policy.purposes, days):
        for who in combinations:
            told = agree(policy, table, who, purpose, day=day)
            outcomes.add(told.denied is None)
    return outcomes


def test_the_projects_own_policy(project_root):
    project = load_project(project_root)
    policy = load_policy(project_root, project)
    days = (None, dt.date(2027, 12, 31), dt.date(2028, 1, 1))
    for table, day in itertools.product(project.tables, days):
        for access in explain.answers(policy, table, explain.Question(day=day)):
            agree(policy, table, access.groups, access.purpose.name, day=day)
        for members in {frozenset(policy.groups_of(user)) for user in ("ana", "gita", "hana", "rita")}:
            for purpose in policy.purposes:
                agree(policy, table, members, purpose, day=day)


@pytest.mark.parametrize("seed", range(2))
def test_the_corpus(seed):
    outcomes = set()
    for world in corpus.worlds(15, seed=seed):
        outcomes |= every(world.policy, world.project.tables, days=(None, corpus.DAY))
    assert outcomes == {True, False}


@settings(max_examples=20)
@given(st.randoms(use_true_random=False))
def test_any_world(rnd):
    world = corpus.world(rnd)
    every(world.policy, world.project.tables, days=(None, corpus.DAY + dt.timedelta(2)))


def test_a_row_shows_what_one_of_the_grants_is_said_to_show():
    """With rows: each visible row has, in each column, a treatment that the explanation names."""
    compared = 0
    for world in corpus.worlds(25, seed=5):
        for request in world.requests:
            table = world.project.table(request.table)
            if request.purpose not in world.policy.purposes:
                continue
            told = explain.explain(
                world.policy, table, request.groups, world.policy.purposes[request.purpose], day=request.day
            )
            for row in world.rows[request.table]:
                shown = decide.shown(world.policy, table, request.groups, request.purpose, day=request.day, row=row)
                if not isinstance(shown, str):
                    compared += 1
                    for seen in told.columns:
                        assert shown[seen.column.name] in {said.shown for said in seen.said}
    assert compared > 100
