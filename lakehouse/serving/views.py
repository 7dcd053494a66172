"""What a reader sees of one table: the compiled select put on the files of one version, behind a barrier where rows are hidden.

What the select shows is the policy's business; who may have it is `connection`'s.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlglot import exp

from lakehouse.errors import StorageError
from lakehouse.storage.views import rows_tree

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lakehouse.storage import Snapshot

#: More rows than any table has, few enough that the engine's sums of it do not overflow.
ALL_ROWS = 10**15
_PLAIN = ("joins", "where", "group", "having", "qualify", "limit", "distinct", "laterals", "windows", "order", "with_")


@dataclass(frozen=True)
class ServedView:
    """A view for one reader, for one query.

    Attributes:
        name: what it is called in queries.
        columns: its columns, in order.
        tree: the compiled select.
        reads: `schema.name` of each relation in that select -> the version that it stands on.
    """

    name: str
    columns: tuple[str, ...]
    tree: exp.Select = field(repr=False)
    reads: Mapping[str, Snapshot] = field(repr=False)

    def hides_rows(self) -> bool:
        """Whether there may be rows that this reader does not see."""
        where = self.tree.args.get("where")
        if where is not None and where.this == exp.true():
            where = None
        others = (part for part in _PLAIN if part != "where" and self.tree.args.get(part))
        return where is not None or next(others, None) is not None

    def statement(self) -> exp.Create:
        """Makes the view in a database that may read its files.

        INVARIANT: nothing that a reader writes is computed on a row that he may not see. The engine pushes filters below
        views, and an error, or none, then tells of hidden rows; it pushes none below LIMIT. (It evaluates what may fail
        after what may not in one filter, but that is its heuristics, not its promise.) Columns that a query does not
        ask for are still not read. A view without hidden rows needs no barrier: there predicates see what is shown.
        """
        tree = on_files(self.tree, self.reads, where=self.name)
        if self.hides_rows():
            tree = exp.select(exp.Star()).from_(tree.subquery("visible")).limit(ALL_ROWS)
        name = exp.Table(this=exp.to_identifier(self.name, quoted=True))
        return exp.Create(this=name, kind="VIEW", expression=tree)


def on_files(tree: exp.Select, reads: Mapping[str, Snapshot], *, where: str) -> exp.Select:
    """A compiled select on the files of these versions (`schema.name` of each relation -> version).

    Raises:
        StorageError: it reads a relation that is not among them.
    """
    made = tree.copy()
    for table in list(made.find_all(exp.Table)):
        snapshot = reads.get(f"{table.db}.{table.name}")
        if snapshot is None:
            raise StorageError(
                "a view reads a table that is not in the lake", where=where, hint="run `lakehouse check`"
            )
        table.replace(rows_tree(snapshot).subquery(exp.to_identifier(table.alias_or_name, quoted=True)))
    return made
