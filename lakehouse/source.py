"""YAML with the place of every key and value kept, so that each later error can point at a line.

PyYAML's C parser composes; scalars are read by YAML 1.2's core rules, the ones editors use (`no` is text, not false;
`2011-03-01` is text). What a person would not mean is refused: doubled keys, anchors that contain themselves, documents
that grow beyond reason. What the values mean is not known here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import yaml

from lakehouse.errors import ContractError
from lakehouse.model import Finding, Level

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Scalar = str | int | float | bool | None
Plain = Scalar | list["Plain"] | dict[str, "Plain"]

#: Expanded nodes of one file; a contract of 500 columns has about 10,000. Stops alias bombs.
MOST_NODES = 200_000
MOST_DEPTH = 100

_CORE: tuple[tuple[str, str, str], ...] = (
    ("tag:yaml.org,2002:null", r"^(?:~|null|Null|NULL|)$", "~nN"),
    ("tag:yaml.org,2002:bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    ("tag:yaml.org,2002:int", r"^(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$", "-+0123456789"),
    (
        "tag:yaml.org,2002:float",
        r"^(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$",
        "-+.0123456789",
    ),
)


def _resolvers() -> dict[str, list[tuple[str, re.Pattern[str]]]]:
    """PyYAML's table of rules: by the first character of a plain scalar, "" for the empty one."""
    found: dict[str, list[tuple[str, re.Pattern[str]]]] = {}
    for tag, pattern, first in _CORE:
        for character in first:
            found.setdefault(character, []).append((tag, re.compile(pattern)))
    return {**found, "": [(_CORE[0][0], re.compile("^$"))]}


_COLLECTIONS = ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")


@dataclass(frozen=True)
class Node:
    """A value of a YAML file and its place (line and column from 1).

    Exactly one of `entries` (a mapping), `items` (a list) and `scalar` speaks; `text` is a scalar as it was written.
    """

    file: str
    line: int
    column: int
    kind: str  # "mapping" | "list" | "scalar"
    scalar: Scalar = None
    text: str = ""
    items: tuple[Node, ...] = ()
    entries: dict[str, Node] = field(default_factory=dict[str, "Node"])
    keys: dict[str, Node] = field(default_factory=dict[str, "Node"])
    size: int = 1

    @property
    def where(self) -> str:
        """`file:line`."""
        return f"{self.file}:{self.line}"

    def __iter__(self) -> Iterator[Node]:
        return iter(self.items)

    def get(self, key: str) -> Node | None:
        """The value under `key`, None when there is none or this is no mapping."""
        return self.entries.get(key)

    def key(self, key: str) -> Node:
        """The key itself: its place is where an error about the key points."""
        return self.keys[key]

    def plain(self) -> Plain:
        """The value without places, as JSON would have it."""
        if self.kind == "mapping":
            return {key: value.plain() for key, value in self.entries.items()}
        if self.kind == "list":
            return [item.plain() for item in self.items]
        return self.scalar

    def at(self, path: Iterator[str | int]) -> Node:
        """The node at a path of keys and positions, as deep as it exists."""
        node = self
        for part in path:
            if isinstance(part, int):
                following = node.items[part] if part < len(node.items) else None
            else:
                following = node.entries.get(part)
            if following is None:
                return node
            node = following
        return node


class _Loader(yaml.CSafeLoader):
    """The C parser with YAML 1.2's core rules in place of 1.1's."""

    yaml_implicit_resolvers = _resolvers()


