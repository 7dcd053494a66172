"""A bad batch reaches curated by no path: not in its own run, not in a later one, not by automation."""

from __future__ import annotations

import dagster as dg
import pytest

from lakehouse import storage
from lakehouse.contract.load import load_project
from lakehouse.errors import RefusedError
from lakehouse.ingest.gateway import ingest
from lakehouse.model import TableId, Tier
from lakehouse.orchestration.build import build_definitions
from lakehouse.orchestration.runs import materialize, open_instance
from lakehouse.settings import load_settings

ARTICLE, SALE, SOLD = (
    TableId(Tier.STAGED, "shop", "article"),
    TableId(Tier.STAGED, "shop", "sale"),
    TableId(Tier.CURATED, "shop", "sold"),
)
EVERYTHING = (ARTICLE, SALE, SOLD)
#: A row that would tell, and the file it comes in.
TELLTALE, TELLTALE_FILE = "Zaphod-Beeblebrox", "Trillian.csv"


def sold_rows(shop) -> list[int]:
    return sorted(storage.scan(shop.lake, SOLD).collect()["number"])


def good_start(shop) -> None:
    shop.drop("article", "a.csv", "code", "a", "b")
    shop.drop("sale", "1.csv", "number,article,pieces", "1,a,5", "2,b,6")
    report = materialize(shop.settings, EVERYTHING)
    assert report.success, report.problems
    assert sold_rows(shop) == [1, 2]


def automation_requests(shop) -> set[str]:
    """What the automation sensor would ask for now, after one tick that only looks."""
    definitions = build_definitions(shop.settings)
    with open_instance(shop.settings) as instance:
        result = dg.evaluate_automation_conditions(definitions, instance, cursor=shop.cursor)
        shop.cursor = result.cursor
        keys = definitions.resolve_asset_graph().get_all_asset_keys()
        return {key.to_user_string() for key in keys if result.get_num_requested(key)}


def test_rows_go_through_every_tier_and_are_counted(shop):
    shop.drop("article", "a.csv", "code", "a", "b")
    shop.drop("sale", "1.csv", "number,article,pieces", "1,a,5", "2,b,6", "x,b,6")
    report = materialize(shop.settings, EVERYTHING)
    assert report.success, report.problems
    assert report.tables[SALE] == 2
    assert report.tables[SALE.at(Tier.RAW)] == 3
    assert report.tables[SOLD] == 2
    assert report.figures[SALE]["rows_quarantined"] == 1
    lines = {(line.table, line.name): line for line in report.checks}
    assert lines[SALE, "type_number"].failed_rows == 1
    assert lines[SALE, "type_number"].rows == 3
    assert lines[SALE, "type_number"].passed
    contract = load_project(shop.settings.project)
    assert {(table.id, check.name) for table in contract.tables for check in table.checks} == set(lines)


def test_run_is_kept_for_the_web_page(shop):
    good_start(shop)
    with open_instance(shop.settings) as instance:
        (run,) = instance.get_runs()
        event = instance.get_latest_materialization_event(dg.AssetKey(["staged", "shop", "sale"]))
    assert run.status is dg.DagsterRunStatus.SUCCESS
    assert event is not None
    metadata = event.asset_materialization.metadata
    assert metadata["dagster/row_count"].value == 2
    assert metadata["dagster/table_name"].value == "staged.shop.sale"
    assert metadata["delta_version"].value == storage.snapshot(shop.lake, SALE).version
    assert event.asset_materialization.tags["dagster/data_version"] == str(storage.snapshot(shop.lake, SALE).version)


def test_held_batch_fails_its_check_and_is_not_staged(shop):
    good_start(shop)
    shop.drop("sale", "2.csv", "number,article,pieces", "3,a,7")
    report = materialize(shop.settings, EVERYTHING)
    assert not report.success
    assert [line.name for line in report.blocked] == ["enough_rows"]
    assert SALE not in report.tables
    assert SALE.at(Tier.RAW) in report.tables
    assert SOLD not in report.tables
    assert storage.snapshot(shop.lake, SALE).rows == 2
    assert sold_rows(shop) == [1, 2]


def test_held_batch_stays_out_of_later_runs(shop):
    good_start(shop)
    shop.drop("sale", "2.csv", "number,article,pieces", "3,a,7")
    materialize(shop.settings, [SALE])
    assert materialize(shop.settings, [SOLD]).success
    assert sold_rows(shop) == [1, 2]


def test_held_batch_asks_automation_for_nothing(shop):
    good_start(shop)
    automation_requests(shop)
    shop.drop("sale", "2.csv", "number,article,pieces", "3,a,7")
    materialize(shop.settings, [SALE])
    assert automation_requests(shop) == set()


def orphan(shop) -> None:
    """A delivery that passes the gate and fails a table check after its commit."""
    good_start(shop)
    automation_requests(shop)
    shop.drop("sale", "2.csv", "number,article,pieces", "3,a,7", "4,nothere,8")


