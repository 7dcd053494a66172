"""Sentences of the language's page, one case each, asked of the interpreter, of `reach` and of combinations of groups."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import pytest

from lakehouse.contract.model import Logical
from lakehouse.errors import PolicyError
from lakehouse.policy import compile as compiler
from lakehouse.policy import decide, predicates, reach, treatments
from lakehouse.policy.combinations import Condition, Level, Limit, TooManyCombinationsError, branches
from lakehouse.policy.model import Age, Ceiling, Grant, Sensitivity, Unless
from lakehouse.policy.treatments import CLEAR, HIDE, REDACT, TOKEN, parse
from tests.unit.policy.compiled_policy import CLAIM, DAY, PERSON, POLICY, PROJECT, RATE, column, entry, pattern

TABLE = PROJECT.table(CLAIM)


def shown(policy=POLICY, groups=("analysts",), purpose="fraud", *, table=TABLE, day=DAY, **more):
    return decide.shown(policy, table, groups, purpose, day=day, **more)


def granting(*columns, **more):
    """A policy with one grant, of these entries."""
    grant = Grant("only", ("analysts",), "fraud", (pattern("*.*.*"),), columns, **more)
    return replace(POLICY, grants=(grant,), ceilings=(), row_ceilings=())


@pytest.mark.parametrize(
    ("age", "day", "oldest"),
    [
        (Age(3, "Y"), "2024-02-29", "2021-02-28"),
        (Age(1, "M"), "2024-03-31", "2024-02-29"),
        (Age(13, "M"), "2024-01-31", "2022-12-31"),
        (Age(90, "D"), "2024-03-01", "2023-12-02"),
        (Age(9999, "Y"), "2024-03-01", "0001-01-01"),
        (Age(2024, "Y"), "2024-03-01", "0001-01-01"),
        (Age(10**9, "D"), "2024-03-01", "0001-01-01"),
    ],
)
def test_month_ends_are_clamped(age, day, oldest):
    assert age.before(dt.date.fromisoformat(day)).isoformat() == oldest


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ((), HIDE),
        ((entry("user", "clear"),), HIDE),  # a category never opens what a longer prefix classes
        ((entry("user", "clear"), entry("user.health_and_medical", "partial(2)")), parse("partial(2)")),
        ((entry("user.health_and_medical", "partial(2)"), entry("claim.diagnosis", "clear")), CLEAR),
        ((entry("rate.diagnosis", "clear"),), HIDE),  # another table's
    ],
)
def test_the_most_specific_entry_wins(columns, expected):
    policy = granting(*columns)
    assert shown(policy)["diagnosis"] == expected
    assert reach.treatment(policy, policy.grants[0], TABLE, TABLE.column("diagnosis")) == expected


@pytest.mark.parametrize(
    ("said", "expected"), [("clear", "partial(3)"), ("redact", "redact"), ("partial(2)", "partial(2)")]
)
def test_an_entry_that_does_not_reach_can_only_lower(said, expected):
    defaults = {**POLICY.defaults, Sensitivity.RESTRICTED: parse("partial(3)")}
    policy = replace(granting(entry("user", said)), defaults=defaults)
    assert shown(policy)["diagnosis"] == parse(expected)


def test_a_raised_column_is_reached_by_its_name_alone():
    raised = replace(TABLE, columns=(column("name", "user.name", classification="restricted"),))
    assert shown(granting(entry("user.name", "clear")), table=raised) == {"name": HIDE}
    assert shown(granting(entry("claim.name", "clear")), table=raised) == {"name": CLEAR}


def test_a_treatment_counts_as_what_the_type_has():
    assert shown(granting(entry("user", "partial(2)")))["age"] == HIDE
    assert shown(granting(entry("user", "year")))["name"] == REDACT


@pytest.mark.parametrize(
    ("entries", "expected"), [((), HIDE), ((entry("user", "clear"),), HIDE), ((entry("user", "token"),), TOKEN)]
)
def test_a_ceiling_of_tokens_counts_where_a_grant_shows_one(entries, expected):
    """On what is no text; elsewhere the column would change its type."""
    person = PROJECT.table(PERSON)
    policy = replace(granting(*entries), ceilings=(Ceiling("t", TOKEN, ("user",)),))
    assert shown(policy, table=person)["number"] == expected


def test_tokens_and_surrogates_are_clear():
    tokens = replace(TABLE, columns=(column("who", "user.contact", token_of="user.contact.email"),))
    policy = replace(granting(entry("user", "token")), ceilings=(Ceiling("t", TOKEN, ("user",)),))
    assert shown(policy, table=tokens) == {"who": CLEAR}


@pytest.mark.parametrize(
    ("unless", "escapes"),
    [
        (None, False),
        (Unless(), False),
        (Unless(groups=("analysts", "nurses")), True),
        (Unless(groups=("nurses",)), False),
        (Unless(purposes=("fraud",)), True),
        (Unless(groups=("analysts",), purposes=("triage",)), False),
        (Unless(groups=("analysts",), purposes=("fraud", "triage")), True),
        (Unless(groups=("unheard of",)), False),
    ],
)
def test_who_escapes_a_ceiling(unless, escapes):
    policy = replace(granting(entry("user", "clear")), ceilings=(Ceiling("c", HIDE, ("user.name",), unless=unless),))
    groups = ("analysts", "unheard of")
    assert shown(policy, groups)["name"] == (CLEAR if escapes else HIDE)
    free = reach.escaping(policy, unless, "fraud")
    assert (free is None or bool(free.intersection(groups))) is escapes


def test_a_row_without_a_given_consent_age_or_predicate_is_invisible():
    seen = {"region": "UK", "reported": dt.datetime(2026, 1, 1, tzinfo=dt.UTC)}
    assert not isinstance(shown(row=seen), str)
    assert shown(row=seen, consented=False) == "invisible"
    assert shown(row={**seen, "reported": None}) == "invisible"
    assert shown(row={**seen, "reported": dt.datetime(2023, 3, 30, 23, 59, tzinfo=dt.UTC)}) == "invisible"
    assert not isinstance(shown(row={**seen, "reported": dt.datetime(2023, 3, 31, tzinfo=dt.UTC)}), str)
    assert shown(row={**seen, "region": None}) == "invisible"
    assert shown(row={**seen, "_restricted_until": DAY}) == "invisible"
    assert shown() == shown(row=seen)


def test_a_table_without_personal_columns_asks_nobody():
    assert shown(table=PROJECT.table(RATE), consented=False, row={}) == {"rate": CLEAR}


def test_another_version_of_a_contract_is_another_table():
    named = replace(TABLE, columns=(column("email", "system.operations"),))
    policy = granting()
    grant = policy.grants[0]
    assert reach.treatment(policy, grant, TABLE, TABLE.column("email")) == REDACT
    assert reach.treatment(policy, grant, named, named.column("email")) == CLEAR
    assert reach.treatment(policy, grant, TABLE, TABLE.column("email")) == REDACT


def test_everybody_alike_needs_no_test_of_groups():
    one = Level(TOKEN, Condition(), frozenset("ab"))
    assert branches([one], [Limit(HIDE, frozenset("ab"))], Logical.STRING) == branches([one], [], Logical.STRING)
    assert [branch.tests for branch in branches([one], [Limit(REDACT, frozenset())], Logical.STRING)] == [()]


def test_too_many_combinations_are_refused():
    condition = [Condition(predicates.parse(f"region = '{place}'")) for place in range(7)]
    levels = [
        Level(parse(f"partial({place + 1})"), each, frozenset({f"g{place}"})) for place, each in enumerate(condition)
    ]
    assert len(branches(levels[:6], [], Logical.STRING)) == 2**6 - 1
    with pytest.raises(TooManyCombinationsError):
        branches(levels, [], Logical.STRING)


def test_a_crowded_policy_is_a_finding():
    groups = {f"g{place}": () for place in range(7)}
    grants = tuple(
        Grant(
            f"grant-{place}",
            (f"g{place}",),
            "fraud",
            (pattern("curated.claims.claim"),),
            (entry("user.name", f"partial({place + 1})"),),
            rows=predicates.parse(f"region = '{place}'"),
            where=f"access.yaml:{place}",
        )
        for place in range(7)
    )
    fraud = replace(POLICY.purposes["fraud"], groups=tuple(groups))
    policy = replace(POLICY, groups=groups, grants=grants, ceilings=(), purposes={"fraud": fraud})
    [finding] = compiler.crowded(policy, PROJECT)
    assert finding.where == "access.yaml:0"
    with pytest.raises(PolicyError):
        compiler.trino_views(policy, PROJECT)
    assert compiler.crowded(POLICY, PROJECT) == []


def test_incomparable_grants_are_no_guess():
    one, other = (
        Grant(name, ("analysts",), "fraud", (pattern("*.*.*"),), (entry("user.name", said),))
        for name, said in (("a", "partial(2)"), ("b", "prefix(2)"))
    )
    policy = replace(POLICY, grants=(one, other), ceilings=())
    with pytest.raises(ValueError, match="incomparable"):
        shown(policy)
    with pytest.raises(ValueError, match="incomparable"):
        compiler.duckdb_view(policy, PROJECT, "fraud", CLAIM, groups=("analysts",), day=DAY)
    assert treatments.join(parse("partial(2)"), parse("prefix(2)")) is None
