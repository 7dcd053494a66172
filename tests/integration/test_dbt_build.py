"""dbt builds curated tables in this process: right rows, right months, one commit, nothing left behind."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from lakehouse import storage
from lakehouse.contract.arrow import schema
from lakehouse.contract.load import load_project
from lakehouse.errors import LeaseTakenError, ProjectError, RefusedError, SchemaMismatchError, UsageError
from lakehouse.model import Tier
from lakehouse.transform.dbt_run import build
from tests.integration.dbt_lake import ACTIVITY, DEMAND, LINES, MARKER, line, stage
from tests.stores import ON_DISK


@pytest.fixture
def project_copy(tmp_path: Path, project_root: Path) -> Path:
    """The project's contracts and models, to be spoilt."""
    root = tmp_path / "project"
    root.mkdir()
    shutil.copy(project_root / "pyproject.toml", root)
    shutil.copytree(project_root / "policies", root / "policies")
    shutil.copytree(project_root / "dbt", root / "dbt", ignore=shutil.ignore_patterns("target", "logs"))
    return root


@pytest.fixture
def settings(project_copy: Path, site):
    return site.settings(project_copy, "the-lake")


@pytest.fixture
def project(settings):
    return load_project(settings.project)


@pytest.fixture
def lake(settings):
    return storage.create_lake(settings)


def rows(lake, table, *sort: str) -> list[dict[str, object]]:
    return storage.scan(lake, table).sort(*sort).collect().to_dicts()


def test_daily_demand_is_net_of_returns_and_cancellations(settings, project, lake):
    stage(
        lake,
        project,
        [
            line("2011-03-01 10:00", Quantity=10),
            line("2011-03-01 11:00", InvoiceNo="536366", Quantity=3, UnitPrice="0.333"),
            line("2011-03-01 12:00", InvoiceNo="C536367", Quantity=-4),
            line("2011-03-01 13:00", InvoiceNo="536368", Quantity=-1, UnitPrice="0.000", _entity=None),
            line("2011-03-01 13:00", StockCode="POST", Quantity=1, UnitPrice="18.000"),
            line("2011-03-01 13:00", Country="EIRE", Quantity=1, UnitPrice="1.000"),
        ],
    )
    [built] = build(settings, [DEMAND])
    found = {(row["stock_code"], row["country"]): row for row in rows(lake, DEMAND, "stock_code")}
    assert len(found) == 3
    assert built.months is None
    assert built.failed_tests == ()
    net = found["85123A", "France"]
    assert net["day"] == dt.date(2011, 3, 1)
    assert (net["quantity"], net["gross_quantity"], net["returned_quantity"]) == (8, 13, 5)
    assert net["revenue"] == Decimal("16.30")
    assert net["invoices"] == 4
    assert net["_landed_at"] == dt.datetime(2012, 1, 1, tzinfo=dt.UTC)


def test_customer_activity_counts_known_customers_only(settings, project, lake):
    stage(
        lake,
        project,
        [
            line("2011-03-01 10:00"),
            line("2011-06-30 23:30", InvoiceNo="536366"),
            line("2011-07-01 08:00", InvoiceNo="C536367", Quantity=-2),
            line("2011-03-05 10:00", _entity=None),
        ],
    )
    build(settings, [ACTIVITY])
    [row] = rows(lake, ACTIVITY, "customer_ref")
    assert row["_entity"] == row["customer_ref"] == "a" * 32
    assert (row["invoices"], row["lines"], row["quantity"]) == (3, 3, 2)
    assert row["revenue"] == Decimal("5.10")
    assert row["active_days"] == 2, "half past eleven in summer is the next day by the shop's clock"
    assert row["last_purchase"] == dt.datetime(2011, 7, 1, 8, tzinfo=dt.UTC)