def test_failed_table_check_stops_its_own_run(shop):
    orphan(shop)
    report = materialize(shop.settings, EVERYTHING)
    assert not report.success
    assert [line.name for line in report.blocked] == ["sale_has_article"]
    assert SOLD not in report.tables
    assert sold_rows(shop) == [1, 2]


def test_failed_table_check_refuses_later_runs(shop):
    orphan(shop)
    materialize(shop.settings, [SALE])
    report = materialize(shop.settings, [SOLD])
    assert not report.success
    assert "sale_has_article" in report.problems[0]
    assert sold_rows(shop) == [1, 2]


def test_failed_table_check_asks_automation_for_nothing(shop):
    orphan(shop)
    materialize(shop.settings, [SALE])
    assert automation_requests(shop) == set()


def test_automation_rebuilds_once_the_data_is_mended(shop):
    orphan(shop)
    materialize(shop.settings, [SALE])
    shop.drop("article", "b.csv", "code", "nothere")
    mended = materialize(shop.settings, [ARTICLE, SALE])
    assert mended.success, mended.problems
    assert automation_requests(shop) == {"curated/shop/sold"}
    assert materialize(shop.settings, [SOLD]).success
    assert sold_rows(shop) == [1, 2, 3, 4]


def test_good_delivery_asks_automation_for_what_is_made_of_it(shop):
    good_start(shop)
    automation_requests(shop)
    shop.drop("sale", "2.csv", "number,article,pieces", "3,a,7", "4,b,8")
    assert materialize(shop.settings, [SALE]).success
    assert automation_requests(shop) == {"curated/shop/sold"}


def test_version_that_nobody_judged_is_refused(shop):
    """A run that died between its commit and its verdict."""
    good_start(shop)
    file = shop.drop("sale", "2.csv", "number,article,pieces", "3,a,7", "4,b,8")
    project = load_project(shop.settings.project)
    ingest(shop.lake, project, project.table(SALE), [file], now=shop.lake.now())
    report = materialize(shop.settings, [SOLD])
    assert not report.success
    assert "checked" in report.problems[0]
    assert materialize(shop.settings, [SALE, SOLD]).success
    assert sold_rows(shop) == [1, 2, 3, 4]


def suspect(shop) -> None:
    """A delivery of which more rows are unreadable than the contract tolerates."""
    good_start(shop)
    shop.drop("sale", "2.csv", "number,article,pieces", "x,a,7", "y,b,8", "5,b,8")


def test_row_check_beyond_its_tolerance_blocks(shop):
    suspect(shop)
    assert [line.name for line in materialize(shop.settings, EVERYTHING).blocked] == ["type_number"]
    assert not materialize(shop.settings, [SOLD]).success
    assert sold_rows(shop) == [1, 2]


def test_suspect_batch_asks_automation_for_nothing(shop):
    suspect(shop)
    automation_requests(shop)
    materialize(shop.settings, [SALE])
    assert automation_requests(shop) == set()


@pytest.mark.parametrize("later", [(), ("number,article,pieces", "6,a,7", "7,b,8")])
def test_suspect_batch_is_not_forgotten_by_the_next_run(shop, later):
    suspect(shop)
    materialize(shop.settings, [SALE])
    if later:
        shop.drop("sale", "3.csv", *later)
    report = materialize(shop.settings, EVERYTHING)
    assert [line.name for line in report.blocked] == ["type_number"]
    assert sold_rows(shop) == [1, 2]


def test_quarantined_rows_without_a_named_tolerance_only_warn(shop):
    good_start(shop)
    shop.drop("sale", "2.csv", "number,article,pieces", "3,a,7", "4,b,many", "5,b,many")
    report = materialize(shop.settings, EVERYTHING)
    assert report.success, report.problems
    (line,) = [line for line in report.checks if line.name == "type_pieces"]
    assert (line.passed, line.blocking, line.failed_rows) == (False, False, 2)
    assert sold_rows(shop) == [1, 2, 3]


def test_failed_dbt_test_of_a_check_fails_the_check(shop):
    (shop.settings.project / "failing_tests.txt").write_text("shop_sold_required_pieces")
    shop.drop("article", "a.csv", "code", "a", "b")
    shop.drop("sale", "1.csv", "number,article,pieces", "1,a,5", "2,b,6")
    report = materialize(shop.settings, EVERYTHING)
    assert not report.success
    assert [line.name for line in report.blocked] == ["required_pieces"]
    with pytest.raises(RefusedError, match="`required_pieces`"):
        storage.require_passed(shop.lake, SOLD)


def test_failed_dbt_test_that_no_check_shows_fails_the_step_by_name(shop):
    (shop.settings.project / "failing_tests.txt").write_text("sold_looks_right")
    shop.drop("article", "a.csv", "code", "a", "b")
    shop.drop("sale", "1.csv", "number,article,pieces", "1,a,5", "2,b,6")
    report = materialize(shop.settings, EVERYTHING)
    assert not report.success
    assert "dbt's test `sold_looks_right` failed" in report.problems[0]
    with pytest.raises(RefusedError, match="`sold_looks_right`"):
        storage.require_passed(shop.lake, SOLD)


