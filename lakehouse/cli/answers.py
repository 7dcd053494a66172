"""The same question's answers beside each other, as the demo ends with; below each other where the terminal is narrow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from lakehouse.cli import output

if TYPE_CHECKING:
    from rich.console import Console

    from lakehouse.demo.asking import Answer, Asked

#: Longer values are cut: tokens are 64 characters, and nobody compares them by eye beyond the first.
_WIDEST = 11


def show_answers(console: Console, asked: Asked) -> None:
    """The question, and what each of them was shown."""
    console.print(f"[bold]Who sees what[/]  {escape(asked.sql)}", soft_wrap=True)
    drawn = [_drawn(answer) for answer in asked.answers]
    needed = sum(console.measure(each).maximum for each in drawn) + 3 * (len(drawn) - 1)
    if needed > console.width:
        for each in drawn:
            console.print(each)
        return
    beside = Table.grid(padding=(0, 3, 0, 0))
    beside.add_row(*drawn)
    console.print(beside)


def document(asked: Asked) -> dict[str, Any]:
    """The same with stable keys."""
    return {
        "domain": asked.domain,
        "sql": asked.sql,
        "answers": [
            {
                "user": answer.user,
                "purpose": answer.purpose,
                "columns": answer.columns,
                "rows": answer.rows,
                "refused": answer.refused,
            }
            for answer in asked.answers
        ],
    }


def _drawn(answer: Answer) -> Group:
    heading = Text.assemble((answer.user, "cyan"), f" for {answer.purpose}")
    if answer.refused is not None:
        return Group(heading, Text(answer.refused, "yellow"))
    lines = [tuple(_cell(value) for value in row) for row in answer.rows]
    return Group(heading, output.grid(None, answer.columns, lines))


def _cell(value: object) -> Text:
    if value is None:
        return Text("null", "dim")
    text = str(value)
    return Text(text if len(text) <= _WIDEST else f"{text[: _WIDEST - 1]}…")
