"""What a contract says, or leaves unsaid, about rows that may fail."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lakehouse.contract.load import load_project
from lakehouse.model import TableId, Tier

if TYPE_CHECKING:
    from pathlib import Path

CONTRACT = """\
apiVersion: v3.1.0
kind: DataContract
id: 0b1f0c5e-1111-4a4a-9b9b-000000000002
name: Shop
version: 1.0.0
status: active
domain: shop
team: {name: shop-data}
schema:
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
        customProperties: [{property: lakehouse, value: {category: system.operations%s}}]
      - id: kind
        name: kind
        logicalType: string
        customProperties: [{property: lakehouse, value: {category: system.operations}}]
        quality:
          - name: known_kind
            metric: invalidValues
            arguments: {validValues: [a, b]}
            %s
"""


def tolerances(root: Path, *, column: str = "", quality: str = "mustBe: 0") -> dict[str, float | None]:
    file = root / "policies/domains/shop/contract.odcs.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(CONTRACT % (column, quality))
    table = load_project(root).table(TableId(Tier.STAGED, "shop", "sale"))
    return {check.name: check.tolerance for check in table.checks}


@pytest.mark.parametrize(
    ("said", "tolerance"),
    [
        ("", None),
        (", checks: {type: {severity: error}}", None),
        (", checks: {type: {tolerance: 0}}", 0.0),
        (", checks: {type: {tolerance: 0.25}}", 0.25),
    ],
)
def test_nothing_said_is_not_zero(tmp_path: Path, said: str, tolerance: float | None) -> None:
    found = tolerances(tmp_path, column=said)
    assert found["type_number"] == tolerance
    assert found["required_number"] is None


OWN = "customProperties: [{property: lakehouse, value: {tolerance: 0}}]"


@pytest.mark.parametrize(
    ("lines", "tolerance"),
    [
        (["mustBe: 0"], None),
        (["unit: percent", "mustBeLessOrEqualTo: 5"], 0.05),
        (["mustBe: 0", OWN], 0.0),
    ],
)
def test_threshold_that_odcs_asks_for_is_no_tolerance_of_zero(
    tmp_path: Path, lines: list[str], tolerance: float | None
) -> None:
    quality = "\n            ".join(lines)
    assert tolerances(tmp_path, quality=quality)["known_kind"] == tolerance
