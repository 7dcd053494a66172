"""Leases: one writer per table, each with an ever rising fencing token, by the control database's clock.

Whoever takes a lease first recovers what earlier holders left. A lease that ran out may be taken over; its old holder then
fails at his next commit, because table and lease carry a higher token. A holder on this machine whose process is gone is
not waited for.
"""

from __future__ import annotations

import datetime as dt
import os
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from lakehouse.errors import FencedOutError, LeaseTakenError
from lakehouse.storage.control import lease_table

if TYPE_CHECKING:
    from lakehouse.storage.lake import Lake, Target

DEFAULT_TTL = dt.timedelta(minutes=5)
_NAMESPACE = Path("/proc/self/ns/pid")
_BOOT = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Held:
    """A lease in hand.

    Attributes:
        key: what the control database called the table when the lease was taken; it stays so when it is renamed.
        token: the fencing token, higher than any holder's before.
    """

    lake: Lake
    table: Target
    key: str
    token: int
    holder: str
    ttl: dt.timedelta

    def renew(self) -> None:
        """Keep the lease for another `ttl`.

        Raises:
            FencedOutError: somebody else has taken the lease since.
        """
        with self.lake.control.write("lease.renew") as connection:
            self.confirm(connection)

    def confirm(self, connection: sa.Connection) -> None:
        """Renew inside a transaction, or fail if the lease is not ours any more.

        Raises:
            FencedOutError: somebody else has taken the lease since.
        """
        expires = self.lake.control.micros(connection) + _micros(self.ttl)
        mine = sa.and_(
            lease_table.c.table_id == self.key,
            lease_table.c.token == self.token,
            lease_table.c.holder == self.holder,
        )
        if connection.execute(lease_table.update().where(mine).values(expires=expires)).rowcount != 1:
            raise FencedOutError(
                "another process has taken the table's lease", where=str(self.table), hint="run the command again"
            )


def is_held(lake: Lake, table: Target) -> bool:
    """Whether somebody alive has the table's lease."""
    with lake.control.read() as connection:
        row = connection.execute(sa.select(lease_table).where(lease_table.c.table_id == lake.key(table))).one_or_none()
        if row is None or row.holder is None:
            return False
        return row.expires > lake.control.micros(connection) and not _gone(row.holder)


def is_dirty(lake: Lake, table: Target) -> bool:
    """Whether the table's last holder did not end well, or has not ended yet."""
    with lake.control.read() as connection:
        found = sa.select(lease_table.c.dirty).where(lease_table.c.table_id == lake.key(table))
        return bool(connection.execute(found).scalar_one_or_none())


def standing(connection: sa.Connection, *, now: int) -> dict[str, tuple[int, bool]]:
    """Of each table whose last holder is at work or did not end well: his token, and whether he is at work."""
    rows = connection.execute(sa.select(lease_table).where(lease_table.c.dirty)).all()
    return {
        row.table_id: (row.token, row.holder is not None and row.expires > now and not _gone(row.holder))
        for row in rows
    }


def take(lake: Lake, table: Target, *, holder: str, ttl: dt.timedelta) -> tuple[Held, bool]:
    """Take the lease if it is free; says whether an earlier holder left it without cleaning up.

    Raises:
        LeaseTakenError: somebody else is at work.
    """
    name, key = f"{_process()}/{uuid.uuid4().hex[:8]}/{holder}", lake.key(table)
    with lake.control.write("lease.take") as connection:
        now = lake.control.micros(connection)
        values = {"holder": name, "expires": now + _micros(ttl), "dirty": True}
        found = sa.select(lease_table).where(lease_table.c.table_id == key).with_for_update()
        row = connection.execute(found).one_or_none()
        if row is None:
            try:
                connection.execute(lease_table.insert().values(table_id=key, token=1, **values))
            except IntegrityError as error:
                raise _taken(table, "another process") from error
            # a table without a lease row may still be there: a lost control database; recovery looks
            return Held(lake, table, key, 1, name, ttl), True
        if row.holder is not None and row.expires > now and not _gone(row.holder):
            raise _taken(table, row.holder.rpartition("/")[2] or "another process")
        token = row.token + 1
        connection.execute(lease_table.update().where(lease_table.c.table_id == key).values(token=token, **values))
        return Held(lake, table, key, token, name, ttl), row.dirty


def release(held: Held, *, clean: bool) -> None:
    """Give the lease back; one that is not clean makes the next holder recover."""
    mine = sa.and_(lease_table.c.table_id == held.key, lease_table.c.holder == held.holder)
    with held.lake.control.write("lease.release") as connection:
        connection.execute(lease_table.update().where(mine).values(holder=None, expires=0, dirty=not clean))


def _taken(table: Target, by: str) -> LeaseTakenError:
    return LeaseTakenError(f"`{by}` works on the table", where=str(table), hint="wait until it is done and try again")


def _micros(span: dt.timedelta) -> int:
    return span // dt.timedelta(microseconds=1)


def _process() -> str:
    """This process, so that another one on this machine can tell whether it still lives."""
    return f"{_boot()}:{os.getpid()}:{_started(os.getpid())}"


def _gone(holder: str) -> bool:
    boot, pid, started = holder.partition("/")[0].split(":")
    if not boot or boot != _boot():
        return False
    return _started(int(pid)) != started


def _boot() -> str:
    """This boot of this machine and this process namespace: containers on one host do not see each other's processes."""
    try:
        namespace = _NAMESPACE.readlink().name.strip("pid:[]")
        return f"{_BOOT.read_text(encoding='ascii').strip()}.{namespace}"
    except OSError:
        return ""  # not Linux: leases are waited for


def _started(pid: int) -> str:
    """When the process started (a pid may be used again), empty when there is none or it is a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]
