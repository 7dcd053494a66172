"""`check` prints all mistakes with file and line; `init` writes a contract that loads and overwrites nothing."""

from __future__ import annotations

import json


def test_sound_contracts_are_counted(lakehouse, fleet):
    ran = lakehouse("check")
    assert ran.code == 0
    assert "1 table" in ran.out
    assert json.loads(lakehouse("check", "--json").out)["errors"] == 0


def test_mistakes_come_with_file_and_line(lakehouse, fleet):
    file = fleet / "policies/domains/fleet/contract.odcs.yaml"
    file.write_text(
        file.read_text().replace("logicalType: integer, customProperties", "logicalType: intger, customProperties")
    )
    ran = lakehouse("check")
    assert ran.code == 3
    assert "contract.odcs.yaml:16" in ran.out
    found = json.loads(lakehouse("check", "--json").out)
    assert found["errors"] == len([each for each in found["findings"] if each["level"] == "error"]) > 0


def test_init_writes_a_contract_that_checks(lakehouse, fleet, tmp_path):
    source = tmp_path / "people.csv"
    source.write_text("id,email,joined\n1,a@example.com,2024-01-02\n2,b@example.com,2024-01-03\n")
    ran = lakehouse("init", "club", "--from", str(source))
    assert ran.code == 0
    assert (fleet / "policies/domains/club/contract.odcs.yaml").exists()
    assert lakehouse("check").code == 0


def test_init_overwrites_nothing(lakehouse, fleet, tmp_path):
    source = tmp_path / "trips.csv"
    source.write_text("id\n1\n")
    before = (fleet / "policies/domains/fleet/contract.odcs.yaml").read_text()
    ran = lakehouse("init", "fleet", "--from", str(source))
    assert ran.code == 3
    assert "not overwritten" in ran.err
    assert (fleet / "policies/domains/fleet/contract.odcs.yaml").read_text() == before
