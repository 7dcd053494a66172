"""Whatever one selects in the web page works alone, or says what to do: an asset, a tier, a check."""

from __future__ import annotations

import os

import dagster as dg
import pytest

from lakehouse import storage
from lakehouse.contract.load import load_project
from lakehouse.demo.generate import generate
from lakehouse.demo.tour import only
from lakehouse.model import TableId, Tier
from lakehouse.orchestration.build import build_definitions

ARTICLE, SALE, SOLD = (
    TableId(Tier.STAGED, "shop", "article"),
    TableId(Tier.STAGED, "shop", "sale"),
    TableId(Tier.CURATED, "shop", "sold"),
)


def key(table: TableId) -> dg.AssetKey:
    return dg.AssetKey(list(table.key))


def check(table: TableId, name: str) -> dg.AssetCheckKey:
    return dg.AssetCheckKey(key(table), name)


@pytest.fixture
def run(shop):
    """Launches as the web page does: the job's subset of these assets and checks; no check means those of the assets."""
    with dg.DagsterInstance.ephemeral() as instance:
        yield _launch(shop.settings, instance)


def _launch(settings, instance):
    def launch(*tables: TableId, checks: list[dg.AssetCheckKey] | None = None) -> dg.ExecuteInProcessResult:
        job = build_definitions(settings).resolve_implicit_global_asset_job_def()
        subset = job.get_subset(
            asset_selection=frozenset(map(key, tables)),
            asset_check_selection=None if checks is None else frozenset(checks),
        )
        return subset.execute_in_process(instance=instance, raise_on_error=False)

    return launch


def land(shop) -> None:
    shop.drop("article", "a.csv", "code", "a", "b")
    shop.drop("sale", "1.csv", "number,article,pieces", "1,a,5", "2,b,6", "x,b,6")


def told(result) -> str:
    (event,) = result.get_step_failure_events()
    error = event.step_failure_data.error
    while error.cause is not None:
        error = error.cause
    return error.message


def materialized(result) -> set[str]:
    return {event.asset_key.to_user_string() for event in result.get_asset_materialization_events()}


def judged(result) -> dict[str, dg.AssetCheckEvaluation]:
    return {each.check_name: each for each in result.get_asset_check_evaluations()}


@pytest.mark.parametrize("tier", [Tier.RAW, Tier.STAGED])
def test_raw_or_staged_alone_does_both_and_tells_both(shop, run, tier):
    land(shop)
    assert run(ARTICLE).success
    result = run(SALE.at(tier))
    assert result.success
    assert materialized(result) == {"raw/shop/sale", "staged/shop/sale"}
    names = {each.name for each in load_project(shop.settings.project).table(SALE).checks}
    assert set(judged(result)) == names
    assert storage.require_passed(shop.lake, SALE) == storage.snapshot(shop.lake, SALE).version


def test_every_asset_alone_in_the_order_of_the_tiers(shop, run):
    land(shop)
    for table in (ARTICLE.at(Tier.RAW), ARTICLE, SALE.at(Tier.RAW), SALE, SOLD):
        assert run(table).success, table
    assert sorted(storage.scan(shop.lake, SOLD).collect()["number"]) == [1, 2]


def test_every_tier_alone(shop, run):
    land(shop)
    for tables in ((ARTICLE.at(Tier.RAW), SALE.at(Tier.RAW)), (ARTICLE, SALE), (SOLD,)):
        assert run(*tables).success
    assert sorted(storage.scan(shop.lake, SOLD).collect()["number"]) == [1, 2]


def test_first_asset_of_nothing_says_what_to_do(run):
    for table in (ARTICLE.at(Tier.RAW), ARTICLE):
        result = run(table)
        assert not result.success
        assert "nothing has landed yet" in told(result)
    assert "staged.shop.sale: the table is not in the lake yet" in told(run(SOLD)), "the missing input is named"


def test_assets_without_their_checks_still_record_the_verdict(shop, run):
    land(shop)
    assert run(ARTICLE, SALE, checks=[]).success
    assert run(SOLD, checks=[]).success


def test_blocking_check_that_was_not_selected_fails_the_run_all_the_same(shop, run):
    shop.drop("article", "a.csv", "code", "a")
    shop.drop("sale", "1.csv", "number,article,pieces", "1,a,5", "2,nowhere,6")
    run(ARTICLE)
    result = run(SALE.at(Tier.RAW))
    assert not result.success
    assert "`sale_has_article`" in told(result)


def test_every_check_alone_judges_what_is_there_and_changes_no_row(shop, run):
    land(shop)
    assert run(ARTICLE, SALE, SOLD).success
    shop.drop("sale", "2.csv", "number,article,pieces", "3,a,7", "4,b,8")
    for table in (ARTICLE, SALE, SOLD):
        before = storage.snapshot(shop.lake, table).version
        for each in load_project(shop.settings.project).table(table).checks:
            result = run(checks=[check(table, each.name)])
            assert result.success, each.name
            assert each.name in judged(result)
            assert materialized(result) == set()
        assert storage.snapshot(shop.lake, table).version == before


def test_row_check_alone_counts_the_quarantine_again(shop, run):
    land(shop)
    run(ARTICLE, SALE)
    found = judged(run(checks=[check(SALE, "type_number")]))["type_number"]
    assert (found.metadata["failed_rows"].value, found.metadata["rows"].value) == (1, 3)


def test_checks_alone_judge_again_with_what_came_meanwhile(shop, run):
    """Another table's rows mend a foreign key: the check alone is enough to let curated go on."""
    shop.drop("article", "a.csv", "code", "a")
    shop.drop("sale", "1.csv", "number,article,pieces", "1,a,5", "2,later,6")
    run(ARTICLE)
    assert not run(SALE).success
    assert "sale_has_article" in told(run(SOLD))
    shop.drop("article", "b.csv", "code", "later")
    assert run(ARTICLE).success
    assert run(checks=[check(SALE, "sale_has_article")]).success
    assert run(SOLD).success


def test_checks_of_a_table_that_is_not_there_say_so(run):
    result = run(checks=[check(SALE, "sale_has_article")])
    assert not result.success
    assert "there is no table to check yet" in told(result)


def test_every_asset_and_every_tables_checks_of_the_project_alone(lake, lake_settings):
    """The project's own assets of one domain, real dbt and all."""
    project = only(load_project(lake_settings.project), ["retail"])
    made = generate(project, lake.landing("retail", "invoice_line").parents[1], rows=2_000, seed=1, faults=0.01)
    for file in made.files:
        os.utime(file, (file.stat().st_mtime - 60,) * 2)
    order = [table.id.at(tier) for tier in (Tier.RAW, Tier.STAGED) for table in project.tables if table.sources]
    order += [table.id for tier in (Tier.CURATED, Tier.FEATURES) for table in project.tables if table.id.tier is tier]
    with dg.DagsterInstance.ephemeral() as instance:
        run = _launch(lake_settings, instance)
        for table in order:
            result = run(table)
            assert result.success, table
            assert str(table).replace(".", "/") in materialized(result)
        for table in project.tables:
            names = {each.name for each in table.checks}
            result = run(checks=[check(table.id, name) for name in names])
            assert result.success, table.id
            assert set(judged(result)) == names
            assert materialized(result) == set()
