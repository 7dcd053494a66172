"""How the command line speaks: a result on stdout as a table or one JSON document, everything else on stderr.

Errors of ours are printed as what, where and how to mend; with `--json` they are a document too. Nothing here knows a
command.
"""

from __future__ import annotations

import json
from contextvars import ContextVar
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from lakehouse.errors import ContractError, LakehouseError, PolicyError
from lakehouse.model import Level

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from lakehouse.model import Finding

#: Exit codes, ARCHITECTURE.md section 5; the shell's own for Ctrl-C.
DONE, FAILED, USAGE, REFUSED, DRIFTED, INTERRUPTED = 0, 1, 2, 3, 4, 130

_as_json: ContextVar[bool] = ContextVar("as_json", default=False)


def _choose(value: bool) -> bool:
    _as_json.set(value)
    return value


Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON document instead of tables.", callback=_choose, is_eager=True)
]
LakeFolder = Annotated[
    str | None,
    typer.Option("--lake", metavar="DIR", help="The lake to use; default LAKEHOUSE_LAKE, else `.lake` in the project."),
]


def as_json() -> bool:
    """Whether the command was asked for JSON."""
    return _as_json.get()


def talk() -> Console:
    """The console for progress and notices."""
    return Console(stderr=True, highlight=False)


def emit(document: Mapping[str, Any], show: Callable[[Console], None]) -> None:
    """Print the result: the document with `--json`, else what `show` prints."""
    if as_json():
        typer.echo(json.dumps(document, indent=2, default=_plain, ensure_ascii=False))
    else:
        show(Console(highlight=False))


def leave(*, refused: bool) -> None:
    """End the command with 3 when something was refused."""
    if refused:
        raise typer.Exit(REFUSED)


def leave_drifted(drifted: bool) -> None:
    """End the command with 4 when the lake is not what the project says."""
    if drifted:
        raise typer.Exit(DRIFTED)


def report(error: LakehouseError) -> int:
    """Print an error of ours; returns the exit code."""
    findings = error.findings if isinstance(error, ContractError | PolicyError) else ()
    if as_json():
        what = {"message": error.message, "where": error.where, "hint": error.hint, "exit_code": error.exit_code}
        document = {"error": what, "findings": [finding_document(each) for each in findings]}
        typer.echo(json.dumps(document if findings else {"error": what}, indent=2, default=_plain, ensure_ascii=False))
        return error.exit_code
    console = talk()
    if findings:
        show_findings(console, findings)
        return error.exit_code
    place = Text(f"{error.where}: ", "bold") if error.where else Text()
    console.print(Text("error: ", "bold red"), place, error.message, sep="", soft_wrap=True, markup=False)
    if error.hint:
        console.print(Text("  hint: ", "cyan") + Text(error.hint), soft_wrap=True)
    return error.exit_code


def show_findings(console: Console, findings: Sequence[Finding]) -> None:
    """Findings as compilers print them, `file:line` first."""
    for finding in findings:
        colour = "red" if finding.level is Level.ERROR else "yellow"
        line = f"[bold]{escape(finding.where)}[/]: [{colour}]{finding.level}[/]: {escape(finding.message)}"
        console.print(f"{line} [dim]\\[{finding.code}][/]", soft_wrap=True)
        if finding.hint:
            console.print(f"  [cyan]hint:[/] {escape(finding.hint)}", soft_wrap=True)


def finding_document(finding: Finding) -> dict[str, str | None]:
    """A finding with stable keys."""
    return {
        "code": finding.code,
        "level": finding.level.value,
        "where": finding.where,
        "message": finding.message,
        "hint": finding.hint,
    }


def grid(title: str | None, columns: Sequence[str], rows: Iterable[Sequence[str | Text]]) -> Table:
    """A table; columns whose heading starts with `#` are numbers."""
    made = Table(
        title=title, title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0), header_style="dim"
    )
    for place, column in enumerate(columns):
        number = column.startswith("#")
        fixed = number or place < len(columns) - 1
        made.add_column(column.removeprefix("#"), justify="right" if number else "left", no_wrap=fixed)
    for row in rows:
        made.add_row(*row)
    return made


def _plain(value: object) -> str:
    """Dates, paths and table ids as text."""
    isoformat = getattr(value, "isoformat", None)
    return str(isoformat() if callable(isoformat) else value)
