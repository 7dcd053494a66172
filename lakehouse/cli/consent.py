"""`lakehouse consent`: somebody gives or withdraws consent to a purpose; files of many such statements.

Ids come from standard input or a file, never from the command's words, which other users of the machine can read; and
nothing here prints them.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lakehouse.cli import output, words
from lakehouse.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from lakehouse.contract.model import Project
    from lakehouse.ingest.consent_files import Taken
    from lakehouse.privacy.consent import Said
    from lakehouse.storage import Lake

app = typer.Typer(help="What people have consented to.", no_args_is_help=True)

Entity = Annotated[str, typer.Option("--entity", metavar="TYPE", help="Entity type, such as `client`.")]
Purpose = Annotated[str, typer.Option("--purpose", metavar="PURPOSE", help="A purpose that needs consent.")]
Ids = Annotated[
    Path | None, typer.Option("--ids", metavar="FILE", help="File with ids, one a line; default standard input.")
]
Source = Annotated[str, typer.Option("--source", metavar="WORD", help="Where it was said.")]
Since = Annotated[
    str | None,
    typer.Option(
        "--valid-from", metavar="INSTANT", help="Since when, such as `2026-01-31T12:00:00+01:00`; default now."
    ),
]


@app.callback()
def _group() -> None:
    """What people have consented to."""


@dataclass(frozen=True)
class _Opened:
    lake: Lake
    project: Project
    asks: dict[str, str]


@app.command("give")
def give(
    *,
    entity: Entity,
    purpose: Purpose,
    ids: Ids = None,
    source: Source = "command line",
    valid_from: Since = None,
    expires_on: Annotated[
        str | None, typer.Option("--expires-on", metavar="DAY", help="The last day; default: it lasts.")
    ] = None,
    lake: output.LakeFolder = None,
    _json: output.Json = False,
) -> None:
    """Record that somebody consents; ids come from standard input."""
    _say("given", entity, purpose, ids=ids, source=source, valid_from=valid_from, expires_on=expires_on, lake=lake)


@app.command("withdraw")
def withdraw(
    *,
    entity: Entity,
    purpose: Purpose,
    ids: Ids = None,
    source: Source = "command line",
    valid_from: Since = None,
    lake: output.LakeFolder = None,
    _json: output.Json = False,
) -> None:
    """Record that somebody consents no longer; ids come from standard input. The next query sees it."""
    _say("withdrawn", entity, purpose, ids=ids, source=source, valid_from=valid_from, expires_on=None, lake=lake)


@app.command("load")
def load(lake: output.LakeFolder = None, _json: output.Json = False) -> None:
    """Take the complete files of the landing folder `consent`, and remove them; bad lines stay as `*.bad`."""
    from lakehouse.ingest import consent_files

    opened = _open(lake)
    files = consent_files.waiting(opened.lake, opened.lake.now())
    taken = [consent_files.take(opened.lake, opened.project, file, asks=opened.asks) for file in files]
    document: dict[str, Any] = {
        "files": [
            {
                "file": number,
                "recorded": each.recorded,
                "repeated": each.repeated,
                "bad": [{"line": bad.line, "reason": bad.reason} for bad in each.bad],
            }
            for number, each in enumerate(taken, start=1)
        ]
    }
    output.emit(document, lambda console: _show_files(console, taken))
    output.leave(refused=any(each.bad for each in taken))


def _say(
    said: Said,
    entity: str,
    purpose: str,
    *,
    ids: Path | None,
    source: str,
    valid_from: str | None,
    expires_on: str | None,
    lake: str | None,
) -> None:
    from lakehouse.ingest.consent_files import day, instant
    from lakehouse.privacy import consent

    opened = _open(lake)
    since = instant(valid_from) if valid_from is not None else None
    last = day(expires_on) if expires_on is not None else None
    statements = [consent.Statement(entity, each, purpose, said, source, since, last) for each in _ids(ids)]
    recorded = consent.record(opened.lake, opened.project, statements, asks=opened.asks)
    document = {"entity": entity, "purpose": purpose, "said": said, "recorded": recorded}

    def show(console: Console) -> None:
        console.print(f"[green]✓[/] {words.plural(recorded, 'statement')} recorded: {said} for {purpose}")

    output.emit(document, show)


def _open(lake: str | None) -> _Opened:
    from lakehouse import storage
    from lakehouse.contract.load import load_project
    from lakehouse.policy.load import load_policy
    from lakehouse.privacy import consent
    from lakehouse.settings import load_settings

    settings = load_settings(lake=lake)
    project = load_project(settings.project)
    policy = load_policy(settings.project, project)
    asks = consent.asks_of({name: purpose.consent for name, purpose in policy.purposes.items()})
    return _Opened(storage.open_lake(settings), project, asks)


def _show_files(console: Console, taken: list[Taken]) -> None:
    if not taken:
        console.print("no complete file waits in the landing folder `consent`")
    for number, each in enumerate(taken, start=1):
        mark = "[red]✗[/]" if each.bad else "[green]✓[/]"
        text = "had come before" if each.repeated else f"{words.plural(each.recorded, 'statement')} recorded"
        console.print(f"{mark} file {number}: {text}", soft_wrap=True)
        for bad in each.bad:
            console.print(f"  line {bad.line}: {bad.reason}", soft_wrap=True)
    if any(each.bad for each in taken):
        console.print(
            "bad lines wait in the landing folder `consent`, in files `*.bad`: mend them, then rename the file"
        )


def _ids(file: Path | None) -> list[str]:
    """One id a line.

    Raises:
        UsageError: there is none.
    """
    try:
        text = sys.stdin.read() if file is None else file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise UsageError("the file with the ids cannot be read", where=str(file), hint="UTF-8, an id a line") from None
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        raise UsageError("there is no id", where=str(file or "standard input"), hint="write an id a line")
    return lines
