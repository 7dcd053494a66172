"""Whether the views of a purpose open: for each group, on the versions of this moment, without reading a row.

Every view goes the way of a reader's query, guard and closed database included, as somebody who is in that group alone;
what it shows is held against the contract. Nothing of the rows is counted or told.
"""

# pyarrow ships no types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sqlglot import exp

from lakehouse import storage
from lakehouse.contract.arrow import arrow_type
from lakehouse.contract.model import ColumnType, Logical
from lakehouse.errors import RefusedError, StorageError
from lakehouse.policy import reach
from lakehouse.serving.connection import Connection, Reader

if TYPE_CHECKING:
    import pyarrow as pa

    from lakehouse.contract.model import Project, Table
    from lakehouse.policy.model import Policy
    from lakehouse.storage import Lake

#: Nobody has this name: members are written without blanks.
_SOMEBODY = "somebody in this group"


@dataclass(frozen=True)
class Opened:
    """What came of it.

    Attributes:
        views: the views that opened, for one group at least.
        waiting: views whose table is not there yet.
        ended: views that no grant opens today.
    """

    views: tuple[str, ...]
    waiting: tuple[str, ...]
    ended: tuple[str, ...]


def open_views(lake: Lake, project: Project, policy: Policy, purpose: str) -> Opened:
    """Open what each group of the purpose may see today.

    Raises:
        StorageError: a view does not show the columns that the contract says.
        LakehouseError: whatever a reader would be told.
    """
    tables = [table for name, table in reach.pairs(policy, project) if name == purpose]
    there = {table.id for table in tables if storage.exists(lake, table.id)}
    opened: dict[str, Table] = {}
    waiting: dict[str, Table] = {}
    for group in policy.purposes[purpose].groups:
        reader = Reader(_SOMEBODY, purpose, _alone(policy, group), project, lake)
        views = reader.views()
        waiting.update({name: table for name, table in views.items() if table.id not in there})
        mine = {name: table for name, table in views.items() if table.id in there}
        _open(reader, policy, mine)
        opened.update(mine)
    seen = {table.id for table in (*opened.values(), *waiting.values())}
    return Opened(
        views=tuple(sorted(opened)),
        waiting=tuple(sorted(waiting)),
        ended=tuple(sorted(str(table.id) for table in tables if table.id not in seen)),
    )


def _alone(policy: Policy, group: str) -> Policy:
    """The same policy, where one person is in one group."""
    return replace(policy, groups={name: (_SOMEBODY,) if name == group else () for name in policy.groups})


def _open(reader: Reader, policy: Policy, views: dict[str, Table]) -> None:
    if not views:
        return
    with Connection(reader) as connection:
        for name, table in views.items():
            view = exp.to_identifier(name, quoted=True)
            nothing = exp.select(exp.Star()).from_(exp.Table(this=view)).limit(0)
            shown = connection.arrow(nothing.sql(dialect="duckdb")).schema
            if not _as_promised(policy, reader.purpose, table, shown):
                raise StorageError(
                    f"view `{name}` does not show what the contract says",
                    where=str(table.id),
                    hint=f"`lakehouse rebuild {table.id}` gives the table the contract's columns",
                )


def _as_promised(policy: Policy, purpose: str, table: Table, shown: pa.Schema) -> bool:
    """Every column, in order and of its type, or text where it may be a token."""
    text = arrow_type(ColumnType(Logical.STRING))
    promised = [
        (column.name, text if reach.shows_token(policy, purpose, table, column) else arrow_type(column.type))
        for column in table.columns
    ]
    return promised == [(item.name, item.type) for item in shown]


def require_some(found: Opened, purpose: str) -> None:
    """Refuse to call a purpose open of which nothing is.

    Raises:
        RefusedError: no view opened.
    """
    if not found.views:
        why = "no table of it is there yet" if found.waiting else "its grants have ended"
        raise RefusedError(
            f"purpose `{purpose}` shows nothing: {why}",
            hint="materialise its tables first, or prolong a grant",
        )
