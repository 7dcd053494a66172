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
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from lakehouse.errors import FencedOutError, LeaseTakenError, StorageError
from lakehouse.storage.control import lease_table

if TYPE_CHECKING:
    from lakehouse.storage.lake import Lake, Target

DEFAULT_TTL = dt.timedelta(minutes=5)
#: No lease is taken for longer; see `_works`.
_FURTHEST = 2 * DEFAULT_TTL
#: For so long, files of a holder whose lease ran out are looked for, unless he is known to be gone.
_HAUNTS = dt.timedelta(days=1)
_RECOVERS = "-recovers/"  # in the name of a holder who found the table dirty: `verify` bears with older holders' files
_NAMESPACE = Path("/proc/self/ns/pid")
_BOOT = Path("/proc/sys/kernel/random/boot_id")
#: Holders of this process whose lease could not be given back: the database was away, and they work no more.
_given_up: set[str] = set()


@dataclass(frozen=True)
class Held:
    """A lease in hand.

    Attributes:
        key: what the control database called the table when the lease was taken; it stays so when it is renamed.
        token: the fencing token, higher than any holder's before.
        overtook: a holder before whose lease ran out, and when; he may be alive and still write a file.
    """

    lake: Lake
    table: Target
    key: str
    token: int
    holder: str
    ttl: dt.timedelta
    overtook: tuple[str, int] | None = None

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
        return _works(row, lake.control.micros(connection))


def is_dirty(lake: Lake, table: Target) -> bool:
    """Whether the table's last holder did not end well, or has not ended yet."""
    with lake.control.read() as connection:
        found = sa.select(lease_table.c.dirty).where(lease_table.c.table_id == lake.key(table))
        return bool(connection.execute(found).scalar_one_or_none())


def standing(connection: sa.Connection, *, now: int) -> dict[str, tuple[int, bool]]:
    """Of each table whose last holder is at work or did not end well: his token, and whether he is at work.

    Who has to recover first counts as not at work: what older holders left is there until he is through.
    """
    rows = connection.execute(sa.select(lease_table).where(lease_table.c.dirty)).all()
    return {
        row.table_id: (
            row.token,
            _works(row, now) and _RECOVERS not in row.holder,
        )
        for row in rows
    }


def take(lake: Lake, table: Target, *, holder: str, ttl: dt.timedelta) -> tuple[Held, bool]:
    """Take the lease if it is free; says whether an earlier holder left it without cleaning up.

    Raises:
        LeaseTakenError: somebody else is at work.
    """
    me, key = f"{_process()}/{uuid.uuid4().hex[:8]}", lake.key(table)
    with lake.control.write("lease.take") as connection:
        now = lake.control.micros(connection)
        found = sa.select(lease_table).where(lease_table.c.table_id == key).with_for_update()
        row = connection.execute(found).one_or_none()
        name = f"{me}{_RECOVERS if row is not None and row.dirty else '/'}{holder}"
        values = {"holder": name, "expires": now + _micros(ttl), "dirty": True}
        if row is None:
            try:
                connection.execute(lease_table.insert().values(table_id=key, token=1, **values))
            except IntegrityError as error:
                raise _taken(table, "another process") from error
            # a table without a lease row may still be there: a lost control database; recovery looks
            return Held(lake, table, key, 1, name, ttl), True
        if _works(row, now):
            raise _taken(table, row.holder.rpartition("/")[2] or "another process")
        token = row.token + 1
        connection.execute(lease_table.update().where(lease_table.c.table_id == key).values(token=token, **values))
        overtook: tuple[str, int] | None = None
        if row.holder is not None and now - row.expires < _micros(_HAUNTS) and not _gone(row.holder):
            overtook = (row.holder, row.expires)
        return Held(lake, table, key, token, name, ttl, overtook), row.dirty


def release(held: Held, *, clean: bool) -> None:
    """Give the lease back; one that is not clean makes the next holder recover.

    One that was taken from somebody who may live goes back to him, run out as it was: he can do nothing with it, but all
    who take it recover, until he gives it back himself, is gone, or a day has passed.
    """
    holder, expires = held.overtook or (None, 0)
    dirty = held.overtook is not None or not clean
    mine = sa.and_(lease_table.c.table_id == held.key, lease_table.c.holder == held.holder)
    try:
        with held.lake.control.write("lease.release") as connection:
            connection.execute(lease_table.update().where(mine).values(holder=holder, expires=expires, dirty=dirty))
    except StorageError:
        _given_up.add(held.holder)  # a process that goes on need not wait for itself
        raise


def _works(row: sa.Row[Any], now: int) -> bool:
    """Whether a lease's holder may be at work: it has not run out, and his process is not known to be gone."""
    # an expiry that no holder can have: the clock was set back since, and he may be dead for as long as it says
    in_time = now < row.expires <= now + _micros(_FURTHEST)
    return row.holder is not None and in_time and not _gone(row.holder)


def _taken(table: Target, by: str) -> LeaseTakenError:
    return LeaseTakenError(f"`{by}` works on the table", where=str(table), hint="wait until it is done and try again")


def _micros(span: dt.timedelta) -> int:
    return span // dt.timedelta(microseconds=1)


def _process() -> str:
    """This process, so that another one on this machine can tell whether it still lives."""
    return f"{_boot()}:{os.getpid()}:{_started(os.getpid())}"


def _gone(holder: str) -> bool:
    if holder in _given_up:
        return True
    boot, _, process = holder.partition("/")[0].partition(":")
    pid, _, started = process.partition(":")
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
