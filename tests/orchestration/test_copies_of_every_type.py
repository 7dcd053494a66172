"""Copies against views: every type under every treatment, empty tables, contracts and grants that change or end."""

from __future__ import annotations

import pytest

from lakehouse import storage
from lakehouse.contract.load import load_project
from lakehouse.errors import RefusedError
from lakehouse.model import TableId, Tier
from lakehouse.orchestration.runs import materialize
from lakehouse.policy.load import load_policy
from lakehouse.serving import connect
from lakehouse.serving.copying import empty_obsolete, make_copies
from lakehouse.serving.opening import open_views
from tests.orchestration.policies_of_a_shop import PLATFORM, write_policies

THING = TableId(Tier.STAGED, "shop", "thing")
TYPES = {
    "words": "logicalType: string",
    "whole": "logicalType: integer",
    "money": "logicalType: number, physicalType: 'decimal(12,2)'",
    "share": "logicalType: number, physicalType: double",
    "yes": "logicalType: boolean",
    "day": "logicalType: date",
    "instant": "logicalType: timestamp",
}


def contract(columns: dict[str, str] = TYPES) -> str:
    lines = [
        f"      - {{id: {name}, name: {name}, {kind}, "
        f"customProperties: [{{property: lakehouse, value: {{category: user.name, canonical: trim, pseudonym_domain: shop.{name}}}}}]}}"
        for name, kind in columns.items()
    ]
    return (
        """\
apiVersion: v3.1.0
kind: DataContract
id: 33333333-3333-4333-8333-333333333333
version: 1.0.0
status: active
domain: shop
schema:
  - id: thing
    name: thing
    customProperties:
      - property: lakehouse
        value: {tier: staged, layout: none, sources: [{name: box, pattern: "*.csv"}], event_time: instant, entity: {type: owner, key: owner, canonical: [trim, integer]}}
    properties:
      - {id: number, name: number, logicalType: integer, primaryKey: true, primaryKeyPosition: 1, customProperties: [{property: lakehouse, value: {category: system.operations}}]}
      - {id: owner, name: owner, logicalType: integer, customProperties: [{property: lakehouse, value: {category: user.unique_id}}]}
"""
        + "\n".join(lines)
        + "\n"
    )


SHOWN = {
    "clear": dict.fromkeys(TYPES, "clear"),
    "token": dict.fromkeys(TYPES, "token"),
    "coarse": {
        "words": "prefix(2)",
        "whole": "bucket(10)",
        "money": "bucket(10)",
        "share": "bucket(10)",
        "yes": "hide",
        "day": "year",
        "instant": "month",
    },
    "little": {"words": "partial(4)", "whole": "token", "owner": "token"},
    "nothing": {},
}
WAYS = ("view", "copy")
ROWS = (
    "1,101,Grüße \U0001d518\U0001d52b,-15,-15.55,-15.5,true,2026-02-28,2026-02-28 23:59:59",
    "2,102,,,,,,,",
    "3,103,x,9007199254740993,9999999999.99,9.1e15,false,0001-01-01,9999-12-31 23:59:59",
    "4,104,ab,0,0,-0.0,false,9999-12-31,1969-12-31 23:59:59",
)


def purposes() -> str:
    lines = [
        f"  {name}_{way}: {{description: d, groups: [buyers], legal_basis: contract, consent: not_required, "
        f"isolation: {way}, max_age: P9Y}}"
        for name in SHOWN
        for way in WAYS
    ]
    return "\n".join(["version: 1", "purposes:", *lines, ""])


def grants() -> str:
    def entries(shown: dict[str, str]) -> str:
        return ", ".join(f"thing.{column}: {treatment}" for column, treatment in shown.items())

    lines = [
        f"  - {{id: {name}-{way}, groups: [buyers], purpose: {name}_{way}, tables: [staged.shop.thing], "
        f"columns: {{{entries(shown)}}}, as: {name}, why: a test}}"
        for name, shown in SHOWN.items()
        for way in WAYS
    ]
    return "\n".join(["version: 1", "grants:", *lines, ""])


def govern(shop, columns: dict[str, str] = TYPES) -> None:
    policies = shop.settings.project / "policies"
    write_policies(shop.settings.project, access=grants())
    (policies / "domains/shop/contract.odcs.yaml").write_text(contract(columns))
    (policies / "purposes.yaml").write_text(purposes())
    platform = PLATFORM.partition("ceilings:")[0].replace(
        "{system: confidential", "{user: confidential, system: internal"
    )
    (policies / "platform.yaml").write_text(platform)


