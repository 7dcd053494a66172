"""`lakehouse ingest`: take files into raw and staged, and on to what is made from them.

The files are copied into the landing folder and taken by a Dagster run in this process, which carries the id of a
request and nothing else.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lakehouse.cli import naming, output, words
from lakehouse.errors import LakeMissingError
from lakehouse.model import Tier

if TYPE_CHECKING:
    from rich.console import Console

    from lakehouse.model import TableId
    from lakehouse.orchestration.runs import RunReport
    from lakehouse.settings import Settings
    from lakehouse.storage import Lake

_FIGURES = ("rows_read", "rows_staged", "rows_quarantined", "rows_duplicate", "rows_conflict")
#: A table of a hundred columns can have a hundred warnings; a person reads some.
MOST_WARNINGS = 12
#: What rows become in some load modes only.
_SELDOM = ("rows_superseded", "rows_deleted", "rows_erased")


def ingest(
    table: Annotated[str, typer.Argument(help="A table that files land for, such as `domain.table`.")],
    files: Annotated[list[Path], typer.Argument(help="Delivered files.", exists=True, dir_okay=False)],
    downstream: Annotated[
        bool, typer.Option("--downstream", help="Also rebuild every table made from this one.")
    ] = False,
    lake: output.LakeFolder = None,
    _json: output.Json = False,
) -> None:
    """Take files into raw and staged.

    The same file twice is taken once.
    """
    from lakehouse.contract.load import load_project
    from lakehouse.settings import load_settings

    settings = load_settings(lake=lake)
    project = load_project(settings.project)
    contract = naming.find_table(project, table, landed=True)
    selection = [contract.id.at(Tier.RAW), contract.id]
    if downstream:
        selection += [each.id for each in naming.downstream(project, contract)]
    opened = open_or_create(settings)
    known = _rejected(opened, contract.id)
    with output.talk().status(f"taking {words.plural(len(files), 'file')} into {contract.id} …"):
        from lakehouse.ingest import landing
        from lakehouse.orchestration import runs

        landed = [landing.deliver(opened, contract, file) for file in files]
        report = runs.materialize(settings, selection, runs.ingest_request(settings, {contract.id: landed}))
    rejected = _rejected(opened, contract.id) - known
    document = run_document(report) | {"table": str(contract.id), "files": len(files), "rejected_files": rejected}
    output.emit(document, lambda console: _show(console, report, contract.id, rejected=rejected))
    leave(report, refused=bool(rejected))


def open_or_create(settings: Settings) -> Lake:
    """The lake, made when there is none yet."""
    from lakehouse import storage

    try:
        return storage.open_lake(settings)
    except LakeMissingError:
        output.talk().print(f"making a new lake in {settings.lake}", soft_wrap=True)
        return storage.create_lake(settings)


def leave(report: RunReport | None, *, refused: bool = False) -> None:
    """End the command with 1 when a run could not do its work, and with 3 when something was refused."""
    if report is not None and report.could_not_run:
        raise typer.Exit(output.FAILED)
    output.leave(refused=refused or (report is not None and (not report.success or bool(report.blocked))))


def run_document(report: RunReport) -> dict[str, Any]:
    """A run with stable keys."""
    return {
        "success": report.success,
        "run_id": report.run_id,
        "tables": [
            {"table": str(table), "rows": rows, "figures": dict(report.figures.get(table, {}))}
            for table, rows in report.tables.items()
        ],
        "checks": [
            {
                "table": str(line.table),
                "check": line.name,
                "passed": line.passed,
                "blocking": line.blocking,
                "failed_rows": line.failed_rows,
                "rows": line.rows,
            }
            for line in report.checks
        ],
        "problems": list(report.problems),
    }


def show_problems(console: Console, report: RunReport) -> None:
    """Failed checks and failed steps of a run: all that block, in red, and the warnings with the most rows."""
    failed = [line for line in report.checks if not line.passed]
    shown = set(sorted(failed, key=lambda line: (not line.blocking, -line.failed_rows))[:MOST_WARNINGS])
    for line in failed:
        if line.blocking or line in shown:
            colour, word = ("red", "blocks downstream") if line.blocking else ("yellow", "warning")
            console.print(
                f"  [{colour}]✗[/] {line.table}: [bold]{line.name}[/] failed for {line.failed_rows:,} of {line.rows:,} ({word})",
                soft_wrap=True,
            )
    left = sum(not (line.blocking or line in shown) for line in failed)
    if left:
        console.print(f"  [yellow]✗[/] and {left:,} more warnings, of fewer rows each", soft_wrap=True)
    for problem in report.problems:
        console.print(f"  ✗ {problem}", style="red", markup=False, soft_wrap=True)


def _show(console: Console, report: RunReport, table: TableId, *, rejected: int) -> None:
    figures = report.figures.get(table, {})
    shown = (*_FIGURES, *(name for name in _SELDOM if figures.get(name)))
    parts = [f"{figures.get(name, 0):,} {name.removeprefix('rows_')}" for name in shown]
    mark = "[green]✓[/]" if report.success and not rejected else "[red]✗[/]"
    console.print(f"{mark} {table}: {', '.join(parts)}", soft_wrap=True)
    for other, rows in report.tables.items():
        console.print(f"  {other}: {rows:,} rows")
    if before := figures.get("files_taken_before"):
        console.print(f"  {words.plural(before, 'file')} had been taken before: nothing was read again")
    if rejected:
        console.print(f"  [red]✗[/] {words.plural(rejected, 'file')} rejected: see [bold]lakehouse status[/]")
    show_problems(console, report)
    if figures.get("rows_quarantined"):
        console.print(f"  see [bold]lakehouse quarantine list {table}[/]")


def _rejected(lake: Lake, table: TableId) -> int:
    from lakehouse import storage

    names = (table, table.at(Tier.RAW))
    return sum(storage.batches(lake, name)["state"].to_list().count("rejected") for name in names)
