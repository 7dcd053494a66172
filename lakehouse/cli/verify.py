"""`lakehouse verify`: check the proofs again. `worm` reads raw's bytes and holds them against the chain.

It opens a lake whose sides do not agree too: that is one of the things it is there to tell.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lakehouse.cli import naming, output, words
from lakehouse.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from rich.console import Console

    from lakehouse.settings import Settings
    from lakehouse.storage import Lake
    from lakehouse.storage.worm import Proof, Published

app = typer.Typer(help="Check the proofs again.", no_args_is_help=True)
_HEAD = re.compile(r"(?:(raw|erasure)[ :])?(\d{1,12})[ :]([0-9a-f]{64})")


@app.callback()
def _group() -> None:
    """Check the proofs again."""


@app.command("worm")
def worm(
    table: Annotated[str | None, typer.Argument(help="A staged table, such as `domain.table`; default all.")] = None,
    since: Annotated[
        int, typer.Option("--since", metavar="ENTRY", min=0, help="Read only what entries behind this one tell of.")
    ] = 0,
    expect_head: Annotated[
        list[str] | None,
        typer.Option(
            "--expect-head",
            metavar="[CHAIN:]NUMBER:HASH",
            help="A head published before, as --print-head printed it; several times for several.",
        ),
    ] = None,
    print_head: Annotated[
        bool, typer.Option("--print-head", help="Print only the heads, to publish them elsewhere.")
    ] = False,
    lake: output.LakeFolder = None,
    _json: output.Json = False,
) -> None:
    """Read raw again, byte for byte, and name the first link of the chain that is broken.

    Writers may be at work meanwhile. Nothing is changed.
    """
    from lakehouse.settings import load_settings
    from lakehouse.storage import worm as proving

    expected = [_published(said) for said in expect_head or ()]
    settings = load_settings(lake=lake)
    opened, beside = proving.open_unjudged(settings)
    with _progress() as advance:
        proof = proving.verify(
            opened, table=_key(settings, opened, table), since=since, expected=expected, progress=advance
        )
    findings = (*beside, *proof.findings)
    document = _document(proof) | {
        "verified": not findings,
        "findings": [output.finding_document(each) for each in findings],
    }

    def show(console: Console) -> None:
        output.show_findings(output.talk() if print_head else console, findings)
        _summary(output.talk() if print_head else console, proof, broken=len(findings))
        if print_head and not findings:  # a broken chain's head is not to be published
            for name, (number, hash_) in proof.heads.items():
                typer.echo(f"{name} {number} {hash_}")

    output.emit(document, show)
    output.leave(refused=bool(findings))


def _published(said: str) -> Published:
    from lakehouse.storage.worm import Published

    found = _HEAD.fullmatch(said.strip())
    if found is None:
        raise UsageError("`--expect-head` is not a head", hint="for example `raw:12:<64 hex digits>`, see --print-head")
    return Published(found[1] or "raw", int(found[2]), found[3])


def _key(settings: Settings, lake: Lake, table: str | None) -> str | None:
    """What the control database calls the raw table."""
    from lakehouse.contract.load import load_project
    from lakehouse.model import Tier

    if table is None:
        return None
    found = naming.find_table(load_project(settings.project), table, landed=True)
    return lake.key(found.id.at(Tier.RAW))


@contextmanager
def _progress() -> Generator[Callable[[int, int], None]]:
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    console = output.talk()
    quiet = not console.is_terminal  # else a log gets an empty line
    with Progress(TextColumn("reading raw again"), *columns, console=console, transient=True, disable=quiet) as bar:
        task = bar.add_task("", total=None)

        def advance(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield advance


def _document(proof: Proof) -> dict[str, Any]:
    tables: Sequence[dict[str, Any]] = [
        {
            "table": each.table,
            "entries": each.entries,
            "files": each.files,
            "bytes": each.bytes,
            "first_broken": None if each.first is None else each.first.message,
        }
        for each in proof.tables
    ]
    return {
        "entries": proof.entries,
        "files": proof.files,
        "bytes": proof.bytes,
        "seconds": round(proof.seconds, 3),
        "heads": [{"chain": name, "number": number, "hash": hash_} for name, (number, hash_) in proof.heads.items()],
        "tables": tables,
    }


def _summary(console: Console, proof: Proof, *, broken: int) -> None:
    rate = f", {words.size(round(proof.bytes / proof.seconds))}/s" if proof.seconds else ""
    read = (
        f"{words.plural(proof.entries, 'entry', 'entries')}, {words.plural(proof.files, 'file')}, "
        f"{words.size(proof.bytes)} in {proof.seconds:.1f} s{rate}"
    )
    if broken:
        console.print(f"[red]✗[/] {words.plural(broken, 'finding')}; looked at {read}", soft_wrap=True)
        for each in proof.tables:
            if each.first is not None:
                console.print(
                    f"  first broken link of {each.table}: {each.first.message}", soft_wrap=True, markup=False
                )
    else:
        console.print(f"[green]✓[/] raw is as it was committed: {read}", soft_wrap=True)