def test_both_models_in_one_run_have_exactly_the_contracts_schema(settings, project, lake):
    staged = stage(lake, project, [line("2011-03-01 10:00")])
    build(settings, [DEMAND, ACTIVITY])
    for name in (DEMAND, ACTIVITY):
        assert storage.snapshot(lake, name).schema == schema(project.table(name), Tier.CURATED)
        assert storage.inputs_of(lake, name)[str(LINES)] == staged


def test_a_late_file_rebuilds_its_months_only(settings, project, lake):
    stage(lake, project, [line("2011-01-10 10:00"), line("2011-02-10 10:00")])
    build(settings, [DEMAND])
    before = set(storage.snapshot(lake, DEMAND).files)
    stage(lake, project, [line("2011-02-11 10:00", _batch=2, InvoiceNo="536400", Quantity=5)])
    [built] = build(settings, [DEMAND])
    after = set(storage.snapshot(lake, DEMAND).files)
    assert built.months == ("2011-02",)
    assert len(before & after) == 1, "January's file stays"
    assert [row["quantity"] for row in rows(lake, DEMAND, "day")] == [2, 2, 5]


def test_a_late_line_by_the_shops_clock_lands_in_the_next_month(settings, project, lake):
    stage(lake, project, [line("2011-06-10 10:00"), line("2011-07-10 10:00")])
    build(settings, [DEMAND])
    stage(lake, project, [line("2011-06-30 23:30", _batch=2, InvoiceNo="536400", Quantity=5)])
    [built] = build(settings, [DEMAND])
    assert built.months == ("2011-06", "2011-07")
    assert [str(row["day"]) for row in rows(lake, DEMAND, "day")] == ["2011-06-10", "2011-07-01", "2011-07-10"]


def test_by_month_and_full_give_the_same_table(settings, project, lake):
    first = [line(f"2011-0{month}-28 10:00", Quantity=month) for month in range(1, 7)]
    stage(lake, project, first)
    build(settings, [DEMAND])
    stage(lake, project, [line(f"2011-0{month}-28 11:00", _batch=2, InvoiceNo="536999") for month in (1, 2, 5, 7)])
    build(settings, [DEMAND])
    by_month = rows(lake, DEMAND, "day")
    build(settings, [DEMAND], full=True)
    assert rows(lake, DEMAND, "day") == by_month


def test_nothing_stale_commits_nothing(settings, project, lake):
    stage(lake, project, [line("2011-01-10 10:00")])
    [first] = build(settings, [DEMAND])
    [again] = build(settings, [DEMAND])
    assert (again.version, again.months) == (first.version, ())


def test_a_changed_model_rebuilds_every_month(settings, project, lake):
    stage(lake, project, [line("2011-01-10 10:00")])
    build(settings, [DEMAND])
    model = settings.project / "dbt/models/curated/retail/daily_demand.sql"
    model.write_text(model.read_text().replace("count(distinct InvoiceNo)", "7 * count(distinct InvoiceNo)"))
    [built] = build(settings, [DEMAND])
    assert built.months is None
    assert [row["invoices"] for row in rows(lake, DEMAND, "day")] == [7]


@ON_DISK  # as a changed model
def test_a_changed_macro_rebuilds_every_month(settings, project, lake):
    stage(lake, project, [line("2011-01-10 10:00")])
    [first] = build(settings, [DEMAND])
    with (settings.project / "dbt/macros/months.sql").open("a") as macro:
        macro.write("{# another #}\n")
    [built] = build(settings, [DEMAND])
    assert built.months is None
    assert built.version > first.version


def test_a_pinned_version_is_what_models_read(settings, project, lake):
    pinned = stage(lake, project, [line("2011-01-10 10:00")])
    stage(lake, project, [line("2011-01-11 10:00", _batch=2)])
    build(settings, [DEMAND], versions={LINES: pinned})
    assert len(rows(lake, DEMAND, "day")) == 1
    assert storage.inputs_of(lake, DEMAND)[str(LINES)] == pinned


