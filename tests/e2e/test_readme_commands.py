"""The README's `lakehouse` commands, run word for word in a copy of the project, show what the README shows.

They follow `make demo`, as the README says. A word that ends in `…` is a token, which is another in every lake.
"""

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


def steps() -> list[tuple[str, list[str]]]:
    """Each `$ lakehouse` command of the README, with the variables set before it and the lines shown below it."""
    blocks = re.findall(r"```console\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    found: list[tuple[str, list[str]]] = []
    said = ""
    for line in "\n".join(blocks).splitlines():
        if re.match(r"\$ \w+=", line):
            said += f"{line[2:]}\n"
        elif line.startswith("$ "):
            found.append((said + line[2:], []))
        elif line.strip() and found:
            found[-1][1].append(line.strip())
    return [(command, shown) for command, shown in found if command.splitlines()[-1].startswith("lakehouse ")]


def is_shown(line: str, told: str) -> bool:
    words = [r"\S+" if word.endswith("…") else re.escape(word) for word in line.split()]
    return re.search(r"(?m)^\s*" + r"\s+".join(words) + r"\s*$", told) is not None


def test_commands_show_what_the_readme_shows(tmp_path: Path) -> None:
    project = tmp_path / "project"
    for name in ("policies", "assets", "resources", "dbt"):
        shutil.copytree(ROOT / name, project / name, ignore=shutil.ignore_patterns("target", "logs", "__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", project)
    shutil.copy(ROOT / "dagster.yaml", project)
    for name, text in FILES.items():
        (project / name).write_text(text)
    program = tmp_path / "bin" / "lakehouse"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m lakehouse.cli "$@"\n')
    program.chmod(0o755)
    environment = {
        **os.environ,
        "DAGSTER_HOME": str(tmp_path / "dagster"),
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "COLUMNS": "200",
    }
    assert len(steps()) >= 7
    for command, shown in [("lakehouse demo", []), *steps()]:
        ran = subprocess.run(
            ["bash", "-c", command],
            cwd=project,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert ran.returncode == 0, (command, ran.stdout, ran.stderr)
        told = ran.stdout + ran.stderr
        assert [line for line in shown if not is_shown(line, told)] == [], (command, told)
