"""Each purpose is an asset: what it shows, when it runs, and what a run of it finds."""

from __future__ import annotations

import dagster as dg
import pytest

from lakehouse.errors import PolicyError
from lakehouse.model import TableId, Tier
from lakehouse.orchestration.build import build_definitions
from lakehouse.orchestration.runs import materialize, open_instance, open_purposes
from lakehouse.orchestration.serving import purpose_key
from tests.orchestration.policies_of_a_shop import ACCESS, write_policies

ARTICLE, SALE = (TableId(Tier.STAGED, "shop", name) for name in ("article", "sale"))
SOLD = TableId(Tier.CURATED, "shop", "sold")


@pytest.fixture
def governed(shop):
    write_policies(shop.settings.project)
    return shop


@pytest.fixture
def filled(governed):
    governed.drop("article", "a.csv", "code", "apples", "pears")
    governed.drop("sale", "1.csv", "number,article,pieces", "1,apples,5", "2,pears,17")
    report = materialize(governed.settings, [ARTICLE, SALE, SOLD])
    assert report.success, report.problems
    return governed


def specs(settings) -> dict[str, dg.AssetSpec]:
    found = build_definitions(settings).resolve_all_asset_specs()
    return {spec.key.path[-1]: spec for spec in found if spec.group_name == "serving"}


def tags(spec: dg.AssetSpec) -> dict[str, dict[str, str]]:
    return {column.name: dict(column.tags) for column in spec.metadata["dagster/column_schema"].columns}


def shown(event: dg.AssetMaterialization) -> dict[str, object]:
    return {name: entry.value for name, entry in event.metadata.items()}


def open_views(settings, *purposes: str) -> list[str]:
    """Run the purposes' assets; gives why steps failed."""
    job = build_definitions(settings).resolve_implicit_global_asset_job_def()
    with open_instance(settings) as instance:
        keys = [purpose_key(purpose) for purpose in purposes]
        result = job.execute_in_process(instance=instance, asset_selection=keys, raise_on_error=False)
    return [str(event.step_failure_data.error.cause.message) for event in result.get_step_failure_events()]


def test_a_project_without_policies_has_none(shop):
    assert specs(shop.settings) == {}
    assert open_purposes(shop.settings, [SOLD]) is None


def test_there_is_one_for_each_purpose_that_shows_something(governed):
    assert set(specs(governed.settings)) == {"ordering", "audit"}


def test_it_stands_below_the_tables_that_it_shows(governed):
    found = specs(governed.settings)
    deps = {name: {dep.asset_key.to_user_string() for dep in spec.deps} for name, spec in found.items()}
    assert deps["ordering"] == {"curated/shop/sold", "staged/shop/article"}
    assert deps["audit"] == {"curated/shop/sold", "staged/shop/article", "staged/shop/sale"}


def test_columns_say_what_each_group_is_shown_at_most(governed):
    ordering = tags(specs(governed.settings)["ordering"])
    assert ordering["goods.code"] == {"category": "system.operations", "class": "confidential", "shows": "partial(2)"}
    assert ordering["shop_sold.pieces"]["shows.buyers"] == "bucket(10)"
    assert ordering["shop_sold.pieces"]["shows.owners"] == "clear"
    assert tags(specs(governed.settings)["audit"])["shop_sale.pieces"]["shows"] == "clear"


def test_its_page_says_why_and_what_keeps_rows_out_but_no_member_and_no_value(governed):
    spec = specs(governed.settings)["ordering"]
    assert "Order what is sold." in spec.description
    assert "legal basis: contract" in spec.description
    assert "groups: buyers, owners" in spec.description
    views = {record.data["view"]: record.data for record in spec.metadata["views"].records}
    assert views["serve.ordering.shop_sold"]["rows"] == "all"
    assert views["serve.ordering.goods"]["rows"] == "grant buyers-read-articles: by code"
    assert list(spec.owners) == ["team:shop_data"]
    for secret in ("bea", "olga", "secret"):
        assert secret not in f"{spec.description}{views}{tags(spec)}"


