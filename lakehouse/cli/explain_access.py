"""`lakehouse explain-access`: who sees a table or a column, for what, of which rows, and which rule decided.

What is so is `policy.explain`'s, and the sentences are `policy.explain_words`'; here they are laid out for a terminal or as
JSON. The page for a data protection officer is in `access_page`. No lake is needed: the project's files say it all.
"""

from __future__ import annotations

import datetime as dt
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from lakehouse.cli import output, words
from lakehouse.contract.findings import choices
from lakehouse.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.console import Console
    from rich.table import Table as Grid

    from lakehouse.contract.model import Column, Project, Table
    from lakehouse.policy.explain import Access, Denial, Question, Seen
    from lakehouse.policy.explain_words import Sentence
    from lakehouse.policy.model import Policy
    from lakehouse.policy.treatments import Treatment

_WIDEST = 10_000


def explain_access(
    name: Annotated[
        str | None, typer.Argument(metavar="TABLE[.COLUMN]", help="A table, or one column of it.", show_default=False)
    ] = None,
    *,
    purpose: Annotated[str | None, typer.Option("--purpose", metavar="P", help="Only for this purpose.")] = None,
    group: Annotated[
        list[str] | None, typer.Option("--group", metavar="G", help="Only this group; several: who is in all of them.")
    ] = None,
    user: Annotated[
        str | None, typer.Option("--as", metavar="USER", help="Only this person, all groups taken.")
    ] = None,
    day: Annotated[str | None, typer.Option("--day", metavar="DAY", help="On which day (UTC); default today.")] = None,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write a page; without TABLE of all tables.")
    ] = None,
    _json: output.Json = False,
) -> None:
    """Show who sees what: for every purpose and group the treatment, the rows and the rule that decided."""
    from lakehouse.cli.naming import find_column
    from lakehouse.contract.load import load_project
    from lakehouse.policy.load import load_policy
    from lakehouse.settings import load_settings

    if name is None and html is None:
        hint = "name a table, as in `staged.shop.line.price`; or write a page of all tables with `--html FILE`"
        raise UsageError("there is no table to explain", hint=hint)
    if name is not None and name.startswith("raw."):
        hint = f"what is made of it can be: `lakehouse explain-access {name.replace('raw', 'staged', 1)}`"
        raise UsageError("tables of the raw tier cannot be granted: nobody reads them", where=name, hint=hint)
    project = load_project(load_settings().project)
    policy = load_policy(project.root, project)
    question = _question(policy, purpose, group or [], user=user, day=day)
    table, column = (None, None) if name is None else find_column(project, name)
    if html is not None:
        _write_page(html, policy, project, question, only=(table, column))
    elif table is not None:
        _explain(policy, table, column, question)


def _question(
    policy: Policy, purpose: str | None, groups: Sequence[str], *, user: str | None, day: str | None
) -> Question:
    from lakehouse.policy.explain import Question

    if user is not None and groups:
        raise UsageError("`--as` and `--group` say different things", hint="a person has the groups of `groups.yaml`")
    if purpose is not None and purpose not in policy.purposes:
        raise UsageError(f"there is no purpose `{purpose}`", hint=choices(purpose, sorted(policy.purposes)))
    for group in groups:
        if group not in policy.groups:
            raise UsageError(f"there is no group `{group}`", hint=choices(group, sorted(policy.groups)))
    wanted = policy.groups_of(user) if user is not None else set(groups)
    if user is not None and not wanted:
        known = sorted({member for members in policy.groups.values() for member in members})
        raise UsageError(f"`{user}` is in no group, so everything is denied", hint=choices(user, known))
    return Question(tuple(sorted(wanted)), purpose, _day(day))


def _day(written: str | None) -> dt.date:
    if written is None:
        # The day of a lake would be its database's; no lake is needed here.
        return dt.datetime.fromtimestamp(time.time(), dt.UTC).date()
    try:
        return dt.date.fromisoformat(written)
    except ValueError:
        raise UsageError(f"`{written}` is no day", where="--day", hint="write it like `2026-01-31`") from None


def _write_page(
    file: Path, policy: Policy, project: Project, question: Question, *, only: tuple[Table | None, Column | None]
) -> None:
    from lakehouse.cli.access_page import page
    from lakehouse.cli.page_parts import DOCTYPE
    from lakehouse.policy.explain import answers

    table, column = only
    tables = project.tables if table is None else (table,)
    if file.is_dir() or not file.parent.is_dir():
        raise UsageError("a page cannot be written there", where=str(file), hint="name a file in a folder that exists")
    if file.exists() and not file.read_bytes().startswith(DOCTYPE.encode()):
        raise UsageError("there is a file that is no page", where=str(file), hint="name a new file")
    found = [(each, answers(policy, each, question)) for each in tables]
    file.write_text(page(policy, found, question, column=column, project=project.root.name), encoding="utf-8")
    seen = sum(any(access.denied is None for access in accesses) for _, accesses in found)
    document = {"page": str(file), "day": question.day, "tables": len(found), "readable": seen}

    def show(console: Console) -> None:
        what = f"{words.plural(len(found), 'table')}, {seen} of them readable"
        console.print(f"[green]✓[/] wrote {what}, to", Text(str(file)), soft_wrap=True)

    output.emit(document, show)


