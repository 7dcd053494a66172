"""docs/policy.md names every key and every finding of policies, and its example is a policy that works."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lakehouse.contract.load import load_project
from lakehouse.policy.load import examine
from lakehouse.policy.shapes import every_key

FIXTURE = Path(__file__).parents[1] / "policies/fixture"
#: Rules that several documents write alike are documented once.
SHARED = {
    "access.ceilings.": "ceilings.",
    "platform.ceilings.": "ceilings.",
    "exceptions.exceptions.": "access.grants.",
}
SHARED |= {"access.row_ceilings.": "row_ceilings.", "platform.row_ceilings.": "row_ceilings."}


@pytest.fixture(scope="module")
def page(project_root: Path) -> str:
    return (project_root / "docs/policy.md").read_text(encoding="utf-8")


def documented(page: str) -> set[str]:
    """What stands in backticks in the first cell of a table's line."""
    return {
        name
        for line in re.findall(r"^\|([^|]*)\|", page, flags=re.MULTILINE)
        for name in re.findall(r"`([^`]+)`", line)
    }


def shared(key: str) -> set[str]:
    """The names a key may be documented by."""
    return {key, *(key.replace(own, common, 1) for own, common in SHARED.items() if key.startswith(own))}


def test_every_key_is_documented(page: str) -> None:
    names = documented(page)
    assert [key for key in every_key() if not shared(key) & names] == []


def test_no_key_is_documented_that_is_not_one(page: str) -> None:
    known = {name for key in every_key() for name in shared(key)}
    dotted = {name for name in documented(page) if "." in name and not name.endswith(".yaml")}
    assert sorted(name for name in dotted - known if "/" not in name) == []


def test_every_finding_is_documented(page: str, project_root: Path) -> None:
    from tests.policies.policy_corpus import DOCUMENT_CASES
    from tests.policies.policy_corpus_tables import TABLE_CASES

    folder = project_root / "lakehouse/policy"
    modules = (
        "names",
        "statics",
        "grant_statics",
        "overlaps",
        "documents",
        "rules",
        "cases",
        "coverage",
        "load",
        "views",
    )
    written = "\n".join((folder / f"{name}.py").read_text(encoding="utf-8") for name in modules)
    codes = set(re.findall(r'(?:error|warning|unknown|Finding)\(\s*"([a-z-]+)"', written))
    codes |= {case.code for case in (*DOCUMENT_CASES, *TABLE_CASES)}
    of_format = ("shape-", "yaml-", "key-")
    assert sorted(code for code in codes if not code.startswith(of_format) and f"`{code}`" not in page) == []


def test_every_finding_has_a_wrong_policy(page: str) -> None:
    from tests.policies.policy_corpus import DOCUMENT_CASES
    from tests.policies.policy_corpus_tables import TABLE_CASES

    section = page.split("## What `check` finds")[1]
    named = {
        name
        for line in re.findall(r"^\| (`[^|]*)\|", section, flags=re.MULTILINE)
        for name in re.findall(r"`([^`]+)`", line)
    }
    # of files and of many texts: tests/unit/policy/test_policy_load.py
    elsewhere = {"policy-missing", "file-name", "combinations"}
    assert sorted(named - elsewhere - {case.code for case in (*DOCUMENT_CASES, *TABLE_CASES)}) == []


def test_the_example_works(page: str, tmp_path: Path) -> None:
    blocks = re.findall(r"```yaml\n# (policies/\S+)\n(.*?)```", page, flags=re.DOTALL)
    assert len(blocks) == 5
    for name, text in [*blocks, ("policies/domains/claims/contract.odcs.yaml", "")]:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text or (FIXTURE / name).read_text(encoding="utf-8"), encoding="utf-8")
    examined = examine(tmp_path, load_project(tmp_path))
    assert [str(finding) for finding in examined.findings] == []
    assert (examined.tests.passed, examined.tests.failed) == (4, 0)
