"""What each wrapped key is a key of: bound to it when it is wrapped, so that a row moved elsewhere does not open."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lakehouse.storage.control import batch_key_table, data_key_table, period_key_table, secret_table

if TYPE_CHECKING:
    from collections.abc import Callable

    import sqlalchemy as sa


def secret(name: str, version: int) -> bytes:
    """Of a version of a named secret."""
    return f"secret/{name}/{version}".encode()


def data_key(surrogate: bytes, scope: str) -> bytes:
    """Of an entity's data key of a scope."""
    return data_keys(scope) + surrogate


def data_keys(scope: str) -> bytes:
    """How the purpose of each data key of a scope begins; the surrogate's bits follow."""
    return b"data key/%b/" % scope.encode()


def period_key(table_id: str, month: str) -> bytes:
    """Of a table's key of a landing month."""
    return f"period key/{table_id}/{month}".encode()


def batch_key(batch: int) -> bytes:
    """Of a batch's key."""
    return f"batch key/{batch}".encode()


#: Every table of wrapped keys, with the purpose of a row by its primary key.
TABLES: tuple[tuple[sa.Table, Callable[..., bytes]], ...] = (
    (secret_table, secret),
    (period_key_table, period_key),
    (batch_key_table, batch_key),
    (data_key_table, data_key),
)


def kind(purpose: bytes) -> str:
    """The first word or two, for messages; the rest may say too much."""
    return purpose.partition(b"/")[0].decode()


def primary_key(table: sa.Table) -> list[sa.Column[Any]]:
    """The columns that a purpose is made of, in order."""
    return list(table.primary_key.columns)
