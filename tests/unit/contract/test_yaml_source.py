"""YAML with places: core rules, doubled keys, hostile documents."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lakehouse import source
from lakehouse.errors import ContractError

if TYPE_CHECKING:
    from pathlib import Path


def tree(text: str) -> source.Node:
    node, findings = source.parse(text, "f.yaml")
    assert findings == []
    assert node is not None
    return node


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("NO", "NO"),
        ("true", True),
        ("2011-03-01", "2011-03-01"),
        ("12:30:00", "12:30:00"),
        ("1_000", "1_000"),
        ("012", 12),
        ("0o17", 15),
        ("0x1F", 31),
        ("1e3", 1000.0),
        ("-.inf", float("-inf")),
        ("'1'", "1"),
        ("!!str 1", "1"),
        ("~", None),
        ("v3.2.0", "v3.2.0"),
    ],
)
def test_plain_values_are_read_as_yaml_1_2(text: str, value: object) -> None:
    assert tree(f"a: {text}").entries["a"].scalar == value


def test_places_count_from_one() -> None:
    node = tree("a:\n  - b: 1\n    c: x\n")
    found = node.at(iter(["a", 0, "c"]))
    assert (found.line, found.column, found.where) == (3, 8, "f.yaml:3")
    assert node.entries["a"].items[0].key("c").column == 5


def test_every_doubled_key_is_named_with_the_line_of_the_first() -> None:
    _, findings = source.parse("a: 1\nb: 2\na: 3\nc: {d: 1, d: 2}\n", "f.yaml")
    assert [(finding.where, finding.code) for finding in findings] == [
        ("f.yaml:3", "yaml-doubled-key"),
        ("f.yaml:4", "yaml-doubled-key"),
    ]
    assert "line 1" in (findings[0].hint or "")


def test_aliases_keep_the_place_of_their_anchor() -> None:
    node = tree("a: &x {b: 1}\nc: *x\n")
    assert node.entries["c"].entries["b"].line == 1
    assert node.plain() == {"a": {"b": 1}, "c": {"b": 1}}


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "yaml-empty"),
        ("a: [1", "yaml"),
        ("a: 1\n---\nb: 2\n", "yaml"),
        ("a: *nowhere", "yaml"),
        ("a: &x [*x]", "yaml-recursive"),
        ("a: !python/object:os.system {}", "yaml-tag"),
        ("a: !!binary aGk=", "yaml-tag"),
        ("? [1, 2]\n: x", "yaml-key"),
        ("[" * 150 + "]" * 150, "yaml-depth"),
    ],
)
def test_hostile_documents_are_findings(text: str, code: str) -> None:
    _, findings = source.parse(text, "f.yaml")
    assert code in {finding.code for finding in findings}


def test_an_alias_bomb_is_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    node, findings = source.parse("\n".join(lines), "f.yaml")
    assert node is None
    assert [finding.code for finding in findings] == ["yaml-size"]


def test_a_file_that_is_not_utf8_or_not_there_is_a_finding(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_bytes(b"a: \xff\xfe")
    with pytest.raises(ContractError, match="utf-8"):
        source.load(path)
    with pytest.raises(ContractError, match="cannot be read"):
        source.load(tmp_path / "none.yaml")
