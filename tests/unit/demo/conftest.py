"""A small project of another domain, so that nothing in the generator can lean on the shipped one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

CONTRACT = """
apiVersion: v3.1.0
kind: DataContract
id: 11111111-1111-4111-8111-111111111111
name: Bank
version: 1.0.0
status: active
domain: bank
schema:
  - id: payment
    name: payment
    customProperties:
      - property: lakehouse
        value:
          tier: staged
          sources: [{name: core, pattern: "*.csv*", delimiter: ";", delivered_at: "%Y%m%d.csv"}]
          entity: {type: holder, key: holder_id, canonical: [trim, integer]}
          event_time: booked_at
    properties:
      - {id: payment_id, name: payment_id, logicalType: integer, primaryKey: true, primaryKeyPosition: 1, required: true, customProperties: [{property: lakehouse, value: {category: system.operations}}]}
      - id: holder_id
        name: holder_id
        logicalType: string
        customProperties: [{property: lakehouse, value: {category: user.unique_id}}]
        relationships:
          - to: schema/holder/properties/holder_id
            customProperties: [{property: lakehouse, value: {check: payment_has_holder, severity: warning, tolerance: 0.5}}]
      - {id: booked_at, name: booked_at, logicalType: timestamp, required: true, logicalTypeOptions: {format: yyyy-MM-dd HH:mm:ss, timezone: false, defaultTimezone: UTC}, customProperties: [{property: lakehouse, value: {category: system.operations}}]}
      - {id: amount, name: amount, logicalType: number, physicalType: "decimal(12,2)", required: true, logicalTypeOptions: {minimum: -500, maximum: 500}, customProperties: [{property: lakehouse, value: {category: system.operations}}]}
      - {id: code, name: code, logicalType: string, logicalTypeOptions: {pattern: "[A-Z]{2}-[0-9]{1,3}"}, customProperties: [{property: lakehouse, value: {category: system.operations}}]}
      - {id: settled, name: settled, logicalType: boolean, customProperties: [{property: lakehouse, value: {category: system.operations}}]}
  - id: holder
    name: holder
    customProperties:
      - property: lakehouse
        value:
          tier: staged
          sources: [{name: crm, pattern: "*.csv*"}]
          entity: {type: holder, key: holder_id, canonical: [trim, integer]}
    properties:
      - {id: holder_id, name: holder_id, logicalType: string, primaryKey: true, primaryKeyPosition: 1, required: true, customProperties: [{property: lakehouse, value: {category: user.unique_id}}]}
      - {id: name, name: name, logicalType: string, customProperties: [{property: lakehouse, value: {category: user.name}}]}
      - {id: mail, name: mail, logicalType: string, customProperties: [{property: lakehouse, value: {category: user.contact.email}}]}
      - {id: born, name: born, logicalType: date, logicalTypeOptions: {format: yyyy-MM-dd}, customProperties: [{property: lakehouse, value: {category: user.demographic.date_of_birth}}]}
      - {id: account, name: account, logicalType: string, customProperties: [{property: lakehouse, value: {category: user.financial.bank_account}}]}
"""


@pytest.fixture
def bank_root(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    folder = root / "policies" / "domains" / "bank"
    folder.mkdir(parents=True)
    (root / "pyproject.toml").write_text("[tool.lakehouse]\n")
    (folder / "contract.odcs.yaml").write_text(CONTRACT)
    return root


@pytest.fixture
def bank(bank_root: Path):
    from lakehouse.contract.load import load_project

    return load_project(bank_root)


@pytest.fixture
def shop(project_root: Path):
    """The shipped project's retail domain alone."""
    from lakehouse.contract.load import load_project

    project = load_project(project_root)
    return replace(project, contracts=tuple(each for each in project.contracts if each.domain == "retail"))
