"""From delivered rows to raw: named once, judged in memory by the gate, and sealed on their way to raw.

A row without a usable id is sealed under the period key alone if its entity is optional and nothing else in it is
personal; else, and if it cannot even be split, under the key of its batch, which lives `quarantine_days`.
"""

# pyarrow ships without types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportMissingTypeStubs=false

from __future__ import annotations

import datetime as dt
from functools import partial
from typing import TYPE_CHECKING

import polars as pl
import pyarrow as pa

from lakehouse.ingest.rawform import OWN
from lakehouse.ingest.surrogates import Remembered, parties, usable_id, with_unnamed
from lakehouse.model import BAD, BATCH, ENTITY, LANDED_AT, ROW, UNNAMED, Tier
from lakehouse.privacy import entities, sealing, vault
from lakehouse.privacy.sealing import KeyKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lakehouse.contract.model import Table
    from lakehouse.ingest.rawform import RawForm
    from lakehouse.ingest.surrogates import Party
    from lakehouse.storage import Lake

#: What the period key is put together with where there is no data key.
NOBODY = "nobody"
_MONTH = "__month"


def by_month(rows: pl.DataFrame) -> Iterator[tuple[str, pl.DataFrame]]:
    """Rows by the month in which they landed, such as `2026-11`; nearly always there is one."""
    if rows.is_empty():
        return
    months = rows[LANDED_AT].dt.truncate("1mo")
    first: dt.datetime = months[0]
    if (months == first).all():
        yield f"{first:%Y-%m}", rows
        return
    for part in rows.with_columns(months.alias(_MONTH)).partition_by(_MONTH, maintain_order=True):
        yield f"{part[_MONTH][0]:%Y-%m}", part.drop(_MONTH)


class Sealer:
    """Names and seals the rows of one gateway run.

    A new batch key lives `quarantine_days` from the landing on, or from `since` if that is later: rows of an old batch may
    lose their names long after they landed.
    """

    def __init__(self, lake: Lake, table: Table, form: RawForm, *, since: dt.datetime | None = None) -> None:
        self._lake = lake
        self._table = table
        self._form = form
        self._raw = table.id.at(Tier.RAW)
        self._parties = parties(table)
        self._known: dict[tuple[str, str], Remembered] = {}
        self._keep = dt.timedelta(days=table.quarantine_days)
        self._since = since
        #: Raw's names of the cells that are null in columns of their own.
        self.sealed = frozenset(form.sealed)

    def name(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Delivered rows with the surrogates of their entities, UNNAMED, and the keys that `seal` takes."""
        if not self._parties:
            return rows.with_columns(pl.lit(None, pl.String).alias(ENTITY))
        parts = [self._named(part, month) for month, part in by_month(rows)] or [self._named(rows, "")]
        return with_unnamed(self._table, pl.concat(parts))

    def _named(self, rows: pl.DataFrame, month: str) -> pl.DataFrame:
        for party in self._parties:
            known = self._known.setdefault((party.role, month), Remembered("id", partial(self._keys, party, month)))
            found = known.of(rows.select(usable_id(self._table, party)).to_series())
            rows = rows.with_columns(found["surrogate"].alias(party.entity), found["seal_key"].alias(party.seal_key))
        return rows

    def _keys(self, party: Party, month: str, ids: pl.Series) -> pl.DataFrame:
        """Surrogate and seal key of ids in a landing month."""
        found = entities.with_keys(self._lake, party.type, party.canonical, ids, scope=self._table.scope)
        period = vault.period_key(self._lake, self._raw, month) if found.height else ""
        return found.select("id", "surrogate", sealing.seal_keys(found["data_key"], period))

    def seal(self, named: pl.DataFrame) -> pl.DataFrame:
        """Named rows as raw keeps them, in the same order but for months, which come one after another."""
        frame = self._form.outward(named)
        if not self._parties:
            return self._physical(frame)
        return pl.concat([self._seal_month(part, month) for month, part in by_month(frame)] or [self._physical(frame)])

    def _seal_month(self, frame: pl.DataFrame, month: str) -> pl.DataFrame:
        period = vault.period_key(self._lake, self._raw, month)
        own, *others = self._parties
        for party in others:
            frame = self._seal_role(frame, party)
        number = self._form.seals[OWN]
        cells = frame.select(self._form.layouts[number].columns)
        by_batch = pl.col(UNNAMED) | pl.col(BAD).is_not_null()
        kind = (
            pl.when(by_batch)
            .then(int(KeyKind.BATCH))
            .when(pl.col(own.entity).is_null())
            .then(int(KeyKind.PERIOD))
            .otherwise(int(KeyKind.ENTITY))
        )
        nobody = sealing.seal_keys(pl.Series([NOBODY]), period).item()
        key = pl.col(own.seal_key).fill_null(pl.lit(nobody)).alias("key")
        rows = frame.select(BATCH, ROW, LANDED_AT, kind.cast(pl.UInt8).alias("kind"), key)
        rows = self._with_batch_keys(rows)
        about = sealing.about(self._lake.key(self._raw))
        blobs = sealing.seal(sealing.pack(cells), rows, about=about, layout=number)
        return self._physical(frame.with_columns(blobs.alias(own.sealed)))

    def _seal_role(self, frame: pl.DataFrame, party: Party) -> pl.DataFrame:
        """The cells of a further entity, out of the row's own where it has a usable id."""
        number = self._form.seals[party.role]
        columns = self._form.layouts[number].columns
        theirs = frame.filter(pl.col(party.entity).is_not_null())
        kind = pl.lit(int(KeyKind.ENTITY), pl.UInt8).alias("kind")
        rows = theirs.select(BATCH, ROW, kind, pl.col(party.seal_key).alias("key"))
        about = sealing.about(self._lake.key(self._raw), party.role)
        blobs = sealing.seal(sealing.pack(theirs.select(columns)), rows, about=about, layout=number).alias(party.sealed)
        kept = [pl.when(pl.col(party.entity).is_null()).then(pl.col(name)).alias(name) for name in columns]
        sealed = theirs.select(BATCH, ROW).with_columns(blobs)
        return frame.with_columns(kept).join(sealed, on=[BATCH, ROW], how="left", maintain_order="left")

    def _with_batch_keys(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows with their batch's key where that is what they are sealed under."""
        due = rows.filter(pl.col("kind") == int(KeyKind.BATCH)).unique(BATCH).select(BATCH, LANDED_AT).rows()
        if not due:
            return rows
        keys = {
            number: vault.batch_key(self._lake, number, table=self._raw, destroy_after=begun + self._keep)
            for number, begun in ((number, max(landed, self._since or landed)) for number, landed in due)
        }
        found = pl.DataFrame(
            {BATCH: list(keys), "batch_key": list(keys.values())}, schema={BATCH: pl.Int64, "batch_key": pl.Binary}
        )
        joined = rows.join(found, on=BATCH, how="left", maintain_order="left")
        key = pl.when(pl.col("kind") == int(KeyKind.BATCH)).then("batch_key").otherwise("key").alias("key")
        return joined.with_columns(key).drop("batch_key")

    def _physical(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Just the columns of raw: what is sealed, or not delivered, is null in a column of its own."""
        return frame.select(
            pl.col(item.name)
            if item.name in frame.columns and item.name not in self.sealed
            else pl.lit(None, pl.Binary if pa.types.is_binary(item.type) else pl.String).alias(item.name)
            for item in self._form.schema
        )
