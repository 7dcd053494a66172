"""The checks of a table: what its columns promise by themselves, and what its `quality` blocks declare.

A column gives `type_…`, `required_…`, `enum_…`, `range_…`, `length_…`, `pattern_…` and `unique_…`; ODCS `quality` gives
null shares, row counts, duplicates and valid values; what ODCS cannot say is `type: custom, engine: lakehouse`.
Foreign keys are in `references`, because they look at other tables.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from lakehouse.contract import formats, reading, thresholds
from lakehouse.contract.model import Check, CheckKind, Column, Logical, Rule, Severity
from lakehouse.model import Tier

if TYPE_CHECKING:
    from lakehouse.contract.findings import Findings
    from lakehouse.source import Node

SEVERITIES = ("error", "warning")
_OPERATORS: dict[str, Literal["<", "<=", ">", ">=", "==", "!="]] = {
    "<": "<",
    "<=": "<=",
    ">": ">",
    ">=": ">=",
    "==": "==",
    "!=": "!=",
}
#: What Rust's regex and RE2 do not have; Python would take it.
_NOT_RE2 = re.compile(r"\(\?(?:[=!>(]|<[=!]|P=)|\\[1-9]|\\[kgZ]|[*+?}]\+")


def anchored(pattern: str) -> str:
    """The pattern for whole values: a contract's pattern never means `contains`."""
    return f"^(?:{pattern})$"


def column_checks(node: Node, column: Column, tier: Tier, *, findings: Findings) -> list[Check]:
    """The row checks a column promises by itself, in the order they are judged."""
    if column.derived == "occurrence":
        return []
    options = node.get("logicalTypeOptions")
    found: list[Check] = []
    if tier is Tier.STAGED and (column.type.logical is not Logical.STRING or column.transform):
        found.append(_promise(node, column, Rule.TYPE, f"delivered text reads as {column.type}", findings=findings))
    if column.required:
        found.append(_promise(node, column, Rule.REQUIRED, "never missing", findings=findings))
    values = _enum(node, column, findings)
    if values:
        check = _promise(node, column, Rule.ENUM, "one of the listed values", findings=findings)
        found.append(replace(check, values=values, where=node.entries["enum"].where))
    low, high = _bounds(options, column, findings)
    if options and (low is not None or high is not None):
        check = _promise(node, column, Rule.RANGE, _range_text(low, high), findings=findings)
        found.append(replace(check, minimum=low, maximum=high, where=options.where))
    low, high = reading.text(options, "minLength"), reading.text(options, "maxLength")
    if options and (low is not None or high is not None):
        check = _promise(node, column, Rule.LENGTH, f"length {_range_text(low, high)}", findings=findings)
        found.append(replace(check, minimum=low, maximum=high, where=options.where))
    pattern = options.get("pattern") if options else None
    if pattern is not None and valid_pattern(pattern, findings):
        check = _promise(node, column, Rule.PATTERN, "has the declared pattern", findings=findings)
        found.append(replace(check, pattern=anchored(pattern.text), where=pattern.where))
    return found


def _promise(node: Node, column: Column, rule: Rule, description: str, *, findings: Findings) -> Check:
    """A check that a column promises by itself; `lakehouse` -> `checks` says how it counts."""
    severity, tolerance = _override(node, rule, findings)
    name, names = f"{rule}_{column.name}", (column.name,)
    return Check(name, CheckKind.ROW, rule, names, severity, tolerance, description=description, where=node.where)


def unique_checks(node: Node, column: Column, findings: Findings) -> list[Check]:
    """`unique: true` of a column."""
    if not reading.flag(node, "unique"):
        return []
    severity, tolerance = _override(node, Rule.UNIQUE, findings)
    names = (column.name,)
    name, words = f"unique_{column.name}", "no value twice"
    return [Check(name, CheckKind.TABLE, Rule.UNIQUE, names, severity, tolerance, description=words, where=node.where)]


def _override(node: Node, rule: Rule, findings: Findings) -> tuple[Severity, float | None]:
    """Severity and tolerance of a column's own check, out of `lakehouse` -> `checks`."""
    own = reading.ours(node, findings)
    said = own.get("checks") if own else None
    entry = said.get(rule.value) if said else None
    return severity_of(entry), thresholds.share(entry, "tolerance")


def severity_of(node: Node | None, findings: Findings | None = None) -> Severity:
    """The severity a node names; error when it names none.

    ODCS leaves the word of a `quality` entry free, so there `findings` must be given; ours `shape` has judged.
    """
    found = node.get("severity") if node else None
    if found is not None and found.text not in SEVERITIES and findings is not None:
        findings.unknown("severity", found, "severity", known=SEVERITIES)
    return "warning" if found is not None and found.text == "warning" else "error"