def test_its_code_is_what_it_shows(governed):
    before = {name: spec.code_version for name, spec in specs(governed.settings).items()}
    write_policies(governed.settings.project, access=ACCESS.replace("'secret'", "'hidden'"))
    after = {name: spec.code_version for name, spec in specs(governed.settings).items()}
    assert after["ordering"] != before["ordering"]
    assert after["audit"] == before["audit"]


def test_mistakes_in_policies_are_told_when_the_graph_loads(governed):
    write_policies(governed.settings.project, access=ACCESS.replace("purpose: audit", "purpose: audits"))
    with pytest.raises(PolicyError, match="audits"):
        build_definitions(governed.settings)


def test_a_run_opens_every_view(filled):
    report = open_purposes(filled.settings, [SOLD])
    assert report.success, report.problems
    with open_instance(filled.settings) as instance:
        ordering, audit = (
            instance.get_latest_materialization_event(purpose_key(name)).asset_materialization
            for name in ("ordering", "audit")
        )
    assert shown(ordering)["views"] == 2
    assert shown(audit)["views"] == 3
    assert (shown(ordering)["views_waiting"], shown(ordering)["views_ended"]) == ("none", "none")
    assert shown(ordering)["columns_clear"] == 2
    assert shown(ordering)["columns_treated"] == 1
    assert ordering.tags["dagster/data_version"] == specs(filled.settings)["ordering"].code_version


def test_a_run_tells_what_waits_and_what_has_ended(governed):
    ended = ACCESS.replace("    as: goods\n", "    as: goods\n    until: 2001-01-01\n")
    write_policies(governed.settings.project, access=ended)
    governed.drop("article", "a.csv", "code", "apples", "pears")
    governed.drop("sale", "1.csv", "number,article,pieces", "1,apples,5", "2,pears,17")
    assert materialize(governed.settings, [ARTICLE, SALE]).success
    assert open_purposes(governed.settings, [SALE]).success  # shown for the audit alone
    with open_instance(governed.settings) as instance:
        event = instance.get_latest_materialization_event(purpose_key("audit")).asset_materialization
    assert shown(event)["views_waiting"] == "shop_sold"
    (problem,) = open_views(governed.settings, "ordering")
    assert "shows nothing: no table of it is there yet" in problem
    assert materialize(governed.settings, [SOLD]).success
    assert open_views(governed.settings, "ordering") == []
    with open_instance(governed.settings) as instance:
        event = instance.get_latest_materialization_event(purpose_key("ordering")).asset_materialization
    assert shown(event)["views_ended"] == "staged.shop.article"


def test_a_table_with_other_columns_than_its_contract_fails_the_run(filled):
    contract = filled.settings.project / "policies/domains/shop/contract.odcs.yaml"
    text = contract.read_text()
    changed = text.replace(
        "{id: pieces, name: pieces, logicalType: integer", "{id: pieces, name: pieces, logicalType: string"
    )
    assert changed != text
    contract.write_text(changed)
    (problem,) = open_views(filled.settings, "audit")
    assert "view `shop_sold` does not show what the contract says" in problem


def test_it_runs_when_a_table_or_the_policy_changed(filled):
    asked = [purpose_key("ordering"), purpose_key("audit")]

    def tick(cursor=None):
        definitions = build_definitions(filled.settings)
        return dg.evaluate_automation_conditions(
            definitions, instance, asset_selection=dg.AssetSelection.assets(*asked), cursor=cursor
        )

    with open_instance(filled.settings) as instance:
        first = tick()
        assert open_views(filled.settings, "ordering", "audit") == []
        quiet = tick(first.cursor)
        assert quiet.total_requested == 0
        write_policies(filled.settings.project, access=ACCESS.replace("partial(2)", "partial(1)"))
        changed = tick(quiet.cursor)
        assert [changed.get_num_requested(key) for key in asked] == [1, 0]
        assert open_views(filled.settings, "ordering") == []
        settled = tick(changed.cursor)
        assert settled.total_requested == 0
        filled.drop("article", "b.csv", "code", "plums")
        assert materialize(filled.settings, [ARTICLE]).success
        fed = tick(settled.cursor)
        assert [fed.get_num_requested(key) for key in asked] == [1, 1]
