"""The documents of the language's page, completed, are a policy in which nothing is wrong."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from lakehouse.contract.load import load_project
from lakehouse.model import Tier
from lakehouse.policy import predicates, treatments
from lakehouse.policy.load import examine, load_policy
from lakehouse.policy.model import Age, Approval, Policy, Sensitivity, TablePattern, Unless

FIXTURE = Path(__file__).parent / "fixture"


@pytest.fixture(scope="module")
def policy() -> Policy:
    return load_policy(FIXTURE, load_project(FIXTURE))


def test_nothing_is_wrong_and_its_tests_hold() -> None:
    examined = examine(FIXTURE, load_project(FIXTURE))
    assert [str(finding) for finding in examined.findings] == []
    assert (examined.tests.passed, examined.tests.failed) == (6, 0)


def test_the_platform_says_classes_defaults_and_ceilings(policy: Policy) -> None:
    assert policy.classes["user.contact"] is Sensitivity.CONFIDENTIAL
    assert policy.defaults[Sensitivity.RESTRICTED] == treatments.HIDE
    assert policy.identifying == ("user.contact", "user.government_id", "user.name", "user.unique_id")
    assert policy.forbidden == {Tier.FEATURES: ("identifying",)}
    (ceiling,) = policy.ceilings
    assert (ceiling.id, ceiling.at_most, ceiling.unless) == (
        "health-only-for-triage",
        treatments.HIDE,
        Unless(purposes=("claims_triage",)),
    )
    (rows,) = policy.row_ceilings
    assert rows.only_rows == predicates.parse("region <> 'EU'")
    assert (rows.having, rows.tables, rows.domain) == (("region",), (TablePattern(Tier.CURATED, None, None),), None)
    assert (policy.retention, policy.quarantine_days) == ("P7Y", 30)


def test_purposes_and_groups(policy: Policy) -> None:
    fraud = policy.purposes["fraud_detection"]
    assert (fraud.consent, fraud.max_age, fraud.isolation, fraud.legal) == (None, Age(3, "Y"), "view", False)
    assert policy.groups_of("ana") == {"fraud_analysts", "eu_staff"}
    assert policy.groups_of("nobody") == frozenset()


def test_grants_and_exceptions(policy: Policy) -> None:
    grants = {grant.id: grant for grant in policy.grants}
    fraud = grants["fraud-reads-claims"]
    assert [(str(entry.treatment), entry.category or f"{entry.table}.{entry.column}") for entry in fraud.columns] == [
        ("redact", "claim.notes"),
        ("token", "user.contact.email"),
        ("partial(2)", "user.name"),
    ]
    assert (fraud.view, fraud.until, fraud.domain, fraud.approval) == ("claims", dt.date(2027, 6, 30), "claims", None)
    assert fraud.where == "policies/domains/claims/access.yaml:3"
    assert grants["triage-helps-fraud"].approval == Approval("dora", dt.date(2026, 3, 2), "OPS-17")
