"""`lakehouse raw reseal`: seal what raw keeps in clear although the contract does not say so any more.

Without `--yes` it only says what it would do. Raw's rows are written again in one commit, then the old files are deleted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from lakehouse.cli import gating, naming, output, words

if TYPE_CHECKING:
    from rich.console import Console

app = typer.Typer(help="What stands in raw.", no_args_is_help=True)


@app.command("reseal")
def reseal(
    table: Annotated[str, typer.Argument(help="A staged table, such as `domain.table`.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without this only the plan is printed.")] = False,
    lake: output.LakeFolder = None,
    _json: output.Json = False,
) -> None:
    """Seal columns of raw that were wrongly kept clear, and delete the files that show them."""
    from lakehouse import storage
    from lakehouse.contract.load import load_project
    from lakehouse.ingest import reseal as sealing
    from lakehouse.settings import load_settings

    settings = load_settings(lake=lake)
    project = load_project(settings.project)
    contract = naming.find_table(project, table, landed=True)
    opened = storage.open_lake(settings)
    if yes:
        with gating.progress(f"sealing {contract.id} anew") as advance:
            found = sealing.reseal(opened, project, contract, progress=advance)
    else:
        found = sealing.plan(opened, project, contract)
    document: dict[str, Any] = {
        "table": str(contract.id),
        "columns": list(found.columns),
        "rows": found.rows,
        "files": found.files,
        "done": yes,
    }

    def show(console: Console) -> None:
        if not found.columns:
            console.print(f"[green]✓[/] {contract.id}: raw keeps nothing in clear that it should not", soft_wrap=True)
            return
        columns = ", ".join(f"`{name}`" for name in found.columns)
        what = f"{words.plural(found.rows, 'row')} with {columns}, {words.plural(found.files, 'file')}"
        if yes:
            console.print(f"[green]✓[/] {contract.id}: sealed {what} retired", soft_wrap=True)
        else:
            console.print(f"{contract.id}: would seal {what} to retire; do it with [bold]--yes[/]", soft_wrap=True)

    output.emit(document, show)
