"""The project's own models and features under its own policy, and a model that passes on an address under another name."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lakehouse.contract.load import load_project
from lakehouse.model import TableId, Tier
from lakehouse.policy.load import load_policy
from lakehouse.transform import dbt_compile
from lakehouse.transform.derived import find_derived_mistakes, model_lineage

OVERVIEW = TableId(Tier.CURATED, "banking", "client_overview")
MODEL = "dbt/models/curated/banking/client_overview.sql"


@pytest.fixture
def copied(project_root, tmp_path):
    for folder in ("policies", "dbt"):
        shutil.copytree(project_root / folder, tmp_path / folder, ignore=shutil.ignore_patterns("target"))
    return tmp_path


def mistakes(root) -> list:
    project = load_project(root)
    return find_derived_mistakes(project, load_policy(root, project))


def test_an_address_in_disguise_is_found_where_it_stands(copied):
    assert mistakes(copied) == []
    model = copied / MODEL
    text = model.read_text()
    assert "\n  district.region," in text
    model.write_text(text.replace("\n  district.region,", "\n  coalesce(profile.email, district.region) as region,"))
    (finding,) = mistakes(copied)
    assert (finding.code, finding.where) == ("taint", MODEL)
    assert "`curated.banking.client_overview.region`" in finding.message
    assert "staged.banking.client_profile.email -> region" in finding.message
    model.write_text(text.replace("client._entity as client_ref", "upper(client._entity) as client_ref"))
    assert [each.code for each in mistakes(copied)] == ["owner"]
    model.write_text("select {{ nothing_of_that_name() }} as x")
    (finding,) = mistakes(copied)
    assert finding.code == "model"


def test_compiled_models_are_kept_until_something_changes(copied, monkeypatch):
    project = load_project(copied)
    first = dbt_compile.compiled_models(project)
    kept = copied / "dbt/target" / dbt_compile.KEPT
    assert set(json.loads(kept.read_text())["models"]) == {str(name) for name in first}
    asked: list[object] = []
    monkeypatch.setattr(
        dbt_compile.dbt_run, "invoke_quietly", lambda *_, **__: asked.append(1) or pytest.fail("asked dbt")
    )
    assert dbt_compile.compiled_models(project) == first
    for change in (copied / "dbt/macros/months.sql", copied / MODEL):
        before = change.read_text()
        change.write_text(f"{before}\n")
        with pytest.raises(BaseException, match="asked dbt"):
            dbt_compile.compiled_models(project)
        change.write_text(before)
    assert len(asked) == 2


def test_lineage_of_a_real_model(project_root):
    project = load_project(project_root)
    found = model_lineage(project, project.table(OVERVIEW), dbt_compile.compiled_models(project)[OVERVIEW])
    named = {name: [str(leaf) for leaf in leaves] for name, leaves in found.items()}
    assert named["email_token"] == ["staged.banking.client_profile.email__token"]
    assert named["birth_year"] == ["staged.banking.client.birth_date"]
    assert named["reachable"] == [
        "staged.banking.client_profile.email",
        "staged.banking.client_profile.phone",
        "staged.banking.client_profile.wants_offers",
    ]
    assert named["owned_accounts"] == ["staged.banking.disposition.role"]
    assert named["best_card"] == ["staged.banking.card.kind"]


def test_dagster_is_told_where_columns_come_from(project_root):
    from lakehouse.orchestration.columns import KEY, column_lineage

    project = load_project(project_root)
    told = column_lineage(project, project.table(OVERVIEW))[KEY].deps_by_column
    assert [(dep.asset_key.path, dep.column_name) for dep in told["birth_year"]] == [
        (["staged", "banking", "client"], "birth_date")
    ]
    feature = project.table(TableId(Tier.FEATURES, "claims", "severity"))
    told = column_lineage(project, feature)[KEY].deps_by_column
    assert [dep.column_name for dep in told["vehicle_age"]] == ["auto_year", "incident_date"]


def test_a_project_without_models_asks_nobody(copied, monkeypatch):
    shutil.rmtree(copied / "dbt")
    monkeypatch.setattr(dbt_compile.dbt_run, "invoke_quietly", lambda *_, **__: pytest.fail("asked dbt"))
    assert mistakes(copied) == []


def test_a_broken_policy_calls_no_declaration_needless(copied, project_root):
    """Without the policy's classes nobody knows; following such a warning would make `check` fail once it is mended."""
    shutil.copy(project_root / "pyproject.toml", copied)
    purposes = copied / "policies/purposes.yaml"
    purposes.write_text(f"{purposes.read_text()}\nnonsense: 1\n")
    program = Path(sys.executable).with_name("lakehouse")
    done = subprocess.run([program, "check", "--json"], cwd=copied, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    findings = json.loads(done.stdout)["findings"]
    assert "purposes.yaml" in findings[0]["where"]
    assert not [each for each in findings if each["code"].startswith("declassified")]
