"""What the web page shows of a table and its checks: each piece is there, for every asset of the project."""

from __future__ import annotations

import dagster as dg
import pytest

from lakehouse import storage
from lakehouse.contract.load import load_project
from lakehouse.model import TableId, Tier
from lakehouse.orchestration.build import build_definitions
from lakehouse.orchestration.metadata import asset_key
from lakehouse.orchestration.runs import materialize, open_instance
from lakehouse.settings import load_settings

SALE, SOLD = TableId(Tier.STAGED, "shop", "sale"), TableId(Tier.CURATED, "shop", "sold")
LINE = TableId(Tier.STAGED, "retail", "invoice_line")


@pytest.fixture(scope="module")
def project(project_root):
    return load_project(project_root)


@pytest.fixture(scope="module")
def specs(project_root) -> dict[TableId, dg.AssetSpec]:
    definitions = build_definitions(load_settings(project_root, lake="/nowhere/lake"))
    found = {}
    for spec in definitions.resolve_all_asset_specs():
        if spec.group_name in {"serving", "system"}:
            continue  # no tables of a contract: test_purposes_in_the_graph.py, test_consent_in_the_graph.py
        tier, domain, table = spec.key.path
        found[TableId(Tier(tier), domain, table)] = spec
    return found


def columns(spec: dg.AssetSpec) -> dict[str, dg.TableColumn]:
    return {column.name: column for column in spec.metadata["dagster/column_schema"].columns}


def test_there_is_an_asset_for_every_table_and_for_raw(specs, project):
    delivered = {table.id.at(Tier.RAW) for table in project.tables if table.sources}
    assert set(specs) == delivered | {table.id for table in project.tables}


def test_group_is_the_tier(specs):
    assert {table: spec.group_name for table, spec in specs.items()} == {table: table.tier.value for table in specs}


def test_kinds_name_the_engines(specs):
    engines = {
        Tier.RAW: {"deltalake", "csv"},
        Tier.STAGED: {"deltalake", "polars", "pandera"},
        Tier.CURATED: {"deltalake", "dbt", "duckdb"},
        Tier.FEATURES: {"deltalake", "polars"},
    }
    assert {table: set(spec.kinds) for table, spec in specs.items()} == {table: engines[table.tier] for table in specs}


def test_owners_are_the_contracts_team(specs, project):
    for table, spec in specs.items():
        assert project.table(table).owner == f"{table.domain}-data"
        assert list(spec.owners) == [f"team:{table.domain}_data"]


def test_tags_name_domain_scope_and_personal_tables(specs, project):
    for table, spec in specs.items():
        contract = project.table(table)
        tags = {name: value for name, value in spec.tags.items() if name.startswith("lakehouse/")}
        wanted = {"lakehouse/domain": table.domain, "lakehouse/scope": contract.scope}
        if any(column.personal for column in contract.columns):
            wanted["lakehouse/personal"] = "true"
        assert tags == wanted
    assert specs[LINE].tags["lakehouse/personal"] == "true"
    assert specs[LINE].tags["lakehouse/scope"] == "accounting"


def test_column_schema_is_the_contracts_with_category_tags(specs, project):
    for table, spec in specs.items():
        if table.tier is Tier.RAW:
            continue
        contract = project.table(table)
        shown = columns(spec)
        roles = [f"_entity_{role.name}" for role in contract.roles]
        tokens = [f"{column.name}__token" for column in contract.tokenised]
        assert list(shown) == [*roles, *(column.name for column in contract.columns), *tokens]
        for column in contract.columns:
            assert shown[column.name].tags["category"] == column.category
            assert ("personal" in shown[column.name].tags) == column.personal
    assert "personal" in columns(specs[LINE])["CustomerID"].tags
    assert columns(specs[LINE])["CustomerID__token"].tags["token_of"] == "user.unique_id"
    assert columns(specs[LINE])["UnitPrice"].type == "decimal(12,3)"
    assert not columns(specs[LINE])["InvoiceNo"].constraints.nullable


