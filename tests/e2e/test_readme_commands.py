"""The README's `lakehouse` commands, run word for word in a copy of the project, show what the README shows."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = {
    "orders.csv": (
        "order_id,customer_email,amount,ordered_at\n"
        "1,a@example.org,3.50,2024-01-02 10:00:00\n"
        "2,b@example.org,12.00,2024-01-03 11:00:00\n"
        "3,,1.25,2024-01-04 09:30:00\n"
    ),
    "orders-broken.csv": (
        'order_id,customer_email,amount,ordered_at\n4,a@example.org,abc,2024-01-02 10:00:00\n5,"b@example.org,x\n'
    ),
}
pytestmark = pytest.mark.slow


def steps() -> list[tuple[list[str], list[str]]]:
    """Each `$ lakehouse` command of the README with the lines shown below it."""
    blocks = re.findall(r"```console\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    found: list[tuple[list[str], list[str]]] = []
    for line in "\n".join(blocks).splitlines():
        if line.startswith("$ "):
            found.append((line[2:].split("#")[0].split(), []))
        elif line.strip() and found:
            found[-1][1].append(line.strip())
    return [(words, shown) for words, shown in found if words[0] == "lakehouse"]


def test_commands_show_what_the_readme_shows(tmp_path: Path) -> None:
    project = tmp_path / "project"
    for name in ("policies", "assets", "resources", "dbt"):
        shutil.copytree(ROOT / name, project / name, ignore=shutil.ignore_patterns("target", "logs", "__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", project)
    shutil.copy(ROOT / "dagster.yaml", project)
    for name, text in FILES.items():
        (project / name).write_text(text)
    environment = {**os.environ, "DAGSTER_HOME": str(tmp_path / "dagster"), "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    assert len(steps()) >= 4
    for words, shown in steps():
        ran = subprocess.run(
            [sys.executable, "-m", "lakehouse.cli", *words[1:]], cwd=project, env=environment, capture_output=True,
            text=True, check=False, timeout=300,
        )  # fmt: skip
        assert ran.returncode == 0, (words, ran.stdout, ran.stderr)
        assert [line for line in shown if line not in ran.stdout] == [], words