def _explain(policy: Policy, table: Table, column: Column | None, question: Question) -> None:
    from lakehouse.policy.explain import Denial, answers, denials

    every = answers(policy, table, question)
    seeing = [access for access in every if access.denied is None]
    denied = [each for each in denials(policy, every) if not question.groups or each.groups == question.groups]
    if question.groups and not every:
        denied = [Denial(question.groups, "may use no purpose")]
    document = {
        "table": table.id,
        "column": None if column is None else column.name,
        "day": question.day,
        "readers": [_reader(policy, access, column) for access in seeing],
        "denied": [{"groups": each.groups, "why": each.why} for each in denied],
    }

    def show(console: Console) -> None:
        _show_heading(console, policy, table, column, question)
        if not seeing:
            who = "nobody sees" if not question.groups else f"{_named(question.groups)} see"
            why = f" for {question.purpose}" if question.purpose is not None else ""
            console.print(Text(f"{who} {'nothing' if question.groups else 'anything'} of it{why}", "bold"))
        elif column is None:
            _show_matrix(console, table, seeing)
        else:
            _show_column(console, policy, column, seeing)
        if seeing:
            _show_rows(console, policy, seeing)
        _show_denied(console, denied)
        if seeing and column is None:
            hint = f"which rule decided: lakehouse explain-access {table.id}.{table.columns[0].name}"
            console.print(f"\n[dim]{hint}, or another column[/]", soft_wrap=True)

    output.emit(document, show)


def _reader(policy: Policy, access: Access, column: Column | None) -> dict[str, Any]:
    from lakehouse.policy import explain, explain_words

    return {
        "purpose": access.purpose.name,
        "groups": access.groups,
        "people": explain.people(policy, access.groups),
        "rows": [_document(each) for each in explain_words.rows(access)],
        "columns": [
            {
                "column": seen.column.name,
                "category": seen.column.category,
                "class": seen.sensitivity.name.lower(),
                "treatment": str(seen.shown),
                "decided": [_document(each) for each in explain_words.decided(policy, seen)],
            }
            for seen in access.columns
            if column is None or seen.column == column
        ],
    }


def _document(sentence: Sentence) -> dict[str, str]:
    return {"text": sentence.text, "rule": sentence.rule, "where": sentence.where}


def _show_heading(console: Console, policy: Policy, table: Table, column: Column | None, question: Question) -> None:
    from lakehouse.policy.classes import class_of, class_prefix

    line = Text(f"{table.id}" + (f".{column.name}" if column is not None else ""), "bold")
    if column is not None:
        line.append(f"  {column.type}, {column.category}", "not bold dim")
        if class_prefix(policy.classes, column.category) is not None:  # None: there are no policies
            line.append(f", {class_of(policy, column).name.lower()}", "not bold dim")
    console.print(line.append(f"  on {question.day}", "not bold dim"), soft_wrap=True)
    console.print()


def _show_matrix(console: Console, table: Table, seeing: Sequence[Access]) -> None:
    headings = ["column", "class", *(f"{access.purpose.name}\n{_named(access.groups)}" for access in seeing)]
    lines: list[list[str | Text]] = []
    for place, column in enumerate(table.columns):
        cells = [access.columns[place] for access in seeing]
        lines.append([column.name, cells[0].sensitivity.name.lower(), *(_cell(seen) for seen in cells)])
    # A terminal wraps long lines; a table that is made to fit it loses whole columns.
    _print_wide(console, output.grid(None, headings, lines))


def _show_column(console: Console, policy: Policy, column: Column, seeing: Sequence[Access]) -> None:
    from lakehouse.policy import explain_words

    lines: list[list[str | Text]] = []
    for access in seeing:
        seen = next(each for each in access.columns if each.column == column)
        reasons = "\n".join(map(str, explain_words.decided(policy, seen)))
        lines.append([access.purpose.name, _named(access.groups), _cell(seen), Text(reasons, overflow="fold")])
    _print_folded(console, output.grid(None, ["purpose", "group", "shows", "decided by"], lines))


def _show_rows(console: Console, policy: Policy, seeing: Iterable[Access]) -> None:
    from lakehouse.policy import explain, explain_words

    lines: list[list[str | Text]] = []
    for access in seeing:
        reasons = "\n".join(map(str, explain_words.rows(access)))
        count = str(explain.people(policy, access.groups))
        copied = " from copies" if access.purpose.isolation == "copy" else ""
        purpose = Text(access.purpose.name) + Text(copied, "dim")
        lines.append([purpose, _named(access.groups), count, Text(reasons, overflow="fold")])
    console.print()
    _print_folded(console, output.grid(None, ["purpose", "group", "#people", "rows"], lines))


def _print_folded(console: Console, grid: Grid) -> None:
    """Within a terminal's width; whole lines for who reads it otherwise, so that no place is torn apart."""
    if console.is_terminal:
        console.print(grid)
    else:
        _print_wide(console, grid)


def _print_wide(console: Console, grid: Grid) -> None:
    narrow, console.width = console.width, _WIDEST
    console.print(grid)
    console.width = narrow


def _show_denied(console: Console, denied: Sequence[Denial]) -> None:
    """One line for all groups that one reason shuts out."""
    by_reason: dict[str, list[str]] = {}
    for each in denied:
        by_reason.setdefault(each.why, []).append(_named(each.groups))
    for why, groups in by_reason.items():
        console.print()
        console.print(Text("denied: ", "bold") + Text(why))
        console.print(Text(f"  {', '.join(groups)}"))


def _cell(seen: Seen) -> Text:
    return Text(str(seen.shown), _colour(seen.shown, seen.column)) + Text(" at most" if seen.varies else "", "dim")


def _colour(shown: Treatment, column: Column) -> str:
    match shown.kind:
        case "hide" | "redact":
            return "dim"
        case "clear":
            return "red" if column.personal else "green"
        case "token":
            return "cyan"
        case _:
            return "yellow"


def _named(groups: Sequence[str]) -> str:
    return " + ".join(groups) or "nobody"
