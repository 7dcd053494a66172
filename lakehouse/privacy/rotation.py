"""Rotation: a new epoch is opened, all keys are wrapped anew, and the old epoch is destroyed when no backup needs it.

Portions in the order of the primary key, each a transaction: a death costs one portion, and the next run goes on. Who
reads meanwhile finds every row under the epoch that its number says. Old wrapped forms remain in backups; they die with
the provider's key version, `backup_days` later. INVARIANT: an epoch is scheduled, and destroyed, only when nothing is
wrapped by it; since nobody wraps by an old epoch (`epochs.hold`), that stays true.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from cryptography.exceptions import InvalidTag

from lakehouse.errors import StorageError
from lakehouse.privacy import epochs, kek, purposes
from lakehouse.privacy.kek import NONCE_BYTES
from lakehouse.storage import bulk
from lakehouse.storage.control import epoch_table, from_micros
from lakehouse.storage.lake import raise_generation

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Generator

    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    from lakehouse.privacy.epochs import Epoch
    from lakehouse.storage import Lake

#: Rows of one transaction: the lock is held for half a second.
PORTION = 50_000
_DAY = 86_400_000_000


@dataclass(frozen=True)
class Rotated:
    """What a rotation did.

    Attributes:
        epoch: the epoch that is current now.
        rewrapped: keys wrapped anew by this run.
        resumed: whether it went on with a rotation that had not ended.
        scheduled: old epochs and when they are due to be destroyed.
    """

    epoch: int
    rewrapped: int
    resumed: bool
    scheduled: dict[int, dt.datetime]


def rotate(lake: Lake, progress: Callable[[int, int], None] | None = None) -> Rotated:
    """Open a new epoch and wrap all keys by it; goes on with a rotation that was interrupted.

    Args:
        lake: the lake whose control database holds the keys.
        progress: told how many keys are done, of how many.

    Raises:
        KeyUnavailableError: the provider does not have the present epoch's key.
        RefusedError: the provider has no new key version, and people must make it.
    """
    before = epochs.current(lake)
    resumed = bool(_numbers(lake, _unfinished()))
    if not resumed:
        epochs.open_next(lake, before)
    raise_generation(lake)  # a backup from before is noticed from now on
    epoch = epochs.current(lake)
    rewrapped = _rewrap(lake, epoch, progress)
    return Rotated(epoch.number, rewrapped, resumed, _schedule(lake))


def scheduled(lake: Lake) -> dict[int, dt.datetime]:
    """Old epochs and when they are due to be destroyed."""
    wanted = sa.select(epoch_table.c.number, epoch_table.c.destroy_after).where(
        epoch_table.c.state == "old", epoch_table.c.destroy_after.is_not(None)
    )
    with lake.control.read() as connection:
        return {row.number: from_micros(row.destroy_after) for row in connection.execute(wanted)}


def destroy_due(lake: Lake) -> tuple[int, ...]:
    """Destroy the old epochs whose time has come; returns their numbers.

    Raises:
        RefusedError: people must take the key version away from the provider first.
    """
    with lake.control.read() as connection:
        due = epoch_table.c.destroy_after <= lake.control.micros(connection)
    numbers = _numbers(lake, sa.and_(epoch_table.c.state == "old", due))
    if numbers:
        _rewrap(lake, epochs.current(lake), None)
    for number in numbers:
        _destroy(lake, number)
    return numbers


def _destroy(lake: Lake, number: int) -> None:
    table = epoch_table.c
    version = sa.select(table.provider_version).where(table.number == number)
    holder = kek.provider(lake)
    with lake.control.write("epoch.destroy") as connection:
        if _is_used(connection, number):
            raise StorageError(
                f"epoch {number} still wraps keys and is not destroyed", hint="run `lakehouse keys rotate`"
            )
        used = connection.execute(version).scalar_one()
        # first the provider's: if this dies in between, the next run does both again
        holder.destroy(used)
        gone = epoch_table.update().where(table.number == number).values(state="destroyed", wrapped=None)
        connection.execute(gone)


def _rewrap(lake: Lake, epoch: Epoch, progress: Callable[[int, int], None] | None) -> int:
    living = sa.and_(epoch_table.c.number != epoch.number, epoch_table.c.wrapped.is_not(None))
    numbers = _numbers(lake, living)
    counts = {
        (table, purpose, number): count
        for table, purpose in purposes.TABLES
        for number in numbers
        if (count := _count(lake, table, table.c.epoch == number))  # the key of an empty epoch may be gone already
    }
    done, mine = 0, {"epoch": epoch.number}
    for table, purpose, number in counts:
        anew = _by(epochs.cipher(lake, number), epoch.cipher, purpose)
        for portion in _portions(lake, table, number):
            with lake.control.write("epoch.rewrap") as connection:
                done += bulk.change(connection, table, "wrapped", anew, which=portion, others=mine)
            if progress is not None:
                progress(done, sum(counts.values()))
    return done


def _by(old: AESGCM, new: AESGCM, purpose: Callable[..., bytes]) -> Callable[..., bytes]:
    nonces = _nonces()
    seal, unseal = new.encrypt, old.decrypt

    def anew(*row: Any) -> bytes:
        *key, wrapped = row
        said = purpose(*key)
        nonce = next(nonces)
        try:
            return nonce + seal(nonce, unseal(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], said), said)
        except (InvalidTag, ValueError):
            raise epochs.moved(said) from None

    return anew


def _nonces() -> Generator[bytes]:
    """Random nonces, drawn many at a time: a system call for each would take as long as the cipher."""
    while True:
        drawn = os.urandom(NONCE_BYTES * 4096)
        for start in range(0, len(drawn), NONCE_BYTES):
            yield drawn[start : start + NONCE_BYTES]


def _portions(lake: Lake, table: sa.Table, number: int) -> Generator[sa.ColumnElement[bool]]:
    """Conditions for the rows of an epoch, some at a time, in the order of the primary key."""
    key = purposes.primary_key(table)
    of_epoch = table.c.epoch == number
    edge = sa.select(*key).where(of_epoch).order_by(*key).limit(1)
    with lake.control.read() as connection:
        first = connection.execute(edge).one_or_none()
    while first is not None:
        begun = sa.and_(of_epoch, sa.tuple_(*key) >= sa.tuple_(*map(sa.literal, first)))
        with lake.control.read() as connection:
            following = connection.execute(edge.where(begun).offset(PORTION)).one_or_none()
        yield begun if following is None else sa.and_(begun, sa.tuple_(*key) < sa.tuple_(*map(sa.literal, following)))
        first = following


def _schedule(lake: Lake) -> dict[int, dt.datetime]:
    """Say when the old epochs go, once nothing is wrapped by them."""
    with lake.control.write("epoch.schedule") as connection:
        unfinished = _unfinished()
        numbers = connection.execute(sa.select(epoch_table.c.number).where(unfinished)).scalars().all()
        free = [number for number in numbers if not _is_used(connection, number)]
        due = lake.control.micros(connection) + lake.backup_days * _DAY
        chosen = sa.and_(unfinished, epoch_table.c.number.in_(free))
        connection.execute(epoch_table.update().where(chosen).values(destroy_after=due))
    return scheduled(lake)


def _unfinished() -> sa.ColumnElement[bool]:
    return sa.and_(epoch_table.c.state == "old", epoch_table.c.destroy_after.is_(None))


def _numbers(lake: Lake, which: sa.ColumnElement[bool]) -> tuple[int, ...]:
    wanted = sa.select(epoch_table.c.number).where(which).order_by(epoch_table.c.number)
    with lake.control.read() as connection:
        return tuple(connection.execute(wanted).scalars())


def _is_used(connection: sa.Connection, number: int) -> bool:
    return any(
        connection.execute(sa.select(table.c.epoch).where(table.c.epoch == number).limit(1)).first() is not None
        for table, _ in purposes.TABLES
    )


def _count(lake: Lake, table: sa.Table, which: sa.ColumnElement[bool]) -> int:
    with lake.control.read() as connection:
        return connection.execute(sa.select(sa.func.count()).select_from(table).where(which)).scalar_one()
