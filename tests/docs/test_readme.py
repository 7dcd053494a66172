"""What the README and the docs name exists: files, make targets, commands."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

DOCS = (
    "README.md",
    "docs/contracts.md",
    "docs/cli.md",
    "docs/domains.md",
    "docs/keys.md",
    "docs/serving.md",
    "docs/stores.md",
    "docs/worm.md",
)


@pytest.mark.parametrize("page", DOCS)
def test_links_lead_somewhere(project_root: Path, page: str) -> None:
    text = (project_root / page).read_text(encoding="utf-8")
    targets = re.findall(r"\]\((?!https?://)([^)#]+)", text)
    missing = [target for target in targets if not (project_root / page).parent.joinpath(target).exists()]
    assert missing == []


def test_paths_in_the_readme_exist(project_root: Path) -> None:
    text = (project_root / "README.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:lakehouse|assets|resources|policies|dbt|tests|bench|docs)/[\w./-]*)`", text)
    assert named
    assert [path for path in named if not (project_root / path).exists()] == []


def test_make_targets_in_the_readme_exist_and_have_help(project_root: Path) -> None:
    text = (project_root / "README.md").read_text(encoding="utf-8")
    listed = subprocess.run(["make", "help"], cwd=project_root, capture_output=True, text=True, check=True).stdout
    for target in set(re.findall(r"\bmake ([a-z-]+)", text)):
        assert f"make {target} " in listed, target


def test_policies_in_the_readme_are_the_projects(project_root: Path) -> None:
    """An excerpt names its file and shows whole lines of it."""
    text = (project_root / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```yaml\n# (policies/[\w./]+)[^\n]*\n(.*?)```", text, re.DOTALL)
    assert blocks
    for file, excerpt in blocks:
        assert excerpt in (project_root / file).read_text(encoding="utf-8")
