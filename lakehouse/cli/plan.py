"""`lakehouse plan`: what the contracts mean for the lake as it is, table by table, before anything is done.

Exit 4 when something is to be applied: the lake stands under other contracts than the project's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.markup import escape

from lakehouse.cli import output, words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from lakehouse.ingest.migration import Step

_COLOURS = {"nothing": "dim", "metadata": "green", "replay": "yellow", "rebuild": "yellow", "refresh": "cyan"}


def plan(lake: output.LakeFolder = None, _json: output.Json = False) -> None:
    """Show what changed contracts mean for the lake.

    Nothing is changed; `lakehouse apply` does what is shown.
    """
    from lakehouse import storage
    from lakehouse.contract.load import load_project
    from lakehouse.ingest import migration
    from lakehouse.settings import load_settings

    settings = load_settings(lake=lake)
    steps = migration.plan(storage.open_lake(settings), load_project(settings.project))
    drift = migration.drift(steps)
    output.emit({"drift": drift, "tables": documents(steps)}, lambda console: show(console, steps, drift=drift))
    output.leave_drifted(drift)


def documents(steps: Sequence[Step]) -> list[dict[str, Any]]:
    """Steps with stable keys."""
    return [
        {
            "table": str(step.table.id),
            "effect": step.effect.value,
            "rows": step.rows,
            "changes": [
                {"kind": c.kind.value, "effect": c.effect.value, "subject": c.subject, "text": c.text}
                for c in step.changes
            ],
        }
        for step in steps
    ]


def show(console: Console, steps: Sequence[Step], *, drift: bool) -> None:
    """Each table with what happens to it, and why."""
    for step in steps:
        colour = _COLOURS[step.effect.value]
        console.print(f"[bold]{step.table.id}[/]  [{colour}]{_meaning(step)}[/]", soft_wrap=True)
        for change in step.changes:
            effect = "" if change.effect is step.effect else f" [dim]({change.effect.value})[/]"
            console.print(f"  {change.kind.value}: {escape(change.text)}{effect}", soft_wrap=True)
    if drift:
        console.print("\nthe lake stands under other contracts: [bold]lakehouse apply[/] does the above")
    else:
        console.print("[green]✓[/] the lake stands under the project's contracts")


def _meaning(step: Step) -> str:
    rows = words.plural(step.rows, "row")
    return {
        "nothing": "nothing to do",
        "metadata": f"metadata only, {rows} stay as they are",
        "replay": f"rows that were set aside are looked at again: {rows} of raw are gated anew, swapped in one commit",
        "rebuild": f"{rows} of raw are gated anew into a new generation, swapped in one commit",
        "refresh": f"its model makes it anew ({rows} now)",
    }[step.effect.value]
