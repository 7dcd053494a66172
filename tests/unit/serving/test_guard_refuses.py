"""What queries may not say is refused with the place and the mend, and without repeating what may be personal."""

from __future__ import annotations

import pytest

from lakehouse.errors import RefusedError, UsageError
from lakehouse.serving import guard, second_opinion

VIEWS = {"claims_claim": ("claim_id", "note"), "claims_party": ("party_id",)}


def refusal(sql, kind=RefusedError):
    with pytest.raises(kind) as caught:
        guard.check(sql, purpose="fraud", views=VIEWS)
    assert type(caught.value) is kind
    return caught.value


@pytest.mark.parametrize(
    ("sql", "where", "says", "hint"),
    [
        ("select read_text('x') from claims_claim", "1:8", "`read_text` is not available", ""),
        ("select\n  uper(note)\nfrom claims_claim", "2:3", "`uper` is not available", "did you mean `upper`?"),
        ("select * from claims_clam", "1:15", "no view `claims_clam`", "did you mean `claims_claim`?"),
        ("select * from claims.claim", "1:15", "only views of `fraud`", "did you mean `claims_claim`?"),
        ("select * from staged.claims.claim", "1:15", "only views of `fraud`", "did you mean `claims_claim`?"),
        ("select * from triage.claims_claim", "1:15", "only views of `fraud`", "without schema"),
        ("select 1; select 2", "the query", "one statement", "one `select` at a time"),
        ("drop table x", "1:1", "only queries", "`select`"),
        ("select * from claims_claim tablesample 10%", None, "`table sample` is not available", "plain `select`"),
        ("with recursive q as (select 1) select * from q", "1:16", "recursive", "leave `recursive` out"),
        ("with q as (select 1), q as (select 2) select 1", "1:23", "defined twice", "its own name"),
        ("with claims_claim as (select 1) select 1", "1:6", "is a view", "its own name"),
        ("select cast(note as json) from claims_claim", "1:13", "type is not available", "cast to"),
        ("select lpad(note, 50000, ' ') from claims_claim", None, "too long", "write lengths"),
        ("select note from claims_claim where x.y.z.note = 1", "1:37", "too many parts", "`view.column`"),
        ("select user from claims_claim", "1:8", "`user` is not available", ""),
        ("select * from claims_claim a positional join claims_party b", "1:46", "join is not available", "`on`"),
        ("select " + "(" * 101 + "1" + ")" * 101, "the query", "nested too deep", "`with`"),
        ("select '\u200b'", "1:9", "invisible character (U+200B)", "visible"),
    ],
)  # fmt: skip
def test_refusal_says_what_where_and_how(sql, where, says, hint):
    error = refusal(sql)
    assert says in error.message
    assert hint in (error.hint or "")
    if where is not None:
        assert error.where == where
    assert error.message[0].islower() or error.message.startswith("`")
    assert "\n" not in error.message


@pytest.mark.parametrize(
    ("sql", "where"), [("select 'x", "the query"), ("select a b c", "1:12"), ("select from where", None), ("", None)]
)
def test_what_is_no_sql_is_wrong_usage(sql, where):
    error = refusal(sql, UsageError)
    assert where is None or error.where == where
    assert error.hint


def test_names_that_may_be_personal_are_not_repeated():
    error = refusal('select * from "Jana Nováková, 7 May 1980"')
    assert "Jana" not in str(error)
    error = refusal("select \"call Jana\"('x')")
    assert "Jana" not in str(error)


def test_only_own_views_are_offered():
    with pytest.raises(RefusedError) as caught:
        guard.check("select * from secret", purpose="p", views={"mine": ()})
    assert caught.value.hint == "views: `mine`"


def test_an_unknown_column_is_named_with_the_nearest():
    checked = guard.check("select clam_id from claims_claim", purpose="fraud", views=VIEWS)
    assert checked.doubt == "there is no column `clam_id` (1:8); did you mean `claim_id`?"
    assert guard.check("select note as x, x || 'y' from claims_claim", purpose="fraud", views=VIEWS).doubt is None


def test_with_names_cannot_mean_anything_else():
    checked = guard.check(
        "with duckdb_views as (select 1 as a) select duckdb_views.a from duckdb_views", purpose="p", views=VIEWS
    )
    assert "duckdb_views" not in checked.text.replace('AS "duckdb_views"', "").replace('"duckdb_views"."a"', "")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("select 1; select 2", "more than one statement"),
        ("insert into v select 1", "not one select"),
        ("selec", "not one select"),
        ("select * from w", "no view"),
        ("select * from s.v", "`schema_name`"),
        ("select * from range(3)", "TABLE_FUNCTION"),
        ("select getenv('x')", "function"),
        ("select system.main.abs(1)", "schema"),
        ("select x::json from v", "type"),
        ("select columns('a') from v", "expr"),
        ("select [1]", "function"),
        ("select lambda x: x", "LAMBDA"),
        ("select * from v tablesample 3", "sample"),
        ("select * from v at (version => 1)", "at_clause"),
        ("select * from v positional join v w", "ref_type"),
        ("with recursive q as (select 1 union all select 1 from q) select * from q", "RECURSIVE_CTE_NODE"),
        ("select $1", ""),
        ("select #1 from v", "POSITIONAL_REFERENCE"),
        ("select try(x) from v", "OPERATOR_TRY"),
        ("select x collate nocase from v", "COLLATE"),
        ("select * from (pivot v on x using count(*))", "not one select"),
        ("select * from (describe v)", "SHOW_REF"),
        ("select array(select 1)", ""),
    ],
)  # fmt: skip
def test_second_opinion_objects_by_itself(text, says):
    objection = second_opinion.objection(text, {"v", "q"})
    assert objection is not None
    assert says in objection


def test_second_opinion_lets_a_plain_query_through():
    assert (
        second_opinion.objection("select upper(x), count(*) from v join q using (x) group by all", {"v", "q"}) is None
    )
