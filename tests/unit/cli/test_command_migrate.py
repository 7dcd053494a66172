"""`plan`, `apply`, `rebuild`, `quarantine replay` and `check --against`: what they print, do and exit with."""

from __future__ import annotations

import json
import subprocess

import pytest

pytestmark = pytest.mark.slow  # together half a minute of `make check`

ROWS = "trip_id,kilometres\n1,10\n2,far\n3,7\n"


@pytest.fixture
def contract(fleet):
    """Changes the contract: `contract(old, new)`."""
    path = fleet / "policies/domains/fleet/contract.odcs.yaml"

    def change(old: str, new: str) -> None:
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    return change


@pytest.fixture
def taken(fleet, lakehouse):
    (fleet / "trips.csv").write_text(ROWS)
    assert lakehouse("ingest", "trip", "trips.csv").code == 0


def document(ran):
    return json.loads(ran.out)


def test_plan_apply_and_plan_again(taken, fleet, lakehouse, contract):
    assert lakehouse("plan").code == 0
    contract("kilometres, logicalType: integer", "kilometres, logicalType: string")
    planned = lakehouse("plan")
    assert planned.code == 4
    assert "staged.fleet.trip" in planned.out
    assert "3 rows of raw are gated anew" in planned.out
    assert "`kilometres`: integer becomes string" in planned.out
    (fleet / "more.csv").write_text("trip_id,kilometres\n4,1\n")
    refused = lakehouse("ingest", "trip", "more.csv")
    assert refused.code == 3
    assert "lakehouse apply" in refused.out + refused.err
    applied = document(lakehouse("apply", "--json"))
    assert [(table["table"], table["effect"], table["rows"]) for table in applied["tables"]] == [
        ("staged.fleet.trip", "rebuild", 3)
    ]
    assert applied["run"]["success"]
    assert lakehouse("plan").code == 0
    assert document(lakehouse("apply", "--json")) == {"renamed": [], "tables": [], "run": None}
    (fleet / "later.csv").write_text("trip_id,kilometres\n5,1\n")
    assert lakehouse("ingest", "trip", "later.csv").code == 0
    landing = document(lakehouse("status", "--json"))["landings"][0]
    assert (landing["balanced"], landing["rows"]["staged"], landing["waiting_files"]) == (True, 4, 1)


def test_a_renamed_table_and_column(taken, lakehouse, contract):
    contract("name: trip\n", "name: journey\n")
    contract("name: kilometres", "name: distance, physicalName: kilometres")
    document_ = document(lakehouse("plan", "--json"))
    kinds = [change["kind"] for change in document_["tables"][0]["changes"]]
    assert kinds == ["renamed table", "renamed column"]
    assert document(lakehouse("apply", "--json"))["renamed"] == ["staged.fleet.trip"]
    landing = document(lakehouse("status", "--json"))["landings"][0]
    assert (landing["table"], landing["rows"]["read"], landing["balanced"]) == ("staged.fleet.journey", 3, True)


def test_rebuild_says_what_it_would_do_until_yes(taken, lakehouse):
    said = lakehouse("rebuild", "trip")
    assert said.code == 0
    assert "would gate 3 rows of raw anew" in said.out
    assert "--yes" in said.out
    version = document(lakehouse("status", "--json"))["tables"][1]["version"]
    done = document(lakehouse("rebuild", "trip", "--yes", "--json"))
    assert (done["done"], done["figures"]["staged"], done["figures"]["quarantined"]) == (True, 2, 1)
    table = document(lakehouse("status", "--json"))["tables"][1]
    assert table["version"] > version
    assert table["blocked"] is None


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--from", "2011-01"], 2, "belong together"),
        (["--from", "2011-13", "--to", "2011-14"], 2, "is not a month"),
        (["--from", "2011-03", "--to", "2011-01"], 2, "after the last"),
        (["--from", "2011-01", "--to", "2011-03", "--yes"], 3, "laid out by month"),
    ],
)
def test_months_that_cannot_be_meant(taken, lakehouse, options, code, words):
    ran = lakehouse("rebuild", "trip", *options)
    assert ran.code == code
    assert words in ran.err


def test_replay_after_a_fix(taken, lakehouse, contract):
    contract("{category: system.operations}}]}\n", "{category: system.operations, null_words: ['', far]}}]}\n")
    before = document(lakehouse("quarantine", "list", "trip", "--json"))
    assert [(line["batch"], line["rows"]) for line in before["batches"]] == [(1, 1)]
    done = document(lakehouse("quarantine", "replay", "trip", "--json"))
    assert (done["before"], done["quarantined"]) == (1, 0)
    assert document(lakehouse("quarantine", "list", "trip", "--json"))["rows"] == 0
    assert "nothing of staged.fleet.trip is set aside" in lakehouse("quarantine", "replay", "trip").out


@pytest.fixture
def revision(fleet):
    def git(*arguments: str) -> None:
        identity = ("-c", "user.name=x", "-c", "user.email=x@example.com")
        subprocess.run(["git", *identity, *arguments], cwd=fleet, check=True, capture_output=True)

    git("init", "-q")
    git("add", "-A")
    git("commit", "-qm", "first")
    return "HEAD"


def test_compatibility_against_a_revision(lakehouse, contract, revision):
    assert "no table changed" in lakehouse("check", "--against", revision).out
    contract("kilometres, logicalType: integer", "kilometres, logicalType: string")
    ran = lakehouse("check", "--against", revision)
    assert ran.code == 0
    assert "staged.fleet.trip: incompatible" in ran.out
    assert "values of the one type are not values of the other" in ran.out
    contract("value: {tier: staged,", "value: {tier: staged, compatibility: backward,")
    ran = lakehouse("check", "--against", revision, "--json")
    assert ran.code == 3
    (verdict,) = document(ran)["compatibility"]
    assert (verdict["class"], verdict["declared"], verdict["broken"]) == ("none", "backward", True)


def test_against_something_that_is_no_revision(fleet, lakehouse, revision):
    assert lakehouse("check", "--against", "nowhere").code == 2
    (fleet / "policies/domains/fleet/contract.odcs.yaml").unlink()
    ran = lakehouse("check", "--against", revision, "--json")
    assert document(ran)["compatibility"][0]["changes"][0]["kind"] == "removed table"
