"""Entities and surrogates: a delivered id becomes its canonical form, a keyed hash, a random surrogate, a data key.

The control database maps HMAC-SHA256 of `<type>:<canonical id>` (the same number of two types shows no link) to 128
random bits, and those, by scope, to a wrapped data key; the id itself is stored nowhere. Everything is done on columns:
distinct ids are hashed in polars, looked up in one join and added in one insert.
"""

from __future__ import annotations

import hmac
import os
from typing import TYPE_CHECKING, Any

import polars as pl
import sqlalchemy as sa

from lakehouse.privacy import epochs, purposes, vault
from lakehouse.privacy.forms import canonical_form
from lakehouse.privacy.hashing import keyed
from lakehouse.privacy.kek import KEY_BYTES
from lakehouse.storage import bulk
from lakehouse.storage.chain import ERASURE
from lakehouse.storage.control import alias_table, chain_head_table, data_key_table, entity_table, erased_table

if TYPE_CHECKING:
    from lakehouse.storage import Lake

_SURROGATE_BYTES = 16
#: New entities of one transaction.
_PORTION = 500_000
_BYTES = sa.LargeBinary()
#: How many entries the log of erasures has.
_ERASURES = sa.select(chain_head_table.c.number).where(chain_head_table.c.name == ERASURE)
_WRAPPED = {"surrogate": pl.Binary, "epoch": pl.Int64, "wrapped": pl.Binary}


def resolve(lake: Lake, entity: str, forms: tuple[str, ...], values: pl.Series) -> pl.Series:
    """The surrogates of delivered ids; null where the id is null or cannot be read. New ids get a new surrogate.

    Args:
        lake: the lake whose control database knows the entities.
        entity: the entity's type, such as `customer`.
        forms: canonical forms.
        values: ids as delivered, text.
    """
    ids = values.alias("id").to_frame()
    hashed = _hashed(lake, entity, forms, ids)
    found = hashed.join(_found(lake, entity, hashed, None), on="keyed_hash")
    surrogate = ids.join(found, on="id", how="left", maintain_order="left")["surrogate"]
    return surrogate.bin.encode("hex").alias("_entity")


def with_keys(lake: Lake, entity: str, forms: tuple[str, ...], values: pl.Series, *, scope: str) -> pl.DataFrame:
    """The distinct readable ids with surrogate and data key; what is missing is made.

    Args:
        lake: the lake whose control database knows the entities.
        entity: the entity's type, such as `customer`.
        forms: canonical forms.
        values: ids as delivered, text.
        scope: which of the entity's keys.

    Returns:
        `id`, `surrogate` and `data_key`, the latter two as hex digits.
    """
    hashed = _hashed(lake, entity, forms, values.alias("id").to_frame())
    found = hashed.join(_found(lake, entity, hashed, scope), on="keyed_hash")
    return found.select("id", pl.col("surrogate", "data_key").bin.encode("hex"))


def data_keys(lake: Lake, surrogates: pl.Series, *, scope: str) -> pl.DataFrame:
    """The data keys that exist.

    Returns:
        `surrogate` and `data_key` as hex digits; nothing for a surrogate whose key was destroyed.
    """
    with lake.control.read() as connection:
        listed = bulk.listed_bytes(connection, "sought_key", "surrogate", _bits(surrogates))
        key = data_key_table.c
        wanted = sa.select(key.surrogate, key.epoch, key.wrapped).join_from(
            listed, data_key_table, (key.surrogate == listed.c.surrogate) & (key.scope == scope)
        )
        rows = bulk.fetch(connection, wanted, _WRAPPED)
    return _opened(lake, rows, scope).select(pl.col("surrogate", "data_key").bin.encode("hex"))


