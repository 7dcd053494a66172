"""`lakehouse recover`: after a backup of the lake or of the control database was restored, mend what can be mended.

Without `--yes` it only says what is missing. What cannot be mended is said too, never guessed.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lakehouse.cli import output, words

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import Console

    from lakehouse.contract.model import Project
    from lakehouse.settings import Settings
    from lakehouse.storage import Lake
    from lakehouse.storage.restored import Difference

_DATABASE = "control database"


def recover(
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without this only the plan is printed.")] = False,
    lake: output.LakeFolder = None,
    _json: output.Json = False,
) -> None:
    """Mend lake and control database after a backup of one was restored.

    Nobody else may work on the lake meanwhile.
    """
    from lakehouse.contract.load import load_project
    from lakehouse.privacy.mending import mend
    from lakehouse.settings import load_settings
    from lakehouse.storage import read_homes
    from lakehouse.storage.restored import compare

    settings = load_settings(lake=lake)
    project = load_project(settings.project)
    hidden = _put_back(settings, do=yes)
    if hidden and not yes:  # what is hidden is missing to everything that would be asked now
        document: dict[str, Any] = {"lake": settings.lake, "hidden": hidden, "done": False}
        output.emit(document, lambda console: _show_hidden(console, document))
        output.leave(refused=True)
        return
    opened, difference = compare(settings)
    read_homes(opened)
    document = {**_plan(opened, difference), "hidden": hidden, "done": bool(hidden), "keyless": [], "erased": []}
    if difference.older and yes:
        mend(opened, difference)
        document["done"] = True
        read_homes(opened)
    if difference.older is None or yes:
        document["keyless"] = _keyless(opened, project)
        document["erased"] = _erased(opened, project, remove=yes)
    output.emit(document, lambda console: _show(console, document))
    output.leave(refused=bool(document["erased"]))


def _put_back(settings: Settings, *, do: bool) -> list[dict[str, str]]:
    """Files of raw that something lies on top of in their store; with `do`, the committed ones lie on top afterwards."""
    from lakehouse.storage import preserved
    from lakehouse.storage.lake import open_apart

    opened, _, _ = open_apart(settings)
    found = preserved.hidden(opened)
    if do:
        preserved.put_back(opened, found)
    return [{"table": each.table, "file": each.uri} for each in found]


def _plan(lake: Lake, difference: Difference) -> dict[str, Any]:
    from lakehouse.privacy.erasures import logged
    from lakehouse.storage import chain
    from lakehouse.storage.agreement import DATABASE
    from lakehouse.storage.catching_up import lost_batches
    from lakehouse.storage.going_back import gone_batches

    behind = difference.older == DATABASE
    commits = Counter(each.table for each in (difference.unknown if behind else difference.missing))
    batches = lost_batches(difference) if behind else gone_batches(difference)
    erasures = logged(lake, since=difference.heads[chain.ERASURE][1]) if behind else []
    return {
        "lake": lake.root,
        "older": difference.older,
        "generations": dict(zip(("lake", "database"), difference.generations, strict=True)),
        "chains": [
            {"chain": name, "lake": numbers[0], "database": numbers[1]} for name, numbers in difference.heads.items()
        ],
        "commits": [{"table": table, "commits": count} for table, count in sorted(commits.items())],
        "erasures": len(erasures),
        "batches": [
            {"table": table, "batch": number, "rows": rows} for number, (table, rows) in sorted(batches.items())
        ],
    }


def _keyless(lake: Lake, project: Project) -> list[dict[str, Any]]:
    from lakehouse.privacy.keyless import keyless

    return [
        {"table": str(table.id), "batch": batch, "rows": rows}
        for table in project.tables
        if table.sources
        for batch, rows in keyless(lake, table).items()
    ]


def _erased(lake: Lake, project: Project, *, remove: bool) -> list[dict[str, Any]]:
    """Rows of erased entities that an older lake has brought back, and that are still there."""
    from lakehouse.privacy.returned import erased_rows, remove_erased

    found: list[dict[str, Any]] = []
    for table in project.tables:
        rows = erased_rows(lake, table)
        if rows and remove:
            remove_erased(lake, table)
            rows = erased_rows(lake, table)
        if rows:
            found.append({"table": str(table.id), "rows": rows})
    return found


def _show_hidden(console: Console, document: Mapping[str, Any]) -> None:
    mark = "[green]✓[/] put back:" if document["done"] else "[yellow]![/] hidden in their store:"
    count = Counter(each["table"] for each in document["hidden"])
    for table, files in sorted(count.items()):
        console.print(f"{mark} {words.plural(files, 'file')} of {table}", soft_wrap=True)
    if not document["done"]:
        console.print("\nput the committed versions on top again with [bold]--yes[/]", soft_wrap=True)


def _show(console: Console, document: Mapping[str, Any]) -> None:
    if document["hidden"]:
        _show_hidden(console, document)
    if document["older"] is None:
        console.print("[green]✓[/] lake and control database are of one moment: nothing to recover", soft_wrap=True)
    else:
        _show_difference(console, document)
    for key, what in (
        ("keyless", "of raw cannot be opened: their keys are not in the control database"),
        ("erased", "of erased entities came back with the lake: recover with --yes, then rebuild what is left"),
    ):
        rows = document[key]
        if rows:
            console.print()
            console.print(output.grid(f"Rows {what}", ["table", "batch", "#rows"], [_row(each) for each in rows]))
    if document["older"] and not document["done"]:
        console.print("\nstop everything that works on the lake, then do it with [bold]--yes[/]", soft_wrap=True)


def _show_difference(console: Console, document: Mapping[str, Any]) -> None:
    older, generations = document["older"], document["generations"]
    mark = "[green]✓[/] recovered:" if document["done"] else "[yellow]![/]"
    text = f"the {older} is older (generation: lake {generations['lake']}, database {generations['database']})"
    console.print(f"{mark} {text}", soft_wrap=True)
    knows = "does not know" if older == _DATABASE else "does not have"
    for each in document["commits"]:
        console.print(f"  it {knows} {words.plural(each['commits'], 'commit')} of {each['table']}", soft_wrap=True)
    if document["erasures"]:
        count = words.plural(document["erasures"], "erasure")
        console.print(f"  {count} since the backup: their keys are destroyed again", soft_wrap=True)
    if document["batches"]:
        console.print()
        title = "Files to be delivered again"
        rows = [_row(each) for each in document["batches"]]
        console.print(output.grid(title, ["table", "batch", "#rows"], rows))


def _row(each: Mapping[str, Any]) -> list[str]:
    return [each["table"], str(each.get("batch", "")), f"{each['rows']:,}"]
