"""The JSON schema for editors, and the loader's own judge of shapes held against a library's."""

from __future__ import annotations

import copy
import json
import random
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from lakehouse import source
from lakehouse.contract import keys, schema, shape
from lakehouse.contract.findings import Findings

if TYPE_CHECKING:
    from pathlib import Path

EDITOR = jsonschema.Draft201909Validator(schema.shipped())


@pytest.fixture(scope="module")
def retail(project_root: Path) -> Any:
    node, findings = source.read(project_root / "policies/domains/retail/contract.odcs.yaml")
    assert node is not None
    assert findings == []
    return node.plain()


def judged(document: Any, rules: dict[str, Any]) -> list[str]:
    node, _ = source.parse(json.dumps(document), "f.yaml")
    assert node is not None
    findings = Findings()
    shape.judge(node, rules, findings)
    return [str(finding) for finding in findings.all]


def test_the_shipped_schema_is_what_the_package_and_our_keys_give() -> None:
    shipped = files("lakehouse.contract").joinpath(schema.SHIPPED).read_text(encoding="utf-8")
    assert shipped == schema.as_text(), "run `python -m lakehouse.contract.schema`"


def test_it_is_a_json_schema() -> None:
    jsonschema.Draft201909Validator.check_schema(schema.shipped())


def test_it_accepts_the_retail_contract(retail: Any) -> None:
    assert [error.message for error in EDITOR.iter_errors(retail)] == []
    assert judged(retail, schema.shipped()) == []


TYPOS = [
    (["schema", 0, "customProperties", 0, "value"], "retention", "retension"),
    (["schema", 0, "customProperties", 0, "value"], "tier", "teir"),
    (["schema", 0], "properties", "propertys"),
    (["schema", 0, "properties", 0], "logicalType", "logicaltype"),
    (["schema", 0, "properties", 0, "customProperties", 0, "value"], "category", "categorie"),
    (["schema", 0, "customProperties", 0], "property", "propertie"),
    (["schema", 0, "customProperties", 0, "value", "entity"], "canonical", "cannonical"),
    (["schema", 0, "quality", 2, "implementation"], "compare", "compere"),
    ([], "domain", "domian"),
]


@pytest.mark.parametrize(("path", "right", "wrong"), TYPOS)
def test_it_rejects_a_typo_and_so_does_the_loader(retail: Any, path: list[Any], right: str, wrong: str) -> None:
    document = copy.deepcopy(retail)
    place = document
    for part in path:
        place = place[part]
    place[wrong] = place.pop(right)
    assert not EDITOR.is_valid(document)
    assert any(f"`{right}`" in found for found in judged(document, schema.shipped()))


def mutants(document: Any, count: int, *, seed: int) -> list[Any]:
    """Copies of the document, each with one value dropped, renamed or replaced."""
    chance = random.Random(seed)
    found: list[Any] = []
    for _ in range(count):
        mutant = copy.deepcopy(document)
        node: Any = mutant
        while True:
            keys_here = list(node) if isinstance(node, dict) else list(range(len(node)))
            key = chance.choice(keys_here)
            below = node[key]
            if isinstance(below, dict | list) and below and chance.random() < 0.8:
                node = below
                continue
            action = chance.choice(["drop", "rename", "replace"])
            if action == "drop":
                del node[key]
            elif action == "rename" and isinstance(node, dict):
                node[f"{key}x"] = node.pop(key)
            else:
                node[key] = chance.choice([None, 7, -1, 1.5, True, "", "text", [], {}, ["a"], {"a": 1}])
            break
        found.append(mutant)
    return found


def test_the_loader_and_a_library_agree_on_broken_contracts(retail: Any) -> None:
    table = retail["schema"][0]
    small = {**retail, "schema": [{**table, "properties": [table["properties"][0], *table["properties"][5:8]]}]}
    for mutant in mutants(small, 150, seed=3):
        assert bool(judged(mutant, schema.shipped())) == (not EDITOR.is_valid(mutant))


def test_real_contracts_of_the_standard_are_read_like_the_standard_says(shared_data: Path) -> None:
    text = files("open_data_contract_standard").joinpath("schema.json").read_text(encoding="utf-8")
    standard = json.loads(text)
    library = jsonschema.Draft201909Validator(standard)
    paths = sorted((shared_data / "policy/odcs/examples").rglob("*.yaml"))
    assert len(paths) >= 15
    for path in paths:
        node, findings = source.read(path)
        assert node is not None, findings
        document = node.plain()
        assert bool(judged(document, standard)) == (not library.is_valid(document)), path.name


def test_the_package_reads_what_the_loader_accepts(project_root: Path) -> None:
    from open_data_contract_standard.model import OpenDataContractStandard

    contract = OpenDataContractStandard.from_file(str(project_root / "policies/domains/retail/contract.odcs.yaml"))
    assert [table.name for table in contract.schema_ or []][:2] == ["invoice_line", "customer"]


def test_every_key_is_documented(project_root: Path) -> None:
    text = (project_root / "docs/contracts.md").read_text(encoding="utf-8")
    missing = [key for key in keys.every_key() if f"`{key}`" not in text]
    assert missing == []


def test_nothing_is_documented_that_is_no_key(project_root: Path) -> None:
    text = (project_root / "docs/contracts.md").read_text(encoding="utf-8")
    rows = [line.split("`")[1] for line in text.splitlines() if line.startswith("| `")]
    told = {row for row in rows if row.split(".")[0] in keys.PLACES and "." in row}
    assert told == set(keys.every_key())
