"""ODCS `quality` entries, of tables and of columns, as checks.

Library metrics become checks; `type: text` is documentation; SQL and other vendors' engines are not run here, which a
warning says, because a promise nobody checks should not look like one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lakehouse.contract import checks, reading, thresholds
from lakehouse.contract.findings import choices, nearest
from lakehouse.contract.model import Check, CheckKind, Column, Logical, Rule

if TYPE_CHECKING:
    from lakehouse.contract.findings import Findings
    from lakehouse.source import Node

_WORDS = {
    Rule.NULL_SHARE: "at most the declared share is missing",
    Rule.ROW_COUNT: "a batch has the declared number of rows",
    Rule.UNIQUE: "no combination twice",
    Rule.ENUM: "one of the listed values",
    Rule.PATTERN: "has the declared pattern",
}


def quality_checks(node: Node, columns: dict[str, Column], column: Column | None, *, findings: Findings) -> list[Check]:
    """The checks that the `quality` list of a table, or of one column, declares."""
    found: list[Check] = []
    for entry in reading.mappings(node, "quality"):
        kind = reading.text(entry, "type") or "library"
        check: Check | None = None
        if kind == "library":
            check = _library(entry, columns, column, findings)
        elif kind == "custom" and reading.text(entry, "engine") == reading.OURS:
            check = checks.custom_check(entry, columns, findings)
        elif kind in {"sql", "custom"}:
            at = entry.get("engine") or entry
            if nearest(at.text, [reading.OURS]):
                findings.unknown("engine-unknown", at, "engine", known=[reading.OURS])
                continue
            message = f"this check is not run: `{kind}` of another engine"
            findings.warning("check-not-run", at, message, hint=f"`type: custom, engine: {reading.OURS}` is run")
        if check is not None:
            found.append(check)
    return found


def _library(entry: Node, columns: dict[str, Column], column: Column | None, findings: Findings) -> Check | None:
    metric = entry.get("metric") or entry.get("rule")
    match metric.text if metric else None:
        case "rowCount" if column is None:
            low, high = thresholds.row_bounds(entry, findings)
            return _check(entry, Rule.ROW_COUNT, (), findings, minimum=low, maximum=high)
        case "nullValues" | "missingValues":
            return _null_share(entry, columns, column, findings)
        case "duplicateValues":
            names = _columns(entry, columns, column, findings)
            return (
                _check(entry, Rule.UNIQUE, names, findings, tolerance=thresholds.tolerance(entry, findings))
                if names
                else None
            )
        case "invalidValues" if column is not None:
            return _valid_values(entry, column, findings)
        case "rowCount" | "invalidValues":
            place = "a table" if column else "a column"
            findings.error(
                "metric-place", metric or entry, f"metric `{metric.text if metric else ''}` belongs to {place}"
            )
        case None:
            findings.error(
                "metric-missing", entry, "a check of the library needs a `metric`", hint="or `type: text`, for people"
            )
        case _:
            pass  # `shape` has said that the metric is not known
    return None


def _check(
    entry: Node,
    rule: Rule,
    columns: tuple[str, ...],
    findings: Findings,
    *,
    tolerance: float | None = None,
    minimum: str | None = None,
    maximum: str | None = None,
    values: tuple[str, ...] = (),
    pattern: str | None = None,
) -> Check:
    kinds = {Rule.UNIQUE: CheckKind.TABLE, Rule.ENUM: CheckKind.ROW, Rule.PATTERN: CheckKind.ROW}
    return Check(
        name=reading.text(entry, "name") or "_".join([rule.value, *columns]),
        kind=kinds.get(rule, CheckKind.BATCH),
        rule=rule,
        columns=columns,
        severity=checks.severity_of(entry, findings),
        tolerance=tolerance,
        values=values,
        minimum=minimum,
        maximum=maximum,
        pattern=pattern,
        description=reading.text(entry, "description") or _WORDS[rule],
        where=entry.where,
    )


def _null_share(entry: Node, columns: dict[str, Column], column: Column | None, findings: Findings) -> Check | None:
    names = _columns(entry, columns, column, findings)
    if len(names) != 1:
        if names:
            findings.error("metric-columns", entry, "a null share is of one column", hint="write one entry a column")
        return None
    words = reading.items(entry.get("arguments"), "missingValues")
    known = columns[names[0]].null_words
    for word in words:
        if word.scalar is not None and word.text not in known:
            hint = f"add it to `null_words` of column `{names[0]}`, then it is null from staged on"
            findings.error("missing-values", word, f"`{word.text}` is not read as missing", hint=hint)
    return _check(entry, Rule.NULL_SHARE, names, findings, tolerance=thresholds.tolerance(entry, findings))


def _valid_values(entry: Node, column: Column, findings: Findings) -> Check | None:
    arguments = entry.get("arguments")
    # ODCS needs a threshold in every entry, so that its 0 is no word about the batch; ours is.
    threshold = thresholds.tolerance(entry, findings) or None
    own = thresholds.share(reading.ours(entry, findings), "tolerance")
    share = threshold if own is None else own
    listed = reading.items(arguments, "validValues")
    if listed:
        values = checks.values_of(list(listed), column, findings)
        return _check(entry, Rule.ENUM, (column.name,), findings, tolerance=share, values=values)
    pattern = arguments.get("pattern") if arguments else None
    if pattern is not None and column.type.logical is not Logical.STRING:
        findings.error("pattern", pattern, f"a pattern is for text, column `{column.name}` is {column.type}")
        return None
    if pattern is not None and checks.valid_pattern(pattern, findings):
        return _check(
            entry, Rule.PATTERN, (column.name,), findings, tolerance=share, pattern=checks.anchored(pattern.text)
        )
    if pattern is None:
        hint = "`arguments: {validValues: [...]}` or `arguments: {pattern: ...}`"
        findings.error("metric-arguments", entry, "valid values are not said", hint=hint)
    return None


def _columns(entry: Node, columns: dict[str, Column], column: Column | None, findings: Findings) -> tuple[str, ...]:
    if column is not None:
        return (column.name,)
    found: list[str] = []
    named = reading.items(entry.get("arguments"), "properties")
    if not named:
        hint = "`arguments: {properties: [column]}`, or move the check to its column"
        findings.error("metric-columns", entry, "columns are not said", hint=hint)
    for item in named:
        if item.text in columns:
            found.append(item.text)
        else:
            findings.error(
                "column-unknown", item, f"column `{item.text}` is not known", hint=choices(item.text, columns)
            )
    return tuple(found)
