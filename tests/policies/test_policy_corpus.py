"""Each wrong policy is found at its line with its code and a hint; its right neighbour is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lakehouse.contract.load import load_project
from lakehouse.model import Level
from lakehouse.policy.load import find_policy_mistakes
from tests.policies.policy_corpus import BASE, CONTRACT, DOCUMENT_CASES, Case, base, project_with
from tests.policies.policy_corpus_tables import TABLE_CASES

if TYPE_CHECKING:
    from pathlib import Path

    from lakehouse.model import Finding


CASES = [*DOCUMENT_CASES, *TABLE_CASES]
NAMES = [f"{place}-{case.code}" for place, case in enumerate(CASES)]


def found(root: Path, case: Case) -> list[Finding]:
    return find_policy_mistakes(root, load_project(root) if case.file == CONTRACT else base())


def test_nothing_is_wrong_with_the_base() -> None:
    assert find_policy_mistakes(BASE, base()) == []


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_a_mistake_is_found_where_it_is(case: Case, tmp_path: Path) -> None:
    root = project_with(tmp_path, case.file, case.old, case.wrong)
    file = case.found_in or case.file
    written = (root / "policies" / file).read_text(encoding="utf-8")
    line = written[: written.index(case.at)].count("\n") + 1
    everything = found(root, case)
    hits = [each for each in everything if each.code == case.code]
    assert hits, [str(each) for each in everything]
    assert f"policies/{file}:{line}" in {each.where for each in hits}
    hit = next(each for each in hits if each.where == f"policies/{file}:{line}")
    assert case.hint in (hit.hint or "")
    assert hit.level is (Level.WARNING if case.warning else Level.ERROR)
    assert "\n" not in hit.message


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_its_right_neighbour_is_not(case: Case, tmp_path: Path) -> None:
    root = project_with(tmp_path, case.file, case.old, case.right)
    assert case.code not in {each.code for each in found(root, case)}
