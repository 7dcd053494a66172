"""`status` and `quarantine list` on a lake that has not seen a row yet, and the words they use."""

from __future__ import annotations

import json

import pytest

from lakehouse import storage
from lakehouse.cli import naming, words
from lakehouse.contract import arrow
from lakehouse.contract.load import load_project
from lakehouse.errors import UsageError
from lakehouse.settings import load_settings


def test_an_empty_lake_shows_its_tables(lakehouse, fleet):
    storage.create_lake(load_settings())
    found = json.loads(lakehouse("status", "--json").out)
    assert [table["table"] for table in found["tables"]] == ["raw.fleet.trip", "staged.fleet.trip"]
    assert all(table["rows"] is None for table in found["tables"])
    assert found["lake"]["raw"] == "clear"
    ran = lakehouse("status")
    assert ran.code == 0
    assert ran.out.count("fleet.trip") >= 2


def test_quarantine_of_an_empty_table_is_empty(lakehouse, fleet):
    storage.create_lake(load_settings())
    assert "no row of staged.fleet.trip is in quarantine" in lakehouse("quarantine", "list", "trip").out
    assert json.loads(lakehouse("quarantine", "list", "fleet.trip", "--json").out) == {
        "table": "staged.fleet.trip",
        "rows": 0,
        "checks": [],
        "batches": [],
        "held": [],
    }


def test_a_held_batch_is_shown_with_its_reason_and_the_way_out(lakehouse, fleet, clock):
    lake = storage.create_lake(load_settings())
    contract = naming.find_table(load_project(fleet), "trip")
    batch = storage.reserve(
        lake, contract.id, source="box", name_hash="n", sha256="c", size=1, landed_at=clock, delivered_at=None
    )
    with storage.lease(lake, contract.id) as held:
        tx = storage.begin(lake, contract.id, held, arrow.schema(contract, contract.id.tier))
        tx.commit("stage", batches=[storage.BatchUpdate(batch.number, "held", 7, "failed `enough_rows`", "terms")])
    ran = lakehouse("quarantine", "list", "trip")
    assert "batch 1 is held with 7 rows: failed `enough_rows`" in ran.out
    assert words.RELEASE in ran.out
    document = json.loads(lakehouse("quarantine", "list", "trip", "--json").out)
    assert document["held"] == [{"batch": 1, "rows": 7, "reason": "failed `enough_rows`"}]
    told = lakehouse("status").out
    assert "1 batch held by a batch check" in told
    assert "failed `enough_rows`" in told


@pytest.mark.parametrize(
    "name", ["invoice_line", "retail.invoice_line", "staged.retail.invoice_line", "raw.retail.invoice_line"]
)
def test_a_table_is_found_by_the_end_of_its_name(project_root, name):
    assert str(naming.find_table(load_project(project_root), name).id) == "staged.retail.invoice_line"


def test_only_landed_tables_can_be_ingested(project_root):
    with pytest.raises(UsageError, match="that files land for"):
        naming.find_table(load_project(project_root), "daily_demand", landed=True)


def test_downstream_is_everything_made_from_a_table(project_root):
    project = load_project(project_root)
    made = naming.downstream(project, naming.find_table(project, "invoice_line"))
    assert {each.id.table for each in made} == {
        "daily_demand",
        "customer_activity",
        "product_demand",
        "customer_features",
    }
    assert naming.downstream(project, naming.find_table(project, "customer")) == []


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (2_300_000, "2.3 MB"), (10**16, "10000 TB")]
)
def test_sizes(count, text):
    assert words.size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, "-"), (-1, "0 s"), (42, "42 s"), (120, "2 min"), (7200, "2 h"), (200_000, "2 d")]
)
def test_ages(seconds, text):
    assert words.age(seconds) == text


def test_plurals():
    assert [words.plural(1, "file"), words.plural(1200, "file"), words.plural(2, "batch", "batches")] == [
        "1 file",
        "1,200 files",
        "2 batches",
    ]