def test_row_check_with_tolerance_zero_blocks_at_the_first_row(shop):
    contract = shop.settings.project / "policies/domains/shop/contract.odcs.yaml"
    text = contract.read_text()
    mark = "      - id: pieces\n        name: pieces\n        logicalType: integer\n        required: true\n        customProperties: "
    value = "[{property: lakehouse, value: {category: system.operations, checks: {type: {tolerance: 0}}}}]"
    assert f"{mark}*operations" in text
    contract.write_text(text.replace(f"{mark}*operations", mark + value))
    good_start(shop)
    shop.drop("sale", "2.csv", "number,article,pieces", "3,a,many", "4,b,8", "5,b,8", "6,b,8")
    assert [line.name for line in materialize(shop.settings, EVERYTHING).blocked] == ["type_pieces"]
    assert not materialize(shop.settings, [SOLD]).success
    assert sold_rows(shop) == [1, 2]


def died_before_its_verdict(shop, *lines: str) -> None:
    """A run that committed a delivery to staged and was killed before it judged it."""
    good_start(shop)
    automation_requests(shop)
    file = shop.drop("sale", "2.csv", "number,article,pieces", *lines)
    project = load_project(shop.settings.project)
    ingest(shop.lake, project, project.table(SALE), [file], now=shop.lake.now())


SUSPECT, ORPHAN = ("x,a,7", "y,b,8", "5,b,8"), ("3,a,7", "4,nothere,8")


@pytest.mark.parametrize(("lines", "check"), [(SUSPECT, "type_number"), (ORPHAN, "sale_has_article")])
@pytest.mark.parametrize("later", [(), ("number,article,pieces", "6,a,7", "7,b,8")])
def test_run_that_died_before_its_verdict_is_judged_by_the_next_one(shop, lines, check, later):
    """Row checks are counted again from the quarantine, table checks on the table."""
    died_before_its_verdict(shop, *lines)
    assert automation_requests(shop) == set()
    assert not materialize(shop.settings, [SOLD]).success, "nobody has judged it"
    if later:
        shop.drop("sale", "3.csv", *later)
    report = materialize(shop.settings, EVERYTHING)
    assert [line.name for line in report.blocked] == [check]
    assert not materialize(shop.settings, [SOLD]).success
    assert automation_requests(shop) == set()
    assert sold_rows(shop) == [1, 2]


def test_counts_of_a_run_that_died_are_shown_by_the_next_one(shop):
    died_before_its_verdict(shop, "3,a,many", "4,b,8", "5,b,many")
    report = materialize(shop.settings, EVERYTHING)
    assert report.success, report.problems
    (line,) = [line for line in report.checks if line.name == "type_pieces"]
    assert (line.passed, line.blocking, line.failed_rows, line.rows) == (False, False, 2, 5)


def test_article_is_taken_before_the_sales_that_refer_to_it(shop):
    definitions = build_definitions(shop.settings)
    node = definitions.resolve_asset_graph().get(
        dg.AssetCheckKey(dg.AssetKey(["staged", "shop", "sale"]), "sale_has_article")
    )
    assert dg.AssetKey(["staged", "shop", "article"]) in set(node.parent_entity_keys)


def test_nothing_landed_says_what_to_do(shop):
    report = materialize(shop.settings, [SALE])
    assert not report.success
    assert "nothing has landed yet" in report.problems[0]


def test_dagster_keeps_no_value_and_no_file_name(shop):
    shop.drop("article", TELLTALE_FILE, "code", TELLTALE)
    shop.drop("sale", TELLTALE_FILE, "number,article,pieces", f"1,{TELLTALE},5", f"2,{TELLTALE},{TELLTALE}", "3,a,4")
    materialize(shop.settings, EVERYTHING)
    with open_instance(shop.settings) as instance:
        assert instance.get_runs()
    kept = b"".join(file.read_bytes() for file in shop.home.rglob("*") if file.is_file())
    assert b"sale_has_article" in kept
    assert TELLTALE.encode() not in kept
    assert TELLTALE_FILE.encode() not in kept


@pytest.mark.parametrize("table", [SALE, SALE.at(Tier.RAW)])
def test_raw_and_staged_go_together(shop, table):
    shop.drop("article", "a.csv", "code", "a")
    shop.drop("sale", "1.csv", "number,article,pieces", "1,a,5", "2,a,6")
    report = materialize(shop.settings, [ARTICLE, table])
    assert {SALE, SALE.at(Tier.RAW)} <= set(report.tables)


def test_settings_stay_the_same(shop):
    assert load_settings(shop.settings.project, lake=shop.settings.lake) == shop.settings
