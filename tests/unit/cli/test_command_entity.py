"""`lakehouse entity merge` reads ids from a file or standard input and shows none; `keys renew-token` asks for an apply."""

from __future__ import annotations

import io
import json

import pytest

CONTRACT = """\
apiVersion: v3.1.0
kind: DataContract
id: 33333333-3333-4333-8333-333333333333
version: 1.0.0
status: active
domain: fleet
schema:
  - id: trip
    name: trip
    customProperties:
      - property: lakehouse
        value:
          tier: staged
          sources: [{name: box, pattern: "*.csv*"}]
          entity: {type: driver, key: driver, canonical: [trim, integer]}
    properties:
      - {id: trip_id, name: trip_id, logicalType: integer, primaryKey: true, primaryKeyPosition: 1, customProperties: [{property: lakehouse, value: {category: system.operations}}]}
      - {id: driver, name: driver, logicalType: string, customProperties: [{property: lakehouse, value: {category: user.unique_id, canonical: integer, pseudonym_domain: fleet.driver}}]}
"""
FIRST, SECOND = "4711001", "4711002"


@pytest.fixture
def trips(fleet, lakehouse):
    (fleet / "policies/domains/fleet/contract.odcs.yaml").write_text(CONTRACT)
    (fleet / "trips.csv").write_text(f"trip_id,driver\n1,{FIRST}\n2,{SECOND}\n")
    assert lakehouse("ingest", "trip", "trips.csv").code == 0
    return fleet


@pytest.mark.slow
def test_merging_shows_the_plan_then_does_it_and_never_an_id(lakehouse, trips, monkeypatch):
    (trips / "ids").write_text(f"{FIRST}\n\n{SECOND}\n")
    planned = lakehouse("entity", "merge", "driver", "--ids", "ids")
    assert planned.code == 0
    assert "1 row would become" in planned.out
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{FIRST}\n{SECOND}\n"))
    done = lakehouse("entity", "merge", "driver", "--yes", "--json")
    assert done.code == 0
    document = json.loads(done.out)
    assert document["tables"] == [{"table": "staged.fleet.trip", "rows": 1}]
    assert document["merged"] is True
    assert set(document) == {"entity", "merged", "tables", "done", "run"}
    again = lakehouse("entity", "merge", "driver", "--ids", "ids", "--yes")
    assert "already" in again.out
    for ran in (planned, done, again):
        assert not [each for each in (FIRST, SECOND) if each in ran.out + ran.err]


@pytest.mark.slow
def test_an_unknown_id_is_refused_without_showing_it(lakehouse, trips):
    (trips / "ids").write_text(f"{FIRST}\n4711999\n")
    ran = lakehouse("entity", "merge", "driver", "--ids", "ids")
    assert ran.code == 3
    assert "id 2" in ran.err
    assert "4711" not in ran.out + ran.err


def test_one_id_is_too_few(lakehouse, fleet, lake_of_nothing, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("1\n"))
    ran = lakehouse("entity", "merge", "driver")
    assert ran.code == 2
    assert "there are 1 ids" in ran.err


@pytest.mark.slow
def test_a_renewed_token_key_is_drift_until_it_is_applied(lakehouse, trips):
    assert lakehouse("plan").code == 0
    renewed = json.loads(lakehouse("keys", "renew-token", "fleet.driver", "--json").out)
    assert renewed == {"domain": "fleet.driver", "version": 2, "tables": ["staged.fleet.trip"]}
    assert lakehouse("plan").code == 4
    assert lakehouse("apply").code == 0
    assert lakehouse("plan").code == 0
    wrong = lakehouse("keys", "renew-token", "fleet.drive")
    assert wrong.code == 2
    assert "fleet.driver" in wrong.err


@pytest.fixture
def lake_of_nothing(fleet):
    from lakehouse import storage
    from lakehouse.settings import load_settings

    return storage.create_lake(load_settings(fleet))
