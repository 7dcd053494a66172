"""`lakehouse check`: what is wrong in contracts and policies, all of it at once, and what changes since a revision break.

Findings go to stdout, because they are the result; error-level findings and broken compatibility end with exit code 3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from lakehouse.cli import output, words
from lakehouse.model import Level

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from rich.console import Console

    from lakehouse.contract.compatibility import Verdict
    from lakehouse.contract.model import Project, Table
    from lakehouse.model import Finding
    from lakehouse.policy.load import Examined

_SPELLED = {"full": "compatible", "backward": "backward only", "forward": "forward only", "none": "incompatible"}


def check(
    against: Annotated[
        str | None, typer.Option("--against", metavar="REV", help="Also class the changes since a git revision.")
    ] = None,
    _json: output.Json = False,
) -> None:
    """Check contracts and policies: every mistake, with file and line, and every policy test."""
    from lakehouse.contract.load import find_mistakes, load_project
    from lakehouse.policy.load import examine
    from lakehouse.settings import load_settings

    root = load_settings().project
    findings = find_mistakes(root)
    project = None if _errors(findings) else load_project(root)
    policies = examine(root, project)
    findings += policies.findings
    if project is not None:
        findings += _derived(project, policies)
    errors = _errors(findings)
    tables = project.tables if project is not None and not errors else ()
    verdicts = _verdicts(root, tables, against) if against is not None and not errors else ()
    broken = [verdict for verdict in verdicts if verdict.broken]
    document = {
        "project": root,
        "tables": len(tables),
        "checks": sum(len(table.checks) for table in tables),
        "policy": _counts(policies),
        "errors": len(errors),
        "warnings": len(findings) - len(errors),
        "findings": [output.finding_document(finding) for finding in findings],
        "against": against,
        "broken": len(broken),
        "compatibility": [_document(verdict) for verdict in verdicts],
    }

    def show(console: Console) -> None:
        output.show_findings(console, findings)
        if errors:
            console.print(f"[red]✗[/] {words.plural(len(errors), 'error')} in the contracts and policies of {root}")
        else:
            _show_sound(console, document)
        if against is not None and not errors:
            _show(console, verdicts, against)

    output.emit(document, show)
    output.leave(refused=bool(errors or broken))


def _errors(findings: Iterable[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.level is Level.ERROR]


def _counts(examined: Examined) -> dict[str, int]:
    policy, tests = examined.policy, examined.tests
    return {
        "purposes": len(policy.purposes),
        "grants": len(policy.grants),
        "ceilings": len(policy.ceilings) + len(policy.row_ceilings),
        "tests_passed": tests.passed,
        "tests_failed": tests.failed,
    }


def _show_sound(console: Console, document: Mapping[str, Any]) -> None:
    """What was looked at, when nothing is wrong."""
    what = f"{words.plural(document['tables'], 'table')}, {words.plural(document['checks'], 'check')}"
    console.print(f"[green]✓[/] contracts of {document['project']}: {what}, nothing wrong")
    counts = document["policy"]
    if not counts["purposes"]:
        console.print("[green]✓[/] policies: no purpose, so nothing can be read")
        return
    rules = (("purposes", "purpose"), ("grants", "grant"), ("ceilings", "ceiling"), ("tests_passed", "test"))
    console.print(
        f"[green]✓[/] policies: {', '.join(words.plural(counts[key], word) for key, word in rules)}, all hold"
    )


def _derived(project: Project, policies: Examined) -> list[Finding]:
    """Taint of curated and feature tables, under the policy as far as there is one."""
    from lakehouse.transform.derived import find_derived_mistakes

    if not _errors(policies.findings):
        return find_derived_mistakes(project, policies.policy)
    # A policy's own mistakes are told by themselves. What is personal is known without it, but not what is needless.
    return _errors(find_derived_mistakes(project, None))


def _verdicts(root: Path, tables: Iterable[Table], against: str) -> tuple[Verdict, ...]:
    from lakehouse.cli.revision import project_at
    from lakehouse.contract.compatibility import verdicts

    return verdicts(project_at(root, against).tables, tables)


def _document(verdict: Verdict) -> dict[str, Any]:
    changes = [
        {"kind": change.kind.value, "subject": change.subject, "text": change.text, "class": name, "reason": reason}
        for change, name, reason in verdict.changes
    ]
    return {
        "table": verdict.table,
        "class": verdict.found,
        "declared": verdict.declared,
        "broken": verdict.broken,
        "changes": changes,
    }


def _show(console: Console, verdicts: Iterable[Verdict], against: str) -> None:
    """Each changed table with its class, and the reason for each change."""
    shown = False
    for verdict in verdicts:
        shown = True
        mark = "[red]✗[/]" if verdict.broken else "[green]✓[/]"
        declared = "" if verdict.declared == "none" else f", declared {verdict.declared}"
        console.print(f"{mark} [bold]{verdict.table}[/]: {_SPELLED[verdict.found]}{declared}", soft_wrap=True)
        for change, name, reason in verdict.changes:
            line = f"  {change.kind.value}: {escape(change.text)} [dim]({_SPELLED[name]}: {escape(reason)})[/]"
            console.print(line, soft_wrap=True)
    if not shown:
        console.print(f"[green]✓[/] no table changed since {escape(against)}")
