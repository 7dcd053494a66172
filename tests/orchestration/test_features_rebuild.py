"""Feature tables rebuilt month by month are what a rebuild from scratch would give."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import sys

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from lakehouse import storage
from lakehouse.contract.load import load_project
from lakehouse.errors import ProjectError
from lakehouse.ingest import ingest, landing
from lakehouse.model import TableId, Tier
from lakehouse.orchestration.features import feature_function, rebuild
from lakehouse.orchestration.runs import materialize

LINE, DEMAND = TableId(Tier.STAGED, "retail", "invoice_line"), TableId(Tier.FEATURES, "retail", "product_demand")
FUNCTION = "assets.features.retail:product_demand"


@pytest.fixture
def project(project_root):
    return load_project(project_root)


@pytest.fixture(autouse=True)
def own_instance(tmp_path, monkeypatch):
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))


def land(lake, day: dt.date) -> None:
    folder = lake.landing("retail", "invoice_line")
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{day}.csv"
    rows = [f"5{day:%m%d}{n},2000{n % 3},MUG,{n + 1},{day} 09:00:00,2.50,12346.0,France" for n in range(6)]
    header = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country"
    file.write_text("\n".join([header, *rows]) + "\n")
    os.utime(file, (file.stat().st_mtime - 60,) * 2)


def test_months_that_changed_and_later_ones_are_replaced(lake, lake_settings, project):
    for day in (dt.date(2011, 3, 1), dt.date(2011, 4, 5), dt.date(2011, 2, 20)):
        land(lake, day)
        report = materialize(lake_settings, [LINE, DEMAND])
        assert report.success, report.problems
    by_month = storage.scan(lake, DEMAND).collect()
    assert by_month["as_of"].n_unique() == 3

    everything = feature_function(project, FUNCTION)(storage.scan(lake, LINE)).select(by_month.columns).collect()
    key = ["as_of", "stock_code", "country"]
    assert_frame_equal(by_month.sort(key), everything.sort(key))


def test_nothing_stale_is_nothing_committed(lake, lake_settings, project):
    land(lake, dt.date(2011, 3, 1))
    assert materialize(lake_settings, [LINE, DEMAND]).success
    versions = {LINE: storage.require_passed(lake, LINE)}
    assert rebuild(lake, project, project.table(DEMAND), function=FUNCTION, versions=versions) is None


@pytest.mark.parametrize("failed", [None, ["unique_key"]])
def test_features_read_no_version_that_did_not_pass(lake, lake_settings, project, failed):
    land(lake, dt.date(2011, 3, 1))
    files = landing.complete_files(lake, project.table(LINE), lake.now())
    ingest(lake, project, project.table(LINE), files, now=lake.now())
    if failed is not None:
        storage.record_verdict(lake, LINE, storage.snapshot(lake, LINE).version, failed)
    report = materialize(lake_settings, [DEMAND])
    assert not report.success
    assert ("has not been checked" if failed is None else "unique_key") in report.problems[0]
    assert not storage.exists(lake, DEMAND)


FEATURES = """\
import polars as pl

FACTOR = {factor}


def product_demand(lines):
    keys = [pl.col("StockCode").alias("stock_code"), pl.col("Country").alias("country")]
    day = pl.col("InvoiceDate").dt.date().alias("as_of")
    counted = (pl.col("Quantity").sum() * FACTOR).alias("quantity")
    frame = lines.group_by(*keys, day).agg(pl.col("_landed_at").max(), counted)
    whole = ["quantity_lag_1", "quantity_lag_7", "quantity_lag_28"]
    shares = ["quantity_mean_7", "quantity_mean_28", "avg_price", "log_price", "log_quantity", "price_change"]
    return frame.with_columns(
        *(pl.lit(None, pl.Int64).alias(name) for name in whole),
        *(pl.lit(None, pl.Float64).alias(name) for name in shares),
    )
"""


@pytest.fixture
def own_features(tmp_path, project_root):
    """A project with retail's contracts and a feature module of its own, written with a factor."""
    root = tmp_path / "own"
    shutil.copytree(project_root / "policies", root / "policies")
    module = root / "assets" / "features" / "retail.py"
    module.parent.mkdir(parents=True)
    for package in (root / "assets", module.parent):
        (package / "__init__.py").touch()
    before = list(sys.path)

    def write(factor: int):
        module.write_text(FEATURES.format(factor=factor))
        for name in [name for name in sys.modules if name.partition(".")[0] == "assets"]:
            del sys.modules[name]
        return load_project(root)

    yield write
    sys.path[:] = before


def test_changed_function_replaces_old_months_too(lake, lake_settings, own_features):
    for day in (dt.date(2011, 3, 1), dt.date(2011, 4, 5)):
        land(lake, day)
    assert materialize(lake_settings, [LINE]).success
    versions = {LINE: storage.require_passed(lake, LINE)}

    def build(factor: int) -> int | None:
        project = own_features(factor)
        return rebuild(lake, project, project.table(DEMAND), function=FUNCTION, versions=versions)

    def by_month() -> list[int]:
        months = storage.scan(lake, DEMAND).group_by(pl.col("as_of").dt.month()).agg(pl.col("quantity").sum())
        return months.sort("as_of").collect()["quantity"].to_list()

    assert build(1) is not None
    assert by_month() == [21, 21]
    assert build(1) is None, "the same code over the same rows"
    assert build(10) is not None
    assert by_month() == [210, 210]


def test_every_feature_table_has_its_function(project):
    for table in project.tables:
        if table.id.tier is Tier.FEATURES:
            assert callable(feature_function(project, f"assets.features.{table.id.domain}:{table.id.table}"))


def test_missing_function_is_told(project):
    with pytest.raises(ProjectError, match="no function `nowhere`"):
        feature_function(project, "assets.features.retail:nowhere")
