"""Seals: the cells of one row and entity as one blob that only that entity's key opens, in that place only.

A blob is `format, key kind, layout number (2 bytes), nonce (12), AES-256-GCM of the packed cells`. The associated data
binds the table, the role, batch, row and the first four bytes, so a blob that was moved, swapped or told another layout
does not open. Cells are packed by bytes that UTF-8 never has, 0xFF between two cells and 0xFE for a missing one, so packing
and unpacking are one pass of Arrow each; only a layout's last cell may be bytes. Nothing here knows where keys are kept.
"""

# pyarrow ships without types, and makes its compute functions when it is imported.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownParameterType=false, reportMissingTypeStubs=false, reportAttributeAccessIssue=false

from __future__ import annotations

import os
from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import polars_hash as plh
import pyarrow as pa
import pyarrow.compute as pc
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from lakehouse.errors import StorageError
from lakehouse.model import BATCH, ROW

if TYPE_CHECKING:
    from collections.abc import Sequence

FORMAT = 1
_HEAD, _NONCE, _TAG = 4, 12, 16
_BETWEEN, _MISSING, _PRESENT = b"\xff", b"\xfe", b"\x01"
_OLDEST = pl.CompatLevel.oldest()
#: Rows whose keys and cells are Python objects at one time, 0.6 KB each.
_AT_ONCE = 32_768


class KeyKind(IntEnum):
    """Whose key a blob was sealed under."""

    ENTITY = 1  # the entity's data key with the period key
    PERIOD = 2  # the period key alone: a row that names nobody and says nothing personal
    BATCH = 3  # the batch's key: a row that cannot be attributed, or not even split


def seal_keys(data_keys: pl.Series, period_key: str) -> pl.Series:
    """The seal keys (32 bytes) of data keys (64 hex digits) in a period: HKDF-Extract of RFC 5869, the period as its salt.

    Both inputs are random, so whoever lacks one of them has nothing; each alone can be destroyed.
    """
    derived = data_keys.alias("key").to_frame().select(plh.col("key").chash.hmac_sha256(key=period_key))
    return derived.to_series().str.decode("hex").alias("seal_key")


def pack(cells: pl.DataFrame) -> pa.Array:
    """Each row's cells as one run of bytes; text columns, the last may be bytes."""
    columns = [_binary(cells[name]) for name in cells.columns]
    between = pa.scalar(_BETWEEN, pa.large_binary())
    return pc.binary_join_element_wise(*columns, between, null_handling="replace", null_replacement=_MISSING)


def unpack(packed: pa.Array, columns: Sequence[str], *, last_is_bytes: bool) -> pl.DataFrame:
    """The cells that `pack` put together; rows that are null give null cells."""
    lists = pc.split_pattern(packed, pattern=_BETWEEN, max_splits=len(columns) - 1)
    found: dict[str, pl.Series] = {}
    for place, name in enumerate(columns):
        cell = pc.list_element(lists, place)
        cell = pc.if_else(pc.equal(cell, pa.scalar(_MISSING, cell.type)), pa.scalar(None, cell.type), cell)
        if last_is_bytes and place == len(columns) - 1:
            marked = pl.Series(name, cell, dtype=pl.Binary).to_frame()
            found[name] = marked.select(pl.col(name).bin.slice(1)).to_series()
        else:
            found[name] = pl.Series(name, cell.cast(pa.large_string()), dtype=pl.String)
    return pl.DataFrame(found)


def seal(packed: pa.Array, rows: pl.DataFrame, *, about: bytes, layout: int) -> pl.Series:
    """Seal packed cells.

    Args:
        packed: what `pack` gave; null where there is nothing to seal.
        rows: `_batch`, `_row`, `key` (32 bytes) and `kind` (a `KeyKind`) of each.
        about: table and role, see `about`.
        layout: which cells these are, 0 to 65535.
    """
    starts = range(0, rows.height, _AT_ONCE)
    parts = [_sealed(packed.slice(start, _AT_ONCE), rows.slice(start, _AT_ONCE), about, layout) for start in starts]
    return pl.concat(parts) if parts else pl.Series(dtype=pl.Binary)


def _sealed(packed: pa.Array, rows: pl.DataFrame, about: bytes, layout: int) -> pl.Series:
    heads = _heads(rows, layout)
    nonces = np.frombuffer(os.urandom(_NONCE * rows.height), np.uint8).reshape(rows.height, _NONCE)
    # One key per row: an object for each costs half of it all, a cache of them more. The rest is done on arrays.
    starts, bound = _each(np.hstack([heads, nonces])), _bound(rows, heads, about)
    told = zip(rows["key"].to_list(), packed.to_pylist(), starts, _each(nonces), bound, strict=True)
    sealed = [
        None if cells is None else start + AESGCM(key).encrypt(nonce, cells, data)
        for key, cells, start, nonce, data in told
    ]
    return pl.Series(sealed, dtype=pl.Binary)


