"""Policy documents in, one frozen policy out; everything that is wrong comes at once.

`policies/{platform,purposes,groups,exceptions}.yaml` and `policies/domains/<domain>/{access,tests}.yaml` are read with
positions, held against their shapes, against each other, against the contracts, and last against their own tests.
Without any of them there are no purposes, and nothing can be read.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lakehouse.contract.findings import Findings
from lakehouse.errors import PolicyError
from lakehouse.policy import cases, coverage, grant_statics, names, overlaps, statics, treatments
from lakehouse.policy.classes import class_prefix
from lakehouse.policy.documents import Draft, read_documents
from lakehouse.policy.ground import Ground
from lakehouse.policy.model import Policy, Sensitivity

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from lakehouse.contract.model import Project
    from lakehouse.model import Finding
    from lakehouse.policy.model import PolicyTest
    from lakehouse.policy.rules import Said


@dataclass(frozen=True)
class Examined:
    """A policy as far as it could be read, what is wrong with it, and how its tests went."""

    policy: Policy
    findings: tuple[Finding, ...]
    tests: cases.Tally


def load_policy(root: Path, project: Project) -> Policy:
    """The policy of the project at `root`. Its tests are not run: `examine` does that.

    Raises:
        PolicyError: with every error-level finding of every document.
    """
    findings = Findings()
    policy, _ = _read(root, project, findings)
    if findings.errors:
        raise PolicyError(findings.errors)
    return policy


def find_policy_mistakes(root: Path, project: Project | None) -> list[Finding]:
    """Everything worth saying about the project's policies, failed tests and warnings too, in order of file and line."""
    return list(examine(root, project).findings)


def examine(root: Path, project: Project | None) -> Examined:
    """Reads the policy, judges it and runs its tests; without contracts only what needs none of them is judged."""
    findings = Findings()
    policy, tests = _read(root, project, findings)
    tally = cases.Tally()
    if project is not None and not findings.errors:
        from lakehouse.policy.compile import crowded  # noqa: PLC0415 - whoever only loads a policy needs no SQL

        tally = cases.run(policy, project, tests, findings)
        findings.extend(crowded(policy, project))
        coverage.find_untested(policy, project, findings)
    return Examined(policy, tuple(findings.all), tally)


def _read(root: Path, project: Project | None, findings: Findings) -> tuple[Policy, list[Said[PolicyTest]]]:
    draft = read_documents(root, findings)
    if draft is None:
        return Policy(classes={}, defaults={}), []
    names.check_names(draft, findings)
    policy = _policy(draft)
    if project is not None:
        _judge(Ground(draft, _completed(policy, project), project, findings))
    return policy, draft.tests


def _judge(ground: Ground) -> None:
    """Every static check that needs the contracts."""
    statics.check_classes(ground)
    statics.check_ceilings(ground)
    for purpose in ground.draft.purposes.values():
        grant_statics.check_purpose(ground, purpose)
    for grant in ground.draft.grants:
        grant_statics.check_grant(ground, grant)
    overlaps.check_overlaps(ground)
    tables = {table.id: table for table in ground.project.tables}
    for test in ground.draft.tests:
        table = tables.get(test.value.table)
        if table is None:
            known = sorted(str(each) for each in tables)
            ground.findings.unknown("table-unknown", test.at("table"), "table", known=known)
            continue
        cases.check_names(test, table, ground.findings)
        if test.value.purpose in ground.policy.purposes:
            cases.check_day(test, ground.policy, table, ground.findings)


def _policy(draft: Draft) -> Policy:
    """The draft as a value; sorted, so that the order of files, documents and entries changes nothing."""
    return Policy(
        classes={prefix: said.value for prefix, said in sorted(draft.classes.items())},
        defaults={sensitivity: said.value for sensitivity, said in sorted(draft.defaults.items())},
        identifying=tuple(sorted({node.text for node in draft.identifying})),
        forbidden={
            tier: tuple(sorted({node.text for node in draft.forbidden[tier]})) for tier in sorted(draft.forbidden)
        },
        ceilings=tuple(sorted((said.value for said in draft.ceilings), key=lambda rule: rule.id)),
        row_ceilings=tuple(sorted((said.value for said in draft.row_ceilings), key=lambda rule: rule.id)),
        purposes={name: said.value for name, said in sorted(draft.purposes.items())},
        groups=dict(sorted(draft.groups.items())),
        grants=tuple(sorted((said.value for said in draft.grants), key=lambda grant: grant.id)),
        tests=_tests(said.value for said in draft.tests),
        retention=draft.retention,
        quarantine_days=draft.quarantine_days,
        places={
            **{f"classes.{prefix}": said.node.where for prefix, said in draft.classes.items()},
            **{f"defaults.{each.name.lower()}": said.node.where for each, said in draft.defaults.items()},
        },
    )


def _tests(tests: Iterable[PolicyTest]) -> tuple[PolicyTest, ...]:
    """Tests have no ids, so they stand in the order of what they say."""

    def said(test: PolicyTest) -> tuple[str, ...]:
        spoken = (test.domain, test.table, test.purpose, test.groups, test.day, test.consent, test.row)
        expect = test.expect if isinstance(test.expect, str) else [(name, str(shown)) for name, shown in test.expect]
        return tuple(str(part) for part in (*spoken, expect))

    return tuple(sorted(tests, key=said))


def _completed(policy: Policy, project: Project) -> Policy:
    """The policy with what it lacks at its strictest, so that one mistake does not hide the others behind it."""
    categories = {column.category for table in project.tables for column in table.columns}
    missing = {each for each in categories if class_prefix(policy.classes, each) is None}
    return replace(
        policy,
        classes={**policy.classes, **dict.fromkeys(sorted(missing), Sensitivity.RESTRICTED)},
        defaults={**dict.fromkeys(Sensitivity, treatments.HIDE), **policy.defaults},
    )
