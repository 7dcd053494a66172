"""What the loader makes of documents: all mistakes at once, the project's own policies, and how quickly."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from lakehouse.contract.load import load_project
from lakehouse.contract.model import Contract, Project
from lakehouse.errors import PolicyError
from lakehouse.policy.load import examine, find_policy_mistakes, load_policy
from tests.policies.policy_corpus import ACCESS, BASE, GROUPS, PLATFORM, PURPOSES, base, project_with

if TYPE_CHECKING:
    from pathlib import Path


def test_the_project_promises_and_tests_everything_it_grants(project_root: Path) -> None:
    examined = examine(project_root, load_project(project_root))
    assert [str(finding) for finding in examined.findings] == []
    assert examined.tests.passed == len(examined.policy.tests) > 50
    assert {grant.domain for grant in examined.policy.grants} == {"banking", "claims", "retail"}


def test_a_project_without_policies_lets_nobody_read(tmp_path: Path) -> None:
    policy = load_policy(tmp_path, base())
    assert (policy.purposes, policy.grants) == ({}, ())
    assert find_policy_mistakes(tmp_path, base()) == []


def test_policies_without_a_platform_are_an_error(tmp_path: Path) -> None:
    root = project_with(tmp_path, PURPOSES, "version: 1", "version: 1")
    (root / "policies" / PLATFORM).unlink()
    codes = {finding.code for finding in find_policy_mistakes(root, base())}
    assert "policy-missing" in codes
    with pytest.raises(PolicyError, match=r"no `platform\.yaml`"):
        load_policy(root, base())


def test_an_empty_platform_is_an_error_and_no_crash(tmp_path: Path) -> None:
    root = project_with(tmp_path, PURPOSES, "version: 1", "version: 1")
    for text in ("", "version: 1\n", "[]\n", "classes: 3\ndefaults: [x]\ntiers: {features: 1}\n", "ceilings: {a: 1}\n"):
        (root / "policies" / PLATFORM).write_text(text)
        assert any(finding.code for finding in find_policy_mistakes(root, base()))


@pytest.mark.parametrize(
    "name", ["platfrom.yaml", "purposes.yml", "domains/claims/acces.yaml", "domains/shop/test.yaml"]
)
def test_a_misspelt_file_is_not_passed_over(tmp_path: Path, name: str) -> None:
    root = project_with(tmp_path, PURPOSES, "version: 1", "version: 1")
    (root / "policies" / name).write_text("version: 1\n")
    assert "file-name" in {finding.code for finding in find_policy_mistakes(root, base())}


def test_more_combinations_than_a_view_may_have_are_an_error(tmp_path: Path) -> None:
    names = [f"g{number}" for number in range(7)]
    root = project_with(tmp_path, PURPOSES, "groups: [analysts, trainees]", f"groups: [analysts, {', '.join(names)}]")
    (root / "policies" / GROUPS).write_text(
        f"version: 1\ngroups: {{analysts: [], nurses: [], sellers: [], south_staff: [], trainees: [], {': [], '.join(names)}: []}}\n"
    )
    grants = [
        f"  - {{id: {name}, groups: [{name}], purpose: fraud, tables: [staged.claims.notice], why: a test, "
        f'rows: "code > {number}", columns: {{notice.name: partial({number + 1}), notice.amount: hide}}}}\n'
        for number, name in enumerate(names)
    ]
    for number in (7, 6):
        (root / "policies" / ACCESS).write_text("version: 1\ngrants:\n" + "".join(grants[:number]))
        found = [each for each in find_policy_mistakes(root, base()) if each.code == "combinations"]
        assert [each.where for each in found] == [f"policies/{ACCESS}:3"] * (number == 7)


def test_every_mistake_comes_at_once(tmp_path: Path) -> None:
    root = project_with(tmp_path, ACCESS, "partial(2)", "partal(2)")
    platform, access = root / "policies" / PLATFORM, root / "policies" / ACCESS
    platform.write_text(platform.read_text().replace("user.financial: restricted", "user.finance: restricted"))
    access.write_text(access.read_text().replace('"code > 10"', '"cod > 10"').replace("[trainees]", "[trainee]"))
    with pytest.raises(PolicyError) as caught:
        load_policy(root, base())
    assert {finding.code for finding in caught.value.findings} >= {
        "treatment",
        "category-unknown",
        "predicate-column",
        "group-unknown",
    }
    assert all(":" in finding.where for finding in caught.value.findings)
    assert caught.value.exit_code == 3


def test_documents_are_held_against_each_other_while_contracts_are_wrong(tmp_path: Path) -> None:
    root = project_with(tmp_path, ACCESS, "groups: [trainees]", "groups: [traines]")
    assert [finding.code for finding in find_policy_mistakes(root, None)] == ["group-unknown"]


def test_the_files_of_one_wrong_policy_are_named_from_the_projects_root(tmp_path: Path) -> None:
    root = project_with(tmp_path, ACCESS, "groups: [trainees]", "groups: [traines]")
    (finding,) = find_policy_mistakes(root, None)
    assert finding.where.startswith("policies/domains/claims/access.yaml:")
    assert str(tmp_path) not in str(finding)


def test_loading_brings_no_engine_along() -> None:
    code = "import lakehouse.policy.load, sys; print([m for m in ('polars', 'duckdb', 'sqlglot', 'pyarrow') if m in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


@pytest.mark.slow
def test_a_thousand_tables_and_four_hundred_grants_are_checked_in_seconds(tmp_path: Path) -> None:
    notice = next(table for table in base().tables if table.id.table == "notice")
    wide = tuple(
        replace(notice.columns[place % len(notice.columns)], id=f"c{place}", name=f"c{place}") for place in range(18)
    )
    tables = [
        replace(
            notice, id=replace(notice.id, domain=f"d{place // 25}", table=f"t{place}"), columns=(*notice.columns, *wide)
        )
        for place in range(1000)
    ]
    contracts = [
        Contract(f"d{place}", f"d{place}", "1", tuple(tables[place * 25 : place * 25 + 25])) for place in range(40)
    ]
    _large(tmp_path)
    started = time.process_time()  # others may use the machine as well
    findings = find_policy_mistakes(tmp_path, Project(tmp_path, tuple(contracts)))
    took = time.process_time() - started
    assert {finding.code for finding in findings} <= {"untested"}
    assert took < 10  # 2 s when nothing else runs


def _large(root: Path) -> None:
    """Forty purposes, and four hundred grants of whole domains."""
    home = root / "policies"
    home.mkdir()
    (home / "platform.yaml").write_text(
        (BASE / "policies/platform.yaml")
        .read_text()
        .replace('["*.claims.*"]', '["*.*.*"]')
        .replace("[care]", "[p1]")
        .replace("south_staff", "g1")
    )
    purposes = "".join(
        f"  p{place}: {{description: x, groups: [g{place}, h{place}], legal_basis: x, consent: not_required}}\n"
        for place in range(40)
    )
    (home / "purposes.yaml").write_text(f"version: 1\npurposes:\n{purposes}")
    groups = "".join(f"  g{place}: [u{place}]\n  h{place}: [v{place}]\n" for place in range(40))
    (home / "groups.yaml").write_text(f"version: 1\ngroups:\n{groups}")
    for domain in range(40):
        grants = "".join(
            f"  - {{id: d{domain}-{place}, groups: [g{place * 4}], purpose: p{place * 4}, tables: [staged.d{domain}.*], "
            f"columns: {{user.contact.email: token, user.unique_id: token, user.financial: bucket(100)}}, why: x}}\n"
            for place in range(10)
        )
        (home / f"domains/d{domain}").mkdir(parents=True)
        (home / f"domains/d{domain}/access.yaml").write_text(f"version: 1\ngrants:\n{grants}")
