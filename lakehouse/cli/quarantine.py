"""`lakehouse quarantine`: which rows were set aside, by check and batch, which batches are held, and another try.

Counts only. Values are never printed: raw still has the rows, and reading them is another right.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from lakehouse.cli import gating, ingest, naming, output, words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import Console

    from lakehouse.model import TableId
    from lakehouse.storage import Lake

#: Lines of batches that people are shown.
MOST_BATCHES = 20
app = typer.Typer(help="Rows that failed a check.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Rows that failed a check."""


@app.command("list")
def list_rows(
    table: Annotated[str, typer.Argument(help="A staged table, such as `domain.table`.")],
    lake: output.LakeFolder = None,
    _json: output.Json = False,
) -> None:
    """Count a table's quarantined rows by check and batch, and name the batches that are held."""
    from lakehouse import storage
    from lakehouse.contract.load import load_project
    from lakehouse.ingest import quarantine
    from lakehouse.settings import load_settings

    settings = load_settings(lake=lake)
    contract = naming.find_table(load_project(settings.project), table, landed=True)
    opened = storage.open_lake(settings)
    counts = quarantine.counts(opened, contract.id).sort("check", "batch")
    rows = int(storage.balance(opened, contract.id).rows["quarantined"].sum())
    held = _held(opened, contract.id)
    totals: dict[str, int] = {}
    for check, count in counts.select("check", "rows").iter_rows():
        totals[check] = totals.get(check, 0) + count
    lines: list[dict[str, Any]] = counts.select("batch", "check", "rows").to_dicts()
    document = {
        "table": str(contract.id),
        "rows": rows,
        "checks": [{"check": name, "rows": count} for name, count in totals.items()],
        "batches": lines,
        "held": [{"batch": number, "rows": count, "reason": reason} for number, count, reason in held],
    }

    def show(console: Console) -> None:
        _show_held(console, held)
        if not rows:
            console.print(f"[green]✓[/] no row of {contract.id} is in quarantine")
            return
        console.print(f"{words.plural(rows, 'row')} of {contract.id} in quarantine (a row can fail several checks)\n")
        what = {check.name: check.description for check in contract.checks}
        console.print(
            output.grid(
                None,
                ["check", "#rows", "#batches", "promise"],
                [
                    (
                        name,
                        f"{count:,}",
                        str(counts.filter(counts["check"] == name)["batch"].n_unique()),
                        what.get(name, ""),
                    )
                    for name, count in sorted(totals.items(), key=lambda item: -item[1])
                ],
            )
        )
        _show_batches(console, lines)

    output.emit(document, show)


@app.command("replay")
def replay(
    table: Annotated[str, typer.Argument(help="A staged table, such as `domain.table`.")],
    lake: output.LakeFolder = None,
    _json: output.Json = False,
) -> None:
    """Let rows come in that were set aside, after the contract was mended.

    The table is then as if every file had been delivered under today's contract. Nothing happens when nothing is set
    aside.
    """
    from lakehouse import storage
    from lakehouse.contract.load import load_project
    from lakehouse.ingest.rebuild import replay as gate_anew
    from lakehouse.settings import load_settings

    settings = load_settings(lake=lake)
    project = load_project(settings.project)
    contract = naming.find_table(project, table, landed=True)
    opened = storage.open_lake(settings)
    before = int(storage.balance(opened, contract.id).rows["quarantined"].sum())
    with gating.progress(f"gating {contract.id} anew") as advance:
        report = gate_anew(opened, project, contract, progress=advance)
    counted = gating.figures(report)
    run = gating.judge(settings, [contract]) if report.batches else None
    left = counted["quarantined"] if report.batches else before
    document = {
        "table": str(contract.id),
        "before": before,
        "quarantined": left,
        "figures": counted,
        "run": ingest.run_document(run) if run else None,
    }

    def show(console: Console) -> None:
        if run is None:
            console.print(f"[green]✓[/] nothing of {contract.id} is set aside")
            return
        gating.show_figures(console, contract, counted)
        console.print(f"  in quarantine before: {before:,}, now: {left:,}")
        ingest.show_problems(console, run)

    output.emit(document, show)
    ingest.leave(run)


def _held(lake: Lake, table: TableId) -> list[tuple[int, int, str]]:
    """Batches that a batch check holds: number, rows, why."""
    from lakehouse import storage

    found = storage.batches(lake, table)
    return found.filter(found["state"] == "held").select("number", "rows", "reason").rows()


def _show_batches(console: Console, lines: Sequence[Mapping[str, Any]]) -> None:
    """The batches with most rows set aside, by check."""
    worst = sorted(lines, key=lambda line: -line["rows"])[:MOST_BATCHES]
    shown = [(str(line["batch"]), line["check"], f"{line['rows']:,}") for line in worst]
    console.print()
    console.print(output.grid(None, ["#batch", "check", "#rows"], shown))
    if len(lines) > len(worst):
        console.print(f"[dim]and {len(lines) - len(worst):,} more: --json has all of them[/]")


def _show_held(console: Console, held: Sequence[tuple[int, int, str]]) -> None:
    for number, count, reason in held:
        console.print(
            f"[yellow]![/] batch {number} is held with {words.plural(count, 'row')}: {reason}", soft_wrap=True
        )
    if held:
        console.print(f"  {words.RELEASE}\n", soft_wrap=True)
