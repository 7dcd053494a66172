"""docs/keys.md: its commands run, word for word, and show what the page shows; what it names exists."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

PAGE = "docs/keys.md"


def commands(text: str) -> list[tuple[list[str], list[str]]]:
    """Each `$ lakehouse` command with the lines shown below it."""
    found: list[tuple[list[str], list[str]]] = []
    for line in "\n".join(re.findall(r"```console\n(.*?)```", text, re.DOTALL)).splitlines():
        if line.startswith("$ "):
            found.append(([*line[2:].split()], []))
        elif line.strip():
            found[-1][1].append(line.strip())
    return found


@pytest.mark.slow
def test_the_commands_run_and_show_what_the_page_shows(project_root: Path, tmp_path: Path) -> None:
    from lakehouse import storage
    from lakehouse.privacy import vault
    from lakehouse.settings import load_settings

    vault.secret(storage.create_lake(load_settings(project_root, lake=str(tmp_path / "lake"))), "entity")
    environment = {
        **os.environ,
        "LAKEHOUSE_LAKE": str(tmp_path / "lake"),
        "LAKEHOUSE_PROJECT": str(project_root),
        "PYTHONPATH": str(project_root),
        "COLUMNS": "200",
    }
    steps = commands((project_root / PAGE).read_text(encoding="utf-8"))
    assert [words[1] for words, _ in steps] == ["doctor", "keys", "keys", "recover", "keys", "keys", "maintain"]
    for words, shown in steps:
        ran = subprocess.run(
            [sys.executable, "-m", "lakehouse.cli", *words[1:]],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, (words, ran.stdout, ran.stderr)
        assert [line for line in shown if line not in ran.stdout] == [], (words, ran.stdout)


def test_the_parts_that_the_page_names_are_the_ones_that_are_compared(project_root: Path) -> None:
    text = (project_root / PAGE).read_text(encoding="utf-8")
    for variable in set(re.findall(r"LAKEHOUSE_(\w+)", text)):
        assert variable in (project_root / "lakehouse/settings.py").read_text(encoding="utf-8"), variable
