"""What is delivered: the wheel holds the platform and nothing of the project around it."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def test_the_wheel_holds_the_platform_only(project_root: Path, tmp_path: Path):
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=project_root, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} == {"lakehouse", "lakehouse-0.1.0.dist-info"}
    assert {"lakehouse/contract/contract.schema.json", "lakehouse/contract/categories.json"} <= set(names)
    assert not [name for name in names if name.endswith((".pyc", ".db"))]
