"""`lakehouse migrate`: bring the control database of an older lake to this program's revision."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lakehouse.cli import output

if TYPE_CHECKING:
    from rich.console import Console


def migrate(lake: output.LakeFolder = None, _json: output.Json = False) -> None:
    """Bring the control database to this program's revision. Back it up first."""
    from lakehouse import storage
    from lakehouse.settings import load_settings

    settings = load_settings(lake=lake)
    before, after = storage.migrate_lake(settings)

    def show(console: Console) -> None:
        if before == after:
            console.print(f"[green]✓[/] the control database has revision {after} already")
        else:
            console.print(f"[green]✓[/] the control database went from revision {before} to {after}")

    output.emit({"lake": settings.lake, "before": before, "after": after}, show)
