"""Whether every wrapped key opens: each epoch by the provider, each key by its epoch and under its own purpose."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from lakehouse.errors import LakehouseError
from lakehouse.model import Finding, Level
from lakehouse.privacy import epochs, kek, purposes
from lakehouse.storage.control import epoch_table, from_micros

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Generator

    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    from lakehouse.storage import Lake

_PORTION = 50_000
_RESTORE = "restore the control database from a backup from before it was changed, then run `lakehouse recover`"


@dataclass(frozen=True)
class EpochState:
    """One epoch and what it wraps.

    Attributes:
        number: the epoch.
        state: current, old or destroyed.
        provider_version: its key at the provider.
        opened_at: since when.
        destroy_after: when it is due to be destroyed.
        keys: keys that it wraps, by kind; of those that were looked at.
    """

    number: int
    state: str
    provider_version: int
    opened_at: dt.datetime
    destroy_after: dt.datetime | None
    keys: dict[str, int]


@dataclass(frozen=True)
class Verified:
    """What was found.

    Attributes:
        epochs: all epochs.
        looked_at: how many wrapped keys were opened.
        findings: what does not open; no key and no hash among them.
    """

    epochs: tuple[EpochState, ...]
    looked_at: int
    findings: tuple[Finding, ...]


def verify(lake: Lake, *, at_most: int | None = None, progress: Callable[[int], None] | None = None) -> Verified:
    """Open every wrapped key.

    Args:
        lake: the lake whose control database holds the keys.
        at_most: keys of each kind to look at, a random sample of the entities'; None for all.
        progress: told how many keys were looked at.
    """
    with lake.control.read() as connection:
        rows = connection.execute(sa.select(epoch_table).order_by(epoch_table.c.number)).all()
    findings: list[Finding] = []
    ciphers = {row.number: cipher for row in rows if (cipher := _open(lake, row, findings)) is not None}
    known = {row.number for row in rows}
    counted, broken = Counter[tuple[str, int]](), Counter[tuple[str, int]]()
    for table, purpose in purposes.TABLES:
        seen = 0
        for some in _portions(lake, table):
            wanted = some if at_most is None else some[: at_most - seen]
            seen += len(wanted)
            for row in wanted:
                counted[table.name, row[-2]] += 1
                key = ciphers.get(row[-2])
                broken[table.name, row[-2]] += key is not None and not _opens(key, row[-1], purpose(*row[:-2]))
            if progress is not None:
                progress(sum(counted.values()))
            if at_most is not None and seen >= at_most:
                break
    findings += [_broken(lake, *which, count) for which, count in sorted(broken.items()) if count]
    findings += [_homeless(lake, *which, count) for which, count in sorted(counted.items()) if which[1] not in known]
    states = tuple(_state(row, counted) for row in rows)
    return Verified(states, sum(counted.values()), tuple(findings))


def _portions(lake: Lake, table: sa.Table) -> Generator[list[tuple[Any, ...]]]:
    """Rows of wrapped keys in the order of the primary key: its columns, epoch, wrapped."""
    key = purposes.primary_key(table)
    wanted = sa.select(*key, table.c.epoch, table.c.wrapped).order_by(*key).limit(_PORTION)
    last: tuple[Any, ...] | None = None
    while True:
        after = wanted if last is None else wanted.where(sa.tuple_(*key) > sa.tuple_(*map(sa.literal, last)))
        with lake.control.read() as connection:
            rows = [tuple(row) for row in connection.execute(after)]
        if rows:
            yield rows
        if len(rows) < _PORTION:
            return
        last = rows[-1][:-2]


def _open(lake: Lake, row: sa.Row[Any], findings: list[Finding]) -> AESGCM | None:
    """Asks the provider, not this process's memory: that is what is to be verified."""
    if row.wrapped is None:
        return None
    try:
        kek.provider(lake).unwrap(row.provider_version, row.wrapped)
        return epochs.cipher(lake, row.number)
    except LakehouseError as error:
        where = error.where or lake.root
        findings.append(Finding("epoch", Level.ERROR, where, f"epoch {row.number}: {error.message}", error.hint))
        return None


def _opens(key: AESGCM, wrapped: bytes, purpose: bytes) -> bool:
    try:
        epochs.opened(key, wrapped, purpose)
    except LakehouseError:
        return False
    return True


def _broken(lake: Lake, kind: str, number: int, count: int) -> Finding:
    message = f"{count:,} of `{kind}` do not open by epoch {number}: moved or changed"
    return Finding("key", Level.ERROR, lake.root, message, _RESTORE)


def _homeless(lake: Lake, kind: str, number: int, count: int) -> Finding:
    return Finding(
        "key", Level.ERROR, lake.root, f"{count:,} of `{kind}` name epoch {number}, which is unknown", _RESTORE
    )


def _state(row: sa.Row[Any], counted: Counter[tuple[str, int]]) -> EpochState:
    keys = {table.name: counted[table.name, row.number] for table, _ in purposes.TABLES}
    due = None if row.destroy_after is None else from_micros(row.destroy_after)
    return EpochState(row.number, row.state, row.provider_version, from_micros(row.opened_at), due, keys)
