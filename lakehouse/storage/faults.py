"""Fault points: named places around every write, where a crash test kills the process.

`LAKEHOUSE_FAULT=<name>[:n]` kills this process with SIGKILL at the n-th passing of that point (the first by default).
Every call that changes files, the Delta log or the control database stands between `<name>.before` and `<name>.after`;
a test fails when one does not. Without the variable a point costs one dictionary lookup.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lakehouse.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Generator

VARIABLE = "LAKEHOUSE_FAULT"

#: Every write of this package (and of `privacy`, which fills the vault), with a point before and one after.
WRITES = (
    "lake.control",
    "lake.marker",
    "lake.ready",
    "lease.take",
    "lease.renew",
    "lease.release",
    "file.put",
    "file.replace",
    "file.protect",
    "file.put_back",
    "file.delete",
    "chain.flush",
    "lake.generation",
    "lake.recover",
    "erasure.record",
    "erasure.replay",
    "commit.intent",
    "commit.delta",
    "commit.done",
    "recover.settle",
    "recover.give_up",
    "manifest.reserve",
    "manifest.update",
    "applied.put",
    "verdict.record",
    "request.put",
    "entity.add",
    "entity.merge",
    "entity.reformed",
    "key.make",
    "key.destroy",
    "epoch.open",
    "epoch.rewrap",
    "epoch.schedule",
    "epoch.destroy",
)
POINTS = frozenset(f"{write}.{side}" for write in WRITES for side in ("before", "after"))

_passed: Counter[str] = Counter()


def point(name: str) -> None:
    """Pass a fault point; dies here if the environment says so.

    Raises:
        StorageError: `name` is not in `POINTS`.
    """
    if name not in POINTS:
        raise StorageError(f"`{name}` is not a fault point", hint="add it to `lakehouse.storage.faults.WRITES`")
    wanted = os.environ.get(VARIABLE)
    if not wanted:
        return
    target, _, nth = wanted.partition(":")
    if target != name:
        return
    _passed[name] += 1
    if _passed[name] == int(nth or 1):
        os.kill(os.getpid(), signal.SIGKILL)


@contextmanager
def around(write: str) -> Generator[None]:
    """The two points of one write call."""
    point(f"{write}.before")
    yield
    point(f"{write}.after")