def test_an_empty_input_gives_an_empty_table(settings, project, lake):
    stage(lake, project, [])
    build(settings, [DEMAND, ACTIVITY])
    assert rows(lake, DEMAND, "day") == rows(lake, ACTIVITY, "_entity") == []


@pytest.mark.parametrize("failed", [None, ["unique_key"]])
def test_input_that_did_not_pass_is_not_read(settings, project, lake, failed):
    version = stage(lake, project, [line("2011-01-10 10:00")], judged=False)
    if failed is not None:
        storage.record_verdict(lake, LINES, version, failed)
    with pytest.raises(RefusedError):
        build(settings, [DEMAND])
    assert not storage.exists(lake, DEMAND)


def test_only_curated_tables_are_built(settings, lake):
    with pytest.raises(UsageError, match="curated"):
        build(settings, [LINES])


def test_a_broken_promise_of_the_contract_is_a_failed_test(settings, project, lake):
    model = settings.project / "dbt/models/curated/retail/daily_demand.sql"
    model.write_text(model.read_text().replace("then -Quantity else", "then Quantity else"))
    stage(lake, project, [line("2011-03-01 10:00", Quantity=-3)])
    [built] = build(settings, [DEMAND])
    assert built.failed_tests == ("retail_daily_demand_range_returned_quantity",)


def test_a_test_written_for_dbt_alone_fails_by_its_name(settings, project, lake):
    own = settings.project / "dbt/tests/demand_is_french.sql"
    own.parent.mkdir()
    own.write_text("select country from {{ ref('daily_demand') }} where country <> 'France'\n")
    stage(lake, project, [line("2011-03-01 10:00", Country="EIRE")])
    [built] = build(settings, [DEMAND])
    assert built.failed_tests == ("demand_is_french",)


def test_tests_of_a_table_that_did_not_pass_run_again_though_nothing_is_stale(settings, project, lake):
    model = settings.project / "dbt/models/curated/retail/daily_demand.sql"
    model.write_text(model.read_text().replace("then -Quantity else", "then Quantity else"))
    stage(lake, project, [line("2011-03-01 10:00", Quantity=-3)])
    [first] = build(settings, [DEMAND])
    [again] = build(settings, [DEMAND])
    assert (again.version, again.months, again.failed_tests) == (first.version, (), first.failed_tests)
    storage.record_verdict(lake, DEMAND, first.version, [])
    [passed] = build(settings, [DEMAND])
    assert passed.failed_tests == (), "who passed is not asked twice"


def test_a_test_that_cannot_run_is_an_error_and_not_a_failed_test(settings, project, lake):
    own = settings.project / "dbt/tests/nonsense.sql"
    own.parent.mkdir()
    own.write_text("select nothing_like_it from {{ ref('daily_demand') }}\n")
    stage(lake, project, [line("2011-03-01 10:00")])
    with pytest.raises(ProjectError, match="`nonsense` cannot run"):
        build(settings, [DEMAND])


def test_a_model_with_other_columns_is_refused_by_name_and_type(settings, project, lake):
    model = settings.project / "dbt/models/curated/retail/daily_demand.sql"
    model.write_text(model.read_text().replace("as revenue", "as income").replace("Country as country", "1 as country"))
    stage(lake, project, [line("2011-03-01 10:00")])
    with pytest.raises(SchemaMismatchError) as raised:
        build(settings, [DEMAND])
    assert "`revenue` is missing" in str(raised.value)
    assert "`income` is not in the contract" in str(raised.value)
    assert "`country` is int32 and not string" in str(raised.value)
    assert not storage.exists(lake, DEMAND)


