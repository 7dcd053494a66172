"""What merging two ids of one entity means for staged tables: which rows change hands, and making it so.

The vault learns of the merge first; the tables follow, each in one commit. Whoever dies in between runs it again: rows that
still show a merged surrogate are found by what the vault knows.
"""

# pyarrow ships without types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportMissingTypeStubs=false

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from lakehouse import storage
from lakehouse.errors import UsageError
from lakehouse.ingest import quarantine
from lakehouse.ingest.rebuild import rebuild
from lakehouse.model import ENTITY, Tier, entity_of
from lakehouse.privacy import merging

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lakehouse.contract.model import Project, Table
    from lakehouse.ingest.report import IngestReport
    from lakehouse.privacy.merging import Pair
    from lakehouse.storage import Lake


@dataclass(frozen=True)
class Handover:
    """What a merge does.

    Attributes:
        pair: the two entities.
        rows: rows of each staged table that change hands.
    """

    pair: Pair
    rows: tuple[tuple[Table, int], ...]


def plan(lake: Lake, project: Project, entity: str, ids: tuple[str, str]) -> Handover:
    """What letting the first id's rows be the second's does.

    Raises:
        UsageError: no landed table has entities of this type.
        RefusedError: one of the ids is not known or was erased.
    """
    named = [(table, dict(_named(table, entity))) for table in project.tables]
    spellings = {forms for _, columns in named for forms in columns.values()}
    if not spellings:
        known = sorted({kind for table in project.tables for kind in _types(table)})
        hint = f"types: {', '.join(f'`{kind}`' for kind in known)}" if known else None
        raise UsageError(f"no table has entities of type `{entity}`", hint=hint)
    pair = merging.find(lake, entity, spellings, ids)
    counted = [(table, _rows(lake, table, list(columns), pair)) for table, columns in named if columns]
    return Handover(pair, tuple((table, rows) for table, rows in counted if rows))


def apply(
    lake: Lake, project: Project, handover: Handover, *, progress: Callable[[Table, int, int], None] | None = None
) -> tuple[tuple[Table, IngestReport], ...]:
    """Merge, and make anew every table whose rows change hands; run again it finds nothing to do.

    Raises:
        LeaseTakenError: somebody else works on one of the tables.
    """
    merging.merge(lake, handover.pair)
    for table in project.tables:
        # whoever died while a tail was merged has left files, and no row that would bring anybody to this table again
        if any(_named(table, handover.pair.entity)):
            for place in (table.id.at(Tier.RAW), table.id, quarantine.place(table.id)):
                storage.recover_if_dirty(lake, place)
    done: list[tuple[Table, IngestReport]] = []
    for table, _ in handover.rows:

        def told(rows: int, of: int, table: Table = table) -> None:
            if progress is not None:
                progress(table, rows, of)

        done.append((table, rebuild(lake, project, table, progress=told)))
    return tuple(done)


def _named(table: Table, entity: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The columns of a staged table that show entities of a type, and how their ids are spelled."""
    if table.id.tier is not Tier.STAGED:
        return
    if table.sealed and table.entity is not None and table.entity.type == entity:
        yield ENTITY, table.entity.canonical
    for role in table.roles:
        if role.type == entity:
            yield entity_of(role.name), role.canonical


def _types(table: Table) -> set[str]:
    own = {table.entity.type} if table.sealed and table.entity is not None else set[str]()
    return own | {role.type for role in table.roles}


def _rows(lake: Lake, table: Table, columns: list[str], pair: Pair) -> int:
    leaving = list(pair.leaving)
    if not leaving or not storage.exists(lake, table.id):
        return 0
    there = storage.scan(lake, table.id)
    mine = pl.any_horizontal([pl.col(name).is_in(leaving) for name in columns])
    return int(there.filter(mine).select(pl.len()).collect(engine="streaming").item())
