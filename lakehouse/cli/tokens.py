"""`lakehouse keys renew-token`: a new key for the tokens of a pseudonym domain.

Tables keep the tokens they have until they are made anew: `lakehouse plan` names them, `lakehouse apply` does it.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lakehouse.cli import output
from lakehouse.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console


def renew_token(
    domain: Annotated[str, typer.Argument(help="A pseudonym domain of the contracts, such as `retail.customer`.")],
    lake: output.LakeFolder = None,
    _json: output.Json = False,
) -> None:
    """Make a new key for a pseudonym domain.

    All of its tokens change once `lakehouse apply` has made its tables anew.
    """
    from lakehouse import storage
    from lakehouse.contract.load import load_project
    from lakehouse.privacy import tokens, vault
    from lakehouse.settings import load_settings

    settings = load_settings(lake=lake)
    project = load_project(settings.project)
    opened = storage.open_lake(settings)
    using = {column.pseudonym_domain: None for table in project.tables for column in table.tokenised if table.sources}
    if domain not in using:
        near = difflib.get_close_matches(domain, [each for each in using if each], n=1)
        hint = f"did you mean `{near[0]}`?" if near else f"domains: {', '.join(sorted(each for each in using if each))}"
        raise UsageError(f"no table has tokens of domain `{domain}`", hint=hint)
    version = vault.renew_secret(opened, tokens.secret_name(domain))
    tables = [
        str(table.id)
        for table in project.tables
        if storage.exists(opened, table.id) and any(c.pseudonym_domain == domain for c in table.columns)
    ]
    document: dict[str, Any] = {"domain": domain, "version": version, "tables": tables}

    def show(console: Console) -> None:
        console.print(f"[green]✓[/] pseudonym domain {domain}: key {version}", soft_wrap=True)
        for name in tables:
            console.print(f"  {name} has tokens of an older key")
        console.print("Make them anew: [bold]lakehouse apply[/]")

    output.emit(document, show)