@pytest.fixture
def things(shop):
    govern(shop)
    return shop


def deliver(shop, *rows: str, name: str = "1.csv") -> None:
    shop.drop("thing", name, ",".join(["number", "owner", *TYPES]), *rows)
    assert materialize(shop.settings, [THING]).success


def run(shop, *purposes_: str) -> None:
    """What a run of these purposes' assets does."""
    project = load_project(shop.settings.project)
    policy = load_policy(shop.settings.project, project)
    for purpose in purposes_:
        make_copies(shop.lake, project, policy, purpose)
        assert open_views(shop.lake, project, policy, purpose).views


def seen(shop, purpose: str, view: str):
    with connect("bea", purpose, lake=shop.settings.lake, project=shop.settings.project) as connection:
        return connection.arrow(f"select * from {view} order by number")


def test_a_copy_shows_what_a_view_shows_in_the_same_types(things):
    deliver(things, *ROWS)
    run(things, *(f"{name}_{way}" for name in SHOWN for way in WAYS))
    for name in SHOWN:
        view, copy = (seen(things, f"{name}_{way}", name) for way in WAYS)
        assert copy.schema == view.schema
        assert str(copy.to_pylist()) == str(view.to_pylist())
        assert copy["number"].to_pylist() == [1, 3]  # the others are too old, or nobody knows how old


def test_an_empty_table_has_an_empty_copy(things):
    deliver(things, *ROWS[:1], name="1.csv")
    empty = storage.snapshot(things.lake, THING).schema.empty_table().to_reader()
    project = load_project(things.settings.project)
    storage.replace(things.lake, THING, project.table(THING), empty, months=None, inputs={})
    run(things, "clear_copy")
    assert seen(things, "clear_copy", "clear").num_rows == 0


CHANGES = {
    "another type": {**TYPES, "money": "logicalType: number, physicalType: 'decimal(14,3)'"},
    "another column": {**TYPES, "later": "logicalType: string"},
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_contract_that_shows_other_columns_wants_another_copy(things, change):
    deliver(things, *ROWS)
    run(things, "little_copy")
    govern(things, CHANGES[change])
    with pytest.raises(RefusedError, match="made under other rules"):
        seen(things, "little_copy", "little")


def test_another_pseudonym_domain_wants_another_copy(things):
    deliver(things, *ROWS)
    run(things, "token_copy")
    path = things.settings.project / "policies/domains/shop/contract.odcs.yaml"
    path.write_text(path.read_text().replace("shop.words", "shop.phrases"))
    with pytest.raises(RefusedError, match="made under other rules"):
        seen(things, "token_copy", "token")


def test_a_copy_of_columns_that_the_table_does_not_have_yet_says_what_to_do(things):
    deliver(things, *ROWS)
    govern(things, CHANGES["another column"])
    access = things.settings.project / "policies/domains/shop/access.yaml"
    access.write_text(access.read_text().replace("thing.words: token", "thing.later: token, thing.words: token"))
    with pytest.raises(RefusedError, match="does not have `later__token` of its contract yet") as refused:
        run(things, "token_copy")
    assert "lakehouse rebuild" in refused.value.hint


def until(shop, day: str) -> None:
    path = shop.settings.project / "policies/domains/shop/access.yaml"
    path.write_text(grants().replace("as: clear,", f"as: clear, until: {day},"))


def test_a_grant_that_ended_and_is_prolonged_shows_no_empty_copy(things):
    deliver(things, *ROWS)
    until(things, "2001-01-01")
    project = load_project(things.settings.project)
    make_copies(things.lake, project, load_policy(project.root, project), "clear_copy")
    until(things, "2999-01-01")
    with pytest.raises(RefusedError, match="made under other rules"):
        seen(things, "clear_copy", "clear")
    run(things, "clear_copy")
    assert seen(things, "clear_copy", "clear").num_rows == 2


def test_the_copy_of_a_grant_that_ended_is_emptied(things):
    deliver(things, *ROWS)
    until(things, "2999-01-01")
    run(things, "clear_copy")
    until(things, "2001-01-01")
    project = load_project(things.settings.project)
    policy = load_policy(project.root, project)
    (copy,) = storage.system_tables(things.lake, "copy")
    with storage.lease(things.lake, copy, holder="a run"):
        assert empty_obsolete(things.lake, project, policy) == ()
    assert empty_obsolete(things.lake, project, policy) == (str(copy),)
    assert storage.snapshot(things.lake, copy).rows == 0