def test_a_models_error_names_the_file_and_no_value(settings, project, lake):
    model = settings.project / "dbt/models/curated/retail/daily_demand.sql"
    good = model.read_text()
    stage(lake, project, [line("2011-03-01 10:00")])
    model.write_text(good.replace("InvoiceNo,", "InvoiceNumber,"))
    with pytest.raises(ProjectError, match="Binder Error") as raised:
        build(settings, [DEMAND])
    assert "daily_demand.sql" in str(raised.value)
    description = "cast(max(Description) as bigint)"
    spoilt = good.replace("InvoiceNo,", "InvoiceNo, Description,")
    model.write_text(spoilt.replace("cast(sum(Quantity) as bigint)", description))
    with pytest.raises(ProjectError) as raised:
        build(settings, [DEMAND])
    told = [str(raised.value), str(raised.value.__cause__), str(raised.value.__context__)]
    assert not any(MARKER in text for text in told)


def test_an_error_in_the_middle_of_a_stream_commits_nothing_and_shows_no_value(settings, project, lake):
    model = settings.project / "dbt/models/curated/retail/customer_activity.sql"
    good = model.read_text()
    model.write_text(
        good.replace("group by _entity", "group by _entity, _row").replace(
            "cast(count(*) as bigint) as lines",
            "cast(case when _row < 290000 then '1' else _entity end as bigint) as lines",
        )
    )
    entity = "a" * 32
    stage(lake, project, [line("2011-03-01 10:00") for _ in range(300_000)])
    with pytest.raises(ProjectError, match="fails on a row") as raised:
        build(settings, [ACTIVITY])
    told = [str(raised.value), str(raised.value.__cause__), str(raised.value.__context__)]
    assert not any(entity in text for text in told)
    assert not storage.exists(lake, ACTIVITY)


def test_a_table_at_work_elsewhere_raises_storages_own_error(settings, project, lake):
    stage(lake, project, [line("2011-03-01 10:00")])
    with storage.lease(lake, DEMAND, holder="somebody"), pytest.raises(LeaseTakenError):
        build(settings, [DEMAND])


@ON_DISK  # spill files are of this disk
def test_trap_15_too_little_memory_is_an_error_and_spills_nothing(settings, project, lake, monkeypatch, tmp_path):
    monkeypatch.setenv("LAKEHOUSE_DUCKDB_MEMORY", "24MB")
    monkeypatch.chdir(tmp_path)
    many = pl.int_range(300_000, eager=True)
    stage(lake, project, [line("2011-03-01 10:00", StockCode=f"{number:020d}") for number in many])
    own = str(tmp_path / "the-lake")
    before = files_below(tmp_path, own)
    with pytest.raises(ProjectError, match="out of memory"):
        build(settings, [DEMAND])
    new = files_below(tmp_path, own) - before
    assert not [name for name in new if "/dbt/target/" not in name]


def test_nothing_of_the_lake_stands_in_dbts_folders(settings, project, lake, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own = str(tmp_path / "the-lake")  # control database and keys, in a store too
    stage(lake, project, [line("2011-01-10 10:00"), line("2011-02-10 10:00")])
    build(settings, [DEMAND, ACTIVITY])
    stage(lake, project, [line("2011-02-11 10:00", _batch=2)])
    build(settings, [DEMAND, ACTIVITY])
    assert Path.cwd() == tmp_path
    left = [Path(name) for name in files_below(tmp_path, own)]
    assert any("target" in file.parts for file in left), "dbt keeps its parsed project"
    for file in left:
        content = file.read_bytes()
        for secret in (MARKER, settings.lake, "a" * 32, ".parquet"):
            assert secret.encode() not in content, f"{secret} in {file}"


def test_trino_target_parses_without_a_server(project_copy):
    command = [str(Path(sys.executable).with_name("dbt")), "parse", "--project-dir", "dbt", "--profiles-dir", "dbt"]
    done = subprocess.run(
        [*command, "--target", "trino"], cwd=project_copy, capture_output=True, text=True, check=False, env=os.environ
    )
    assert done.returncode == 0, done.stdout


def files_below(root: Path, *without: str) -> set[str]:
    return {str(file) for file in root.rglob("*") if file.is_file() and not str(file).startswith(without)}
