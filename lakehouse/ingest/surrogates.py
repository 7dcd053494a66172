"""Whose rows are these: the entities of delivered rows by the contract, and rows that ought to name one and do not."""

# pyarrow ships without types.
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportMissingTypeStubs=false

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from lakehouse.ingest.rawform import OWN
from lakehouse.model import BAD, ENTITY, EXTRA, SEALED, UNNAMED, entity_of, sealed_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from lakehouse.contract.model import Table

#: Entities whose keys are remembered from block to block: about 300 bytes each.
MOST_KEYS = 500_000


@dataclass(frozen=True)
class Party:
    """One entity of a table's rows: their own (role OWN) or a further one."""

    role: str
    type: str
    key: str
    canonical: tuple[str, ...]

    @property
    def entity(self) -> str:
        """The column with its surrogates."""
        return entity_of(self.role) if self.role else ENTITY

    @property
    def sealed(self) -> str:
        """The column with its seals."""
        return sealed_of(self.role) if self.role else SEALED

    @property
    def seal_key(self) -> str:
        """The column in which its seal keys travel beside the rows; never written."""
        return f"__key_{self.role}"


def parties(table: Table) -> tuple[Party, ...]:
    """The entities of a table's rows, their own first; none where raw stays clear."""
    own = table.entity
    if not table.sealed or own is None:
        return ()
    found = [Party(OWN, own.type, own.key or "", own.canonical)]
    return tuple(found + [Party(role.name, role.type, role.key, role.canonical) for role in table.roles])


def usable_id(table: Table, party: Party) -> pl.Expr:
    """Delivered ids; null where a word of the contract says that there is none."""
    words = list(table.column(party.key).null_words)
    return pl.when(~pl.col(party.key).is_in(words)).then(pl.col(party.key))


def with_unnamed(table: Table, rows: pl.DataFrame) -> pl.DataFrame:
    """The rows with UNNAMED: which of them name nobody although they must, or say something personal nevertheless."""
    own = table.entity
    if not table.sealed or own is None or not rows[ENTITY].null_count():
        return rows.with_columns(pl.lit(value=False).alias(UNNAMED))
    roles = {role.name for role in table.roles}
    cells = [c for c in table.delivered if c.personal and c.name != own.key]
    filled = [_filled(pl.col(c.name), c.null_words, whose=c.role if c.role in roles else None) for c in cells]
    # `_extra` also lists what was not delivered, as null; only a text in it can be somebody's
    filled.append(pl.col(EXTRA).str.contains(':"', literal=True))
    # an id that is there and cannot be read is somebody's, too
    must: pl.Expr = pl.lit(value=not own.optional) | usable_id(table, parties(table)[0]).str.strip_chars().ne(
        ""
    ).fill_null(value=False)
    if table.changes is not None:
        must &= ~pl.col(table.changes.operation).is_in(list(table.changes.deletes)).fill_null(value=False)
    broken = pl.col(ENTITY).is_null() & pl.col(BAD).is_null() & (must | pl.any_horizontal(filled))
    return rows.with_columns(broken.fill_null(value=False).alias(UNNAMED))


def _filled(cell: pl.Expr, null_words: tuple[str, ...], *, whose: str | None) -> pl.Expr:
    said = (cell.is_not_null() & ~cell.is_in(list(null_words))).fill_null(value=False)
    return said if whose is None else said & pl.col(entity_of(whose)).is_null()


class Remembered:
    """What was found for ids or surrogates, kept from block to block as long as it is not too much.

    Args:
        by: the column of what is asked for.
        find: distinct values -> a frame with that column and what was found; values without an answer are left out.
    """

    def __init__(self, by: str, find: Callable[[pl.Series], pl.DataFrame]) -> None:
        self._by = by
        self._find = find
        self._known: pl.DataFrame | None = None

    def of(self, values: pl.Series) -> pl.DataFrame:
        """One row per value, in order; null where there is no answer."""
        wanted = values.alias(self._by).to_frame()
        distinct = wanted.unique().drop_nulls()
        if self._known is None:
            self._known = answers = self._find(distinct[self._by])
        else:
            answers = self._known.join(distinct, on=self._by)
            new = distinct.join(answers, on=self._by, how="anti")
            if new.height:
                found = self._find(new[self._by])
                answers = pl.concat([answers, found])
                full = self._known.height + found.height > MOST_KEYS
                self._known = answers if full else pl.concat([self._known, found])
        return wanted.join(answers, on=self._by, how="left", maintain_order="left")
