"""`lakehouse status`: what is in the lake, how fresh it is, and what was set aside.

The tables drawn here also end the demo's summary.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.markup import escape
from rich.text import Text

from lakehouse.cli import output, words
from lakehouse.model import Tier

if TYPE_CHECKING:
    from rich.console import Console

    from lakehouse.cli.survey import LandingState, Survey, TableState

_TIER_COLOURS = {Tier.RAW: "magenta", Tier.STAGED: "cyan", Tier.CURATED: "green", Tier.FEATURES: "yellow"}


def status(lake: output.LakeFolder = None, _json: output.Json = False) -> None:
    """Show tables, rows, freshness and quarantine.

    Also rejected and waiting files, and where every landed row is.
    """
    from lakehouse import storage
    from lakehouse.cli.survey import survey
    from lakehouse.contract.load import load_project
    from lakehouse.settings import load_settings

    settings = load_settings(lake=lake)
    found = survey(storage.open_lake(settings), load_project(settings.project))

    def show(console: Console) -> None:
        console.print(f"[bold]Lake[/] {found.root} [dim]({found.environment}, {found.lake[:8]})[/]\n")
        show_tables(console, found)
        console.print()
        show_landings(console, found)
        if found.empty_domains:
            console.print(f"\n[dim]nothing has landed yet for: {', '.join(found.empty_domains)}[/]", soft_wrap=True)

    output.emit(found.document(), show)


def show_tables(console: Console, found: Survey) -> None:
    """Every table with rows, files, size, version, age and whether it may be used downstream."""
    headings = ["tier", "table", "#rows", "#files", "#size", "#v", "#age", "checks"]
    console.print(output.grid(None, headings, [_table_row(state) for state in found.tables]))


def show_landings(console: Console, found: Survey) -> None:
    """What became of every landed row, as the sum that the ledger keeps, and the quarantine by check."""
    for state in found.landings:
        _show_ledger(console, state)
    rows = [
        (f"{state.table.domain}.{state.table.table}", check, f"{count:,}")
        for state in found.landings
        for check, count in state.quarantine.items()
    ]
    if rows:
        console.print()
        console.print(output.grid("Quarantine", ["table", "failed check", "#rows"], rows))


def _table_row(state: TableState) -> list[str | Text]:
    tier = Text(state.table.tier.value, _TIER_COLOURS[state.table.tier])
    name = f"{state.table.domain}.{state.table.table}"
    if state.rows is None:
        return [tier, name, "-", "-", "-", "-", "-", "-"]
    if state.table.tier is Tier.RAW:
        checks = Text("")
    else:
        checks = Text("✓", "green") if state.blocked is None else Text(f"✗ {state.blocked}", "red")
    figures = [f"{state.rows:,}", f"{state.files:,}", words.size(state.bytes), str(state.version)]
    return [tier, name, *figures, words.age(state.age_seconds), checks]


def _show_ledger(console: Console, state: LandingState) -> None:
    places = {name: count for name, count in state.places.items() if name != "read" and (count or name == "staged")}
    total = " + ".join(f"{count:,} {name}" for name, count in places.items())
    mark = "[green]✓ balanced[/]" if not state.unbalanced else "[red]✗ unbalanced[/]"
    name = f"{state.table.domain}.{state.table.table}"
    console.print(
        f"[bold]{name}[/]  {words.plural(state.batches, 'file')}, {state.places['read']:,} rows read", soft_wrap=True
    )
    console.print(f"  = {total}  {mark}", soft_wrap=True)
    for note in _notes(state):
        console.print(f"  [yellow]![/] {escape(note)}", soft_wrap=True)


def _notes(state: LandingState) -> list[str]:
    found: list[str] = []
    if state.rejected:
        found.append(f"{words.plural(state.rejected, 'file')} rejected")
    if state.held:
        found.append(f"{words.plural(state.held, 'batch', 'batches')} held by a batch check: {words.RELEASE}")
    if state.lost:
        found.append(f"{words.plural(state.lost, 'batch', 'batches')} lost with a restored database: {words.AGAIN}")
    found += [f"{words.plural(count, 'file')}: {reason}" for reason, count in state.reasons.items()]
    found += [f"drift: {count:,} {decided}" for decided, count in state.drift.items()]
    if state.waiting_files:
        found.append(f"{words.plural(state.waiting_files, 'file')} waiting in the landing folder")
    return found
