"""Runs dbt in this process over pinned versions of the lake's tables.

What a run reads, which months it rebuilds and what it wrote is a `Session`, handed to the plugin (`dbt_delta`) as an
object: no path, version or value goes through dbt's variables, artifacts or log files. dbt keeps process-wide state
(working directory, adapter singletons, log handlers), so runs take turns and the state is put back afterwards.
"""
# dbt is partly typed.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import gc
import os
import re
import threading
import warnings
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lakehouse import storage
from lakehouse.contract.load import load_project
from lakehouse.errors import LakehouseError, ProjectError, RefusedError, UsageError
from lakehouse.model import TableId, Tier
from lakehouse.transform import code, refresh

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence
    from pathlib import Path

    from lakehouse.contract.model import Project, Table
    from lakehouse.settings import Settings
    from lakehouse.storage import Lake

_turn = threading.Lock()
_sessions: list[Session] = []


@dataclass
class Session:
    """One run of dbt: what it may read, what it must build, and what came of it.

    Attributes:
        versions: table -> the pinned version that models read.
        months: table to build -> months to rebuild, None for everything.
        untested: tables that stand as they are, but whose version has not passed: dbt's tests run on them again.
        built: table -> the version that this run committed.
        failures: what went wrong below dbt, with its own type.
    """

    lake: Lake
    project: Project
    versions: Mapping[TableId, int]
    months: Mapping[TableId, tuple[str, ...] | None]
    untested: Sequence[TableId] = ()
    built: dict[TableId, int] = field(default_factory=dict[TableId, int])
    failures: list[LakehouseError] = field(default_factory=list[LakehouseError])

    def inputs_of(self, table: TableId) -> dict[str, int]:
        """The versions that `table` is built from and the model's fingerprint, as its commit records them."""
        versions = {str(name): self.versions[name] for name in self.project.table(table).inputs}
        return {**versions, refresh.CODE: _code(self.project, table)}


@dataclass(frozen=True)
class ModelBuild:
    """What became of one table: `months` None means all of it, empty means that nothing was stale.

    `failed_tests` are dbt's names of its failed tests of severity error; who builds must not pass over them.
    """

    table: TableId
    version: int
    months: tuple[str, ...] | None
    failed_tests: tuple[str, ...] = ()


def session() -> Session | None:
    """The run in progress in this process, if any; for the plugin."""
    return _sessions[-1] if _sessions else None


def build(
    settings: Settings,
    select: Sequence[TableId],
    *,
    months: Sequence[str] | None = None,
    full: bool = False,
    versions: Mapping[TableId, int] | None = None,
) -> tuple[ModelBuild, ...]:
    """Build curated tables with dbt and commit each to the lake.

    Args:
        settings: where project and lake are.
        select: the tables to build.
        months: rebuild exactly these months of tables that refresh by month; default: the months that changed, and
            everything when the model's SQL changed.
        full: rebuild everything.
        versions: pinned versions of the inputs; default: the current ones, which must have passed their checks.

    Raises:
        RefusedError: an input failed its checks, or a result does not have the contract's columns.
        ProjectError: a model's SQL fails.
        LakehouseError: whatever storage raised while committing.
    """
    lake, project = storage.open_lake(settings), load_project(settings.project)
    tables = [_modelled(project, name) for name in select]
    inputs = {name for table in tables for name in table.inputs}
    pins = {**refresh.pinned(lake, inputs - set(versions or {})), **(versions or {})}
    plan = {
        table.id: _months(lake, project, table, months=None if months is None else tuple(months), full=full)
        for table in tables
    }
    due = [name for name, stale in plan.items() if stale != ()]
    untested = {name: version for name in plan if name not in due and (version := _not_passed(lake, name)) is not None}
    run = Session(lake, project, {**pins, **untested}, {name: plan[name] for name in due}, tuple(untested))
    failed = _run_dbt(run) if due or untested else {}
    return tuple(
        ModelBuild(
            name,
            run.built[name] if name in run.built else storage.snapshot(lake, name).version,
            stale,
            tuple(failed.get(name, ())),
        )
        for name, stale in plan.items()
    )


def _not_passed(lake: Lake, name: TableId) -> int | None:
    """The version of a table that did not pass, or that nobody judged; None when all is well."""
    try:
        storage.require_passed(lake, name)
    except RefusedError:
        return storage.snapshot(lake, name).version
    return None


def _modelled(project: Project, name: TableId) -> Table:
    try:
        table = project.table(name)
    except KeyError:
        raise UsageError("there is no such table", where=str(name), hint="run `lakehouse status`") from None
    if table.id.tier is not Tier.CURATED:
        raise UsageError("dbt builds curated tables only", where=str(name), hint="name a curated table")
    return table


def _months(
    lake: Lake, project: Project, table: Table, *, months: tuple[str, ...] | None, full: bool
) -> tuple[str, ...] | None:
    if full or table.refresh.mode == "full" or not storage.exists(lake, table.id):
        return None
    if months is not None:
        return months
    return refresh.stale_months(lake, project, table, inputs=table.inputs, code=_code(project, table.id))


def _code(project: Project, table: TableId) -> int:
    return code.fingerprint(code.model_files(project, table))


