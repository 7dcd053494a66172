"""`doctor`: a healthy place is healthy, and each ailment is found with its mend."""

from __future__ import annotations

import datetime as dt
import json
import os

import pytest

from lakehouse import storage
from lakehouse.settings import load_settings


@pytest.fixture
def healthy(fleet):
    return storage.create_lake(load_settings())


def findings(ran):
    return {finding["code"]: finding for each in json.loads(ran.out)["examinations"] for finding in each["findings"]}


def test_a_healthy_place_is_healthy(lakehouse, healthy):
    ran = lakehouse("doctor", "--json")
    assert ran.code == 0
    assert json.loads(ran.out)["healthy"] is True
    assert list(findings(ran)) == ["separation"]  # one folder has it all, as a trial may
    assert findings(ran)["separation"]["message"].startswith("lake and control database and key file are on one disk")
    assert "agrees with its control database" in lakehouse("doctor").out


def test_no_lake_is_a_warning(lakehouse, fleet):
    ran = lakehouse("doctor", "--json")
    assert ran.code == 0
    assert findings(ran)["lake"]["level"] == "warning"


def test_no_project_is_an_error(lakehouse, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ran = lakehouse("doctor", "--json")
    assert ran.code == 3
    assert findings(ran)["project"]["hint"]


def test_a_key_that_others_can_read_is_an_error(lakehouse, healthy):
    key = load_settings().key_file
    key.write_bytes(b"0" * 32)
    key.chmod(0o644)
    ran = lakehouse("doctor", "--json")
    assert ran.code == 3
    assert "chmod 600" in findings(ran)["key_file"]["hint"]
    key.chmod(0o600)
    assert lakehouse("doctor").code == 0


def test_a_lake_that_disagrees_with_its_control_database_is_an_error(lakehouse, fleet, healthy):
    marker = fleet / ".lake/lake.json"
    marker.write_text(marker.read_text().replace(healthy.id, "0" * 32))
    ran = lakehouse("doctor", "--json")
    assert ran.code == 3
    assert "differ in `id`" in findings(ran)["lake"]["message"]


def test_a_hanging_lease_is_found(lakehouse, healthy):
    with healthy.control.engine.begin() as connection:
        row = {"table_id": "staged.fleet.trip", "token": 1, "holder": "x", "expires": 1, "dirty": False}
        connection.execute(storage.lease_table.insert().values(row))
    assert "died" in findings(lakehouse("doctor", "--json"))["lease"]["message"]


def test_files_that_nobody_took_are_found(lakehouse, healthy):
    folder = healthy.landing("fleet", "trip")
    folder.mkdir(parents=True)
    (folder / "old.csv").write_text("trip_id,kilometres\n")
    (folder / ".new.csv.part").write_text("")
    old = (healthy.now() - dt.timedelta(hours=2)).timestamp()
    os.utime(folder / "old.csv", (old, old))
    found = findings(lakehouse("doctor", "--json"))["landing"]
    assert found["where"] == "staged.fleet.trip"
    assert "1 file lying for 2 h" in found["message"]


def test_a_project_without_assets_is_an_error(lakehouse, fleet, healthy):
    (fleet / "assets").rmdir()
    assert "no such package" in findings(lakehouse("doctor", "--json"))["project"]["message"]


def test_what_is_elsewhere_shares_no_disk(lakehouse, healthy, monkeypatch):
    monkeypatch.setenv("LAKEHOUSE_KEK", "1 " + "0" * 64)
    found = findings(lakehouse("doctor", "--json"))
    assert found["separation"]["message"].startswith("lake and control database are on one disk")
    monkeypatch.setenv("LAKEHOUSE_LAKE", "nowhere://bucket/lake")
    document = json.loads(lakehouse("doctor", "--json").out)
    separation = next(each for each in document["examinations"] if each["name"] == "separation")
    assert separation["findings"] == []
