"""A project of its own and the command line run in this process, with stdout, stderr and exit code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CONTRACT = """\
apiVersion: v3.1.0
kind: DataContract
id: 22222222-2222-4222-8222-222222222222
name: Fleet
version: 1.0.0
status: active
domain: fleet
schema:
  - id: trip
    name: trip
    customProperties:
      - property: lakehouse
        value: {tier: staged, sources: [{name: box, pattern: "*.csv*"}]}
    properties:
      - {id: trip_id, name: trip_id, logicalType: integer, primaryKey: true, primaryKeyPosition: 1, required: true, customProperties: [{property: lakehouse, value: {category: system.operations}}]}
      - {id: kilometres, name: kilometres, logicalType: integer, customProperties: [{property: lakehouse, value: {category: system.operations}}]}
"""


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The root of a small project, which is also the working directory."""
    root = tmp_path / "project"
    for folder in ("policies/domains/fleet", "assets", "resources"):
        (root / folder).mkdir(parents=True)
    (root / "pyproject.toml").write_text("[tool.lakehouse]\n")
    (root / "policies/domains/fleet/contract.odcs.yaml").write_text(CONTRACT)
    monkeypatch.chdir(root)
    return root


@pytest.fixture
def lakehouse(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ran]:
    """`lakehouse("status", "--json")` runs the command."""

    def run(*arguments: str) -> Ran:
        from lakehouse.cli import main, output

        output._as_json.set(False)
        monkeypatch.setattr("sys.argv", ["lakehouse", *arguments])
        monkeypatch.setenv("COLUMNS", "200")
        with pytest.raises(SystemExit) as caught:
            main()
        out, err = capsys.readouterr()
        return Ran(int(caught.value.code or 0), out, err)

    return run
