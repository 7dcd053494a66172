"""docs/stores.md: its commands run in a store with the settings that the page shows, and show what the page shows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

PAGE = "docs/stores.md"
INVOICE = (
    "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
    "536365,S1,THING,6,2011-01-01 08:26:00,2.55,12346.0,France\n"
)


def settings(text: str) -> dict[str, str]:
    """What the page's first block exports."""
    (block,) = re.findall(r"```sh\n(export .*?)```", text, re.DOTALL)
    return dict(re.findall(r"^export (\w+)=(\S+)", block, re.MULTILINE))


@pytest.mark.s3
@pytest.mark.slow
def test_the_commands_run_and_show_what_the_page_shows(project_root: Path, tmp_path: Path, s3) -> None:
    text = (project_root / PAGE).read_text(encoding="utf-8")
    lake, raw = s3.bucket(), s3.bucket(locks=True)
    said = {n: v.replace("LAKE-BUCKET", lake).replace("RAW-BUCKET", raw) for n, v in settings(text).items()}
    said |= {"LAKEHOUSE_LANDING": str(tmp_path / "landing"), "LAKEHOUSE_KEY_FILE": str(tmp_path / "kek.key")}
    said |= {"LAKEHOUSE_CONTROL_URL": f"sqlite:///{tmp_path / 'control.db'}", "LAKEHOUSE_PROJECT": str(project_root)}
    environment = {**os.environ, **said, **s3.environment, "PYTHONPATH": str(project_root), "COLUMNS": "200"}
    (tmp_path / "2011-01-01.csv").write_text(INVOICE)
    block = re.findall(r"```console\n(.*?)```", text, re.DOTALL)[0]
    steps = block.split("$ ")[1:]
    assert [step.split()[1] for step in steps] == ["ingest", "verify", "recover"]
    for step in steps:
        command, *shown = step.splitlines()
        words = command.split()[1:]
        ran = subprocess.run(
            [sys.executable, "-m", "lakehouse.cli", *words],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, (ran.stdout, ran.stderr)
        assert [line for line in shown if line.strip() and line not in ran.stdout] == [], (ran.stdout, ran.stderr)


def test_the_settings_that_the_page_shows_exist(project_root: Path) -> None:
    text = (project_root / PAGE).read_text(encoding="utf-8")
    source = (project_root / "lakehouse/settings.py").read_text(encoding="utf-8")
    named = set(re.findall(r"LAKEHOUSE_(\w+)", text))
    assert {"RAW", "RAW_LOCK_DAYS", "LANDING"} <= named
    assert [name for name in sorted(named) if f'"{name}"' not in source] == []
