"""The vault's named keys: secrets of HMACs, period keys and batch keys; and how keys are destroyed.

Each is 32 random bytes, made on first use; if two processes make one at once, the first insert stays. What an engine
hashes with is handed out as 64 hex digits, because polars takes a key as text only (trap 9). Whoever holds the control
database without the provider's key has nothing.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from lakehouse.errors import StorageError
from lakehouse.privacy import epochs, purposes
from lakehouse.privacy.hashing import keyed
from lakehouse.privacy.kek import KEY_BYTES
from lakehouse.storage import bulk
from lakehouse.storage.control import (
    batch_key_table,
    period_key_table,
    secret_table,
    to_micros,
)

if TYPE_CHECKING:
    import datetime as dt

    import polars as pl

    from lakehouse.model import TableId
    from lakehouse.storage import Lake

ENTITY_SECRET = "entity"  # noqa: S105 - a secret's name
FILE_NAME_SECRET = "file name"  # noqa: S105
TOKEN_SECRETS = "token/"  # noqa: S105


def secret(lake: Lake, name: str, version: int | None = None) -> str:
    """A named secret as 64 hex digits: the newest version, made on first use, or the one asked for.

    Raises:
        StorageError: there is no such version.
    """
    found = _newest(lake, name) if version is None else _find(lake, secret_table, name=name, version=version)
    if found is not None:
        return epochs.unwrap(lake, found.epoch, found.wrapped, purposes.secret(name, found.version)).hex()
    if version is not None:
        raise StorageError(f"secret `{name}` has no version {version}", hint="restore the control database")
    return _made(lake, secret_table, purposes.secret(name, 1), name=name, version=1).hex()


def secret_version(lake: Lake, name: str) -> int:
    """The newest version of a secret, made on first use."""
    found = _newest(lake, name)
    if found is None:
        secret(lake, name)
        return secret_version(lake, name)
    return found.version


def renew_secret(lake: Lake, name: str) -> int:
    """A new version of a pseudonym domain's secret; its tokens change once their tables are rebuilt.

    Raises:
        StorageError: the secret is not one of tokens: entities and files would be forgotten.
    """
    if not name.startswith(TOKEN_SECRETS):
        raise StorageError(f"secret `{name}` cannot be renewed", hint="only those of pseudonym domains can")
    version = secret_version(lake, name) + 1
    _made(lake, secret_table, purposes.secret(name, version), name=name, version=version)
    return version


def period_key(lake: Lake, table: TableId, month: str) -> str:
    """The key of a table's rows that landed in a month such as `2026-11`, as 64 hex digits; made on first use."""
    key = {"table_id": lake.key(table), "month": month}
    return _made(lake, period_key_table, purposes.period_key(**key), **key).hex()


def find_period_key(lake: Lake, table: TableId, month: str) -> str | None:
    """The key of a table's rows that landed in a month, if it was made and is not destroyed."""
    key = {"table_id": lake.key(table), "month": month}
    found = _find(lake, period_key_table, **key)
    return None if found is None else epochs.unwrap(lake, found.epoch, found.wrapped, purposes.period_key(**key)).hex()


def batch_key(lake: Lake, batch: int, *, table: TableId, destroy_after: dt.datetime) -> bytes:
    """The key of a batch's rows that belong to nobody; made on first use, destroyed some time after `destroy_after`."""
    rest = {"table_id": lake.key(table), "destroy_after": to_micros(destroy_after)}
    return _made(lake, batch_key_table, purposes.batch_key(batch), rest, batch=batch)


def find_batch_key(lake: Lake, batch: int) -> bytes | None:
    """The key of a batch, if it was made and is not destroyed."""
    found = _find(lake, batch_key_table, batch=batch)
    return None if found is None else epochs.unwrap(lake, found.epoch, found.wrapped, purposes.batch_key(batch))


def destroy_due(lake: Lake, now: dt.datetime) -> int:
    """Destroy the batch keys whose time has come; returns how many."""
    due = batch_key_table.c.destroy_after <= to_micros(now)
    with lake.control.read() as connection:
        if connection.execute(sa.select(batch_key_table.c.batch).where(due).limit(1)).first() is None:
            return 0
    with lake.control.write("key.destroy") as connection:
        return connection.execute(batch_key_table.delete().where(due)).rowcount


def marks(lake: Lake, surrogates: pl.Series, scope: str | None = None) -> pl.Series:
    """The keyed hashes (32 bytes each) by which erased surrogates are known: wholly, or in one scope."""
    said = "surrogate:" + surrogates if scope is None else "surrogate:" + surrogates + f"/{scope}"
    return keyed(said, secret(lake, ENTITY_SECRET)).str.decode("hex")


def _newest(lake: Lake, name: str) -> sa.Row[Any] | None:
    wanted = sa.select(secret_table).where(secret_table.c.name == name).order_by(secret_table.c.version.desc()).limit(1)
    with lake.control.read() as connection:
        return connection.execute(wanted).one_or_none()


def _find(lake: Lake, table: sa.Table, **key: Any) -> sa.Row[Any] | None:
    wanted = sa.select(table).where(*(table.c[name] == value for name, value in key.items()))
    with lake.control.read() as connection:
        return connection.execute(wanted).one_or_none()


def _made(lake: Lake, table: sa.Table, purpose: bytes, rest: dict[str, Any] | None = None, /, **key: Any) -> bytes:
    """The key of a row, made if there is none. Two processes at once agree: the first insert stays."""
    found = _find(lake, table, **key)
    while found is None:
        epoch = epochs.current(lake)
        row = {**key, **(rest or {}), "epoch": epoch.number, "wrapped": epoch.wrap(os.urandom(KEY_BYTES), purpose)}
        try:
            with lake.control.write("key.make") as connection:
                epochs.hold(connection, epoch)
                connection.execute(bulk.insert_new(connection, table), row)
        except epochs.OutdatedError:
            continue
        found = _find(lake, table, **key)
    return epochs.unwrap(lake, found.epoch, found.wrapped, purpose)
