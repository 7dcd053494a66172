"""`lakehouse maintain`: what is to be done now and then: destroy what is due, merge small files, give space back.

Run it daily. A table that somebody writes just now is left for the next time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from lakehouse.cli import naming, output, words
from lakehouse.errors import LeaseTakenError, PolicyError, RefusedError
from lakehouse.model import Finding, Level, Tier

if TYPE_CHECKING:
    from rich.console import Console

    from lakehouse.settings import Settings
    from lakehouse.storage import Lake


def maintain(
    table: Annotated[str | None, typer.Argument(help="Only this table's files, such as `domain.table`.")] = None,
    lake: output.LakeFolder = None,
    _json: output.Json = False,
) -> None:
    """Destroy keys that are due, merge small files, and give space back."""
    from lakehouse import storage
    from lakehouse.privacy import vault
    from lakehouse.settings import load_settings

    settings = load_settings(lake=lake)
    opened = storage.open_lake(settings)
    findings: list[Finding] = []
    batch_keys = vault.destroy_due(opened, opened.now())
    epochs = _destroy_epochs(opened, findings)
    merged, busy = _merge(opened, settings, table)
    emptied = _empty_copies(opened, settings, findings)
    opened.control.vacuum(_VAULT)
    document: dict[str, Any] = {
        "batch_keys": batch_keys,
        "epochs": list(epochs),
        "merged": merged,
        "busy": busy,
        "emptied": list(emptied),
        "findings": [output.finding_document(each) for each in findings],
    }

    def show(console: Console) -> None:
        console.print(f"[green]✓[/] {words.plural(batch_keys, 'batch key')} destroyed")
        for number in epochs:
            console.print(f"[green]✓[/] epoch {number} destroyed: what it wrapped opens no more, in no backup either")
        for name in merged:
            console.print(f"[green]✓[/] {name}: small files merged")
        for name in busy:
            console.print(f"[yellow]![/] {name}: somebody writes it now; the next run merges its files")
        for name in emptied:
            console.print(f"[green]✓[/] {name}: emptied, no purpose is read from it any more")
        output.show_findings(console, findings)

    output.emit(document, show)
    output.leave(refused=bool(findings))


def _empty_copies(lake: Lake, settings: Settings, findings: list[Finding]) -> tuple[str, ...]:
    from lakehouse.contract.load import load_project
    from lakehouse.policy.load import load_policy
    from lakehouse.serving.copying import empty_obsolete

    project = load_project(settings.project)
    try:
        return empty_obsolete(lake, project, load_policy(settings.project, project))
    except PolicyError as error:  # nobody can say which copies are wanted
        findings.extend(error.findings)
        return ()


#: Where a deleted key's row lies until PostgreSQL's vacuum takes it.
_VAULT = ("data_key", "batch_key", "period_key", "entity", "secret", "epoch")


def _destroy_epochs(lake: Lake, findings: list[Finding]) -> tuple[int, ...]:
    from lakehouse.privacy import rotation

    try:
        return rotation.destroy_due(lake)
    except RefusedError as error:  # people must take the key away first
        findings.append(Finding("epoch", Level.ERROR, error.where or lake.root, error.message, error.hint))
        return ()


def _merge(lake: Lake, settings: Settings, name: str | None) -> tuple[list[str], list[str]]:
    """Tables whose small files were merged, and those that are being written."""
    from lakehouse import storage
    from lakehouse.contract.load import load_project

    project = load_project(settings.project)
    tables = project.tables if name is None else [naming.find_table(project, name)]
    merged: list[str] = []
    busy: list[str] = []
    for table in tables:
        try:
            if storage.merge_tail(lake, table) is not None:
                merged.append(str(table.id))
            raw = table.id.at(Tier.RAW)
            if table.sources and storage.exists(lake, raw):
                with storage.lease(lake, raw, holder="maintain"):  # locks of retired files may have ended
                    storage.delete_retired(lake, raw)
        except LeaseTakenError:
            busy.append(str(table.id))
    return merged, busy
