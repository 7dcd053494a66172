"""The consequences of a decision that the language's page promises, each over drawn worlds: none is checked by looking."""

from __future__ import annotations

import datetime as dt
import random
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from lakehouse.policy import compile as compiler
from lakehouse.policy import decide, printing, reach, treatments
from lakehouse.policy.trino import trino_rules
from tests.differential import policy_corpus as corpus

if TYPE_CHECKING:
    from lakehouse.policy.model import Policy

WORLDS = pytest.mark.parametrize(
    "world", [pytest.param(each, id=str(place)) for place, each in enumerate(corpus.worlds(25, seed=41))]
)


def decided(world: corpus.World, policy: Policy, request: corpus.Request):
    """What each row of the request's table shows: a treatment per column, None where nothing is seen of it."""
    table = world.project.table(request.table)
    for row in world.rows[request.table]:
        consented = any(
            said.entity == row["_entity"] and said.in_force(request.purpose, request.day) for said in world.consents
        )
        shown = decide.shown(
            policy, table, request.groups, request.purpose, day=request.day, row=row, consented=consented
        )
        yield None if isinstance(shown, str) else shown


def reveals_no_more(
    world: corpus.World, less: tuple[Policy, corpus.Request], more: tuple[Policy, corpus.Request]
) -> bool:
    """Row by row and column by column."""
    for small, large in zip(decided(world, *less), decided(world, *more), strict=True):
        if small is not None and (
            large is None or any(not treatments.below(small[name], large[name]) for name in small)
        ):
            return False
    return True


def shuffled(policy: Policy, rnd: random.Random) -> Policy:
    """The same policy with every list and mapping in another order."""

    def other(items):
        return tuple(rnd.sample(tuple(items), len(items)))

    def rules(found):
        return tuple(replace(rule, tables=other(rule.tables)) for rule in other(found))

    grants = tuple(
        replace(grant, groups=other(grant.groups), columns=other(grant.columns)) for grant in rules(policy.grants)
    )
    ceilings = tuple(replace(rule, categories=other(rule.categories)) for rule in rules(policy.ceilings))
    return replace(
        policy,
        classes=dict(other(policy.classes.items())),
        purposes=dict(other(policy.purposes.items())),
        groups=dict(other(policy.groups.items())),
        grants=grants,
        ceilings=ceilings,
        row_ceilings=rules(policy.row_ceilings),
    )


@WORLDS
def test_order_changes_nothing(world):
    other = shuffled(world.policy, random.Random(5))
    for request in world.requests:
        assert list(decided(world, world.policy, request)) == list(decided(world, other, request))
    assert printing.trino_sql(compiler.trino_views(world.policy, world.project)) == printing.trino_sql(
        compiler.trino_views(other, world.project)
    )
    assert trino_rules(world.policy, world.project) == trino_rules(other, world.project)


@WORLDS
def test_a_ceiling_more_never_reveals_more(world):
    richer = corpus.world(random.Random(8))
    for ceiling in richer.policy.ceilings:
        policy = replace(world.policy, ceilings=(*world.policy.ceilings, replace(ceiling, id="new")))
        assert all(reveals_no_more(world, (policy, request), (world.policy, request)) for request in world.requests)
    for rule in world.policy.row_ceilings:
        fewer = replace(
            world.policy, row_ceilings=tuple(each for each in world.policy.row_ceilings if each is not rule)
        )
        assert all(reveals_no_more(world, (world.policy, request), (fewer, request)) for request in world.requests)


@WORLDS
def test_a_grant_more_never_reveals_less(world):
    for grant in world.policy.grants:
        fewer = replace(world.policy, grants=tuple(each for each in world.policy.grants if each is not grant))
        assert all(reveals_no_more(world, (fewer, request), (world.policy, request)) for request in world.requests)


@WORLDS
def test_a_group_more_never_reveals_less(world):
    for request in world.requests:
        for group in (*corpus.GROUPS, "unheard of"):
            more = replace(request, groups=(*request.groups, group))
            assert reveals_no_more(world, (world.policy, request), (world.policy, more))


@WORLDS
def test_no_grant_reveals_what_a_ceiling_holds_back(world):
    """Every grant made as wide as the language lets it, every entry clear: ceilings hold all the same."""
    wide = tuple(
        replace(
            grant,
            rows=None,
            until=None,
            columns=tuple(replace(entry, treatment=treatments.CLEAR) for entry in grant.columns),
        )
        for grant in world.policy.grants
    )
    policy = replace(world.policy, grants=wide)
    for request in world.requests:
        table = world.project.table(request.table)
        for shown in decided(world, policy, request):
            for name, treatment in (shown or {}).items():
                for ceiling in reach.ceilings(policy, table, table.column(name)):
                    free = reach.escaping(policy, ceiling.unless, request.purpose)
                    if free is not None and not free.intersection(request.groups):
                        most = reach.at_most(policy, ceiling, request.purpose, table, table.column(name))
                        assert treatments.below(treatment, most)


@WORLDS
def test_nothing_is_left_of_a_grant_the_day_after(world):
    for grant in world.policy.grants:
        if grant.until is None:
            continue
        without = replace(world.policy, grants=tuple(each for each in world.policy.grants if each is not grant))
        for request in world.requests:
            later = replace(request, day=grant.until + dt.timedelta(days=1))
            assert list(decided(world, world.policy, later)) == list(decided(world, without, later))
