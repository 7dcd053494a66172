"""Feature tables rebuilt month by month are what a rebuild from scratch would give."""

from __future__ import annotations

import datetime as dt
import os

import pytest
from polars.testing import assert_frame_equal

from lakehouse import storage
from lakehouse.contract.load import load_project
from lakehouse.errors import ProjectError
from lakehouse.model import TableId, Tier
from lakehouse.orchestration.features import feature_function, rebuild
from lakehouse.orchestration.runs import materialize

LINE, DEMAND = TableId(Tier.STAGED, "retail", "invoice_line"), TableId(Tier.FEATURES, "retail", "product_demand")
FUNCTION = "assets.features.retail:product_demand"


@pytest.fixture
def project(project_root):
    return load_project(project_root)


def land(lake, day: dt.date) -> None:
    folder = lake.landing("retail", "invoice_line")
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{day}.csv"
    rows = [f"5{day:%m%d}{n},2000{n % 3},MUG,{n + 1},{day} 09:00:00,2.50,12346.0,France" for n in range(6)]
    header = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country"
    file.write_text("\n".join([header, *rows]) + "\n")
    os.utime(file, (file.stat().st_mtime - 60,) * 2)


def test_months_that_changed_and_later_ones_are_replaced(lake, lake_settings, project, tmp_path, monkeypatch):
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    for day in (dt.date(2011, 3, 1), dt.date(2011, 4, 5), dt.date(2011, 2, 20)):
        land(lake, day)
        report = materialize(lake_settings, [LINE, DEMAND])
        assert report.success, report.problems
    by_month = storage.scan(lake, DEMAND).collect()
    assert by_month["as_of"].n_unique() == 3

    everything = feature_function(project, FUNCTION)(storage.scan(lake, LINE)).select(by_month.columns).collect()
    key = ["as_of", "stock_code", "country"]
    assert_frame_equal(by_month.sort(key), everything.sort(key))


def test_nothing_stale_is_nothing_committed(lake, lake_settings, project, tmp_path, monkeypatch):
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    land(lake, dt.date(2011, 3, 1))
    assert materialize(lake_settings, [LINE, DEMAND]).success
    versions = {LINE: storage.require_passed(lake, LINE)}
    assert rebuild(lake, project, project.table(DEMAND), function=FUNCTION, versions=versions) is None


def test_every_feature_table_has_its_function(project):
    for table in project.tables:
        if table.id.tier is Tier.FEATURES:
            assert callable(feature_function(project, f"assets.features.{table.id.domain}:{table.id.table}"))


def test_missing_function_is_told(project):
    with pytest.raises(ProjectError, match="no function `nowhere`"):
        feature_function(project, "assets.features.retail:nowhere")