def valid_pattern(node: Node, findings: Findings) -> bool:
    """Whether a pattern can be used by every engine."""
    try:
        re.compile(node.text)
    except re.error as problem:
        findings.error("pattern", node, f"pattern cannot be read: {problem.msg} at position {problem.pos}")
        return False
    if _NOT_RE2.search(node.text):
        hint = "no look-around, back references or possessive repeats"
        findings.error("pattern", node, "pattern uses what RE2 does not have", hint=hint)
        return False
    return True


def _enum(node: Node, column: Column, findings: Findings) -> tuple[str, ...]:
    nodes = [value for entry in reading.mappings(node, "enum") if (value := entry.get("value")) is not None]
    return values_of(nodes, column, findings)


def values_of(nodes: list[Node], column: Column, findings: Findings) -> tuple[str, ...]:
    """Literals of a column's type, in the platform's notation."""
    found: dict[str, None] = {}
    for value in nodes:
        try:
            literal = formats.bound(value.text, column.type)
        except ValueError as problem:
            findings.error("literal", value, f"no value of column `{column.name}` ({column.type}): {problem}")
            continue
        if literal in found:
            findings.error("literal-doubled", value, f"a value of column `{column.name}` stands twice")
        found[literal] = None
    return tuple(found)


def _bounds(options: Node | None, column: Column, findings: Findings) -> tuple[str | None, str | None]:
    low = _bound(options, column, ("minimum", "exclusiveMinimum"), step=1, findings=findings)
    high = _bound(options, column, ("maximum", "exclusiveMaximum"), step=-1, findings=findings)
    if options and low is not None and high is not None and thresholds.upside_down(low, high, column):
        findings.error("range-empty", options, f"no value of column `{column.name}` can be in this range")
    return low, high


def _bound(options: Node | None, column: Column, keys: tuple[str, str], *, step: int, findings: Findings) -> str | None:
    inclusive, exclusive = keys
    if options is None or column.type.logical in {Logical.STRING, Logical.BOOLEAN}:
        return None
    given = [key for key in keys if key in options.entries]
    if len(given) > 1:
        findings.error("range", options.key(exclusive), f"`{inclusive}` and `{exclusive}` exclude each other")
    if not given:
        return None
    value = options.entries[given[0]]
    try:
        return formats.bound(value.text, column.type, exclusive=step if given[0] == exclusive else 0)
    except ValueError as problem:
        findings.error("literal", value, f"`{given[0]}` of column `{column.name}` ({column.type}): {problem}")
        return None


def _range_text(low: str | None, high: str | None) -> str:
    if low is None:
        return f"at most {high}"
    return f"at least {low}" if high is None else f"{low} to {high}"


def custom_check(node: Node, columns: dict[str, Column], findings: Findings) -> Check | None:
    """A `quality` entry of `engine: lakehouse`: a comparison of a column with another one or with a value."""
    rule = node.get("implementation")
    if rule is None or rule.kind != "mapping":
        return None
    left = _column(rule, "compare", columns, findings)
    operator = rule.get("operator")
    right = _column(rule, "other", columns, findings) if "other" in rule.entries else None
    value = rule.get("value")
    name = reading.text(node, "name")
    if ("other" in rule.entries) == (value is not None):
        findings.error("custom-check", rule, "a comparison needs either `other` (a column) or `value`", hint=_EXAMPLE)
        return None
    if left is None or operator is None or operator.text not in _OPERATORS or name is None:
        return None
    if right is None and value is None:
        return None
    if right is not None and not comparable(left, right):
        findings.error(
            "compare-types", rule, f"`{left.name}` ({left.type}) cannot be compared with `{right.name}` ({right.type})"
        )
        return None
    literal = values_of([value], left, findings) if value is not None else ()
    own = reading.ours(node, findings)
    return Check(
        name,
        CheckKind.ROW,
        Rule.COMPARE,
        tuple(dict.fromkeys([left.name, *([right.name] if right else [])])),
        severity_of(node, findings),
        thresholds.share(own, "tolerance"),
        values=literal,
        operator=_OPERATORS[operator.text],
        other=right.name if right else None,
        description=reading.text(node, "description") or "",
        where=node.where,
    )


_EXAMPLE = 'such as `implementation: {compare: shipped, operator: ">=", other: ordered}`'
_NUMBERS = frozenset({Logical.INTEGER, Logical.DECIMAL, Logical.FLOAT})


def comparable(left: Column, right: Column) -> bool:
    """Whether two columns' values have one order."""
    kinds = {left.type.logical, right.type.logical}
    return len(kinds) == 1 or kinds <= _NUMBERS


def _column(node: Node, key: str, columns: dict[str, Column], findings: Findings) -> Column | None:
    found = node.get(key)
    if found is None:
        return None
    if found.text not in columns:
        findings.unknown("column-unknown", found, "column", known=columns)
        return None
    return columns[found.text]
