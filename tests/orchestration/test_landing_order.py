"""Files land in any order: what was judged before the tables that it refers to came, is judged again when they come."""

from __future__ import annotations

import pytest

from lakehouse import storage
from lakehouse.contract.load import load_project
from lakehouse.model import TableId, Tier
from lakehouse.orchestration.checks import referred_to
from lakehouse.orchestration.runs import materialize
from lakehouse.settings import load_settings
from lakehouse.storage import failed_checks

COLUMN = "logicalType: string, customProperties: [{property: lakehouse, value: {category: system.operations}}]"
TABLE = """
  - id: NAME
    name: NAME
    customProperties: [{property: lakehouse, value: {tier: staged, sources: [{name: feed}]}}]
    properties:
      - {id: id, name: id, primaryKey: true, primaryKeyPosition: 1, COLUMN}
      - {id: up, name: up, COLUMN, relationships: [{to: schema/TARGET/properties/id}]}
"""
HEAD = """
apiVersion: v3.1.0
kind: DataContract
id: 33333333-3333-4333-8333-333333333333
name: Tree
version: 1.0.0
status: active
domain: tree
schema:"""
#: By name the leaf comes before its branch, and the branch before its root.
LEAF, BRANCH, ROOT = (TableId(Tier.STAGED, "tree", name) for name in ("a_leaf", "b_branch", "c_root"))
FOREIGN_KEY = "foreign_key_up"


@pytest.fixture
def tree(tmp_path, monkeypatch):
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    root = tmp_path / "project"
    (root / "policies/domains/tree").mkdir(parents=True)
    pairs = ((LEAF, BRANCH), (BRANCH, ROOT), (ROOT, ROOT))
    tables = [TABLE.replace("NAME", one.table).replace("TARGET", up.table) for one, up in pairs]
    (root / "policies/domains/tree/contract.odcs.yaml").write_text(HEAD + "".join(tables).replace("COLUMN", COLUMN))
    (root / "pyproject.toml").write_text("[tool.lakehouse]\n")
    for name, body in (("assets", ASSETS), ("resources", RESOURCES)):
        (root / name).mkdir()
        (root / name / "__init__.py").write_text(body)
    settings = load_settings(root, lake=str(tmp_path / "lake"))
    return settings, storage.create_lake(settings)


ASSETS = """
from lakehouse.orchestration.assets import delivered
def load(project):
    return [delivered(project, table) for table in project.tables]
"""
RESOURCES = """
from lakehouse import storage
class Access:
    def __init__(self, settings):
        self.settings = settings
    def open(self):
        return storage.open_lake(self.settings)
def load(settings):
    return {"lake": Access(settings)}
"""


def land(lake, table: TableId, rows: str) -> None:
    import os

    folder = lake.landing(table.domain, table.table)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{len(rows)}.csv"
    file.write_text("id,up\n" + rows)
    os.utime(file, (file.stat().st_mtime - 60,) * 2)


def test_within_a_run_what_others_refer_to_comes_first(tree):
    settings, lake = tree
    project = load_project(settings.project)
    assert [referred_to(project, table) for table in (LEAF, BRANCH, ROOT)] == [0, 1, 2]
    for table, rows in ((LEAF, "l,b\n"), (BRANCH, "b,r\n"), (ROOT, "r,r\n")):
        land(lake, table, rows)
    report = materialize(settings, [LEAF, BRANCH, ROOT])
    assert report.success, report.problems
    assert all(line.passed for line in report.checks)


def test_who_came_too_early_is_judged_again(tree):
    settings, lake = tree
    land(lake, LEAF, "l,b\n")
    early = materialize(settings, [LEAF])
    assert [line.name for line in early.checks if not line.passed] == [FOREIGN_KEY]
    assert failed_checks(lake, LEAF) == [FOREIGN_KEY]
    version = storage.snapshot(lake, LEAF).version
    land(lake, ROOT, "r,r\n")
    land(lake, BRANCH, "b,r\n")
    late = materialize(settings, [BRANCH, ROOT])
    assert late.success, late.problems
    healed = [line for line in late.checks if line.table == LEAF]
    assert [(line.name, line.passed) for line in healed] == [(FOREIGN_KEY, True)], "it is shown, though not in the run"
    assert storage.require_passed(lake, LEAF) == version


def test_who_still_lacks_something_stays_failed_and_stops_nobody(tree):
    settings, lake = tree
    land(lake, LEAF, "l,b\nm,other\n")
    materialize(settings, [LEAF])
    land(lake, ROOT, "r,r\n")
    land(lake, BRANCH, "b,r\n")
    late = materialize(settings, [BRANCH, ROOT])
    assert late.success, late.problems
    assert failed_checks(lake, LEAF) == [FOREIGN_KEY]
    assert [line.failed_rows for line in late.checks if line.table == LEAF] == [1]
