"""How a column's values are spelled in delivered text, beyond its type: dates, clocks, numbers, encoded columns.

Each key is allowed only where it can mean something, so that a contract never promises what no reader does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, cast

from lakehouse.contract import formats, reading
from lakehouse.contract.model import ColumnType, Logical, Transform
from lakehouse.model import Tier

if TYPE_CHECKING:
    from lakehouse.contract.findings import Findings
    from lakehouse.contract.model import Column
    from lakehouse.source import Node

How = Literal["czech_birth_date", "czech_sex", "year_start"]

_MOMENTS = frozenset({Logical.DATE, Logical.TIMESTAMP})
_FRACTIONS = frozenset({Logical.DECIMAL, Logical.FLOAT})
_NUMBERS = _FRACTIONS | {Logical.INTEGER}
_MEANS: dict[str, tuple[frozenset[Logical], str]] = {
    "formats": (_MOMENTS, "a date or timestamp"),
    "pivot": (_MOMENTS, "a date or timestamp"),
    "fold": (frozenset({Logical.TIMESTAMP}), "a timestamp"),
    "gap": (frozenset({Logical.TIMESTAMP}), "a timestamp"),
    "decimal": (_FRACTIONS, "a decimal or float"),
    "thousands": (_NUMBERS, "a number"),
}
_GIVES: dict[str, Logical] = {
    "czech_birth_date": Logical.DATE,
    "czech_sex": Logical.STRING,
    "year_start": Logical.DATE,
}


def read_spelling(own: Node | None, column: ColumnType, tier: Tier, findings: Findings) -> dict[str, Any]:
    """The fields of `Column` that say how its text is written."""
    if own is None:
        return {"formats": (column.format,) if column.format else ()}
    _judge_places(own, column, tier, findings)
    found: dict[str, Any] = {
        "formats": _formats(own, column, findings),
        "fold": _choice(own, "fold", ("earlier", "later"), "error"),
        "gap": _choice(own, "gap", ("forward",), "error"),
        "decimal": reading.text(own, "decimal") or ".",
        "thousands": reading.text(own, "thousands"),
    }
    if "pivot" in own.entries:
        found["pivot"] = reading.whole(own, "pivot", 0)
        if "transform" not in own.entries and not any("%y" in form for form in found["formats"]):
            findings.error("spelling", own.key("pivot"), "`pivot` needs a format with a two-digit year (`yy`)")
    if found["thousands"] is not None and found["thousands"] == found["decimal"]:
        findings.error("spelling", own.key("thousands"), "`thousands` and `decimal` must differ")
    return found


def read_transform(own: Node | None, column: ColumnType, findings: Findings) -> Transform | None:
    """What the column is made of, when it is not delivered."""
    found = own.get("transform") if own else None
    if found is None or found.kind != "mapping":
        return None
    how = reading.text(found, "how") or ""
    if how not in _GIVES:
        return None  # `shape` has said so
    if column.logical is not _GIVES[how]:
        findings.error("transform", found, f"`{how}` gives a {_GIVES[how]}, the column is a {column}")
    base = reading.whole(found, "base", 0) if "base" in found.entries else None
    if (how == "year_start") != (base is not None):
        hint = "`base: 2000`: the year that 0 stands for" if base is None else None
        findings.error("transform", found, f"`{how}` {'needs a' if base is None else 'has no'} `base`", hint=hint)
    return Transform(reading.text(found, "source") or "", cast("How", how), base)


def judge_transform(own: Node | None, column: Column, known: dict[str, Column], findings: Findings) -> None:
    """Whether the column that a transform reads is delivered."""
    found = own.get("transform") if own else None
    at = found.get("source") if found else None
    if column.transform is None or at is None:
        return
    if at.text not in known or known[at.text].derived:
        delivered = [name for name, one in known.items() if one.derived is None]
        findings.unknown("column-unknown", at, "delivered column", known=delivered)


def _judge_places(own: Node, column: ColumnType, tier: Tier, findings: Findings) -> None:
    for key, (kinds, words) in _MEANS.items():
        if key == "pivot" and "transform" in own.entries:
            continue  # a birth number has a two-digit year whatever is made of it
        if key in own.entries and (column.logical not in kinds or tier is not Tier.STAGED):
            message = (
                f"`{key}` has no meaning for a {column}" if tier is Tier.STAGED else f"`{key}` is of staged tables"
            )
            findings.error("spelling", own.key(key), message, hint=f"it is of the delivered text of {words}")


def _choice(own: Node, key: str, values: tuple[str, ...], default: str) -> str:
    said = reading.text(own, key)
    return said if said in values else default


def _formats(own: Node, column: ColumnType, findings: Findings) -> tuple[str, ...]:
    found = [column.format] if column.format else []
    for item in reading.items(own, "formats"):
        try:
            form = formats.strptime_format(item.text)
        except ValueError as problem:
            findings.error("format", item, f"format `{item.text}` cannot be read: {problem}")
            continue
        if form in found:
            findings.error("format", item, f"format `{item.text}` stands twice")
        else:
            found.append(form)
    return tuple(found)
