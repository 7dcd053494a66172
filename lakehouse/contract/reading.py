"""Lenient access to a contract's nodes: what is missing or of a wrong kind comes back as nothing.

`shape` has already said what is structurally wrong; the readers here let the meaning of the rest be judged in the same
round, so that a person sees all mistakes at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lakehouse.contract.findings import nearest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lakehouse.contract.findings import Findings
    from lakehouse.source import Node

#: The one custom property of ODCS that is ours; its value is a mapping.
OURS = "lakehouse"


def text(node: Node | None, key: str) -> str | None:
    """The text under `key`; numbers as they were written."""
    value = node.get(key) if node else None
    if value is None or value.kind != "scalar" or value.scalar is None or isinstance(value.scalar, bool):
        return None
    return value.text


def flag(node: Node | None, key: str) -> bool:
    """Whether `key` says true."""
    value = node.get(key) if node else None
    return value is not None and value.scalar is True


def whole(node: Node | None, key: str, default: int) -> int:
    """The whole number under `key`."""
    value = node.get(key) if node else None
    if value is None or isinstance(value.scalar, bool) or not isinstance(value.scalar, int):
        return default
    return value.scalar


def items(node: Node | None, key: str) -> tuple[Node, ...]:
    """The members of the list under `key`; a single value counts as a list of one."""
    value = node.get(key) if node else None
    if value is None or (value.kind == "scalar" and value.scalar is None):
        return ()
    return value.items if value.kind == "list" else (value,)


def mappings(node: Node | None, key: str) -> Iterator[Node]:
    """The members of the list under `key` that are mappings."""
    return (item for item in items(node, key) if item.kind == "mapping")


def texts(node: Node | None, key: str) -> tuple[str, ...]:
    """The texts of the list under `key`."""
    return tuple(item.text for item in items(node, key) if item.kind == "scalar" and item.scalar is not None)


def ours(node: Node, findings: Findings) -> Node | None:
    """The value of the custom property `lakehouse`, the mapping that holds what ODCS lacks."""
    found: Node | None = None
    for item in mappings(node, "customProperties"):
        name = item.get("property")
        if name is None:
            continue
        if name.text == OURS:
            if found is not None:
                findings.error("custom-doubled", name, f"custom property `{OURS}` stands twice", hint="keep one")
            elif (value := item.get("value")) is not None and value.kind == "mapping":
                found = value
        elif nearest(name.text, [OURS]) and text(item, "vendor") is None:
            findings.error(
                "custom-unknown", name, f"custom property `{name.text}` is not known", hint=f"did you mean `{OURS}`?"
            )
    return found
