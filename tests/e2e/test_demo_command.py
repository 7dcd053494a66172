"""The demo as somebody runs it: every tier is built, the account of rows adds up, twice is once, and no value is shown."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("demo")


def lakehouse(place, *arguments):
    environment = {**os.environ, "DAGSTER_HOME": str(place / "dagster"), "LAKEHOUSE_LAKE": str(place / "lake")}
    command = [sys.executable, "-m", "lakehouse.cli", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=600)


@pytest.fixture(scope="module")
def first(place):
    ran = lakehouse(place, "demo", "--rows", "20000", "--faults", "0.02", "--json")
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def test_every_tier_is_built(first):
    assert {table["tier"] for table in first["tables"]} == {"raw", "staged", "curated", "features"}
    assert all(table["rows"] for table in first["tables"])
    assert all(table["blocked"] is None for table in first["tables"])
    assert first["success"]


def test_rows_end_where_their_faults_send_them(first):
    assert sum(each["rows"]["read"] for each in first["landings"]) == sum(first["generated"]["rows"].values())
    assert all(each["balanced"] for each in first["landings"])
    for each in first["landings"]:
        faults = first["generated"]["faults"][each["table"]]
        bad = sum(faults.get(kind, 0) for kind in ("missing key", "bad date", "wrong type"))
        assert each["rows"]["quarantined"] == bad
        assert each["rows"]["pending"] == each["waiting_files"] == 0


def test_the_same_demo_again_takes_nothing_twice(first, place):
    ran = lakehouse(place, "demo", "--rows", "20000", "--faults", "0.02", "--json")
    assert ran.returncode == 0, ran.stderr
    again = json.loads(ran.stdout)
    assert [table["rows"] for table in again["tables"]] == [table["rows"] for table in first["tables"]]
    assert [each["rows"] for each in again["landings"]] == [each["rows"] for each in first["landings"]]


def test_another_demo_on_the_same_lake_is_refused(first, place):
    ran = lakehouse(place, "demo", "--rows", "21000")
    assert ran.returncode == 3
    assert "a lake of its own" in ran.stderr


def test_status_and_quarantine_tell_the_same(first, place):
    status = json.loads(lakehouse(place, "status", "--json").stdout)
    assert [each["quarantine"] for each in status["landings"]] == [each["quarantine"] for each in first["landings"]]
    for each in status["landings"]:
        listed = json.loads(lakehouse(place, "quarantine", "list", each["table"], "--json").stdout)
        assert {check["check"]: check["rows"] for check in listed["checks"]} == each["quarantine"]
        assert listed["rows"] == each["rows"]["quarantined"]


def test_a_file_that_cannot_be_taken_ends_with_three(first, place):
    wrong = place / "2012-01-01.csv"
    wrong.write_text("nothing,known\n1,2\n")
    ran = lakehouse(place, "ingest", first["landings"][0]["table"], str(wrong), "--json")
    assert ran.returncode == 3
    assert json.loads(ran.stdout)["rejected_files"] == 1
    status = json.loads(lakehouse(place, "status", "--json").stdout)
    assert sum(status["landings"][0]["reasons"].values()) == 1


def test_one_question_is_answered_differently_to_several_people(first):
    (asked,) = first["asked"]
    agent, analyst = asked["answers"]
    assert (agent["purpose"], analyst["purpose"]) == ("retail_service", "customer_insight")
    assert agent["columns"] == analyst["columns"]
    assert agent["refused"] is analyst["refused"] is None
    assert len(agent["rows"]) == len(analyst["rows"]) == 3
    names, masked = ([row[1] for row in answer["rows"]] for answer in (agent, analyst))
    assert all(names)
    assert set(masked) == {"***"}
    assert [row[3] for row in agent["rows"]] == [None] * 3
    assert all(row[3].endswith("-01-01") for row in analyst["rows"])


def test_every_purpose_that_shows_something_was_opened(first):
    assert first["runs"]["serving"]["success"]
    assert list(first["runs"])[-1] == "serving"
