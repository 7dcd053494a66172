"""`lakehouse keys`: wrap all keys anew, copy the key file, and see that everything opens.

No key is ever printed.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lakehouse.cli import gating, output, words
from lakehouse.errors import RefusedError

if TYPE_CHECKING:
    from rich.console import Console

    from lakehouse.privacy.verification import EpochState
    from lakehouse.settings import Settings

app = typer.Typer(help="The keys that everything personal is sealed under.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """The keys that everything personal is sealed under."""


@app.command("rotate")
def rotate(
    yes: Annotated[bool, typer.Option("--yes", help="Do it.")] = False,
    lake: output.LakeFolder = None,
    _json: output.Json = False,
) -> None:
    """Open a new epoch, wrap all keys by it, and schedule the old one's destruction.

    Readers and writers go on. Whoever is interrupted runs it again. Without --yes it only says what it would do.
    """
    from lakehouse import storage
    from lakehouse.privacy import epochs, rotation
    from lakehouse.settings import load_settings

    opened = storage.open_lake(load_settings(lake=lake))
    present = epochs.current(opened).number
    document: dict[str, Any] = {"epoch": present, "done": yes, "rewrapped": 0, "resumed": False}
    if yes:
        with gating.progress("wrapping keys anew") as advance:
            done = rotation.rotate(opened, advance)
        document |= {"epoch": done.epoch, "rewrapped": done.rewrapped, "resumed": done.resumed}
    due = rotation.scheduled(opened)
    document |= {"backup_days": opened.backup_days}
    document |= {"scheduled": [{"epoch": number, "destroy_after": at} for number, at in sorted(due.items())]}

    def show(console: Console) -> None:
        if not yes:
            console.print(f"Epoch {present} would be followed by a new one, and all keys wrapped by that.")
            console.print(f"Epoch {present} would be destroyed {words.plural(opened.backup_days, 'day')} later.")
            console.print("Run it with [bold]--yes[/].")
            return
        console.print(
            f"[green]✓[/] epoch {document['epoch']}: {words.plural(document['rewrapped'], 'key')} wrapped anew"
        )
        for number, at in sorted(due.items()):
            console.print(f"  epoch {number} is destroyed by `lakehouse maintain` after {at:%Y-%m-%d %H:%M} UTC")
        console.print("  Back the keys up now: [bold]lakehouse keys backup FILE[/]")

    output.emit(document, show)


@app.command("backup")
def backup(
    file: Annotated[Path, typer.Argument(help="The new file; put it where neither lake nor database is.")],
    lake: output.LakeFolder = None,
    _json: output.Json = False,
) -> None:
    """Copy the key file to a new file of mode 0600."""
    from lakehouse.settings import load_settings

    settings = load_settings(lake=lake)
    versions = _copy_keys(settings, file)
    document = {"file": str(file) if settings.kek is None else None, "versions": versions}

    def show(console: Console) -> None:
        if settings.kek is None:
            console.print(f"[green]✓[/] {words.plural(len(versions), 'key version')} in {file}")
            console.print("  A copy opens everything: keep it apart from lake and control database.")
            return
        console.print("The keys come from LAKEHOUSE_KEK: there is no file to copy.")
        console.print("Back them up where the secret is kept.")

    output.emit(document, show)


@app.command("verify")
def verify(
    at_most: Annotated[
        int | None, typer.Option("--at-most", metavar="N", min=1, help="Look at N keys of each kind; default all.")
    ] = None,
    lake: output.LakeFolder = None,
    _json: output.Json = False,
) -> None:
    """See that every epoch and every wrapped key opens."""
    from lakehouse import storage
    from lakehouse.privacy import verification
    from lakehouse.settings import load_settings

    opened = storage.open_lake(load_settings(lake=lake))
    with output.talk().status("opening keys …"):
        found = verification.verify(opened, at_most=at_most)
    document = {
        "verified": not found.findings,
        "keys": found.looked_at,
        "epochs": [_epoch(each) for each in found.epochs],
        "findings": [output.finding_document(each) for each in found.findings],
    }

    def show(console: Console) -> None:
        columns = ["epoch", "state", "#secrets", "#period keys", "#batch keys", "#data keys", "destroyed after"]
        if found.epochs:
            console.print(output.grid(None, columns, [_line(each) for each in found.epochs]))
        output.show_findings(console, found.findings)
        if not found.findings:
            console.print(f"[green]✓[/] {words.plural(found.looked_at, 'wrapped key')} opened")

    output.emit(document, show)
    output.leave(refused=bool(found.findings))


def _copy_keys(settings: Settings, file: Path) -> list[int]:
    from lakehouse.privacy import kek

    if settings.kek is not None:
        return kek.SecretText(settings.kek).versions()
    holder = kek.KeyFile(settings.key_file)
    versions = holder.versions()
    if not versions:
        hint = "a new lake makes it when it first needs a key; if a lake has one already, restore it from its backup"
        raise RefusedError("there is no key file", where=str(settings.key_file), hint=hint)
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        hint = "choose another name; an old backup may be the only one"
        raise RefusedError("is there already and is not overwritten", where=str(file), hint=hint) from None
    except OSError as error:
        hint = "name a new file in a folder that you may write to"
        raise RefusedError(f"cannot be written ({error.strerror})", where=str(file), hint=hint) from None
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(settings.key_file.read_bytes())
        stream.flush()
        os.fsync(stream.fileno())
    return versions


def _epoch(state: EpochState) -> dict[str, Any]:
    return {
        "number": state.number,
        "state": state.state,
        "provider_version": state.provider_version,
        "opened_at": state.opened_at,
        "destroy_after": state.destroy_after,
        "keys": state.keys,
    }


def _line(state: EpochState) -> list[str]:
    due = "" if state.destroy_after is None else f"{state.destroy_after:%Y-%m-%d %H:%M}"
    counts = [f"{state.keys[kind]:,}" for kind in ("secret", "period_key", "batch_key", "data_key")]
    return [str(state.number), state.state, *counts, due]
