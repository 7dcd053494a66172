"""`lakehouse entity merge`: two ids turn out to be one entity.

The ids come from standard input or a file, never from the command's words, which other users of the machine can read; and
nothing here prints them.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lakehouse.cli import gating, ingest, output, words
from lakehouse.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from lakehouse.ingest.merged import Handover
    from lakehouse.orchestration.runs import RunReport

app = typer.Typer(help="Whose rows they are.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Whose rows they are."""


@app.command("merge")
def merge(
    entity: Annotated[str, typer.Argument(metavar="TYPE", help="The entities' type, such as `customer`.")],
    ids: Annotated[
        Path | None, typer.Option("--ids", metavar="FILE", help="File with the two ids; default standard input.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without this only the plan is printed.")] = False,
    lake: output.LakeFolder = None,
    _json: output.Json = False,
) -> None:
    """Let the rows of one id be another's.

    Reads two lines: the id that gives way, and the one that stays.
    """
    from lakehouse import storage
    from lakehouse.contract.load import load_project
    from lakehouse.ingest import merged
    from lakehouse.settings import load_settings

    settings = load_settings(lake=lake)
    project = load_project(settings.project)
    opened = storage.open_lake(settings)
    handover = merged.plan(opened, project, entity, _ids(ids))
    tables = [{"table": str(table.id), "rows": rows} for table, rows in handover.rows]
    document: dict[str, Any] = {
        "entity": entity,
        "merged": handover.pair.one or yes,
        "tables": tables,
        "done": yes,
        "run": None,
    }
    run = None
    if yes:
        with gating.progress("merging") as advance:
            merged.apply(opened, project, handover, progress=lambda _, rows, of: advance(rows, of))
        if handover.rows:
            run = gating.judge(settings, [table for table, _ in handover.rows])
            document["run"] = ingest.run_document(run)

    output.emit(document, lambda console: _show(console, handover, run, yes=yes))
    ingest.leave(run)


def _show(console: Console, handover: Handover, run: RunReport | None, *, yes: bool) -> None:
    if not handover.rows and handover.pair.one:
        console.print(f"[green]✓[/] the two are one {handover.pair.entity} already")
        return
    for table, rows in handover.rows:
        what = words.plural(rows, "row")
        text = f"{what} became the other's, made anew" if yes else f"{what} would become the other's, made anew"
        console.print(f"{'[green]✓[/] ' if yes else ''}{table.id}: {text}", soft_wrap=True)
    if not yes:
        console.print(f"The two would be one {handover.pair.entity} for ever; do it with [bold]--yes[/].")
    if run is not None:
        ingest.show_problems(console, run)


def _ids(file: Path | None) -> tuple[str, str]:
    """Two lines.

    Raises:
        UsageError: there are not two.
    """
    try:
        text = sys.stdin.read() if file is None else file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise UsageError("the file with the ids cannot be read", where=str(file), hint="UTF-8, two lines") from None
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) != 2:  # noqa: PLR2004
        hint = "two lines: the id that gives way, then the one that stays"
        raise UsageError(f"there are {len(lines)} ids", where=str(file or "standard input"), hint=hint)
    return lines[0], lines[1]
