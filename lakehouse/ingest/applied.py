"""The contract that a table's rows stand under, beside the one that is in the project now.

The lake remembers the first in its control database. A run may go on under another contract as long as no row would be
another one by it; else it refuses and names `lakehouse apply`. Tables are found by ODCS id, so a renamed one is no new one.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from lakehouse import storage
from lakehouse.contract.change import Change, Effect, Kind, heaviest
from lakehouse.contract.difference import difference
from lakehouse.contract.imprint import fingerprint, imprint, table_of
from lakehouse.errors import RefusedError
from lakehouse.ingest.rawform import first, with_layouts
from lakehouse.ingest.tokenising import with_versions
from lakehouse.storage.applied import under

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lakehouse.contract.model import Project, Table
    from lakehouse.storage import Applied, Lake

_HEAVY = frozenset({Kind.NEW_COLUMN, Kind.RENAMED_TABLE})


def standing_contract(lake: Lake, project: Project, table: Table) -> Applied | None:
    """What the lake knows of a table, whatever it was called; None when nothing of it has come in."""
    return match(storage.applied_contracts(lake), project.tables).get(str(table.id))


def match(known: Iterable[Applied], tables: Iterable[Table]) -> dict[str, Applied]:
    """What the lake knows of each table, by the table's name: by ODCS id first, then by name.

    By name only where no table has the id any more: a contract whose ids were written anew speaks of the same tables.
    """
    by_id = {each.odcs_id: each for each in known}
    named = {each.table: each for each in known}
    ids = {table.odcs_id for table in tables}
    found: dict[str, Applied] = {}
    for table in tables:
        row = by_id.get(table.odcs_id)
        if row is None and (other := named.get(str(table.id))) is not None and other.odcs_id not in ids:
            row = other
        if row is not None:
            found[str(table.id)] = row
    return found


def changes_since(row: Applied, table: Table) -> tuple[Change, ...]:
    """What the contract differs in from the one that the rows stand under."""
    if row.fingerprint == fingerprint(table) and not row.raw.get("replay"):
        return ()
    found = difference(table_of(row.contract), table)
    if row.raw.get("replay"):
        found += (Change(Kind.OTHER, Effect.REPLAY, "rows were set aside under an earlier contract"),)
    return found


def require_applied(row: Applied | None, table: Table) -> None:
    """Refuse a contract under which the rows that stand would be others.

    Raises:
        RefusedError: it has to be applied first.
    """
    changes: tuple[Change, ...] = () if row is None else changes_since(row, table)
    heavy = [change for change in changes if change.effect is Effect.REBUILD or change.kind in _HEAVY]
    if heavy:
        words = sorted({change.kind.value for change in heavy})
        raise RefusedError(
            f"the contract is not the one that the table's rows stand under: {', '.join(words)}",
            where=str(table.id),
            hint="see what it means with `lakehouse plan`, then run `lakehouse apply`",
        )


def noted(lake: Lake, row: Applied | None, table: Table) -> tuple[Applied, ...]:
    """What a run's commits note: nothing when the lake knows the contract already.

    Rows that an earlier contract set aside stay so, and the lake remembers that they may be looked at again.
    """
    if row is None:
        return (under(lake, table, with_versions(lake, table, first(table))),)
    if row.fingerprint == fingerprint(table):
        return ()
    replay = heaviest(changes_since(row, table)) is Effect.REPLAY
    said = with_versions(lake, table, with_layouts(row.raw, table))
    return (under(lake, table, {**said, "replay": replay}),)


def renamed(row: Applied, table: Table) -> Applied:
    """The same table, contract and rows under the name and the id that the table has now."""
    before = replace(table_of(row.contract), id=table.id, odcs_id=table.odcs_id)
    return replace(
        row, table=str(table.id), odcs_id=table.odcs_id, contract=imprint(before), fingerprint=fingerprint(before)
    )
