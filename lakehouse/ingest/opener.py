"""From raw back to delivered rows: seals are opened, columns get the contract's names, surrogates of today are given.

Only replay, rebuild and the recovery of a dead run come here. A row whose entity was erased, or whose batch key was
destroyed, stays closed and says so in `_bad`; a key that is missing without a word of why stops everything.
"""

# pyarrow ships without types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportMissingTypeStubs=false

from __future__ import annotations

from functools import cache, partial
from typing import TYPE_CHECKING

import polars as pl

from lakehouse import storage
from lakehouse.errors import StorageError
from lakehouse.ingest.rawform import RawForm
from lakehouse.ingest.rawread import portions
from lakehouse.ingest.sealer import NOBODY, by_month
from lakehouse.ingest.surrogates import Remembered, parties, usable_id, with_unnamed
from lakehouse.model import BAD, BATCH, BYTES, ENTITY, LANDED_AT, ROW, SEALED, Tier, entity_of, sealed_of
from lakehouse.privacy import aliases, entities, sealing, vault
from lakehouse.privacy.sealing import KeyKind

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from lakehouse.contract.model import Table
    from lakehouse.model import TableId
    from lakehouse.storage import Lake

#: What `_bad` says of rows that stay closed.
ERASED, DESTROYED = "its entity was erased", "the key of its batch was destroyed"
LOST = "its batch was lost with an older control database"
_ORDER, _BLOB = "__order", "__blob"


