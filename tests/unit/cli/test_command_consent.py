"""`lakehouse consent`: ids come from standard input and are shown nowhere; the next query sees what was said."""

from __future__ import annotations

import io
import json
import os

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
POLICIES = {
    "platform.yaml": """\
version: 1
classes: {user: confidential, system: internal}
defaults: {public: clear, internal: clear, confidential: redact, restricted: hide}
identifying: [user.unique_id]
""",
    "purposes.yaml": """\
version: 1
purposes:
  coaching: {description: better driving, groups: [coaches], legal_basis: consent, consent: {of: driver}}
  planning: {description: routes, groups: [coaches], legal_basis: contract, consent: not_required}
""",
    "groups.yaml": "version: 1\ngroups: {coaches: [ana]}\n",
    "domains/fleet/access.yaml": """\
version: 1
grants:
  - {id: coaches, groups: [coaches], purpose: coaching, tables: [staged.fleet.trip], why: they coach}
""",
}
FIRST, SECOND = "4711001", "4711002"
GIVE = ("consent", "give", "--entity", "driver", "--purpose", "coaching")
WITHDRAW = ("consent", "withdraw", "--entity", "driver", "--purpose", "coaching")


@pytest.fixture
def trips(fleet, lakehouse):
    (fleet / "policies/domains/fleet/contract.odcs.yaml").write_text(CONTRACT)
    for name, text in POLICIES.items():
        (fleet / "policies" / name).write_text(text)
    (fleet / "trips.csv").write_text(f"trip_id,driver\n1,{FIRST}\n2,{SECOND}\n3,{FIRST}\n")
    assert lakehouse("ingest", "trip", "trips.csv").code == 0
    return fleet


@pytest.fixture
def say(lakehouse, monkeypatch):
    def said(*words: str, ids: str = f"{FIRST}\n"):
        monkeypatch.setattr("sys.stdin", io.StringIO(ids))
        ran = lakehouse(*words)
        assert not [each for each in (FIRST, SECOND) if each in ran.out + ran.err]
        return ran

    return said


def seen(lakehouse) -> list[int]:
    sql = "select trip_id from fleet_trip order by 1"
    ran = lakehouse("query", "--as", "ana", "--purpose", "coaching", "--format", "csv", sql)
    assert ran.code == 0, ran.err
    return [int(line) for line in ran.out.split()[1:]]


@pytest.mark.slow
def test_the_next_query_sees_what_was_said(lakehouse, trips, say):
    assert seen(lakehouse) == []
    done = say(*GIVE, "--json", ids=f"{FIRST}\n{SECOND}\n")
    assert json.loads(done.out) == {"entity": "driver", "purpose": "coaching", "said": "given", "recorded": 2}
    assert seen(lakehouse) == [1, 2, 3]
    (trips / "ids").write_text(FIRST)
    assert say(*WITHDRAW, "--ids", "ids").code == 0
    assert seen(lakehouse) == [2]
    assert say(*GIVE, "--valid-from", "2020-01-01T00:00:00Z").code == 0
    assert seen(lakehouse) == [2], "an earlier consent does not undo the withdrawal"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "ids", "told"),
    [
        ((*GIVE[:-1], "planning"), FIRST, "needs consent"),
        ((*GIVE[:-1], "nothing"), FIRST, "needs consent"),
        (("consent", "give", "--entity", "car", "--purpose", "coaching"), FIRST, "of a `driver`"),
        ((*GIVE, "--valid-from", "2999-01-01T00:00:00Z"), FIRST, "future"),
        ((*GIVE, "--valid-from", "yesterday"), FIRST, "no instant"),
        ((*GIVE, "--valid-from", "2020-01-01T00:00:00"), FIRST, "offset"),
        ((*GIVE, "--expires-on", "soon"), FIRST, "no day"),
        (GIVE, "\n", "no id"),
        (GIVE, "x4711001x", "cannot be read"),
        ((*GIVE, "--ids", "nowhere"), "", "cannot be read"),
    ],
    ids=["free", "unknown", "type", "future", "word", "offset", "day", "nobody", "id", "file"],
)
def test_what_is_not_understood_is_refused(trips, say, words, ids, told):
    ran = say(*words, ids=ids)
    assert ran.code == 2
    assert told in ran.err


@pytest.mark.slow
def test_files_are_taken_with_their_bad_lines_told(lakehouse, trips, say):
    folder = next(path for path in trips.rglob("landing") if path.is_dir()) / "consent"
    folder.mkdir()
    file = folder / "many.csv"
    header = "entity_type,id,purpose,said,valid_from,source,expires_on\n"
    file.write_text(f"{header}driver,{FIRST},coaching,given,,crm,\ndriver,{SECOND},coaching,perhaps,,crm,\n")
    os.utime(file, (0, 0))
    ran = say("consent", "load", "--json", ids="")
    assert ran.code == 3
    bad = [{"line": 3, "reason": "`said` is neither `given` nor `withdrawn`"}]
    assert json.loads(ran.out) == {"files": [{"file": 1, "recorded": 1, "repeated": False, "bad": bad}]}
    assert not file.exists()
    assert seen(lakehouse) == [1, 3]
    assert "no complete file" in say("consent", "load", ids="").out