def test_column_schema_of_raw_is_what_stays_clear_and_seals(specs, project):
    for table, spec in specs.items():
        if table.tier is Tier.RAW:
            contract = project.table(table)
            clear = [c.name for c in contract.delivered if c.raw_clear or not contract.sealed]
            seals = ["_sealed", *(f"_sealed_{role.name}" for role in contract.roles)] if contract.sealed else []
            assert list(columns(spec)) == [*clear, *seals]
    orders = TableId(Tier.RAW, "banking", "standing_order")
    assert list(columns(specs[orders])) == ["_sealed", "_sealed_counterparty"]


def test_description_and_place_of_the_contract_are_shown(specs, project):
    for table, spec in specs.items():
        assert spec.description
        assert spec.metadata["dagster/table_name"] == str(table)
        assert spec.metadata["contract"] == project.table(table).where


@pytest.fixture
def events(shop):
    """What a run of the small project left in the instance, by table."""
    shop.drop("article", "a.csv", "code", "a", "b")
    shop.drop("sale", "1.csv", "number,article,pieces", "1,a,5", "2,b,6", "x,b,6")
    report = materialize(shop.settings, [TableId(Tier.STAGED, "shop", "article"), SALE, SOLD])
    assert report.success, report.problems
    with open_instance(shop.settings) as instance:
        yield instance


def test_materialization_shows_rows_version_and_size(shop, events):
    for table, rows in ((SALE.at(Tier.RAW), 3), (SALE, 2), (SOLD, 2)):
        event = events.get_latest_materialization_event(asset_key(table)).asset_materialization
        figures = storage.table_figures(shop.lake, table)
        shown = {name: entry.value for name, entry in event.metadata.items()}
        assert shown["dagster/row_count"] == figures.rows == rows
        assert shown["delta_version"] == figures.version
        assert shown["size_bytes"] == figures.bytes > 0
        assert shown["files"] == figures.files > 0
        assert event.tags["dagster/data_version"] == str(figures.version)


def test_staged_shows_where_the_rows_of_the_run_went(events):
    event = events.get_latest_materialization_event(asset_key(SALE)).asset_materialization
    shown = {name: entry.value for name, entry in event.metadata.items()}
    ways = ("read", "staged", "quarantined", "duplicate", "conflict")
    assert [shown[f"rows_{way}"] for way in ways] == [3, 2, 1, 0, 0]
    assert (shown["batches"], shown["batches_held"]) == (1, 0)


def test_every_check_has_numbers_to_plot(shop, events):
    """Dagster plots metadata of type int and float, and nothing else."""
    project = load_project(shop.settings.project)
    for table in (project.table(SALE), project.table(SOLD)):
        for check in table.checks:
            key = dg.AssetCheckKey(asset_key(table.id), check.name)
            (record,) = events.event_log_storage.get_asset_check_execution_history(key, limit=1)
            shown = record.event.asset_check_evaluation.metadata
            assert isinstance(shown["failed_rows"], dg.IntMetadataValue), check.name
            assert isinstance(shown["rows"], dg.IntMetadataValue), check.name
            assert isinstance(shown["failed_share"], dg.FloatMetadataValue), check.name
            assert all(not isinstance(entry, dg.TextMetadataValue) for entry in shown.values())


def test_every_check_says_its_rule_and_limits(project, project_root):
    graph = build_definitions(load_settings(project_root, lake="/nowhere/lake")).resolve_asset_graph()
    for table in project.tables:
        for check in table.checks:
            key = dg.AssetCheckKey(asset_key(table.id), check.name)
            spec = graph.assets_def_for_key(key).get_spec_for_check_key(key)
            assert spec.description
            assert (spec.metadata["kind"], spec.metadata["rule"]) == (check.kind.value, check.rule.value)
            assert spec.metadata.get("tolerance") == check.tolerance
