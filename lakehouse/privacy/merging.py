"""Merging: two ids of one entity, by somebody's word, are one entity from now on.

The first id's keyed hash leads to the second one's surrogate, and an alias says whose the first one's rows are: raw keeps
its surrogate and its keys, so what was sealed stays readable, and who erases the second destroys the keys of both. All
aliases lead to the surrogate that stayed, so a chain of merges is one step, and a circle of them none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl
import sqlalchemy as sa

from lakehouse.contract.canonical import canonical
from lakehouse.errors import RefusedError
from lakehouse.privacy import entities
from lakehouse.storage.bulk import insert_new
from lakehouse.storage.control import alias_table, entity_table

if TYPE_CHECKING:
    from collections.abc import Collection

    from lakehouse.storage import Lake

_MERGED = "merged"


@dataclass(frozen=True)
class Pair:
    """Two ids' entities.

    Attributes:
        entity: their type.
        first: surrogate of the one whose rows are the other's afterwards.
        second: surrogate of the one that stays.
        before: surrogates whose rows are already the second's, or the first's.
    """

    entity: str
    first: str
    second: str
    before: tuple[str, ...] = ()

    @property
    def one(self) -> bool:
        """Whether both are one entity already."""
        return self.first == self.second

    @property
    def leaving(self) -> tuple[str, ...]:
        """The surrogates that no row shows any more once all is done."""
        return self.before if self.one else (self.first, *self.before)


def find(lake: Lake, entity: str, spellings: Collection[tuple[str, ...]], ids: tuple[str, str]) -> Pair:
    """The entities of two ids.

    Args:
        lake: the lake.
        entity: the entities' type.
        spellings: the canonical forms that tables give ids of this type.
        ids: as they were delivered.

    Raises:
        RefusedError: one of them is not known, was erased, or tables disagree on whose it is.
    """
    first, second = (_surrogate(lake, entity, spellings, each, place) for place, each in enumerate(ids, start=1))
    for place, gone in enumerate(entities.erased(lake, pl.Series([first, second])), start=1):
        if gone:
            raise RefusedError(f"the {entity} was erased", where=f"id {place}", hint="nothing is left to be merged")
    return Pair(entity, first, second, _before(lake, first, second))


def merge(lake: Lake, pair: Pair) -> None:
    """Let the first one's id and rows be the second's; does nothing where they are."""
    if pair.one:
        return
    first, second = bytes.fromhex(pair.first), bytes.fromhex(pair.second)
    alias = alias_table.c
    with lake.control.write("entity.merge") as connection:
        led = entity_table.c.surrogate == first
        connection.execute(entity_table.update().where(led).values(surrogate=second))
        moved = connection.execute(sa.select(alias.surrogate, alias.cause).where(alias.other == first)).all()
        connection.execute(alias_table.delete().where(alias.other == first))
        rows = [(bytes(row.surrogate), row.cause) for row in moved if bytes(row.surrogate) != second]
        new = [{"surrogate": each, "other": second, "cause": cause} for each, cause in [*rows, (first, _MERGED)]]
        connection.execute(insert_new(connection, alias_table), new)


def _before(lake: Lake, first: str, second: str) -> tuple[str, ...]:
    """Whoever merged them may have died before all tables knew: their rows change hands with the first one's."""
    alias, both = alias_table.c, [bytes.fromhex(first), bytes.fromhex(second)]
    wanted = sa.select(alias.surrogate).where(alias.other.in_(both), alias.cause == _MERGED)
    with lake.control.read() as connection:
        return tuple(sorted(bytes(each).hex() for each in connection.execute(wanted).scalars()))


def _surrogate(lake: Lake, entity: str, spellings: Collection[tuple[str, ...]], delivered: str, place: int) -> str:
    spelled = {known for forms in spellings if (known := canonical(forms, delivered)) is not None}
    if not spelled:
        hint = f"write it as a file would; tables spell it by {_forms(spellings)}"
        raise RefusedError(f"this is no id of a {entity}", where=f"id {place}", hint=hint)
    hashes = entities.keyed_hash(lake, entity, pl.Series(sorted(spelled))).to_list()
    column = entity_table.c
    with lake.control.read() as connection:
        wanted = sa.select(column.surrogate).where(column.keyed_hash.in_(hashes)).distinct()
        found = [bytes(each).hex() for each in connection.execute(wanted).scalars()]
    if not found:
        hint = "it must have come with a file; was it erased, or is it of another type?"
        raise RefusedError(f"no {entity} of this id is known", where=f"id {place}", hint=hint)
    if len(found) > 1:
        hint = f"tables spell ids by {_forms(spellings)}; let them agree first"
        raise RefusedError(f"the id is several entities of type {entity}", where=f"id {place}", hint=hint)
    return found[0]


def _forms(spellings: Collection[tuple[str, ...]]) -> str:
    return " or ".join(f"`[{', '.join(forms)}]`" for forms in sorted(spellings))
