"""Entities and surrogates: a delivered id becomes its canonical form, a keyed hash, and a random surrogate.

The control database maps (type, HMAC-SHA256 of the canonical id) to 128 random bits; the id itself is stored nowhere.
The hash is over `<type>:<canonical id>`, so that the same number of two types shows no link. The key is 32 random bytes
in a file of its own (mode 0600), made on first use; whoever loses it gives every person a second surrogate.
Everything is done on columns: distinct ids are hashed in polars and looked up in one go.
"""

from __future__ import annotations

import hmac
import os
import secrets
import sys
from functools import cache
from typing import TYPE_CHECKING

import polars as pl
import polars_hash as plh
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from lakehouse.contract.canonical import INTEGER, canonical, in_order
from lakehouse.errors import StorageError
from lakehouse.storage.control import entity_table

if TYPE_CHECKING:
    from pathlib import Path

    from lakehouse.storage import Lake

_KEY_BYTES = 32
_SURROGATE_BYTES = 16
#: Rows of one statement: below SQLite's limit of bound values in any build.
_CHUNK = 10_000
#: RFC 4231, test case 2, as known answer (trap 9: a key of the wrong kind is taken without a word).
_KNOWN = ("Jefe", "what do ya want for nothing?", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843")
#: Forms that polars computes; the others go through `contract.canonical` for each distinct value.
_IN_POLARS = frozenset({"trim", "integer"})


def resolve(lake: Lake, entity: str, forms: tuple[str, ...], values: pl.Series) -> pl.Series:
    """The surrogates of delivered ids; null where the id is null or cannot be read. New ids get a new surrogate.

    Args:
        lake: the lake whose control database knows the entities.
        entity: the entity's type, such as `customer`.
        forms: canonical forms.
        values: ids as delivered, text.
    """
    ids = values.alias("id").to_frame()
    known = ids.unique().with_columns(canonical_form(pl.col("id"), forms).alias("canonical")).drop_nulls("canonical")
    if known.is_empty():
        return pl.Series("_entity", [None] * values.len(), dtype=pl.String)
    hashed = known.with_columns(keyed_hash(lake, entity, known["canonical"]).alias("keyed_hash"))
    wanted = hashed["keyed_hash"].unique().to_list()
    surrogates = _surrogates(lake, entity, wanted)
    found = hashed.join(surrogates, on="keyed_hash", how="left")
    return ids.join(found, on="id", how="left", maintain_order="left")["surrogate"].alias("_entity")


def canonical_form(value: pl.Expr, forms: tuple[str, ...]) -> pl.Expr:
    """The canonical form of text ids as a polars expression; the same answers as `contract.canonical`."""
    ordered = in_order(forms)
    if not set(ordered) <= _IN_POLARS:
        return value.map_elements(lambda text: canonical(ordered, text), return_dtype=pl.String)
    if "trim" in ordered or "integer" in ordered:
        value = value.str.strip_chars()
    if "integer" in ordered:
        parts = value.str.extract_groups(INTEGER.replace("$", r"\z"))
        sign, digits = parts.struct.field("1"), parts.struct.field("2")
        value = pl.when((sign == "-") & (digits != "0")).then(pl.concat_str(pl.lit("-"), digits)).otherwise(digits)
    return pl.when(value != "").then(value)


def keyed_hash(lake: Lake, entity: str, canonical_ids: pl.Series) -> pl.Series:
    """The keyed hashes (32 bytes each) under which the control database knows entities."""
    _require_known_answer()
    return _hmac(f"{entity}:" + canonical_ids, _key(lake.key_file)).str.decode("hex")


def name_hash(lake: Lake, name: str) -> str:
    """A keyed hash of a file's name, which may hold a person's; it cannot be mistaken for an entity's."""
    spelled = name.encode("utf-8", "surrogateescape")  # a file system's names are bytes, in any encoding
    return hmac.digest(_key(lake.key_file).encode("ascii"), b"file name:" + spelled, "sha256").hex()


def _hmac(text: pl.Series, key: str) -> pl.Series:
    return text.alias("text").to_frame().select(plh.col("text").chash.hmac_sha256(key=key)).to_series()


@cache
def _require_known_answer() -> None:
    key, text, expected = _KNOWN
    if _hmac(pl.Series([text]), key).item() != expected:
        raise StorageError(
            "the keyed hash does not give the known answer", hint="install the pinned version of `polars-hash`"
        )


@cache
def _key(file: Path) -> str:
    """The key as 64 hex digits, the form that every engine can take; made on first use."""
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return _read_key(file)
    with os.fdopen(descriptor, "w", encoding="ascii") as stream:
        stream.write(secrets.token_hex(_KEY_BYTES))
        stream.flush()
        os.fsync(stream.fileno())
    sys.stderr.write(f"made a new entity key: {file} - back it up, apart from the lake\n")
    return _read_key(file)


def _read_key(file: Path) -> str:
    key = file.read_text(encoding="ascii").strip()
    if len(key) != 2 * _KEY_BYTES or not set(key) <= set("0123456789abcdef"):
        raise StorageError(
            "the entity key is not 64 hex digits",
            where=str(file),
            hint="restore it from its backup; never make a new one",
        )
    return key


def _surrogates(lake: Lake, entity: str, hashes: list[bytes]) -> pl.DataFrame:
    """Surrogate by keyed hash; unknown ones are added. Two processes at once agree: the first insert stays."""
    found: list[pl.DataFrame] = []
    for start in range(0, len(hashes), _CHUNK):
        some = hashes[start : start + _CHUNK]
        with lake.control.read() as connection:
            known = _look_up(connection, entity, some)
        new = [one for one in some if one not in known]
        if new:
            with lake.control.write("entity.add") as connection:
                _add(connection, entity, new)
                known |= _look_up(connection, entity, new)
        columns = {"keyed_hash": list(known), "surrogate": list(known.values())}
        found.append(pl.DataFrame(columns, schema={"keyed_hash": pl.Binary, "surrogate": pl.String}))
    return pl.concat(found)


def _look_up(connection: sa.Connection, entity: str, hashes: list[bytes]) -> dict[bytes, str]:
    table = entity_table.c
    wanted = sa.select(table.keyed_hash, table.surrogate).where(table.type == entity, table.keyed_hash.in_(hashes))
    return {bytes(row.keyed_hash): row.surrogate for row in connection.execute(wanted)}


def _add(connection: sa.Connection, entity: str, hashes: list[bytes]) -> None:
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    rows = [{"type": entity, "keyed_hash": one, "surrogate": secrets.token_hex(_SURROGATE_BYTES)} for one in hashes]
    connection.execute(insert(entity_table).on_conflict_do_nothing(), rows)
