"""Holds a contract's tree against the JSON schema, with the place of each mistake and the nearest valid name.

Understands the part of JSON Schema that ODCS uses. A library would be right as well, but takes 0.35 s per start and
reports paths where a person needs lines; a test holds this one against `jsonschema` on right and broken contracts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from lakehouse.contract.findings import choices, nearest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lakehouse.contract.findings import Findings
    from lakehouse.source import Node

Schema = dict[str, Any]


@dataclass
class Outcome:
    """What one schema says about one node: problems, the keys it has looked at, and the keys it knows."""

    problems: list[tuple[str, Node, str, str | None]] = field(default_factory=list[tuple[str, "Node", str, str | None]])
    seen: set[str] = field(default_factory=set[str])
    known: set[str] = field(default_factory=set[str])

    def problem(self, code: str, node: Node, message: str, *, hint: str | None = None) -> None:
        """Something is wrong at `node`."""
        self.problems.append((code, node, message, hint))

    def take(self, other: Outcome) -> None:
        """Adds what another schema said about the same node."""
        self.problems += other.problems
        self.seen |= other.seen
        self.known |= other.known


def judge(node: Node, schema: Schema, findings: Findings) -> None:
    """Adds everything in `node` that `schema` does not allow to the findings."""
    for code, at, message, hint in _Judge(schema).judge(node, schema).problems:
        findings.error(code, at, message, hint=hint)


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def _kinds(node: Node) -> set[str]:
    if node.kind == "mapping":
        return {"object"}
    if node.kind == "list":
        return {"array"}
    value = node.scalar
    if isinstance(value, float):
        return {"number", "integer"} if value.is_integer() else {"number"}
    kinds: dict[type, set[str]] = {bool: {"boolean"}, int: {"integer", "number"}, str: {"string"}}
    return kinds.get(type(value), {"null"})


_WORDS = {
    "object": "a mapping",
    "array": "a list",
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "`true` or `false`",
    "null": "empty",
}


class _Judge:
    def __init__(self, root: Schema) -> None:
        self.root = root

    def resolve(self, reference: str) -> Schema:
        found: Any = self.root
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]
        return cast("Schema", found)

    def judge(self, node: Node, schema: Schema) -> Outcome:
        outcome = Outcome()
        if "$ref" in schema:
            outcome.take(self.judge(node, self.resolve(schema["$ref"])))
        if not self.kind(node, schema, outcome):
            return outcome
        self.value(node, schema, outcome)
        if node.kind == "mapping":
            self.mapping(node, schema, outcome)
        elif node.kind == "list":
            self.members(node, schema, outcome)
        self.combined(node, schema, outcome)
        if node.kind == "mapping" and schema.get("unevaluatedProperties") is False:
            self.unknown(node, outcome)
        return outcome

    def kind(self, node: Node, schema: Schema, outcome: Outcome) -> bool:
        wanted = schema.get("type")
        if wanted is None:
            return True
        kinds: list[str] = [wanted] if isinstance(wanted, str) else wanted
        if _kinds(node).isdisjoint(kinds):
            words = " or ".join(_WORDS[kind] for kind in kinds)
            quoted = "string" in kinds and node.kind == "scalar" and node.scalar is not None
            outcome.problem("shape-type", node, f"must be {words}", hint="put it in quotes" if quoted else None)
            return False
        return True

    def value(self, node: Node, schema: Schema, outcome: Outcome) -> None:
        if "enum" in schema and node.plain() not in schema["enum"]:
            known = [str(value) for value in schema["enum"]]
            shown = f"`{node.text}`" if node.kind == "scalar" else "this"
            outcome.problem("shape-choice", node, f"{shown} is not among the choices", hint=choices(node.text, known))
        if "const" in schema and node.plain() != schema["const"]:
            outcome.problem("shape-choice", node, f"must be `{schema['const']}`")
        value = node.scalar
        if isinstance(value, str):
            self.text(node, value, schema, outcome)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            low, above, high = schema.get("minimum"), schema.get("exclusiveMinimum"), schema.get("maximum")
            if (low is not None and value < low) or (above is not None and value <= above):
                outcome.problem(
                    "shape-range",
                    node,
                    f"must be {'above' if low is None else 'at least'} {above if low is None else low}",
                )
            if high is not None and value > high:
                outcome.problem("shape-range", node, f"must be at most {high}")

    @staticmethod
    def text(node: Node, value: str, schema: Schema, outcome: Outcome) -> None:
        pattern = schema.get("pattern")
        if pattern is not None and not _compiled(pattern).search(value):
            described = schema.get("description")
            outcome.problem("shape-pattern", node, f"`{node.text}` is not written as it must be", hint=described)
        if len(value) < schema.get("minLength", 0):
            outcome.problem("shape-length", node, "must not be empty")
        if len(value) > schema.get("maxLength", len(value)):
            outcome.problem("shape-length", node, f"must be at most {schema['maxLength']} characters")

    def mapping(self, node: Node, schema: Schema, outcome: Outcome) -> None:
        properties: dict[str, Schema] = schema.get("properties", {})
        outcome.known |= properties.keys()
        for key, value in node.entries.items():
            if key in properties:
                outcome.seen.add(key)
                outcome.problems += self.judge(value, properties[key]).problems
        self.required(node, schema, outcome)
        others: Schema | bool = schema.get("additionalProperties", True)
        if others is False:
            self.unknown(node, outcome, known=properties)
        elif isinstance(others, dict):
            self.named(node, schema, others, outcome=outcome)

    def named(self, node: Node, schema: Schema, others: Schema, *, outcome: Outcome) -> None:
        """Values under names that the file chooses."""
        if len(node.entries) < schema.get("minProperties", 0):
            outcome.problem("shape-length", node, f"needs at least {schema['minProperties']} entries")
        for key, value in node.entries.items():
            if key not in schema.get("properties", {}):
                outcome.seen.add(key)
                outcome.problems += self.judge(node.keys[key], schema.get("propertyNames", {})).problems
                outcome.problems += self.judge(value, others).problems

    def required(self, node: Node, schema: Schema, outcome: Outcome) -> None:
        for key in schema.get("required", []):
            if key not in node.entries:
                name = node.get("name") or node.get("id")
                of = f" of `{name.text}`" if name is not None and name.text else ""
                outcome.problem("key-needed", node, f"`{key}`{of} is missing", hint=self.meaning(schema, key))

    def meaning(self, schema: Schema, key: str) -> str | None:
        """What the schema says a key is for."""
        told: Schema = schema.get("properties", {}).get(key, {})
        if "description" not in told and "$ref" in told:
            told = self.resolve(told["$ref"])
        return told.get("description")

    @staticmethod
    def unknown(node: Node, outcome: Outcome, *, known: Iterable[str] | None = None) -> None:
        names = set(outcome.known if known is None else known)
        for key, at in node.keys.items():
            if key not in (outcome.seen if known is None else names):
                free = sorted(names - node.entries.keys())
                hint = choices(key, free)
                meant = f"`{nearest(key, free)}`"
                # A misspelt key is one mistake, not a missing and an unknown one.
                outcome.problems = [found for found in outcome.problems if not _about(found, node, meant)]
                outcome.problem("key-unknown", at, f"key `{key}` is not known here", hint=hint)
            outcome.seen.add(key)

    def members(self, node: Node, schema: Schema, outcome: Outcome) -> None:
        if "items" in schema:
            for item in node.items:
                outcome.problems += self.judge(item, schema["items"]).problems
        count = len(node.items)
        if count < schema.get("minItems", 0):
            outcome.problem("shape-length", node, f"needs at least {schema['minItems']} entries")
        if count > schema.get("maxItems", count):
            outcome.problem("shape-length", node, f"takes at most {schema['maxItems']} entries")
        if "contains" in schema and all(self.judge(item, schema["contains"]).problems for item in node.items):
            outcome.problem("key-needed", node, "an entry is missing", hint=schema.get("description"))
        if schema.get("uniqueItems"):
            plain = [item.plain() for item in node.items]
            for place, item in enumerate(node.items):
                if plain[place] in plain[:place]:
                    outcome.problem("shape-doubled", item, "this entry stands twice")

    def combined(self, node: Node, schema: Schema, outcome: Outcome) -> None:
        for part in schema.get("allOf", []):
            outcome.take(self.judge(node, part))
        if "if" in schema:
            condition = self.judge(node, schema["if"])
            if not condition.problems and _says(node, schema["if"]):
                outcome.seen |= condition.seen
                outcome.take(self.judge(node, schema.get("then", {})))
        for word in ("anyOf", "oneOf"):
            if word in schema:
                self.alternatives(node, schema[word], outcome, one=word == "oneOf")
        if "not" in schema and not self.judge(node, schema["not"]).problems:
            outcome.problem("shape-not", node, schema.get("description", "this is not allowed here"))

    def alternatives(self, node: Node, parts: list[Schema], outcome: Outcome, *, one: bool) -> None:
        outcomes = [self.judge(node, part) for part in parts]
        right = [candidate for candidate in outcomes if not candidate.problems]
        for candidate in right:
            outcome.take(candidate)
        if one and len(right) > 1:
            names = sorted({f"`{key}`" for part in parts for key in part.get("required", []) if key in node.entries})
            outcome.problem("shape-one", node, f"only one of {', '.join(names) or 'several meanings'} can be here")
        if right:
            return
        if all(set(part) <= {"required", "properties", "description"} for part in parts) and node.kind == "mapping":
            self.none_of(node, parts, outcomes, outcome)
            return
        # The alternative whose own kind fits is the one that was meant; its problems are the ones to tell.
        nearest = min(outcomes, key=lambda candidate: _distance(node, candidate))
        outcome.take(nearest)

    @staticmethod
    def none_of(node: Node, parts: list[Schema], outcomes: list[Outcome], outcome: Outcome) -> None:
        wanted = [key for part in parts for key in part.get("required", [])]
        for part, candidate in zip(parts, outcomes, strict=True):
            outcome.known |= candidate.known
            if all(key in node.entries for key in part.get("required", [])):
                outcome.take(candidate)
                return
        outcome.problem(
            "key-needed", node, "one key is missing", hint=f"one of {', '.join(f'`{key}`' for key in wanted)}"
        )


def _says(node: Node, condition: Schema) -> bool:
    """Whether the node speaks of what the condition looks at; by the letter, silence would fulfil any condition."""
    parts: list[Schema] = condition.get("anyOf", [condition])
    keys = [key for part in parts for key in part.get("properties", {})]
    return not keys or any(key in node.entries for key in keys)


def _about(problem: tuple[str, Node, str, str | None], node: Node, name: str) -> bool:
    code, at, message, hint = problem
    return code == "key-needed" and at is node and (message.startswith(name) or (hint or "").find(name) >= 0)


def _distance(node: Node, outcome: Outcome) -> tuple[bool, int]:
    own_kind = any(at is node and code == "shape-type" for code, at, _, _ in outcome.problems)
    return own_kind, len(outcome.problems)