class Opener:
    """Opens the rows of one table's raw.

    Rows of `lost` batches stay closed: keys that were made anew since do not open what the lost ones have sealed.
    """

    def __init__(self, lake: Lake, table: Table, form: RawForm, *, lost: Collection[int] = ()) -> None:
        self._lake = lake
        self._table = table
        self._form = form
        self._raw = table.id.at(Tier.RAW)
        self._lost = list(lost)
        self._keys: dict[str, Remembered] = {}
        self._period_key = cache(partial(_period_key, lake, self._raw))

    def open(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Raw's rows as the gateway had them, in the same order."""
        frame = rows.with_row_index(_ORDER)
        for name in rows.columns:
            if name == SEALED or name.startswith(sealed_of("")):
                frame = self._opened(frame, name)
        if self._lost and SEALED in rows.columns:
            gone = pl.col(BATCH).is_in(self._lost)
            frame = frame.with_columns(pl.when(gone).then(pl.lit(LOST)).otherwise(BAD).alias(BAD))
        inward = self._form.inward(frame)
        return self._attributed(inward)

    def _opened(self, frame: pl.DataFrame, sealed: str) -> pl.DataFrame:
        """The frame with the cells of one column of seals."""
        role = "" if sealed == SEALED else sealed.removeprefix(sealed_of(""))
        whose = entity_of(role) if role else ENTITY
        blobs = frame.select(
            _ORDER, BATCH, ROW, LANDED_AT, pl.col(whose).alias(ENTITY), pl.col(sealed).alias(_BLOB)
        ).hstack(sealing.heads(frame[sealed]))
        blobs = blobs.filter(pl.col(_BLOB).is_not_null(), ~pl.col(BATCH).is_in(self._lost))
        if blobs.is_empty():
            return frame
        layouts = [(month, part) for month, some in by_month(blobs) for part in some.partition_by("layout")]
        cells = pl.concat([self._cells(part, role, month) for month, part in layouts], how="diagonal")
        frame = frame.join(cells, on=_ORDER, how="left", maintain_order="left", suffix=_BLOB)
        found = [name for name in cells.columns if name != _ORDER]
        again = [name for name in found if name + _BLOB in frame.columns]
        frame = frame.with_columns(pl.coalesce(name + _BLOB, name).alias(name) for name in again)
        return frame.drop([name + _BLOB for name in again])

    def _cells(self, part: pl.DataFrame, role: str, month: str) -> pl.DataFrame:
        """The cells of seals of one month and layout; `_bad` says which stay closed."""
        layout = self._form.layouts[part["layout"][0]]
        keyed = self._with_keys(part, layout.scope, month)
        about = sealing.about(self._lake.key(self._raw), role)
        packed = sealing.opened(keyed[_BLOB], keyed, about=about)
        cells = sealing.unpack(packed, layout.columns, last_is_bytes=layout.columns[-1] == BYTES)
        cells = cells.insert_column(0, keyed[_ORDER])
        closed = keyed.filter(pl.col("key").is_null())
        if closed.is_empty():
            return cells
        why = self._why(closed, layout.scope)
        return cells if role else cells.join(why, on=_ORDER, how="left", maintain_order="left")

    def _with_keys(self, part: pl.DataFrame, scope: str, month: str) -> pl.DataFrame:
        """The rows with the key that each was sealed under, null where it is gone."""
        period = self._period_key(month)
        of_entity = pl.col("kind") == int(KeyKind.ENTITY)
        surrogates = part.select(pl.when(of_entity).then(ENTITY)).to_series()
        data_keys = self._known(scope).of(surrogates)["data_key"]
        nobody = sealing.seal_keys(pl.Series([NOBODY]), period).item()
        kinds = part.with_columns(sealing.seal_keys(data_keys, period).alias("key"))
        batches = kinds.filter(pl.col("kind") == int(KeyKind.BATCH))[BATCH].unique().to_list()
        by_batch = {number: vault.find_batch_key(self._lake, number) for number in batches}
        found = pl.DataFrame(
            {BATCH: list(by_batch), "batch_key": list(by_batch.values())},
            schema={BATCH: pl.Int64, "batch_key": pl.Binary},
        )
        key = (
            pl.when(of_entity)
            .then("key")
            .when(pl.col("kind") == int(KeyKind.PERIOD))
            .then(pl.lit(nobody))
            .otherwise("batch_key")
        )
        return kinds.join(found, on=BATCH, how="left", maintain_order="left").with_columns(key.alias("key"))

    def _known(self, scope: str) -> Remembered:
        """Data keys by surrogate."""
        if scope not in self._keys:
            self._keys[scope] = Remembered("surrogate", partial(entities.data_keys, self._lake, scope=scope))
        return self._keys[scope]

    def _why(self, closed: pl.DataFrame, scope: str) -> pl.DataFrame:
        """Why each row stays closed.

        Raises:
            StorageError: keys are missing and nobody was erased.
        """
        of_entity = pl.col("kind") == int(KeyKind.ENTITY)
        theirs = closed.filter(of_entity)
        gone = entities.erased(self._lake, theirs[ENTITY], scope=scope)
        lost = theirs.height - int(gone.sum())
        if lost:
            raise StorageError(
                f"the keys of {lost} rows are missing, and nobody erased them",
                where=str(self._raw),
                hint="an older control database was restored: see `lakehouse recover`",
            )
        reason = pl.when(of_entity).then(pl.lit(ERASED)).otherwise(pl.lit(DESTROYED)).alias(BAD)
        return closed.select(_ORDER, reason)

    def _attributed(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Rows with the surrogates of today's contract, and which of them name nobody."""
        for party in parties(self._table):
            if self._form.stale_entity:
                ids = rows.select(usable_id(self._table, party)).to_series()
                now = entities.resolve(self._lake, party.type, party.canonical, ids)
                aliases.note_reformed(self._lake, rows[party.entity], now)
                rows = rows.with_columns(now.alias(party.entity))
            else:
                rows = rows.with_columns(aliases.merged(self._lake, rows[party.entity]))
        return with_unnamed(self._table, rows) if self._table.sealed else rows


def opened(lake: Lake, table: Table, *, rows: int = 250_000) -> Iterator[pl.DataFrame]:
    """All of a table's raw as the gateway had it, about so many rows at once."""
    home = lake.key(table.id)
    said = next((each.raw for each in storage.applied_contracts(lake) if each.home == home), None)
    opener = Opener(lake, table, RawForm.of(table, said), lost=lost_batches(lake, table))
    for part in portions(storage.snapshot(lake, table.id.at(Tier.RAW)), None, rows=rows):
        yield opener.open(part.collect())


def lost_batches(lake: Lake, table: Table) -> list[int]:
    """The batches of a table that were lost with an older control database."""
    return storage.batches(lake, table.id).filter(pl.col("state") == "lost")["number"].to_list()


def _period_key(lake: Lake, table: TableId, month: str) -> str:
    """The period key of rows that were sealed under it.

    Raises:
        StorageError: it is gone.
    """
    key = vault.find_period_key(lake, table, month)
    if key is None:
        raise StorageError(f"the period key of {month} is gone", where=str(table), hint="see `lakehouse recover`")
    return key
