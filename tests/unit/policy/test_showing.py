"""The overview of a purpose agrees with the reference interpreter, group by group, for every policy of the project."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import pytest

from lakehouse.contract.load import load_project
from lakehouse.policy import decide, predicates
from lakehouse.policy.load import load_policy
from lakehouse.policy.showing import showings

#: Before every `until`: the overview asks no clock.
FIRST_DAY = dt.date.min


@pytest.fixture(scope="module")
def project(project_root):
    return load_project(project_root)


@pytest.fixture(scope="module")
def policy(project, project_root):
    return load_policy(project_root, project)


def test_every_group_is_shown_what_the_interpreter_says(policy, project):
    compared = 0
    for showing in showings(policy, project):
        for shown in showing.tables:
            for group in showing.purpose.groups:
                said = decide.shown(policy, shown.table, [group], showing.purpose.name, day=FIRST_DAY)
                mine = {each.column.name: dict(each.by_group).get(group) for each in shown.columns}
                expected = dict.fromkeys(mine) if said == "denied" else said
                assert mine == expected
                compared += len(mine)
    assert compared > 500


def test_purposes_and_views_stand_in_order(policy, project):
    found = showings(policy, project)
    assert [each.purpose.name for each in found] == sorted(each.purpose.name for each in found)
    for showing in found:
        assert [each.view for each in showing.tables] == sorted(each.view for each in showing.tables)


def test_what_keeps_rows_out_is_named_without_values(policy, project):
    limits = {
        (showing.purpose.name, shown.table.id.table): shown.limits
        for showing in showings(policy, project)
        for shown in showing.tables
    }
    assert "ceiling continental-rows-stay-there: by country, but for eu_staff" in limits["retail_service", "customer"]
    assert "grant partners-read-sales: until 2027-12-31" in limits["partner_reporting", "invoice_line"]
    assert "not older than P15Y" in limits["fraud_detection", "notice"]
    assert "consent of the client" in limits["marketing", "client_profile"]
    assert "United" not in str(limits)


def digests(policy, project) -> dict[str, str]:
    return {showing.purpose.name: showing.digest for showing in showings(policy, project)}


def test_the_digest_changes_with_what_is_shown_and_with_nothing_else(policy, project):
    before = digests(policy, project)
    assert len(set(before.values())) == len(before)
    assert digests(replace(policy, groups=dict.fromkeys(policy.groups, ("zoe",))), project) == before
    assert digests(replace(policy, ceilings=tuple(reversed(policy.ceilings))), project) == before
    fewer = replace(policy, row_ceilings=())
    assert {name for name, digest in digests(fewer, project).items() if digest != before[name]} >= {"retail_service"}
    other = predicates.parse("incident_type <> 'Parked Car'")
    grants = tuple(replace(each, rows=other) if each.id == "repair-reads-damages" else each for each in policy.grants)
    changed = digests(replace(policy, grants=grants), project)
    assert {name for name, digest in changed.items() if digest != before[name]} == {"repair_scheduling"}


def test_without_policies_there_is_nothing(tmp_path, project):
    assert showings(load_policy(tmp_path, project), project) == ()
