"""Thresholds of ODCS `quality` (`mustBeLessOrEqualTo: 5`, `unit: percent`) as tolerances and bounds.

ODCS can write one promise in many ways; what has no exact meaning here is an error that says how to write it.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from lakehouse.contract import reading
from lakehouse.contract.model import Column, Logical

if TYPE_CHECKING:
    from lakehouse.contract.findings import Findings
    from lakehouse.source import Node

#: ODCS operators.
MUST = (
    "mustBe",
    "mustNotBe",
    "mustBeGreaterThan",
    "mustBeGreaterOrEqualTo",
    "mustBeLessThan",
    "mustBeLessOrEqualTo",
    "mustBeBetween",
    "mustNotBeBetween",
)
_SAY = "write `mustBe: 0`, or `unit: percent` with `mustBeLessOrEqualTo`"


def upside_down(low: str, high: str, column: Column) -> bool:
    """Whether no value of the column can be between two bounds (in the platform's notation)."""
    match column.type.logical:
        case Logical.INTEGER | Logical.DECIMAL | Logical.FLOAT:
            return Decimal(low) > Decimal(high)
        case Logical.TIMESTAMP:
            return datetime.fromisoformat(low) > datetime.fromisoformat(high)
        case Logical.DATE | Logical.STRING | Logical.BOOLEAN:
            return low > high


def share(node: Node | None, key: str) -> float | None:
    """A share from 0 to 1 under `key`; None when there is none."""
    found = node.get(key) if node else None
    value = found.scalar if found else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        return None
    return float(value)


def tolerance(node: Node, findings: Findings) -> float:
    """The share of rows that a `quality` entry lets fail."""
    found = [key for key in MUST if key in node.entries]
    if len(found) != 1:
        return 0.0
    value = node.entries[found[0]]
    number = value.scalar
    if isinstance(number, bool) or not isinstance(number, int | float):
        findings.error("threshold", value, f"`{found[0]}` must be a number here", hint=_SAY)
        return 0.0
    percent = reading.text(node, "unit") == "percent"
    if number == 0 and found[0] in {"mustBe", "mustBeLessOrEqualTo"}:
        return 0.0
    if found[0] != "mustBeLessOrEqualTo" or not percent:
        findings.error(
            "threshold",
            node.key(found[0]),
            f"`{found[0]}` of {'percent' if percent else 'rows'} has no meaning here",
            hint=_SAY,
        )
        return 0.0
    if not 0 <= number <= 100:  # noqa: PLR2004 - percent
        findings.error("threshold", value, "percent must be from 0 to 100")
        return 0.0
    return number / 100


def row_bounds(node: Node, findings: Findings) -> tuple[str | None, str | None]:
    """Least and most rows that a `rowCount` entry allows."""
    found = [key for key in MUST if key in node.entries]
    if len(found) != 1:
        return None, None
    key, value = found[0], node.entries[found[0]]
    numbers = [item.scalar for item in (value.items or (value,))]
    wholes = [number for number in numbers if isinstance(number, int) and not isinstance(number, bool) and number >= 0]
    if len(wholes) != len(numbers) or not wholes:
        findings.error("threshold", value, f"`{key}` must be a whole number of rows")
        return None, None
    low, high = wholes[0], wholes[-1]
    bounds: dict[str, tuple[int | None, int | None]] = {
        "mustBe": (low, low),
        "mustBeGreaterThan": (low + 1, None),
        "mustBeGreaterOrEqualTo": (low, None),
        "mustBeLessThan": (None, low - 1),
        "mustBeLessOrEqualTo": (None, low),
        "mustBeBetween": (low, high),
    }
    if key not in bounds or low > high:
        hint = "write `mustBeGreaterOrEqualTo` or `mustBeBetween: [least, most]`"
        findings.error("threshold", node.key(key), f"`{key}` has no such meaning for a row count", hint=hint)
        return None, None
    least, most = bounds[key]
    return None if least is None else str(least), None if most is None else str(most)