def heads(sealed: pl.Series) -> pl.DataFrame:
    """What each blob says of itself: `kind` and `layout`, null where there is none.

    Raises:
        StorageError: a blob has another format, or is cut short.
    """
    frame = sealed.alias("sealed").to_frame()
    sizes = frame.select(pl.col("sealed").bin.size()).to_series()
    formats = frame.select(pl.col("sealed").bin.slice(0, 1) == bytes((FORMAT,))).to_series()
    if bool((sizes < _HEAD + _NONCE + _TAG).any()) or not bool(formats.drop_nulls().all()):
        raise StorageError("a seal has no known format", hint="`lakehouse verify worm` says whether raw was changed")
    return frame.select(
        pl.col("sealed").bin.slice(1, 1).bin.reinterpret(dtype=pl.UInt8).alias("kind"),
        pl.col("sealed").bin.slice(2, 2).bin.reinterpret(dtype=pl.UInt16, endianness="big").alias("layout"),
    )


def opened(sealed: pl.Series, rows: pl.DataFrame, *, about: bytes) -> pa.Array:
    """The packed cells of blobs; null where there is no blob or no key.

    Args:
        sealed: the blobs.
        rows: `_batch`, `_row`, `key`, and the `kind` and `layout` that `heads` read; a null key leaves the row closed.
        about: table and role.

    Raises:
        StorageError: a blob does not open under its key in its place.
    """
    starts = range(0, rows.height, _AT_ONCE)
    parts = [_opened(sealed.slice(start, _AT_ONCE), rows.slice(start, _AT_ONCE), about) for start in starts]
    return pa.chunked_array(parts, pa.large_binary()).combine_chunks()


def _opened(sealed: pl.Series, rows: pl.DataFrame, about: bytes) -> pa.Array:
    plain: list[bytes | None] = []
    start = _HEAD + _NONCE
    bound = _bound(rows, _heads(rows, rows["layout"].fill_null(0).to_numpy()), about)
    for number, (blob, key, data) in enumerate(zip(sealed.to_list(), rows["key"].to_list(), bound, strict=True)):
        if blob is None or key is None:
            plain.append(None)
            continue
        try:
            plain.append(AESGCM(key).decrypt(blob[_HEAD:start], blob[start:], data))
        except InvalidTag:
            raise StorageError(
                "a seal does not open in its place",
                where=f"batch {rows[BATCH][number]}, row {rows[ROW][number]}",
                hint="`lakehouse verify worm` says whether raw was changed",
            ) from None
    return pa.array(plain, pa.large_binary())


def about(table: str, role: str = "") -> bytes:
    """What binds blobs to their table (by the name the lake keeps it under) and role."""
    return f"{table}\x00{role}\x00".encode()


def _binary(cells: pl.Series) -> pa.Array:
    if cells.dtype == pl.Binary:
        # Bytes may be any: a mark in front tells a missing cell from one that holds the byte for missing.
        array = cells.to_arrow(compat_level=_OLDEST).cast(pa.large_binary())
        marked = pa.scalar(_PRESENT, pa.large_binary()), array, pa.scalar(b"", pa.large_binary())
        return pc.binary_join_element_wise(*marked)
    return cells.to_arrow(compat_level=_OLDEST).cast(pa.large_string()).cast(pa.large_binary())


def _heads(rows: pl.DataFrame, layout: int | np.ndarray) -> np.ndarray:
    """The first four bytes of each blob."""
    head = np.zeros(rows.height, dtype=[("format", "u1"), ("kind", "u1"), ("layout", ">u2")])
    head["format"], head["kind"], head["layout"] = FORMAT, rows["kind"].fill_null(0).to_numpy(), layout
    return head.view(np.uint8).reshape(rows.height, _HEAD)


def _bound(rows: pl.DataFrame, heads: np.ndarray, about: bytes) -> list[bytes]:
    """What each blob is bound to: table and role, its first bytes, batch and row."""
    place = np.empty((rows.height, 2), dtype=">i8")
    place[:, 0], place[:, 1] = rows[BATCH].to_numpy(), rows[ROW].to_numpy()
    said = np.broadcast_to(np.frombuffer(about, np.uint8), (rows.height, len(about)))
    return _each(np.hstack([said, heads, place.view(np.uint8)]))


def _each(rows: np.ndarray) -> list[bytes]:
    """Each row of a matrix of bytes."""
    return np.ascontiguousarray(rows).view(f"V{rows.shape[1]}").ravel().tolist()
