"""`lakehouse rebuild`: make a staged table, or some of its event months, anew from raw.

Without `--yes` it only says what it would do. The rows that readers see are replaced in one commit.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lakehouse.cli import gating, ingest, naming, output, words
from lakehouse.errors import RefusedError, UsageError
from lakehouse.model import Tier

if TYPE_CHECKING:
    from rich.console import Console

_MONTH = re.compile(r"\d{4}-(0[1-9]|1[0-2])")


def rebuild(  # noqa: PLR0917 - typer reads options from parameters
    table: Annotated[str, typer.Argument(help="A staged table, such as `domain.table`.")],
    first: Annotated[str | None, typer.Option("--from", metavar="MONTH", help="First event month, `2011-03`.")] = None,
    last: Annotated[str | None, typer.Option("--to", metavar="MONTH", help="Last event month, this one too.")] = None,
    drop_lost: Annotated[
        bool, typer.Option("--drop-lost", help="Let go of staged rows of lost batches; see `lakehouse recover`.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without this only the plan is printed.")] = False,
    lake: output.LakeFolder = None,
    _json: output.Json = False,
) -> None:
    """Make a staged table anew from raw.

    As if all of its files were delivered again under today's contract.
    """
    from lakehouse import storage
    from lakehouse.contract.load import load_project
    from lakehouse.ingest.rebuild import lost_rows
    from lakehouse.ingest.rebuild import rebuild as gate_anew
    from lakehouse.settings import load_settings

    months = _months(first, last)
    settings = load_settings(lake=lake)
    project = load_project(settings.project)
    contract = naming.find_table(project, table, landed=True)
    opened = storage.open_lake(settings)
    raw = contract.id.at(Tier.RAW)
    if not storage.exists(opened, raw):
        raise RefusedError("nothing has landed yet", where=str(contract.id), hint="ingest a file first")
    rows = storage.snapshot(opened, raw).rows
    document: dict[str, Any] = {
        "table": str(contract.id),
        "months": months,
        "rows": rows,
        "lost_rows": lost_rows(opened, contract),
        "done": yes,
        "figures": {},
        "run": None,
    }
    if not yes:
        what = "all of it" if months is None else f"the months {months[0]} to {months[-1]}"
        text = f"{contract.id}: would gate {words.plural(rows, 'row')} of raw anew and replace {what} in one commit"
        if document["lost_rows"]:
            text += f"; [red]{words.plural(document['lost_rows'], 'row')} of lost batches would go[/]"
        output.emit(document, lambda console: console.print(f"{text}; do it with [bold]--yes[/]", soft_wrap=True))
        return
    with gating.progress(f"gating {contract.id} anew") as advance:
        report = gate_anew(opened, project, contract, months=months, drop_lost=drop_lost, progress=advance)
    run = gating.judge(settings, [contract])
    counted = gating.figures(report)
    document |= {"figures": counted, "run": ingest.run_document(run)}

    def show(console: Console) -> None:
        gating.show_figures(console, contract, counted)
        ingest.show_problems(console, run)

    output.emit(document, show)
    ingest.leave(run)


def _months(first: str | None, last: str | None) -> list[str] | None:
    if first is None and last is None:
        return None
    if first is None or last is None:
        raise UsageError(
            "`--from` and `--to` belong together", hint="write both, such as `--from 2011-03 --to 2011-05`"
        )
    for month in (first, last):
        if not _MONTH.fullmatch(month):
            raise UsageError(f"`{month}` is not a month", hint="write it as `2011-03`")
    if first > last:
        raise UsageError("the first month is after the last one", hint=f"`--from {last} --to {first}`")
    from lakehouse.storage.layout import months_between

    return months_between(first, last)
