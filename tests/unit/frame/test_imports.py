"""Importing does nothing, and light parts stay light."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

PROBE = """
import pkgutil, socket, sys, importlib, builtins, pathlib
def refuse(*a, **k): raise SystemExit("an import opened a connection")
socket.socket.connect = refuse
import lakehouse
names = [m.name for m in pkgutil.walk_packages(lakehouse.__path__, "lakehouse.")]
for name in names:
    importlib.import_module(name)
print(len(names))
"""


def test_every_module_imports_offline_and_leaves_no_file(project_root: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROBE], cwd=tmp_path, capture_output=True, text=True, check=False,
        env={"PYTHONPATH": str(project_root), "HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) > 20
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("module", ["lakehouse.contract.load", "lakehouse.settings", "lakehouse.source"])
def test_contracts_load_without_heavy_libraries(module: str) -> None:
    probe = f"import sys, {module}; print([m for m in ('polars', 'pyarrow', 'dagster', 'sqlalchemy', 'deltalake') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_module_says_what_lives_in_it(project_root: Path) -> None:
    import ast

    silent = [
        str(path.relative_to(project_root))
        for folder in ("lakehouse", "assets", "resources")
        for path in (project_root / folder).rglob("*.py")
        if not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert silent == []


def test_files_stay_short(project_root: Path) -> None:
    long = [
        f"{path.relative_to(project_root)}: {lines}"
        for folder in ("lakehouse", "assets", "resources", "tests")
        for path in (project_root / folder).rglob("*.py")
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > (500 if folder == "tests" else 400)
    ]
    assert long == []
