"""The order of files, documents and list items changes nothing: two orders of the same documents are one Policy."""

from __future__ import annotations

import random
import shutil
import tempfile
from pathlib import Path
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse.policy.load import find_policy_mistakes, load_policy
from tests.policies.policy_corpus import BASE, base


def shuffled(value: Any, chance: random.Random) -> Any:
    """The same document, mappings and lists in another order."""
    if isinstance(value, dict):
        items = [(key, shuffled(inner, chance)) for key, inner in value.items()]
        chance.shuffle(items)
        return dict(items)
    if isinstance(value, list):
        inner = [shuffled(item, chance) for item in value]
        chance.shuffle(inner)
        return inner
    return value


def rewritten(root: Path, seed: int) -> Path:
    """A copy of the base with every policy document in another order."""
    shutil.copytree(BASE, root, dirs_exist_ok=True)
    chance = random.Random(seed)
    for path in sorted(root.glob("policies/**/*.yaml")):
        if path.name != "contract.odcs.yaml":
            document = yaml.load(path.read_text(), Loader=yaml.BaseLoader)
            path.write_text(_written(shuffled(document, chance)))
    return root


def _written(document: Any) -> str:
    """YAML in which days stay text and `true`, numbers and versions stay what they were."""
    text = yaml.safe_dump(document, sort_keys=False)
    for word in ("true", "false", "1", "30"):
        text = text.replace(f"'{word}'", word)
    return text


@settings(max_examples=20)
@given(st.integers(0, 2**32))
def test_the_order_of_everything_changes_nothing(seed: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = rewritten(Path(folder), seed)
        assert load_policy(root, base()) == load_policy(BASE, base())
        assert find_policy_mistakes(root, base()) == []


@settings(max_examples=10)
@given(st.integers(0, 2**32))
def test_a_rule_may_stand_in_any_domains_place_of_its_list(seed: int) -> None:
    """Splitting by files is no meaning either: where a rule stands is only told in `where`."""
    with tempfile.TemporaryDirectory() as folder:
        policy = load_policy(rewritten(Path(folder), seed), base())
    assert [grant.id for grant in policy.grants] == sorted(grant.id for grant in policy.grants)
    assert [rule.id for rule in policy.ceilings] == sorted(rule.id for rule in policy.ceilings)