def erased(lake: Lake, surrogates: pl.Series, *, scope: str | None = None) -> pl.Series:
    """Whether all keys of a surrogate were destroyed, or those of one scope."""
    sought = surrogates.alias("surrogate").to_frame().unique().drop_nulls()
    whole, scopes = vault.marks(lake, sought["surrogate"]), [] if scope is None else [scope]
    parts = [whole, *(vault.marks(lake, sought["surrogate"], each) for each in scopes)]
    marked = pl.concat([sought.with_columns(part.alias("mark")) for part in parts])
    with lake.control.read() as connection:
        listed = bulk.listed_bytes(connection, "sought_mark", "mark", marked["mark"].to_list())
        wanted = sa.select(erased_table.c.mark).join_from(listed, erased_table, erased_table.c.mark == listed.c.mark)
        found = bulk.fetch(connection, wanted, {"mark": pl.Binary})
    gone = marked.join(found, on="mark", how="semi")["surrogate"]
    return surrogates.is_in(gone.implode()).fill_null(value=False).alias("erased")


def aliases(lake: Lake, surrogates: pl.Series) -> pl.DataFrame:
    """Those of the surrogates whose rows are another's since two ids were merged: `surrogate` and `other`."""
    with lake.control.read() as connection:
        listed = bulk.listed_bytes(connection, "sought_alias", "surrogate", _bits(surrogates))
        alias = alias_table.c
        wanted = sa.select(alias.surrogate, alias.other).join_from(
            listed, alias_table, (alias.surrogate == listed.c.surrogate) & (alias.cause == "merged")
        )
        found = bulk.fetch(connection, wanted, {"surrogate": pl.Binary, "other": pl.Binary})
    return found.select(pl.all().bin.encode("hex"))


def keyed_hash(lake: Lake, entity: str, canonical_ids: pl.Series) -> pl.Series:
    """The keyed hashes (32 bytes each) under which the control database knows entities."""
    return keyed(f"{entity}:" + canonical_ids, vault.secret(lake, vault.ENTITY_SECRET)).str.decode("hex")


def name_hash(lake: Lake, name: str) -> str:
    """A keyed hash of a file's name, which may hold a person's; it cannot be mistaken for an entity's."""
    spelled = name.encode("utf-8", "surrogateescape")  # a file system's names are bytes, in any encoding
    return hmac.digest(
        vault.secret(lake, vault.FILE_NAME_SECRET).encode("ascii"), b"file name:" + spelled, "sha256"
    ).hex()


def _hashed(lake: Lake, entity: str, forms: tuple[str, ...], ids: pl.DataFrame) -> pl.DataFrame:
    """The distinct ids that can be read, with their keyed hashes."""
    known = ids.unique().with_columns(canonical_form(pl.col("id"), forms).alias("canonical")).drop_nulls("canonical")
    if known.is_empty():
        return known.select("id", pl.lit(b"").alias("keyed_hash"))
    return known.select("id", keyed_hash(lake, entity, known["canonical"]).alias("keyed_hash"))


def _found(lake: Lake, entity: str, hashed: pl.DataFrame, scope: str | None) -> pl.DataFrame:
    """Surrogates by keyed hash, with their data keys if there is a scope; what is missing is made."""
    wanted = hashed["keyed_hash"].unique().sort()
    starts = range(0, max(wanted.len(), 1), _PORTION)
    return pl.concat([_portion(lake, entity, wanted.slice(start, _PORTION), scope) for start in starts])


def _portion(lake: Lake, entity: str, hashes: pl.Series, scope: str | None) -> pl.DataFrame:
    while True:  # again, when another process made some of the same meanwhile, or erased somebody
        with lake.control.read() as connection:
            erasures = connection.execute(_ERASURES).scalar_one_or_none()
        found = _look_up(lake, hashes, scope)
        unknown = hashes.to_frame().join(found, on="keyed_hash", how="anti")["keyed_hash"]
        if not unknown.is_empty():
            added = _add_entities(lake, entity, unknown)
            if added is None:
                continue
            found = pl.concat([found, added], how="diagonal")
        if scope is None:
            return found
        keyless = found.filter(pl.col("data_key").is_null())
        if keyless.is_empty():
            return found
        keys = _add_keys(lake, keyless["surrogate"].unique().sort(), scope, erasures)
        if keys is not None:
            keyed = keyless.drop("data_key").join(keys, on="surrogate")
            return pl.concat([found.filter(pl.col("data_key").is_not_null()), keyed])


