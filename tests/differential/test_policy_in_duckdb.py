"""Compiled views, run in DuckDB, show what the interpreter shows: every cell of every row of every request."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse.policy import compile as compiler
from lakehouse.policy import printing
from tests.differential import policy_corpus as corpus
from tests.differential.policy_engine import PRESENT, Engine, interpreted


def agrees(world: corpus.World) -> Counter[str]:
    """Compares every request; counts what kinds of answers there were."""
    kinds: Counter[str] = Counter()
    engine = Engine(world)
    try:
        for request in world.requests:
            expected = interpreted(world, request)
            assert engine.answer(request) == expected, request
            kinds["denied" if expected is None else "rows" if expected else "empty"] += 1
    finally:
        engine.close()
    return kinds


@pytest.mark.parametrize("seed", range(4))
def test_the_corpus(seed):
    kinds: Counter[str] = Counter()
    for world in corpus.worlds(20, seed=seed):
        kinds += agrees(world)
    # A corpus in which everything is denied, or everything hidden, would prove nothing.
    assert min(kinds["denied"], kinds["rows"]) > 50
    assert kinds["empty"] > 10


@settings(max_examples=30)
@given(st.randoms(use_true_random=False))
def test_any_world(rnd):
    agrees(corpus.world(rnd))


def test_the_corpus_is_the_same_in_every_process():
    """Trino's tests ask the same; a set's order would make them others."""
    first, again = (list(map(repr, corpus.worlds(3))) for _ in range(2))
    assert first == again


def test_views_that_share_trees_are_printed_like_views_alone():
    for world in corpus.worlds(30, seed=3):
        views = compiler.trino_views(world.policy, world.project, present=lambda _: PRESENT)
        together = printing.trino_sql(views)
        assert list(together) == [view.name for view in views]
        for view in views:
            alone = compiler.trino_view(world.policy, world.project, view.name.schema, view.table.id, present=PRESENT)
            assert printing.sql(alone) == printing.sql(view) == together[view.name]
