"""What commands share that gate rows anew: a progress bar, the verdict afterwards, and what became of the rows.

The rows are gated in this process; the verdict that downstream tables ask for is a Dagster run, as after an ingest.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from lakehouse.cli import output, words

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from rich.console import Console

    from lakehouse.contract.model import Table
    from lakehouse.ingest.report import IngestReport
    from lakehouse.orchestration.runs import RunReport
    from lakehouse.settings import Settings

_FIGURES = ("staged", "quarantined", "duplicate", "conflict", "superseded", "deleted", "erased")


@contextmanager
def progress(what: str) -> Generator[Callable[[int, int], None]]:
    """A bar on stderr; call what is given with rows done and all rows."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=output.talk(), transient=True) as bar:
        task = bar.add_task(what, total=None)

        def advance(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield advance


def judge(settings: Settings, gated: Sequence[Table], built: Sequence[Table] = ()) -> RunReport:
    """Let the checks of gated tables pass their verdict, and models make theirs; no waiting file is taken."""
    from lakehouse.model import Tier
    from lakehouse.orchestration import runs

    selection = [table.id.at(tier) for table in gated for tier in (Tier.RAW, Tier.STAGED)]
    request = runs.ingest_request(settings, {table.id: [] for table in gated})
    with output.talk().status("judging the new version …"):
        return runs.materialize(settings, [*selection, *(table.id for table in built)], request)


def figures(report: IngestReport) -> dict[str, Any]:
    """What became of all rows."""
    counted = {name: sum(getattr(batch, name, 0) for batch in report.batches) for name in _FIGURES}
    held = sum(batch.state == "held" for batch in report.batches)
    return {"batches": len(report.batches), "held": held, "rows": sum(b.rows for b in report.batches), **counted}


def show_figures(console: Console, table: Table, counted: dict[str, Any]) -> None:
    """One line of what became of the rows."""
    parts = [f"{counted[name]:,} {name}" for name in _FIGURES if counted[name] or name == "staged"]
    rows = words.plural(counted["rows"], "row")
    console.print(f"[green]✓[/] {table.id}: {rows} of raw gated anew, {', '.join(parts)}", soft_wrap=True)
    if counted["held"]:
        console.print(f"  [yellow]![/] {words.plural(counted['held'], 'batch', 'batches')} held: {words.RELEASE}")