class _Builder:
    """Turns PyYAML's nodes into ours, gathering what is wrong on the way."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.findings: list[Finding] = []
        self.done: dict[int, Node] = {}
        self.open: set[int] = set()

    def error(self, code: str, line: int, message: str, *, hint: str | None = None) -> None:
        self.findings.append(Finding(code, Level.ERROR, f"{self.file}:{line}", message, hint))

    def build(self, node: yaml.Node, depth: int) -> Node:
        if id(node) in self.done:
            return self.done[id(node)]
        line, column = node.start_mark.line + 1, node.start_mark.column + 1
        if id(node) in self.open:
            self.error("yaml-recursive", line, "an anchor contains itself")
            return Node(self.file, line, column, "scalar")
        if depth > MOST_DEPTH:
            self.error("yaml-depth", line, f"nested deeper than {MOST_DEPTH} levels")
            return Node(self.file, line, column, "scalar")
        if not isinstance(node, yaml.ScalarNode) and node.tag not in _COLLECTIONS:
            self.error("yaml-tag", line, f"tag `{node.tag}` is not known here")
        self.open.add(id(node))
        if isinstance(node, yaml.MappingNode):
            built = self.mapping(node, depth)
        elif isinstance(node, yaml.SequenceNode):
            children = cast("list[yaml.Node]", node.value)
            items = tuple(self.build(child, depth + 1) for child in children)
            built = Node(self.file, line, column, "list", items=items, size=1 + sum(item.size for item in items))
        else:
            built = self.scalar(cast("yaml.ScalarNode", node))
        self.open.discard(id(node))
        self.done[id(node)] = built
        return built

    def mapping(self, node: yaml.MappingNode, depth: int) -> Node:
        entries: dict[str, Node] = {}
        keys: dict[str, Node] = {}
        for key_node, value_node in cast("list[tuple[yaml.Node, yaml.Node]]", node.value):
            key = self.build(key_node, depth + 1)
            value = self.build(value_node, depth + 1)
            if key.kind != "scalar":
                self.error("yaml-key", key.line, "a key must be plain text")
                continue
            if key.text in entries:
                self.error(
                    "yaml-doubled-key",
                    key.line,
                    f"key `{key.text}` stands twice in one mapping",
                    hint=f"the first is in line {keys[key.text].line}; keep one",
                )
                continue
            entries[key.text] = value
            keys[key.text] = key
        line, column = node.start_mark.line + 1, node.start_mark.column + 1
        size = 1 + sum(entry.size for entry in entries.values())
        return Node(self.file, line, column, "mapping", entries=entries, keys=keys, size=size)

    def scalar(self, node: yaml.ScalarNode) -> Node:
        text = cast("str", node.value)
        line, column = node.start_mark.line + 1, node.start_mark.column + 1
        kind = node.tag.removeprefix("tag:yaml.org,2002:")
        value: Scalar = text
        if kind == "null":
            value = None
        elif kind == "bool":
            value = text.lower() == "true"
        elif kind == "int":
            value = int(text, 0) if text[:2] in {"0x", "0o"} else int(text)
        elif kind == "float":
            value = float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
        elif kind != "str":
            self.error("yaml-tag", line, f"tag `{node.tag}` is not known here")
        return Node(self.file, line, column, "scalar", scalar=value, text=text)


def parse(text: str, file: str) -> tuple[Node | None, list[Finding]]:
    """The tree of a YAML document and everything wrong with it; no tree when it cannot be read at all."""
    loader = _Loader(text)
    try:
        composed = loader.get_single_node()
    except yaml.MarkedYAMLError as problem:
        mark = problem.problem_mark or problem.context_mark
        line = mark.line + 1 if mark else 1
        message = f"not readable as yaml: {problem.problem or problem.context}"
        return None, [Finding("yaml", Level.ERROR, f"{file}:{line}", message)]
    except yaml.YAMLError as problem:
        reason = str(problem).splitlines()[0]
        return None, [Finding("yaml", Level.ERROR, f"{file}:1", f"not readable as yaml: {reason}")]
    finally:
        loader.dispose()
    if composed is None:
        return None, [Finding("yaml-empty", Level.ERROR, f"{file}:1", "the file is empty")]
    builder = _Builder(file)
    root = builder.build(composed, 0)
    if root.size > MOST_NODES:
        message = f"the aliases of this file expand to more than {MOST_NODES:,} values"
        return None, [*builder.findings, Finding("yaml-size", Level.ERROR, f"{file}:1", message)]
    return root, builder.findings


def read(path: Path, *, file: str | None = None) -> tuple[Node | None, list[Finding]]:
    """`parse` of a file's content; `file` is the name that findings show (default: the path)."""
    shown = file or str(path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as problem:
        return None, [Finding("file", Level.ERROR, shown, f"cannot be read: {problem.strerror}")]
    except UnicodeDecodeError as problem:
        message = f"not utf-8: byte {problem.start} cannot be read"
        return None, [Finding("encoding", Level.ERROR, f"{shown}:1", message, "save the file as utf-8")]
    return parse(text, shown)


def load(path: Path) -> Node:
    """The tree of a YAML file.

    Raises:
        ContractError: the file cannot be read, or has doubled keys and the like; all findings at once.
    """
    node, findings = read(path)
    if findings or node is None:
        raise ContractError(findings)
    return node
