"""The 271 real files of UCI Online Retail to staged: every row accounted for, nothing doubled, order without effect."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

import polars as pl
import pytest

from lakehouse import storage
from lakehouse.contract.load import load_project
from lakehouse.ingest import ingest, landing, opener
from lakehouse.model import TableId, Tier
from tests.stores import ON_DISK

ROWS, FILES = 431_673, 271
TABLE = TableId(Tier.STAGED, "retail", "invoice_line")
#: What a delivery order or a surrogate's chance decides is not the table's content.
#: Numbers, times and keyed hashes, which differ from lake to lake.
INCIDENTAL = ("_batch", "_landed_at", "_entity", "CustomerID__token")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def project(project_root):
    return load_project(project_root)


@pytest.fixture(scope="module")
def days(shared_data) -> list[Path]:
    found = sorted((shared_data / "retail/uci-online-retail/by-day").glob("*.csv.gz"))
    assert len(found) == FILES
    return found


@pytest.fixture(scope="module")
def first(module_site, project, project_root, days):
    """A lake after the files came in order, through the landing folder; all of them take a minute."""
    lake = storage.create_lake(module_site.settings(project_root))
    return lake, ingest(lake, project, project.table(TABLE), land(lake, project, days), now=lake.now())


def land(lake, project, files) -> list[Path]:
    folder = landing.folder(lake, project.table(TABLE))
    folder.mkdir(parents=True, exist_ok=True)
    return [Path(shutil.copy(file, folder)) for file in files]


def content(lake) -> pl.DataFrame:
    rows = storage.scan(lake, TABLE).drop(INCIDENTAL).collect()
    return rows.sort("InvoiceNo", "StockCode", "line", "InvoiceDate")


def test_every_row_of_every_file_is_accounted_for(first):
    lake, report = first
    assert [batch.state for batch in report.batches] == ["staged"] * FILES
    balance = storage.balance(lake, TABLE)
    assert balance.unbalanced == ()
    total = balance.rows.drop("batch").sum().row(0, named=True)
    assert total["read"] == ROWS == sum(batch.rows for batch in report.batches)
    others = ("staged", "quarantined", "duplicate", "conflict")
    assert sum(total[kind] for kind in others) == ROWS
    assert total["pending"] == 0
    assert storage.snapshot(lake, TABLE.at(Tier.RAW)).rows == ROWS


def test_raw_is_what_was_delivered(first, days, project):
    lake, _ = first
    raw = pl.concat(opener.opened(lake, project.table(TABLE))).sort("_batch", "_row")
    assert raw["_bad"].null_count() == ROWS
    names = ["InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country"]
    delivered = pl.concat([pl.read_csv(day, infer_schema=False, empty_string_is_null=False) for day in days])
    assert raw.select(names).equals(delivered.select(names))


def test_customers_have_one_surrogate_each_and_the_landing_folder_is_empty(first, project):
    lake, _ = first
    people = storage.scan(lake, TABLE).select("CustomerID", "_entity").unique().collect().drop_nulls()
    assert people["_entity"].n_unique() == people["CustomerID"].n_unique() == people.height
    assert list(landing.folder(lake, project.table(TABLE)).iterdir()) == []


def test_the_same_files_again_double_nothing(first, project, days):
    lake, _ = first
    before = storage.snapshot(lake, TABLE).version
    shuffled = random.Random(7).sample(days, FILES)
    report = ingest(lake, project, project.table(TABLE), land(lake, project, shuffled), now=lake.now())
    assert {batch.state for batch in report.batches} == {"skipped"}
    assert storage.snapshot(lake, TABLE).version == before
    assert storage.balance(lake, TABLE).rows["read"].sum() == ROWS


@ON_DISK  # it takes a minute
def test_shuffled_and_in_several_runs_the_table_is_the_same(first, site, project, project_root, days):
    lake = storage.create_lake(site.settings(project_root))
    shuffled = random.Random(11).sample(days, FILES)
    for part in (shuffled[:100], shuffled[90:200], shuffled[200:]):
        ingest(lake, project, project.table(TABLE), land(lake, project, part), now=lake.now())
    assert storage.balance(lake, TABLE).unbalanced == ()
    assert content(lake).equals(content(first[0]))


def test_a_week_in_shuffled_order_and_again_is_there_once(project, project_root, days, site):
    lake = storage.create_lake(site.settings(project_root))
    week = days[:6]
    for part in (week[3:], week[:4], week):
        ingest(lake, project, project.table(TABLE), land(lake, project, part), now=lake.now())
    balance = storage.balance(lake, TABLE)
    assert balance.unbalanced == ()
    delivered = pl.concat([pl.read_csv(day, infer_schema=False, empty_string_is_null=False) for day in week])
    raw = pl.concat(opener.opened(lake, project.table(TABLE)))
    assert raw.height == delivered.height == balance.rows["read"].sum()
    assert raw.select(delivered.columns).sort(pl.all()).equals(delivered.sort(pl.all()))


def test_a_day_delivered_under_another_name_is_all_duplicates(project, project_root, days, tmp_path, site):
    lake = storage.create_lake(site.settings(project_root))
    ingest(lake, project, project.table(TABLE), land(lake, project, days[:1]), now=lake.now())
    again = tmp_path / "2010-12-01-again.csv.gz"
    shutil.copy(days[0], again)
    os.utime(again)
    (report,) = ingest(lake, project, project.table(TABLE), [again], now=lake.now()).batches
    assert (report.staged, report.conflict) == (0, 0)
    assert report.duplicate == report.rows > 0
    assert storage.balance(lake, TABLE).unbalanced == ()
