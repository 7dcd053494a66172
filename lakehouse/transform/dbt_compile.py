"""The SQL of the project's dbt models as dbt compiles it, without a lake: for checks before anything is built.

dbt itself renders the models: macros, `ref` and `source` mean what they mean in a build, which no renderer of ours could
promise. That takes seconds, so the result is kept in dbt's target folder and used again as long as nothing that it is made
of has changed. It holds SQL and no row of any table.
"""
# dbt is partly typed.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import hashlib
import json
import os
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from lakehouse.errors import ProjectError
from lakehouse.model import Tier
from lakehouse.transform import dbt_run
from lakehouse.transform.code import model_file

if TYPE_CHECKING:
    from pathlib import Path

    from lakehouse.contract.model import Project, Table
    from lakehouse.model import TableId

KEPT = "lakehouse_compiled.json"
_MADE_OF = ("*.sql", "*.yml", "*.yaml", "*.csv", "*.py", "*.md")


def modelled_tables(project: Project) -> tuple[Table, ...]:
    """The curated tables that have a model."""
    curated = (table for table in project.tables if table.id.tier is Tier.CURATED)
    return tuple(table for table in curated if model_file(project, table.id).is_file())


def compiled_models(project: Project) -> dict[TableId, str]:
    """The compiled SQL of each curated table that has a model; nothing is imported when there is none.

    Raises:
        ProjectError: dbt cannot compile the project.
    """
    tables = modelled_tables(project)
    if not tables:
        return {}
    folder = project.root / "dbt"
    kept = folder / "target" / KEPT
    fingerprint = _fingerprint(folder)
    texts = _kept(kept, fingerprint)
    if texts is None:
        texts = _compile(folder)
        _keep(kept, fingerprint, texts)
    missing = [table.id for table in tables if str(table.id) not in texts]
    if missing:
        hint = "is it switched off, or is another model of that name in the way?"
        raise ProjectError(f"dbt does not know the model of `{missing[0]}`", where=str(folder), hint=hint)
    return {table.id: texts[str(table.id)] for table in tables}


def _compile(folder: Path) -> dict[str, str]:
    if not (folder / "dbt_project.yml").is_file():
        raise ProjectError("the project has no dbt project", where=str(folder), hint="add `dbt/dbt_project.yml`")
    outcome = dbt_run.invoke_quietly(
        folder, "compile", ["--no-introspect", "--no-populate-cache", "--select", "resource_type:model"]
    )
    if outcome.result is None:
        raise dbt_run.unreadable(folder, outcome.exception)
    found: dict[str, str] = {}
    for result in outcome.result.results:
        node: Any = result.node
        if node.resource_type != "model":
            continue
        if not node.compiled_code:
            where = str(folder / node.original_file_path)
            raise dbt_run.model_error(result.message or "", where=where)
        found[".".join(node.fqn[1:])] = node.compiled_code
    return found


def _fingerprint(folder: Path) -> str:
    """Everything that can change what dbt compiles: its files, its version and the environment that it may ask."""
    digest = hashlib.sha256(f"{version('dbt-core')} {version('dbt-duckdb')}".encode())
    target = folder / "target"
    files = {file for pattern in _MADE_OF for file in folder.rglob(pattern) if target not in file.parents}
    for file in sorted(files):
        digest.update(f"\n{file.relative_to(folder)}\n".encode())
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    asked = sorted(name for name in os.environ if name.startswith(("DBT_", "LAKEHOUSE_")))
    for name in asked:
        digest.update(hashlib.sha256(f"{name}={os.environ[name]}".encode()).digest())
    return digest.hexdigest()


def _kept(place: Path, fingerprint: str) -> dict[str, str] | None:
    try:
        content: dict[str, Any] = json.loads(place.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content.get("models") if content.get("fingerprint") == fingerprint else None


def _keep(place: Path, fingerprint: str, texts: dict[str, str]) -> None:
    content = json.dumps({"fingerprint": fingerprint, "models": texts}, indent=1, sort_keys=True)
    beside = place.with_suffix(f".{os.getpid()}")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(content, encoding="utf-8")
        beside.replace(place)
    except OSError:
        beside.unlink(missing_ok=True)  # a project that cannot be written to is compiled each time
