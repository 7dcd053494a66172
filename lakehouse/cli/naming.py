"""From what somebody typed to the table, or the column, that is meant.

`line`, `shop.line` and `staged.shop.line` are the same table as long as it is the only one.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from lakehouse.contract.findings import choices
from lakehouse.errors import UsageError

if TYPE_CHECKING:
    from lakehouse.contract.model import Column, Project, Table

#: Between the parts of a table's id.
_DOTS = 2


def find_table(project: Project, name: str, *, landed: bool = False) -> Table:
    """The table of that name.

    Args:
        project: all contracts.
        name: a table's id or the end of it.
        landed: only tables that files land for.

    Raises:
        UsageError: no table, or several, have that name.
    """
    candidates = [table for table in project.tables if table.sources or not landed]
    wanted = name.removeprefix("raw.")
    found = [table for table in candidates if str(table.id) == wanted or str(table.id).endswith(f".{wanted}")]
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(f"`{table.id}`" for table in found)
        raise UsageError(f"`{name}` is the name of several tables", hint=f"say which: {names}")
    spellings = {str(table.id): str(table.id) for table in candidates} | {t.id.table: str(t.id) for t in candidates}
    near = difflib.get_close_matches(wanted, spellings, n=1)
    hint = f"did you mean `{spellings[near[0]]}`?" if near else f"tables: {', '.join(sorted(set(spellings.values())))}"
    raise UsageError(f"there is no table `{name}`" + (" that files land for" if landed else ""), hint=hint)


def find_column(project: Project, name: str) -> tuple[Table, Column | None]:
    """The table of that name, or the table and the column of it: `line`, `shop.line`, `line.price`.

    What is the name of a table is a table.

    Raises:
        UsageError: there is no such table or column.
    """
    head, _, last = name.rpartition(".")
    try:
        return find_table(project, name), None
    except UsageError as error:
        if not head:
            raise
        whole = error
    try:
        table = find_table(project, head)
    except UsageError:
        # Of four parts the last is a column: what is wrong is the table before it.
        if head.count(".") == _DOTS:
            raise
        raise whole from None
    for column in table.columns:
        if column.name == last:
            return table, column
    hint = choices(last, [column.name for column in table.columns])
    raise UsageError(f"`{table.id}` has no column `{last}`", hint=hint)


def downstream(project: Project, table: Table) -> list[Table]:
    """Every table made from this one, inputs before what is made from them."""
    reached = {table.id}
    made: list[Table] = []
    waiting = [each for each in project.tables if each.inputs]
    while ready := [each for each in waiting if reached & set(each.inputs)]:
        made += ready
        reached |= {each.id for each in ready}
        waiting = [each for each in waiting if each.id not in reached]
    return made
