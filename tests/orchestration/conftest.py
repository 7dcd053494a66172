"""A small project in a temporary folder: two delivered tables, and one made from the second.

Its curated table is built by a stand-in for dbt that copies through `storage.replace`, so that these tests are about
what may run when, not about dbt.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

CONTRACT = """\
apiVersion: v3.1.0
kind: DataContract
id: 0b1f0c5e-1111-4a4a-9b9b-000000000001
name: Shop
version: 1.0.0
status: active
domain: shop
team: {name: shop-data}
schema:
  - id: article
    name: article
    customProperties:
      - {property: lakehouse, value: {tier: staged, sources: [{name: erp, pattern: "*.csv"}], layout: none}}
    properties:
      - &code
        id: code
        name: code
        logicalType: string
        primaryKey: true
        primaryKeyPosition: 1
        required: true
        customProperties: &operations [{property: lakehouse, value: {category: system.operations}}]
  - id: sale
    name: sale
    customProperties:
      - {property: lakehouse, value: {tier: staged, sources: [{name: till, pattern: "*.csv"}], layout: none}}
    properties:
      - id: number
        name: number
        logicalType: integer
        primaryKey: true
        primaryKeyPosition: 1
        required: true
        customProperties: [{property: lakehouse, value: {category: system.operations, checks: {type: {tolerance: 0.5}}}}]
      - id: article
        name: article
        logicalType: string
        required: true
        customProperties: *operations
        relationships:
          - to: schema/article/properties/code
            customProperties: [{property: lakehouse, value: {check: sale_has_article}}]
      - id: pieces
        name: pieces
        logicalType: integer
        required: true
        customProperties: *operations
    quality:
      - {name: enough_rows, metric: rowCount, mustBeGreaterOrEqualTo: 2}
  - id: sold
    name: sold
    customProperties:
      - {property: lakehouse, value: {tier: curated, inputs: [staged.shop.sale], layout: none}}
    properties: &sold
      - {id: number, name: number, logicalType: integer, primaryKey: true, primaryKeyPosition: 1, required: true, customProperties: *operations}
      - {id: pieces, name: pieces, logicalType: integer, required: true, customProperties: *operations}
"""

ASSETS = """\
from lakehouse.model import Tier
from lakehouse.orchestration.assets import delivered, modelled


def load(project):
    staged = [delivered(project, table) for table in project.tables if table.sources]
    return [*staged, *(modelled(project, table) for table in project.tables if table.id.tier is Tier.CURATED)]
"""

RESOURCES = """\
from pathlib import Path

import dagster as dg

from lakehouse.settings import load_settings


class Lake(dg.ConfigurableResource):
    project: str
    place: str

    def open(self):
        from lakehouse import storage

        return storage.open_lake(load_settings(Path(self.project), lake=self.place))


class Copy(Lake):
    def build(self, tables, *, versions):
        from lakehouse import storage
        from lakehouse.contract import arrow
        from lakehouse.contract.load import load_project

        lake, project = self.open(), load_project(Path(self.project))
        for name in tables:
            table = project.table(name)
            (source,) = table.inputs
            schema = arrow.schema(table, name.tier)
            frame = storage.scan(lake, source, version=versions[source]).select(schema.names).collect()
            reader = frame.to_arrow().cast(schema).to_reader()
            inputs = {str(key): value for key, value in versions.items()}
            storage.replace(lake, name, table, reader, months=None, inputs=inputs)
        told = Path(self.project) / "failing_tests.txt"
        return {name: told.read_text().split() if told.exists() else [] for name in tables}


def load(settings):
    place = {"project": str(settings.project), "place": settings.lake}
    return {"lake": Lake(**place), "dbt": Copy(**place)}
"""


def write_project(root: Path) -> Path:
    """The project's files below `root`."""
    files = {
        "pyproject.toml": "[tool.lakehouse]\n",
        "dagster.yaml": "telemetry: {enabled: false}\nnux: {enabled: false}\n",
        "policies/domains/shop/contract.odcs.yaml": CONTRACT,
        "assets/__init__.py": ASSETS,
        "resources/__init__.py": RESOURCES,
    }
    for name, text in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


def _drop(lake, table: str, name: str, *lines: str, age: int = 60) -> Path:
    """A complete file in the landing folder, `age` seconds old."""
    folder = lake.landing("shop", table)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / name
    file.write_text("".join(f"{line}\n" for line in lines))
    then = file.stat().st_mtime - age
    os.utime(file, (then, then))
    return file


@dataclass
class Shop:
    settings: Any
    lake: Any
    home: Path
    cursor: Any = None

    def drop(self, table: str, name: str, *lines: str, age: int = 60) -> Path:
        return _drop(self.lake, table, name, *lines, age=age)


@pytest.fixture
def shop(tmp_path, monkeypatch) -> Shop:
    """The project with an empty lake and an instance of its own."""
    from lakehouse import storage
    from lakehouse.settings import load_settings

    monkeypatch.setattr(sys, "path", list(sys.path))
    home = tmp_path / "dagster"
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    settings = load_settings(write_project(tmp_path / "project"), lake=str(tmp_path / "lake"))
    return Shop(settings, storage.create_lake(settings), home)
