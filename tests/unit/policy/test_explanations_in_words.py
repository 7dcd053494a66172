"""What explanations say: the sentences about treatments, rows and denials, one case for each kind of rule."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import pytest

from lakehouse.policy import explain, explain_words, predicates
from lakehouse.policy.model import Age, Approval, Ceiling, Grant, RowCeiling, Unless
from lakehouse.policy.treatments import parse
from tests.unit.policy.compiled_policy import CLAIM, POLICY, PROJECT, entry, pattern

TABLE = PROJECT.table(CLAIM)
DAY = dt.date(2026, 5, 1)


def grant(*columns, name="only", groups=("analysts",), **more):
    return Grant(name, groups, "fraud", (pattern("*.*.*"),), columns, **more)


def under(*grants, **more):
    """A policy of these grants and nothing above them, unless it is given."""
    plain = replace(POLICY.purposes["fraud"], consent=None, max_age=None)
    nothing = {"ceilings": (), "row_ceilings": (), "purposes": {**POLICY.purposes, "fraud": plain}}
    return replace(POLICY, **{**nothing, **more}, grants=tuple(sorted(grants, key=lambda each: each.id)))


def told(policy, groups=("analysts",), purpose="fraud", *, day=None, table=TABLE):
    return explain.explain(policy, table, groups, policy.purposes[purpose], day=day)


def reasons(policy, column, **more):
    seen = next(each for each in told(policy, **more).columns if each.column.name == column)
    return [sentence.text for sentence in explain_words.decided(policy, seen)]


def rows(policy, **more):
    return [sentence.text for sentence in explain_words.rows(told(policy, **more))]


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ((), ["grant `only` has no entry for it", "class `restricted` (`user.health_and_medical`) shows `hide`"]),
        (
            (entry("user", "clear"),),
            ["grant `only`: `user: clear` does not reach it", "class `restricted` (`user.health_and_medical`) shows `hide`"],
        ),
        ((entry("user.health_and_medical", "partial(2)"),), ["grant `only`: `user.health_and_medical: partial(2)`"]),
        ((entry("claim.diagnosis", "clear"), entry("user", "hide")), ["grant `only`: `claim.diagnosis: clear`"]),
    ],
)  # fmt: skip
def test_who_grants_a_column(entries, expected):
    assert reasons(under(grant(*entries)), "diagnosis") == expected


def test_an_entry_that_lowers_the_default_is_the_rule():
    diagnosis = TABLE.column("diagnosis")
    raised = replace(diagnosis, category="user.contact", classification="restricted")
    table = replace(TABLE, columns=tuple(raised if each == diagnosis else each for each in TABLE.columns))
    defaults = {**POLICY.defaults, max(POLICY.defaults): parse("partial(4)")}
    policy = under(grant(entry("user", "partial(2)")), defaults=defaults)
    assert reasons(policy, "diagnosis", table=table) == [
        "grant `only`: `user: partial(2)` lowers what class `restricted` (raised by the contract) shows"
    ]


def test_what_a_type_lacks_is_said_as_what_it_counts_as():
    assert reasons(under(grant(entry("user.demographic", "partial(4)"))), "age") == [
        "grant `only`: `user.demographic: partial(4)`, here `hide`"
    ]


def test_every_ceiling_that_cuts_is_named_with_whom_it_lets_pass():
    policy = under(
        grant(entry("user.health_and_medical", "clear")),
        ceilings=(
            Ceiling("always", parse("redact"), ("user",)),
            Ceiling("mostly", parse("partial(4)"), ("user",), unless=Unless(groups=("nurses",))),
            Ceiling("other", parse("hide"), ("user",), unless=Unless(groups=("analysts",))),
            Ceiling("never", parse("clear"), ("user",)),
        ),
    )
    assert reasons(policy, "diagnosis")[1:] == [
        "ceiling `always`: at most `redact`",
        "ceiling `mostly`: at most `partial(4)`, unless also in `nurses`",
    ]


def test_grants_that_differ_by_row_are_told_apart():
    first = grant(entry("claim.diagnosis", "clear"), name="a", rows=predicates.parse("region = 'EU'"))
    second = grant(entry("claim.diagnosis", "partial(2)"), name="b")
    third = grant(entry("claim.diagnosis", "redact"), name="c", rows=predicates.parse("region = 'US'"))
    policy = under(first, second, third)
    assert reasons(policy, "diagnosis") == [
        "grant `a`: `claim.diagnosis: clear`, on rows where `region = 'EU'`",
        "on other rows `partial(2)`: grant `b`",
    ]
    assert rows(policy) == ["all rows"]
    assert rows(under(first, third)) == ["only rows where `region = 'EU'`", "or rows where `region = 'US'`"]


def test_the_end_of_a_grant_is_said_and_an_exception_with_who_approved_it():
    approval = Approval("ann", dt.date(2026, 4, 30), "T-1")
    ending = grant(name="a", until=DAY, approval=approval)
    assert rows(under(ending), day=DAY) == [
        "until 2026-05-01; an exception that ann approved on 2026-04-30, T-1",
    ]
    assert rows(under(ending, grant(name="b")))[0].startswith("until 2026-05-01, as far as grant `a` goes")
    assert told(under(ending), day=DAY + dt.timedelta(1)).denied == "ended: `a` on 2026-05-01"


def test_purpose_and_row_ceilings_limit_rows():
    purposes = {
        **POLICY.purposes,
        "fraud": replace(POLICY.purposes["fraud"], consent="client", max_age=Age(1, "M"), legal=True),
    }
    ceiling = RowCeiling("eu", (pattern("*.*.*"),), predicates.parse("region <> 'EU'"), unless=Unless(("nurses",)))
    policy = under(grant(), row_ceilings=(ceiling,), purposes=purposes)
    said = [
        "only rows where `region <> 'EU'`, unless also in `nurses`",
        "only of a `client` whose consent to `fraud` is in force",
        f"only rows not older than 1 month, by `{TABLE.event_time}`",
        "also rows that an erasure kept for a duty alone",
    ]
    assert [text for text in rows(policy) if "true now" not in text] == said
    impersonal = replace(TABLE, columns=tuple(each for each in TABLE.columns if not each.personal))
    assert not {*said[1:3]} & set(rows(policy, table=impersonal))


def test_every_denial_has_its_reason():
    policy = under(grant(groups=("analysts",)))
    assert told(policy, groups=()).denied == "the purpose is for other groups"
    assert told(policy, groups=("seniors",)).denied == "grant `only` is for other groups"
    assert told(policy, purpose="study").denied == "no grant of the purpose reaches the table"
    every = explain.answers(policy, TABLE, explain.Question())
    assert {each.groups[0]: each.why for each in explain.denials(policy, every)} == {
        "nurses": "no grant for a purpose of theirs reaches the table",
        "seniors": "`fraud`: grant `only` is for other groups",
        "eu_staff": "may use no purpose",
    }


def test_a_question_names_groups_together_and_leaves_out_purposes_that_are_not_theirs():
    def asked(**question):
        found = explain.answers(POLICY, TABLE, explain.Question(**question))
        return [(access.purpose.name, access.groups, access.denied is None) for access in found]

    assert asked(groups=("analysts", "eu_staff")) == [
        ("fraud", ("analysts", "eu_staff"), True),
        ("study", ("analysts", "eu_staff"), True),
    ]
    assert asked(groups=("analysts",), purpose="triage") == [("triage", ("analysts",), False)]
    assert asked(purpose="fraud") == [("fraud", ("analysts",), True), ("fraud", ("seniors",), True)]
    assert asked(groups=("eu_staff",)) == []


def test_people_in_several_groups_are_counted_once():
    policy = replace(POLICY, groups={"a": ("ann", "ben"), "b": ("ben", "cid"), "c": ()})
    assert [explain.people(policy, who) for who in ((), ("a",), ("a", "b"), ("a", "c"))] == [0, 2, 1, 0]
