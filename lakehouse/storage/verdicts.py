"""Verdicts: which version of a table passed its blocking checks, so that no bad batch reaches what is built from it.

Also the requests that a Dagster run refers to by id, because run configuration must not carry what they say.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from lakehouse.errors import RefusedError, StorageError
from lakehouse.storage.control import request_table, verdict_table
from lakehouse.storage.read import data_version, snapshot

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lakehouse.storage.lake import Lake, Target


def record_verdict(lake: Lake, table: Target, version: int, failed: Sequence[str]) -> None:
    """Note which blocking checks a version failed; none means it passed. A later verdict replaces an earlier one."""
    mine = sa.and_(verdict_table.c.table_id == lake.key(table), verdict_table.c.version == version)
    with lake.control.write("verdict.record") as connection:
        at = lake.control.micros(connection)
        connection.execute(verdict_table.delete().where(mine))
        connection.execute(
            verdict_table.insert().values(table_id=lake.key(table), version=version, failed=sorted(failed), at=at)
        )


def require_passed(lake: Lake, table: Target) -> int:
    """The current version, if its rows passed every blocking check; merges do not change rows.

    Raises:
        RefusedError: the rows failed a blocking check, or nobody has judged them.
        StorageError: there is no such table.
    """
    current = snapshot(lake, table).version
    failed = _failed(lake, table, current)
    if failed is None:
        raise RefusedError(
            f"version {current} has not been checked", where=str(table), hint="materialise the table with its checks"
        )
    if failed:
        named = ", ".join(f"`{name}`" for name in failed)
        raise RefusedError(
            f"version {current} failed {named}",
            where=str(table),
            hint="mend the data or the contract, then run it again",
        )
    return current


def is_judged(lake: Lake, table: Target) -> bool:
    """Whether somebody has judged the current version's rows, well or badly."""
    return failed_checks(lake, table) is not None


def failed_checks(lake: Lake, table: Target) -> list[str] | None:
    """The blocking checks that the current version's rows failed, by name; None when nobody has judged them."""
    return _failed(lake, table, snapshot(lake, table).version)


def _failed(lake: Lake, table: Target, current: int) -> list[str] | None:
    oldest = data_version(lake, table, current)
    judged = sa.and_(verdict_table.c.table_id == lake.key(table), verdict_table.c.version.between(oldest, current))
    newest = sa.select(verdict_table.c.failed).where(judged).order_by(verdict_table.c.version.desc()).limit(1)
    with lake.control.read() as connection:
        return connection.execute(newest).scalar_one_or_none()


def put_request(lake: Lake, kind: str, payload: Mapping[str, Any]) -> str:
    """Keep what a run is asked for; returns the id to hand over."""
    request_id = uuid.uuid4().hex
    with lake.control.write("request.put") as connection:
        at = lake.control.micros(connection)
        connection.execute(request_table.insert().values(id=request_id, kind=kind, payload=dict(payload), at=at))
    return request_id


def get_request(lake: Lake, request_id: str) -> dict[str, Any]:
    """What was asked.

    Raises:
        StorageError: there is no such request.
    """
    query = sa.select(request_table.c.payload).where(request_table.c.id == request_id)
    with lake.control.read() as connection:
        payload = connection.execute(query).scalar_one_or_none()
    if payload is None:
        raise StorageError(f"there is no request `{request_id}`", hint="start the command again")
    return dict(payload)