def _run_dbt(run: Session) -> dict[TableId, list[str]]:
    """Build and test the models of a session; table -> names of its failed tests."""
    folder = run.project.root / "dbt"
    if not (folder / "dbt_project.yml").is_file():
        raise ProjectError("the project has no dbt project", where=str(folder), hint="add `dbt/dbt_project.yml`")
    both = set(run.months) & {name for table in run.months for name in run.project.table(table).inputs}
    if both:
        # INVARIANT: a table that was not judged is not read; its checks run after dbt, so it needs a run of its own.
        raise UsageError("a table and what is made of it need a run each", where=str(min(both)))
    outcome = invoke_quietly(folder, "build", ["--select", *_selected(run)], run=run)
    for failure in run.failures:
        raise failure
    if outcome.result is None:
        raise unreadable(folder, outcome.exception)
    nodes = outcome.result.results
    for result in nodes:
        _raise_broken(result, where=str(folder / result.node.original_file_path))
    failed: dict[TableId, list[str]] = {}
    for result in nodes:
        if result.node.resource_type == "test" and str(result.status) == "fail":
            for name in _tested(result.node, (*run.months, *run.untested)):
                failed.setdefault(name, []).append(result.node.name)
    return failed


def _raise_broken(result: Any, *, where: str) -> None:
    """A model that does not build, or a test that cannot run: that is an error and not a failed test."""
    kind, status = result.node.resource_type, str(result.status)
    if kind == "model" and status != "success":
        raise model_error(result.message or "", where=where)
    if kind == "test" and status == "error":
        raise ProjectError(f"dbt's test `{result.node.name}` cannot run", where=where, hint="run its SQL by hand")


def _tested(node: Any, tables: Sequence[TableId]) -> list[TableId]:
    """The tables of a run that a test is about: the model it is attached to, else (SQL in `dbt/tests`) all it reads."""
    attached: str | None = getattr(node, "attached_node", None)
    models = {unique.rpartition(".")[2] for unique in ([attached] if attached else node.depends_on_nodes)}
    return [name for name in tables if name.table in models]


def invoke_quietly(folder: Path, command: str, options: Sequence[str], *, run: Session | None = None) -> Any:
    """What dbt answers to a command; it writes nothing but its target folder, and leaves the process as it was.

    Args:
        folder: the dbt project.
        command: such as `build`.
        options: of that command.
        run: what the plugin may read and write; without one it offers nothing.
    """
    with _turn, _quiet_dbt(run):
        from dbt.cli.main import dbtRunner  # noqa: PLC0415 (a second of imports, for builds and checks only)

        places = ["--project-dir", str(folder), "--profiles-dir", str(folder), "--target", "duckdb"]
        silent = ["--quiet", "--log-level", "none", "--log-level-file", "none", "--no-write-json", "--no-print"]
        outcome = dbtRunner().invoke([*silent, command, *places, *options])
        if outcome.exception is not None:
            _end_pools()
        return outcome


def _end_pools() -> None:
    """End the threads of a command that failed: dbt leaves their pool open, with work that nobody waits for."""
    from dbt.graph.thread_pool import DbtThreadPool  # noqa: PLC0415 (as above)

    for each in gc.get_objects():
        if isinstance(each, DbtThreadPool):
            each.terminate()
            each.join()


def _selected(run: Session) -> list[str]:
    chosen = [_model_of(name) for name in run.months]
    return chosen + [f"{_model_of(name)},resource_type:test" for name in run.untested]


def _model_of(name: TableId) -> str:
    return f"fqn:lakehouse.curated.{name.domain}.{name.table}"


@contextmanager
def _quiet_dbt(run: Session | None) -> Generator[None]:
    """The process-wide state of dbt, taken for one run and put back."""
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager  # noqa: PLC0415 (as below)

    here = os.getcwd()  # noqa: PTH109 (restored as it was)
    runs = [run] if run is not None else []
    _sessions.extend(runs)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # dbt's own dependencies warn about themselves
            yield
    finally:
        for each in runs:
            _sessions.remove(each)
        os.chdir(here)
        # The adapter keeps its in-memory database for the next run with equal credentials: old views, old versions.
        DuckDBConnectionManager.close_all_connections()


def model_error(message: str, *, where: str) -> ProjectError:
    """The database's complaint about a model, without values.

    Binder, catalog, parser and compilation errors speak of names only; any other text may quote the value it stumbled on,
    so that its kind must do.
    """
    found = next((match for match in _KIND.finditer(message) if match.group(1) not in _WRAPPERS), None)
    if found is None:
        return ProjectError("the model does not build", where=where, hint="run its SQL by hand")
    kind = found.group(1)
    if kind == "Out of Memory":
        return ProjectError(
            "out of memory: nothing is spilled to disk, because spilled rows would be clear text",
            where=where,
            hint="give DuckDB more with `LAKEHOUSE_DUCKDB_MEMORY`, or build on the trino target",
        )
    if kind not in _NAMES_ONLY:
        return ProjectError(f"the model fails on a row ({kind} Error)", where=where, hint="look for casts in its SQL")
    lines = [line.strip() for line in message[found.start() :].splitlines() if line.strip()]
    return ProjectError(f"the model does not build: {' '.join(lines[:2])}", where=where, hint="mend the model's SQL")


_KIND = re.compile(r"\b((?:Invalid |Out of )?[A-Z][A-Za-z-]+) Error\b")
#: What dbt puts before the database's own words.
_WRAPPERS = frozenset({"Runtime", "Database"})
_NAMES_ONLY = frozenset({"Binder", "Catalog", "Parser", "Compilation"})


def unreadable(folder: Path, problem: BaseException | None) -> ProjectError:
    """What to tell of a dbt project that dbt could not read."""
    lines = [line.strip() for line in str(problem or "").splitlines() if line.strip()]
    hint = f"run `dbt parse --project-dir dbt --profiles-dir dbt`: {' '.join(lines[:3]) or 'no message'}"
    return ProjectError("dbt could not read the project", where=str(folder), hint=hint)