def _look_up(lake: Lake, hashes: pl.Series, scope: str | None) -> pl.DataFrame:
    """The known keyed hashes with surrogate and data key, null where there is none."""
    with lake.control.read() as connection:
        listed = bulk.listed_bytes(connection, "sought_entity", "keyed_hash", hashes.to_list())
        entity, key, sought = entity_table.c, data_key_table.c, listed.c.keyed_hash
        wanted = sa.select(sought, entity.surrogate).join_from(listed, entity_table, entity.keyed_hash == sought)
        schema: dict[str, Any] = {"keyed_hash": pl.Binary, "surrogate": pl.Binary}
        if scope is not None:
            schema |= _WRAPPED
            # in their order, so that neighbours are read together; without the limit SQLite drops it
            known = wanted.order_by(entity.surrogate).limit(hashes.len()).subquery()
            wanted = sa.select(*known.c, key.epoch, key.wrapped).join_from(
                known, data_key_table, (key.surrogate == known.c.surrogate) & (key.scope == scope), isouter=True
            )
        rows = bulk.fetch(connection, wanted, schema)
    # INVARIANT: not before this connection is closed: SQLite lets a writer wait for it, and the next one for the writer
    return rows if scope is None else _opened(lake, rows, scope)


def _opened(lake: Lake, rows: pl.DataFrame, scope: str) -> pl.DataFrame:
    """`wrapped` of `epoch` opened to `data_key`, and null where it is null."""
    parts: list[pl.DataFrame] = []
    for some in rows.partition_by("epoch"):
        number: int | None = some["epoch"].first()  # pyright: ignore[reportAssignmentType] - the column's type is known
        if number is None:
            parts.append(some.with_columns(data_key=pl.lit(None, pl.Binary)))
            continue
        bound = purposes.data_keys(scope)
        said = [bound + one for one in some["surrogate"].to_list()]
        opened = epochs.open_all(epochs.cipher(lake, number), some["wrapped"].to_list(), said)
        parts.append(some.with_columns(pl.Series("data_key", opened, pl.Binary)))
    return pl.concat(parts or [rows.with_columns(data_key=pl.lit(None, pl.Binary))]).drop("epoch", "wrapped")


def _add_entities(lake: Lake, entity: str, hashes: pl.Series) -> pl.DataFrame | None:
    """New entities with random surrogates; None if another process has added some of them meanwhile."""
    surrogates = _drawn(hashes.len(), _SURROGATE_BYTES)
    rows = {"keyed_hash": hashes.to_list(), "surrogate": surrogates}
    with lake.control.write("entity.add") as connection:
        added = bulk.insert_rows(connection, entity_table, rows, type=entity)
    if added < hashes.len():
        return None
    return pl.DataFrame([hashes.alias("keyed_hash"), pl.Series("surrogate", surrogates, pl.Binary)])


def _add_keys(lake: Lake, surrogates: pl.Series, scope: str, erasures: int | None) -> pl.DataFrame | None:
    """New data keys; None if another process has added some of them meanwhile, has opened a new epoch, or erased somebody."""
    whose, keys = surrogates.to_list(), _drawn(surrogates.len(), KEY_BYTES)
    epoch, bound = epochs.current(lake), purposes.data_keys(scope)
    wrapped = epochs.wrap_all(epoch.cipher, keys, [bound + one for one in whose])
    rows = {"surrogate": whose, "wrapped": wrapped}
    try:
        with lake.control.write("key.make") as connection:
            epochs.hold(connection, epoch)
            # INVARIANT: no key is made for a surrogate that was erased since it was looked up; erasing waits for this lock
            if connection.execute(_ERASURES.with_for_update(read=True)).scalar_one_or_none() != erasures:
                return None
            added = bulk.insert_rows(connection, data_key_table, rows, scope=scope, epoch=epoch.number)
    except epochs.OutdatedError:
        return None
    if added < len(whose):
        return None
    return pl.DataFrame([surrogates.alias("surrogate"), pl.Series("data_key", keys, pl.Binary)])


def _drawn(count: int, size: int) -> list[bytes]:
    """Random bits, drawn in one go."""
    drawn = os.urandom(count * size)
    return [drawn[start : start + size] for start in range(0, len(drawn), size)]


def _bits(surrogates: pl.Series) -> list[bytes]:
    return surrogates.drop_nulls().unique().sort().str.decode("hex").to_list()
