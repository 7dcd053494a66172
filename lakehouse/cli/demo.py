"""`lakehouse demo`: from nothing to a lake with every tier, and a summary worth reading.

The work is `demo.tour`; here are its progress on stderr and its summary on stdout.
"""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lakehouse.cli import answers, ingest, output, status, words

if TYPE_CHECKING:
    from rich.console import Console
    from rich.panel import Panel
    from rich.progress import Progress, TaskID

    from lakehouse.cli.survey import Survey
    from lakehouse.demo.tour import Tour
    from lakehouse.settings import Settings

_COMMANDS = (
    ("make dev", "graph, runs, checks in a browser"),
    ("lakehouse status", "this overview again"),
    ("lakehouse query --as U --purpose P SQL", "what the policy shows to somebody"),
    ("lakehouse quarantine list TABLE", "failed rows by check (counts only)"),
    ("lakehouse ingest TABLE FILE", "a file of your own"),
    ("lakehouse init DOMAIN --from FILE", "a contract out of a file"),
)


def demo(
    rows: Annotated[
        int, typer.Option("--rows", min=1000, help="How many rows to make, all tables together.")
    ] = 300_000,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Equal seeds give equal files.")] = 1,
    faults: Annotated[
        float, typer.Option("--faults", min=0.0, max=0.5, help="Share of the rows that get a realistic fault.")
    ] = 0.003,
    domain: Annotated[
        list[str] | None, typer.Option("--domain", help="Only this domain (may stand several times).")
    ] = None,
    lake: output.LakeFolder = None,
    _json: output.Json = False,
) -> None:
    """Take sample files through every tier, and ask for them as several people."""
    started = time.monotonic()
    from lakehouse.settings import load_settings

    settings = load_settings(lake=lake)
    done = _tour(settings, rows=rows, seed=seed, faults=faults, domains=domain or [])
    seconds = time.monotonic() - started
    from lakehouse.cli.survey import survey

    found = survey(done.lake, done.project)
    output.emit(_document(done, found, seconds), lambda console: _show(console, done, found, seconds=seconds))
    output.leave(refused=not done.success or any(state.unbalanced for state in found.landings))


def _tour(settings: Settings, *, rows: int, seed: int, faults: float, domains: list[str]) -> Tour:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (
        SpinnerColumn(finished_text="[green]✓[/]"),
        TextColumn("{task.description:<16}"),
        BarColumn(bar_width=32),
        MofNCompleteColumn(),
        TextColumn("{task.fields[unit]}"),
        TimeElapsedColumn(),
    )
    console = output.talk()
    console.print(f"[bold]lakehouse demo[/]: {rows:,} rows into {settings.lake}", soft_wrap=True)
    with Progress(*columns, console=console) as progress:
        watch = _Bars(progress)
        watch.stage("starting", 0)
        from lakehouse.demo.tour import tour

        done = tour(settings, rows=rows, seed=seed, faults=faults, watch=watch, domains=domains)
        watch.finish()
    return done


class _Bars:
    """The tour's stages as progress bars."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task: TaskID | None = None

    def stage(self, name: str, total: int) -> None:
        self.finish()
        unit = {"making files": "rows", "raw and staged": "files"}.get(name, "")
        self._task = self._progress.add_task(name, total=total or None, unit=unit)

    def reached(self, done: int) -> None:
        if self._task is not None:
            self._progress.update(self._task, completed=done)

    def finish(self) -> None:
        if self._task is not None:
            total = self._progress.tasks[self._task].total or 1
            self._progress.update(self._task, total=total, completed=total)
            self._progress.stop_task(self._task)


def _document(done: Tour, found: Survey, seconds: float) -> dict[str, Any]:
    generated = done.generated
    return {
        "seconds": round(seconds, 1),
        "success": done.success,
        "generated": {
            "files": len(generated.files),
            "rows": {str(table): rows for table, rows in generated.rows.items()},
            "faults": {str(t): {kind.value: n for kind, n in each.items()} for t, each in generated.faults.items()},
        },
        "runs": {name: ingest.run_document(run) for name, run in done.runs.items()},
        "asked": [answers.document(asked) for asked in done.asked],
        **found.document(),
    }


def _show(console: Console, done: Tour, found: Survey, *, seconds: float) -> None:
    made = done.generated
    console.print(
        f"\n[bold]What landed[/]  {words.plural(sum(made.rows.values()), 'row')} in {words.plural(len(made.files), 'file')}, "
        f"with faults on purpose: {_faults(done)}\n",
        soft_wrap=True,
    )
    status.show_tables(console, found)
    console.print()
    status.show_landings(console, found)
    console.print()
    _show_checks(console, done)
    for asked in done.asked:
        console.print()
        answers.show_answers(console, asked)
    console.print()
    console.print(_next_steps(done, found, seconds))


def _next_steps(done: Tour, found: Survey, seconds: float) -> Panel:
    from rich.panel import Panel

    balanced = all(not state.unbalanced for state in found.landings)
    if done.success and balanced:
        steps = [
            f"[green]✓ done in {seconds:.0f} s[/]: every landed row is accounted for, no blocking check failed",
            "",
            *(f"[bold]{command:<39}[/]{what}" for command, what in _COMMANDS),
        ]
        if shutil.which("lakehouse") is None:
            steps += ["", f"`lakehouse` is {_program()}: activate the virtual environment, or call it by that name"]
        if found.root != str(done.project.root / ".lake"):
            steps += ["", f"with `--lake {found.root}`, or LAKEHOUSE_LAKE set to it"]
    else:
        why = "the ledger does not balance" if done.success else "a blocking check or a step failed"
        steps = [
            f"[red]✗ stopped after {seconds:.0f} s[/]: {why}; the lines above say where",
            "",
            f"[bold]{'lakehouse doctor':<39}[/]what is misconfigured, and the mend",
        ]
    return Panel("\n".join(steps), title="What next", title_align="left", expand=False)


def _program() -> str:
    """The program that runs, as it can be called from here."""
    program = Path(sys.argv[0])
    return str(program.relative_to(Path.cwd())) if program.is_relative_to(Path.cwd()) else str(program)


def _faults(done: Tour) -> str:
    totals: dict[str, int] = {}
    for each in done.generated.faults.values():
        for kind, count in each.items():
            totals[kind.value] = totals.get(kind.value, 0) + count
    return ", ".join(f"{count:,} {kind}" for kind, count in totals.items()) or "none"


def _show_checks(console: Console, done: Tour) -> None:
    lines = [line for run in done.runs.values() for line in run.checks]
    passed = sum(line.passed for line in lines)
    colour = "green" if passed == len(lines) else "yellow"
    console.print(f"[bold]Checks[/]  [{colour}]{passed:,} of {len(lines):,} passed[/]")
    for run in done.runs.values():
        ingest.show_problems(console, run)
