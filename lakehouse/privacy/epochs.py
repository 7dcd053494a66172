"""Epochs: the keys that wrap all other keys, one at a time, each wrapped by a key version of the provider.

A wrapped key is nonce, ciphertext and tag of AES-256-GCM; what it is a key of is bound to it, so that a row moved to
another place does not open. An epoch's key is asked from the provider once per process and kept.
INVARIANT: a row is only inserted in a transaction that has seen its epoch as the current one (`hold`), so that once a
new epoch is open nobody wraps by the old.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from lakehouse.errors import KeyUnavailableError, StorageError
from lakehouse.privacy import kek, purposes
from lakehouse.privacy.kek import KEY_BYTES, NONCE_BYTES
from lakehouse.storage.bulk import insert_new
from lakehouse.storage.control import epoch_table
from lakehouse.storage.marker import publish, raise_in

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lakehouse.storage import Lake

#: Unwrapped epoch keys of this process, by their wrapped form: a restored database with another key is another entry.
_opened: dict[bytes, AESGCM] = {}
_alone = threading.Lock()


class OutdatedError(Exception):
    """Another process opened a new epoch meanwhile: wrap again."""


@dataclass(frozen=True)
class Epoch:
    """An epoch whose key is open.

    Attributes:
        number: counts up from 1.
        cipher: wraps keys.
    """

    number: int
    cipher: AESGCM = field(repr=False)

    def wrap(self, key: bytes, purpose: bytes) -> bytes:
        """A key wrapped by this epoch's, bound to what it is a key of."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self.cipher.encrypt(nonce, key, purpose)


def current(lake: Lake) -> Epoch:
    """The epoch that new keys are wrapped by; the first one is opened here.

    Raises:
        KeyUnavailableError: the provider does not have its key.
    """
    row = _row(lake, epoch_table.c.state == "current")
    if row is None:
        _open_first(lake)
        row = _row(lake, epoch_table.c.state == "current")
    if row is None:
        raise StorageError("no epoch is current", hint="restore the control database from a backup")
    return Epoch(row.number, _open(lake, row))


def require_open(lake: Lake) -> None:
    """Refuse a control database that wraps by a key which the provider does not have; fine while there is no epoch.

    Raises:
        KeyUnavailableError: the present epoch's key is missing or destroyed.
    """
    row = _row(lake, epoch_table.c.state == "current")
    if row is not None:
        _open(lake, row)


def cipher(lake: Lake, number: int) -> AESGCM:
    """The key of an epoch.

    Raises:
        KeyUnavailableError: the epoch is unknown or destroyed, or the provider does not have its key.
    """
    row = _row(lake, epoch_table.c.number == number)
    if row is None or row.wrapped is None:
        word = "unknown" if row is None else "destroyed"
        raise KeyUnavailableError(
            f"epoch {number} of the keys is {word}",
            where=lake.root,
            hint="restore the control database from a newer backup, or see `lakehouse keys verify`",
        )
    return _open(lake, row)


def unwrap(lake: Lake, number: int, wrapped: bytes, purpose: bytes) -> bytes:
    """A key that an epoch's key wrapped for `purpose`."""
    return opened(cipher(lake, number), wrapped, purpose)


def opened(key: AESGCM, wrapped: bytes, purpose: bytes) -> bytes:
    """A key that `key` wrapped for `purpose`."""
    try:
        return key.decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], purpose)
    except (InvalidTag, ValueError):
        raise moved(purpose) from None


def wrap_all(key: AESGCM, keys: Sequence[bytes], said: Sequence[bytes]) -> list[bytes]:
    """Many keys wrapped by one, each bound to its purpose."""
    seal = key.encrypt
    drawn = os.urandom(NONCE_BYTES * len(keys))
    nonces = (drawn[start : start + NONCE_BYTES] for start in range(0, len(drawn), NONCE_BYTES))
    return [nonce + seal(nonce, one, purpose) for nonce, one, purpose in zip(nonces, keys, said, strict=True)]


def open_all(key: AESGCM, wrapped: Sequence[bytes], said: Sequence[bytes]) -> list[bytes]:
    """Many keys that one has wrapped.

    Raises:
        KeyUnavailableError: one of them does not open.
    """
    unseal = key.decrypt
    try:
        return [
            unseal(one[:NONCE_BYTES], one[NONCE_BYTES:], purpose) for one, purpose in zip(wrapped, said, strict=True)
        ]
    except (InvalidTag, ValueError):
        raise moved(said[0]) from None


def hold(connection: sa.Connection, epoch: Epoch) -> None:
    """Keep an epoch current until the transaction ends.

    Raises:
        OutdatedError: it is no longer current.
    """
    found = sa.select(epoch_table.c.state).where(epoch_table.c.number == epoch.number).with_for_update(read=True)
    if connection.execute(found).scalar_one_or_none() != "current":
        raise OutdatedError


def moved(purpose: bytes) -> KeyUnavailableError:
    """What to raise when a wrapped key does not open."""
    return KeyUnavailableError(
        f"a wrapped {purposes.kind(purpose)} does not open: it was moved or changed", hint="see `lakehouse keys verify`"
    )


def _row(lake: Lake, which: sa.ColumnElement[bool]) -> sa.Row[Any] | None:
    wanted = sa.select(epoch_table).where(which)
    with lake.control.read() as connection:
        return connection.execute(wanted).one_or_none()


def _open(lake: Lake, row: sa.Row[Any]) -> AESGCM:
    with _alone:
        found = _opened.get(row.wrapped)
        if found is None:
            key = kek.provider(lake).unwrap(row.provider_version, row.wrapped)
            found = _opened[row.wrapped] = AESGCM(key)
        return found


def _open_first(lake: Lake) -> None:
    holder = kek.provider(lake)
    with lake.control.write("epoch.open") as connection:
        if connection.execute(sa.select(epoch_table.c.number).limit(1)).first() is None:
            row = _new(holder, 1, at=lake.control.micros(connection))
            connection.execute(insert_new(connection, epoch_table), row)


def open_next(lake: Lake, present: Epoch) -> None:
    """Open the epoch after `present`, unless another process has done so meanwhile.

    Raises:
        RefusedError: the provider has no new key version, and people must make it.
    """
    row = _new(kek.provider(lake), present.number + 1, at=0)
    with lake.control.write("epoch.open") as connection:
        # INVARIANT: waits for every transaction that holds the present epoch; afterwards none can
        outdated = epoch_table.update().where(epoch_table.c.number == present.number, epoch_table.c.state == "current")
        if connection.execute(outdated.values(state="old")).rowcount == 1:
            row["opened_at"] = lake.control.micros(connection)
            connection.execute(epoch_table.insert().values(row))
            raise_in(connection)  # a backup from before does not know the new epoch
    publish(lake.root, lake.control)


def _new(holder: kek.KeyProvider, number: int, *, at: int) -> dict[str, Any]:
    key = os.urandom(KEY_BYTES)
    version = holder.create()
    wrapped = holder.wrap(version, key)
    _opened[wrapped] = AESGCM(key)
    return {
        "number": number,
        "provider_version": version,
        "wrapped": wrapped,
        "state": "current",
        "opened_at": at,
        "destroy_after": None,
    }
