"""Broken documents are findings, never a crash; and what passes the loader is a policy that the interpreter can use."""

from __future__ import annotations

import copy
import datetime as dt
import random
import shutil
import tempfile
from pathlib import Path
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse.model import Level
from lakehouse.policy import decide
from lakehouse.policy.load import examine
from tests.policies.policy_corpus import BASE, base

ODD = [
    None,
    "",
    7,
    -1,
    1.5,
    True,
    [],
    {},
    ["x"],
    {"x": "y"},
    "user",
    "user.name",
    "*.*.*",
    "clear",
    "token",
    "hide",
    "prefix(1)",
]
FILES = sorted(path for path in BASE.glob("policies/**/*.yaml") if path.name != "contract.odcs.yaml")


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all values within a document."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [*([path] if path else []), *(place for key, below in inner for place in places(below, (*path, key)))]


def mutant(document: Any, others: list[Any], chance: random.Random) -> Any:
    """The document with one value dropped, or replaced by an odd one or by another of its values."""
    document = copy.deepcopy(document)
    *way, last = chance.choice(places(document))
    parent = document
    for key in way:
        parent = parent[key]
    if chance.random() < 0.25:
        del parent[last]
    else:
        parent[last] = copy.deepcopy(chance.choice([*ODD, *others]))
    return document


def values(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [found for below in value.values() for found in values(below)]
    return [found for below in value for found in values(below)] if isinstance(value, list) else [value]


def read(path: Path) -> Any:
    """Days stay text, as the loader reads them."""
    return yaml.load(path.read_text(), Loader=type("Text", (yaml.SafeLoader,), {"yaml_implicit_resolvers": _RULES}))


_RULES = {
    first: [(tag, rule) for tag, rule in rules if not tag.endswith("timestamp")]
    for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


@settings(max_examples=60)
@given(st.integers(0, 2**32))
def test_a_broken_document_is_a_finding_and_a_sound_one_is_decided(seed: int) -> None:
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        shutil.copytree(BASE, root, dirs_exist_ok=True)
        path = chance.choice(FILES)
        document = read(path)
        for _ in range(chance.randint(1, 3)):
            if places(document):
                document = mutant(document, values(document), chance)
        (root / path.relative_to(BASE)).write_text(yaml.safe_dump(document, sort_keys=False))
        examined = examine(root, base())
        if any(found.level is Level.ERROR and found.code != "policy-test" for found in examined.findings):
            return
        for table in base().tables:
            for purpose in examined.policy.purposes:
                everybody = frozenset(examined.policy.groups)
                decide.shown(examined.policy, table, everybody, purpose, day=dt.date(2026, 3, 3))
