"""The `policy` resource in a real asset: masked frames for who may see them, a failure without values for who may not."""

from __future__ import annotations

import dagster as dg
import pytest

from lakehouse.model import TableId, Tier
from lakehouse.orchestration.runs import materialize
from lakehouse.serving.session import Limits
from resources.policy import PolicyResource
from tests.orchestration.policies_of_a_shop import ACCESS, PURPOSES, write_policies

ARTICLE = TableId(Tier.STAGED, "shop", "article")


@pytest.fixture
def policy(shop):
    write_policies(shop.settings.project)
    shop.drop("article", "a.csv", "code", "apples", "pears", "secret")
    assert materialize(shop.settings, [ARTICLE]).success
    return PolicyResource.of(shop.settings)


def in_an_asset(policy, ask):
    """What `ask` gave inside an asset, or the failure that Dagster recorded."""
    seen = []

    @dg.asset
    def reader(policy: PolicyResource) -> None:
        seen.append(ask(policy))

    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize([reader], resources={"policy": policy}, raise_on_error=False, instance=instance)
    if result.success:
        return seen[0]
    (failed,) = result.get_step_failure_events()
    return failed.step_failure_data


def test_an_asset_gets_what_the_person_may_see(policy):
    frame = in_an_asset(policy, lambda it: it.frame("staged.shop.article", user="bea", purpose="ordering"))
    assert sorted(frame["code"]) == ["***es", "***rs"]
    by_view = policy.frame("goods", user="bea", purpose="ordering", columns=["code"])
    assert sorted(by_view["code"]) == sorted(frame["code"])
    assert sorted(policy.frame("shop_article", user="olga", purpose="audit")["code"]) == ["apples", "pears", "secret"]


def test_a_query_is_answered_too(policy):
    counted = in_an_asset(
        policy, lambda it: it.query("select count(*) as n from goods", user="bea", purpose="ordering")
    )
    assert counted["n"].to_list() == [2]


REFUSED = {
    "denied": (lambda it: it.frame("goods", user="bea", purpose="audit"), "may read nothing for this purpose"),
    "stranger": (lambda it: it.frame("goods", user="nobody", purpose="ordering"), "may read nothing for this purpose"),
    "not granted": (lambda it: it.frame("staged.shop.sale", user="bea", purpose="ordering"), "is no view of this"),
    "raw": (lambda it: it.frame("raw.shop.article", user="bea", purpose="ordering"), "is no view of this purpose"),
    "quotes": (lambda it: it.frame('goods"; select 1', user="bea", purpose="ordering"), "is no view of this purpose"),
    "no view": (lambda it: it.query("select * from staged", user="bea", purpose="ordering"), "no view `staged`"),
    "too much": (
        lambda it: it.frame("goods", user="bea", purpose="ordering", limits=Limits(rows=1)),
        "more than 1 rows",
    ),
    "engine": (
        lambda it: it.query("select code::integer from goods", user="bea", purpose="ordering"),
        "cannot be conv",
    ),
    "no column": (
        lambda it: it.frame("goods", user="bea", purpose="ordering", columns=["price"]),
        "do not fit the views",
    ),
}
VALUES = ("apples", "pears", "secret", "***es")


def test_what_is_refused_is_a_failure_without_values_that_is_not_tried_again(policy):
    for name, (ask, told) in REFUSED.items():
        with pytest.raises(dg.Failure) as caught:
            ask(policy)
        text = f"{caught.value.description}{caught.value.metadata}"
        assert told in text, (name, text)
        assert not any(value in text for value in VALUES), name
        assert caught.value.allow_retries is False


def test_what_dagster_keeps_of_it_has_no_value_either(policy):
    failed = in_an_asset(policy, REFUSED["engine"][0])
    assert "cannot be converted" in str(failed)
    assert not any(value in str(failed) for value in VALUES)


def test_a_policy_with_mistakes_shows_nothing(policy, shop):
    (shop.settings.project / "policies/purposes.yaml").write_text(PURPOSES.replace("contract", "contract, dvp: x", 1))
    with pytest.raises(dg.Failure, match="1 mistakes in policies"):
        policy.frame("goods", user="bea", purpose="ordering")


def test_a_grant_taken_back_is_seen_by_the_next_frame(policy, shop):
    assert policy.frame("goods", user="bea", purpose="ordering").height == 2
    write_policies(
        shop.settings.project, access=ACCESS.replace("    as: goods\n", "    as: goods\n    until: 2001-01-01\n")
    )
    with pytest.raises(dg.Failure, match="is no view of this purpose"):
        policy.frame("goods", user="bea", purpose="ordering")
