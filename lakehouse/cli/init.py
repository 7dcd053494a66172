"""`lakehouse init`: a new domain's contract and access policy out of one delivered file.

What is guessed is marked `# review` in the file. Nothing that exists is overwritten.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lakehouse.cli import output, words
from lakehouse.errors import RefusedError

if TYPE_CHECKING:
    from rich.console import Console


def init(
    domain: Annotated[str, typer.Argument(help="Name of the new domain, such as `sales`.")],
    source: Annotated[
        Path, typer.Option("--from", metavar="FILE", exists=True, dir_okay=False, help="A delivered CSV file.")
    ],
    _json: output.Json = False,
) -> None:
    """Write a contract and an access policy for a new domain, guessed from a file.

    Types, key, event time and personal columns are guessed and marked for review.
    """
    from lakehouse.contract.load import FILE, load_contract
    from lakehouse.contract.scaffold import scaffold
    from lakehouse.settings import load_settings

    root = load_settings().project
    files = scaffold(domain, source, access=(root / "policies/platform.yaml").exists())
    for name in files:
        if (root / name).exists():
            raise RefusedError(
                "is there already and is not overwritten", where=name, hint="choose another domain, or move the file"
            )
    for name, text in files.items():
        place = root / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8")
    reviews = {name: text.count("# review") for name, text in files.items()}
    tables = [
        f"{domain}.{table.id.table}"
        for name in files
        if name.endswith(FILE)
        for table in load_contract(root / name).tables
    ]

    def show(console: Console) -> None:
        for name, count in reviews.items():
            console.print(f"[green]✓[/] wrote {name}, {words.plural(count, 'guess', 'guesses')} to review")
        console.print("\nNext: read the lines marked `# review`, then")
        console.print("  [bold]lakehouse check[/]")
        for table in tables:
            console.print(f"  [bold]lakehouse ingest {table} {source}[/]")

    output.emit(
        {"domain": domain, "tables": tables, "files": [{"path": n, "reviews": c} for n, c in reviews.items()]}, show
    )
