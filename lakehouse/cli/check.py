"""`lakehouse check`: what is wrong in the contracts, all of it at once.

Findings go to stdout, because they are the result; error-level findings end with exit code 3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lakehouse.cli import output, words
from lakehouse.model import Level

if TYPE_CHECKING:
    from rich.console import Console


def check(_json: output.Json = False) -> None:
    """Check contracts: every mistake, with file and line."""
    from lakehouse.contract.load import find_mistakes, load_project
    from lakehouse.settings import load_settings

    root = load_settings().project
    findings = find_mistakes(root)
    errors = [finding for finding in findings if finding.level is Level.ERROR]
    tables = () if errors else load_project(root).tables
    document = {
        "project": root,
        "tables": len(tables),
        "checks": sum(len(table.checks) for table in tables),
        "errors": len(errors),
        "warnings": len(findings) - len(errors),
        "findings": [output.finding_document(finding) for finding in findings],
    }

    def show(console: Console) -> None:
        output.show_findings(console, findings)
        if errors:
            console.print(f"[red]✗[/] {words.plural(len(errors), 'error')} in the contracts of {root}")
        else:
            what = f"{words.plural(len(tables), 'table')}, {words.plural(int(str(document['checks'])), 'check')}"
            console.print(f"[green]✓[/] contracts of {root}: {what}, nothing wrong")

    output.emit(document, show)
    output.leave(refused=bool(errors))
