"""The graph as Dagster sees it, before anything ran: keys, groups, checks, and what loading costs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import dagster as dg
import pytest

from lakehouse.contract.load import load_project
from lakehouse.contract.model import CheckKind
from lakehouse.model import Tier
from lakehouse.orchestration.build import build_definitions
from lakehouse.orchestration.loading import load_module
from lakehouse.settings import load_settings

GOLDEN = Path(__file__).parents[1] / "golden" / "asset_keys.json"
HEAVY = ("polars", "pyarrow", "deltalake", "duckdb", "pandera", "sqlalchemy", "sqlglot", "dbt")


@pytest.fixture(scope="module")
def definitions(project_root) -> dg.Definitions:
    return build_definitions(load_settings(project_root, lake="/nowhere/lake"))


@pytest.fixture(scope="module")
def specs(definitions) -> dict[str, dg.AssetSpec]:
    return {spec.key.to_user_string(): spec for spec in definitions.resolve_all_asset_specs()}


def _python(code: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **environment},
        cwd="/",
    )
    return done.stdout


def test_asset_keys_and_checks_are_as_agreed(definitions, specs):
    checks = definitions.resolve_asset_graph().asset_check_keys
    found = {
        name: {
            "deps": sorted(dep.asset_key.to_user_string() for dep in spec.deps),
            "checks": sorted(key.name for key in checks if key.asset_key == spec.key),
        }
        for name, spec in sorted(specs.items())
    }
    if os.environ.get("REWRITE_GOLDEN"):
        GOLDEN.parent.mkdir(exist_ok=True)
        GOLDEN.write_text(json.dumps(found, indent=1) + "\n")
    assert found == json.loads(GOLDEN.read_text())


def test_every_contract_rule_is_one_check_that_blocks_when_it_is_an_error(definitions, project_root):
    """Row checks of staged tables quarantine; they block only beyond a tolerance that the contract names."""
    graph = definitions.resolve_asset_graph()
    for table in load_project(project_root).tables:
        for check in table.checks:
            node = graph.get(dg.AssetCheckKey(dg.AssetKey(list(table.id.key)), check.name))
            quarantines = table.id.tier is Tier.STAGED and check.kind is CheckKind.ROW and check.tolerance is None
            assert node.blocking == (check.severity == "error" and not quarantines)


def test_group_is_the_tier_and_columns_carry_their_category(specs):
    for spec in specs.values():
        assert spec.group_name == spec.key.path[0]
        assert spec.kinds
        assert spec.owners
        schema = spec.metadata["dagster/column_schema"]
        assert all(column.tags["category"] for column in schema.columns)


def test_only_curated_features_and_purposes_run_by_themselves(specs):
    for spec in specs.values():
        derived = spec.key.path[0] in {Tier.CURATED, Tier.FEATURES, "serving"}
        assert (spec.automation_condition is not None) == derived


def test_conditions_reach_the_daemon(specs):
    """A condition that is not serializable is silently skipped by the daemon (notes/dagster.md fact 8)."""
    conditions = [spec.automation_condition for spec in specs.values() if spec.automation_condition]
    assert conditions
    assert all(condition.is_serializable for condition in conditions)


def test_sensors_run_without_anybody_starting_them(definitions):
    sensors = {sensor.name: sensor.default_status for sensor in definitions.sensors}
    assert sensors == {
        "landed_consent": dg.DefaultSensorStatus.RUNNING,
        "landed_files": dg.DefaultSensorStatus.RUNNING,
        "rebuild_after_inputs": dg.DefaultSensorStatus.RUNNING,
    }


def test_steps_run_in_one_process(definitions):
    assert definitions.executor is dg.in_process_executor


def test_importing_touches_nothing():
    code = "import sys, lakehouse.definitions; print([m for m in sys.modules if m.split('.')[0] in ('assets','resources')])"
    assert _python(code).strip() == "[]"


def test_loading_is_quick_and_imports_no_engine(project_root):
    code = (
        "import sys, time; started = time.process_time()\n"  # others may use the machine as well
        "import lakehouse.definitions\n"
        "lakehouse.definitions.definitions().get_repository_def()\n"
        f"print(time.process_time() - started, [name for name in {HEAVY!r} if name in sys.modules])"
    )
    seconds, _, loaded = _python(code, LAKEHOUSE_PROJECT=str(project_root)).strip().partition(" ")
    assert loaded == "[]"
    assert float(seconds) < 5


def test_loading_opens_no_lake(definitions):
    definitions.get_repository_def()
    assert not Path("/nowhere").exists()


def test_another_projects_packages_do_not_answer_for_ours(tmp_path, project_root):
    own = load_module(project_root, "assets")
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / "__init__.py").write_text("def load(project):\n    return []\n")
    before = list(sys.path)
    try:
        other = load_module(tmp_path, "assets")
        assert Path(other.__file__).is_relative_to(tmp_path)
        again = load_module(project_root, "assets")
        assert again.__file__ == own.__file__
    finally:
        sys.path[:] = before


def test_workspace_loads_the_same_module(project_root):
    started = time.perf_counter()
    validated = subprocess.run(
        [str(Path(sys.executable).with_name("dagster")), "definitions", "validate", "-w", "workspace.yaml"],
        capture_output=True,
        text=True,
        cwd=project_root,
        check=False,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )
    assert validated.returncode == 0, validated.stderr
    assert time.perf_counter() - started < 60


def test_dg_loads_the_same_module(project_root):
    checked = subprocess.run(
        [str(Path(sys.executable).with_name("dg")), "check", "defs"],
        capture_output=True,
        text=True,
        cwd=project_root,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
