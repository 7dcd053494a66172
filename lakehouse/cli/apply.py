"""`lakehouse apply`: let the lake stand under the project's contracts, doing what `lakehouse plan` shows.

Whoever is interrupted runs it again: what is done is found done. Tables that models make are built again by a Dagster run
in this process, after the tables they read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lakehouse.cli import gating, ingest, output
from lakehouse.model import Tier

if TYPE_CHECKING:
    from rich.console import Console


def apply(lake: output.LakeFolder = None, _json: output.Json = False) -> None:
    """Apply changed contracts to the lake."""
    from lakehouse import storage
    from lakehouse.cli import plan as planning
    from lakehouse.contract.change import Effect
    from lakehouse.contract.load import load_project
    from lakehouse.ingest import migration
    from lakehouse.settings import load_settings

    settings = load_settings(lake=lake)
    project = load_project(settings.project)
    opened = storage.open_lake(settings)
    renamed = migration.rename(opened, project)
    steps = migration.plan(opened, project)
    for step in steps:
        with gating.progress(f"applying the contract of {step.table.id}") as advance:
            migration.apply(opened, project, step, progress=advance)
    # Readers of a staged table ask for the verdict on its present version; a run that died may have left one out.
    staged = [t for t in project.tables if t.id.tier is Tier.STAGED and t.sources and storage.exists(opened, t.id)]
    gated = [table for table in staged if not storage.is_judged(opened, table.id)]
    built = [step.table for step in steps if step.effect is Effect.REFRESH]
    run = gating.judge(settings, gated, built) if gated or built else None
    document = {
        "renamed": list(renamed),
        "tables": planning.documents(steps),
        "run": ingest.run_document(run) if run else None,
    }

    def show(console: Console) -> None:
        for name in renamed:
            console.print(f"[green]✓[/] {name} has another name now", soft_wrap=True)
        for step in steps:
            console.print(f"[green]✓[/] {step.table.id}: {step.effect.value}", soft_wrap=True)
        if not renamed and not steps:
            console.print("[green]✓[/] nothing to apply: the lake stands under the project's contracts")
        if run is not None:
            ingest.show_problems(console, run)

    output.emit(document, show)
    ingest.leave(run)
