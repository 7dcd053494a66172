"""docs/serving.md: its commands run on generated claims and end as it says, its Python runs, its limits are the code's."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from lakehouse.serving.session import Limits
from tests.integration.domain_lake import lake_of
from tests.stores import site_on_disk

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/serving.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def environment(tmp_path_factory, project_root):
    """A lake with policyholders, found as a person's shell would find it."""
    from lakehouse.demo.generate import generate

    with lake_of(project_root, site_on_disk(tmp_path_factory.mktemp("claims")), "claims") as found:
        made = generate(found.project, found.settings.landing.parent / "made", rows=200, seed=3, faults=0)
        table = found.table("policyholder")
        files = {"policyholder": [file for file in made.files if file.parent.name == "policyholder"]}
        report = found.run(files, table.at(table.tier.RAW), table)
        assert report.success, report.problems
        program = tmp_path_factory.mktemp("bin") / "lakehouse"
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m lakehouse.cli "$@"\n')
        program.chmod(0o755)
        yield {
            **os.environ,
            "LAKEHOUSE_LAKE": found.settings.lake,
            "LAKEHOUSE_PROJECT": str(project_root),
            "PATH": f"{program.parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
        }


def commands() -> list[tuple[str, list[str]]]:
    """Each command of the page with the lines shown below it."""
    found: list[tuple[str, list[str]]] = []
    for line in "\n".join(re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)).splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        elif line.strip():
            found[-1][1].append(" ".join(line.split()))
    return found


def test_commands_end_as_the_page_says(environment):
    assert len(commands()) >= 5
    for command, shown in commands():
        ran = subprocess.run(
            ["bash", "-c", command], env=environment, capture_output=True, text=True, check=False, timeout=120, cwd=ROOT
        )
        assert ran.returncode == 0, (command, ran.stderr)
        told = {" ".join(line.split()) for line in (ran.stdout + ran.stderr).splitlines()}
        assert [line for line in shown if line not in told] == [], (command, told)


def test_python_runs(environment):
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) == 2
    blocks[1] += (
        "\nfrom lakehouse.settings import load_settings\n"
        "resources = {'policy': PolicyResource.of(load_settings())}\n"
        "assert dg.materialize([files_by_address], resources=resources, instance=dg.DagsterInstance.ephemeral()).success\n"
    )
    for block in blocks:
        ran = subprocess.run(
            [sys.executable, "-c", block], env=environment, capture_output=True, text=True, check=False, cwd=ROOT
        )
        assert ran.returncode == 0, ran.stderr


def test_limits_are_the_codes():
    limits = Limits()
    assert (limits.seconds, limits.memory, limits.rows, limits.bytes) == (60, 2 * 1024**3, 1_000_000, 1024**3)
    assert "more than 60 s, 2 GiB, a million rows, 1 GiB of result" in PAGE


def test_the_page_says_plainly_who_bypasses_it():
    assert "**Who can read the lake's files bypasses all of this.**" in PAGE
