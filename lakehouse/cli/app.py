"""The command line put together: which module answers which command, and how errors end it.

polars, dagster and the lake are imported inside the command that needs them.
"""

from __future__ import annotations

import sys
import traceback

import typer

from lakehouse.cli import (
    apply,
    check,
    consent,
    demo,
    doctor,
    entity,
    explain_access,
    ingest,
    init,
    keys,
    maintain,
    migrate,
    output,
    plan,
    quarantine,
    query,
    raw,
    rebuild,
    recover,
    status,
    tokens,
    verify,
)
from lakehouse.errors import LakehouseError, of_system, withheld

app = typer.Typer(
    name="lakehouse",
    help="A governed lakehouse: contracts in git, enforced everywhere the data goes.",
    epilog="Exit codes: 0 done, 1 could not run, 2 wrong usage, 3 a refusal or an error-level finding, 4 drift.",
    # Help drawn by rich imports markdown and pygments, 0.15 s of the 0.4 s that help may take; plain help needs neither.
    rich_markup_mode=None,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(demo.demo)
app.command()(ingest.ingest)
app.command()(status.status)
app.command()(check.check)
app.command()(plan.plan)
app.command()(apply.apply)
app.command()(rebuild.rebuild)
app.command()(query.query)
app.command()(explain_access.explain_access)
app.add_typer(quarantine.app, name="quarantine")
app.add_typer(raw.app, name="raw")
app.command()(maintain.maintain)
app.command()(migrate.migrate)
app.command()(recover.recover)
keys.app.command("renew-token")(tokens.renew_token)
app.add_typer(keys.app, name="keys")
app.add_typer(entity.app, name="entity")
app.add_typer(consent.app, name="consent")
app.add_typer(verify.app, name="verify")
app.command()(doctor.doctor)
app.command()(init.init)


def run() -> None:
    """Run the command line; an error of ours is one neat message and its exit code, of any other only the way is shown."""
    try:
        app()
    except LakehouseError as error:
        sys.exit(output.report(error))
    except Exception as error:  # noqa: BLE001 - INVARIANT: what Python would print may quote a cell, and output is kept
        told = of_system(error)
        if told is None:
            traceback.print_tb(error.__traceback__)
        sys.exit(output.report(told or withheld(error)))
    except KeyboardInterrupt:
        sys.exit(output.INTERRUPTED)
