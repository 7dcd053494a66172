"""docs/worm.md: its commands run and show what the page shows, and it names every kind of finding."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.attacks import worm_lake

if TYPE_CHECKING:
    from pathlib import Path

PAGE = "docs/worm.md"


def test_every_kind_of_finding_has_a_line(project_root: Path) -> None:
    text = (project_root / PAGE).read_text(encoding="utf-8")
    folder = project_root / "lakehouse/storage"
    source = "\n".join((folder / f"{name}.py").read_text() for name in ("worm", "history", "forensics"))
    codes = set(re.findall(r'"(raw_\w+|chain_published|lake_generation)"', source)) - {"raw_more"}
    assert len(codes) >= 10
    assert [code for code in sorted(codes) if f"`{code}`" not in text] == []


@pytest.mark.slow
def test_the_commands_run_and_show_what_the_page_shows(project_root: Path, tmp_path: Path) -> None:
    worm_lake.make(tmp_path)
    text = (project_root / PAGE).read_text(encoding="utf-8")
    block = re.findall(r"```console\n(.*?)```", text, re.DOTALL)[0]
    for step in block.split("$ ")[1:]:
        command, *shown = step.splitlines()
        words = [*command.split()[1:], "--lake", str(tmp_path / "lake")]
        ran = subprocess.run(
            [sys.executable, "-m", "lakehouse.cli", *words],
            cwd=project_root,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        assert [line for line in shown if line not in ran.stdout] == [], (ran.stdout, ran.stderr)
