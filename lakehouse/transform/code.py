"""What code makes a table, as files: its model with dbt's macros, or its feature function with what that imports.

A commit notes the `fingerprint` of these files beside the versions of its inputs. When it is another than today's, old
months were made by other rules and everything is rebuilt. The platform's own code is left out: an upgrade says itself
what it rebuilds.
"""

from __future__ import annotations

import ast
import hashlib
from typing import TYPE_CHECKING

from lakehouse.model import Tier

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from lakehouse.contract.model import Project
    from lakehouse.model import TableId

_PLATFORM = __name__.partition(".")[0]


def fingerprint(files: Iterable[Path]) -> int:
    """What code a table was made by, as a number that fits a commit's note beside the versions of the inputs."""
    digest = hashlib.sha256()
    for file in sorted(files):
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return int.from_bytes(digest.digest()[:6])


def model_file(project: Project, table: TableId) -> Path:
    """Where a table's model stands."""
    return project.root / "dbt" / "models" / table.tier / table.domain / f"{table.table}.sql"


def model_files(project: Project, table: TableId) -> set[Path]:
    """A table's model and everything that can change what it gives: macros, models without a contract, variables."""
    folder = project.root / "dbt"
    contracted = {model_file(project, other.id) for other in project.tables if other.id.tier is Tier.CURATED}
    # Models without a contract are never tables of the lake (dbt inlines them), so that no version tells of a change.
    loose = set((folder / "models").rglob("*.sql")) - contracted
    macros = set((folder / "macros").rglob("*.sql"))
    return {
        *filter(lambda file: file.is_file(), (model_file(project, table), folder / "dbt_project.yml")),
        *loose,
        *macros,
    }


def function_files(root: Path, module: str) -> set[Path]:
    """The file of a project's module and of every module of the project that it imports, however far."""
    found: set[Path] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        for file in _places(root, name):
            if file not in found:
                found.add(file)
                waiting += _imported(file, name)
    return found


def _places(root: Path, module: str) -> Iterator[Path]:
    parts = module.split(".")
    if not all(parts) or parts[0] == _PLATFORM:
        return
    place = root.joinpath(*parts)
    yield from filter(lambda file: file.is_file(), (place.with_name(f"{place.name}.py"), place / "__init__.py"))


def _imported(file: Path, module: str) -> list[str]:
    """Names of modules that a file may import; `from a import b` names both `a` and `a.b`."""
    found: list[str] = []
    parts = module.split(".")
    package = parts if file.name == "__init__.py" else parts[:-1]
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            found += [base, *(f"{base}.{alias.name}" for alias in node.names)]
    return found
