"""A feature table can show what was known at an earlier instant, and comes back to the present by itself."""

from __future__ import annotations

import datetime as dt
import gzip
import os
from dataclasses import replace

import pytest

from lakehouse import storage
from lakehouse.contract.load import load_project
from lakehouse.errors import KnowledgeTimeError
from lakehouse.model import TableId, Tier
from lakehouse.orchestration import runs
from lakehouse.orchestration.features import rebuild

LINE = TableId(Tier.STAGED, "retail", "invoice_line")
DEMAND, PEOPLE = (
    TableId(Tier.FEATURES, "retail", "product_demand"),
    TableId(Tier.FEATURES, "retail", "customer_features"),
)
HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country"
DAYS = (dt.date(2011, 3, 1), dt.date(2011, 4, 5))
#: Between the two deliveries.
PAST = dt.datetime(2011, 3, 15, tzinfo=dt.UTC)


def land(lake, day: dt.date) -> None:
    folder = lake.landing("retail", "invoice_line")
    folder.mkdir(parents=True, exist_ok=True)
    row = f"5{day:%m%d}1,20001,MUG,1,{day} 09:00:00,2.50,12346.0,France"
    file = folder / f"{day}.csv.gz"
    file.write_bytes(gzip.compress(f"{HEADER}\n{row}\n".encode()))
    os.utime(file, (file.stat().st_mtime - 60,) * 2)


@pytest.fixture
def built(lake, lake_settings, tmp_path, monkeypatch):
    """A lake with two delivered days, whose features were built once."""
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    for day in DAYS:
        land(lake, day)
    report = runs.materialize(lake_settings, [LINE, DEMAND, PEOPLE])
    assert report.success, report.problems
    return lake_settings


def days(lake, table) -> list[dt.date]:
    return sorted(storage.scan(lake, table).collect()["as_of"].unique())


def test_past_instant_shows_what_was_known_then_and_the_next_run_shows_all(built, lake):
    assert days(lake, DEMAND) == list(DAYS)
    report = runs.materialize(built, [DEMAND, PEOPLE], known_at=PAST)
    assert report.success, report.problems
    assert days(lake, DEMAND) == [DAYS[0]]
    assert days(lake, PEOPLE) == [PAST.date()], "the end of his month had not come"
    assert runs.materialize(built, [DEMAND, PEOPLE]).success
    assert days(lake, DEMAND) == list(DAYS)
    assert days(lake, PEOPLE) == [dt.date(2011, 3, 31), dt.date(2011, 4, 30)]


def test_run_configuration_holds_the_instant_and_nothing_else(built):
    report = runs.materialize(built, [DEMAND], known_at=PAST)
    with runs.open_instance(built) as instance:
        run = instance.get_run_by_id(report.run_id)
    assert run is not None
    assert run.run_config["ops"] == {"compute_retail_product_demand": {"config": {"known_at": PAST.isoformat()}}}


def test_past_instant_on_an_input_without_history_is_refused(built, lake):
    project = load_project(built.project)
    changing = replace(project.table(LINE), load_mode="upsert")
    contract = next(each for each in project.contracts if each.domain == LINE.domain)
    tables = tuple(changing if table.id == LINE else table for table in contract.tables)
    project = replace(project, contracts=(replace(contract, tables=tables),))
    versions = {LINE: storage.require_passed(lake, LINE)}
    function = "assets.features.retail:product_demand"
    before = storage.snapshot(lake, DEMAND).version
    with pytest.raises(KnowledgeTimeError, match="no history"):
        rebuild(lake, project, project.table(DEMAND), function=function, versions=versions, known_at=PAST)
    assert storage.snapshot(lake, DEMAND).version == before


def test_future_instant_is_refused(built):
    future = dt.datetime.now(dt.UTC) + dt.timedelta(days=1)
    report = runs.materialize(built, [DEMAND], known_at=future)
    assert not report.success
    assert "lies in the future" in report.problems[0]


def test_instant_without_an_offset_is_refused(built):
    report = runs.materialize(built, [DEMAND], known_at=PAST.replace(tzinfo=None))
    assert not report.success
    assert "not an instant with an offset" in report.problems[0]


def test_file_named_for_today_is_seen_when_today_is_over(built, lake, monkeypatch):
    """Its rows are in staged before features may see them, so that no version of staged tells when to look again."""
    now = lake.now()
    land(lake, now.date())
    assert runs.materialize(built, [LINE, DEMAND]).success
    assert days(lake, DEMAND) == list(DAYS)
    monkeypatch.setattr(type(lake), "now", lambda _: now + dt.timedelta(days=2))
    assert runs.materialize(built, [DEMAND]).success
    assert days(lake, DEMAND) == [*DAYS, now.date()]
    before = storage.snapshot(lake, DEMAND).version
    assert runs.materialize(built, [DEMAND]).success
    assert storage.snapshot(lake, DEMAND).version == before, "nothing new to see"
