"""What the recover crash test kills: a raised generation, an erasure, and the mending of either side.

Run as `python recover_worker.py <folder> <step>`; ends with `done` on stdout when nothing killed it.
"""

from __future__ import annotations

import sys
from pathlib import Path

import polars as pl

from lakehouse import storage
from lakehouse.privacy import mending, vault
from lakehouse.privacy.erasures import Erasure, record
from lakehouse.storage.control import data_key_table, entity_table
from lakehouse.storage.lake import raise_generation
from lakehouse.storage.restored import compare
from tests.integration.restored_lake import land, settings_in, take

WHO = "ab" * 16


def prepare(lake: storage.Lake) -> None:
    take(lake, 0)
    surrogate = bytes.fromhex(WHO)
    with lake.control.engine.begin() as connection:
        connection.execute(entity_table.insert().values(keyed_hash=b"\1" * 32, type="patient", surrogate=surrogate))
        key = {"surrogate": surrogate, "scope": "main", "epoch": 1, "wrapped": b"w"}
        connection.execute(data_key_table.insert().values(**key))
    vault.secret(lake, "entity")


def erase(lake: storage.Lake) -> None:
    mark = vault.marks(lake, pl.Series([WHO])).to_list()[0]
    record(lake, [Erasure("patient", b"\1" * 32, (mark,), None, 5)])


def later(lake: storage.Lake) -> None:
    take(lake, 1)
    land(lake, 2)
    storage.flush_outbox(lake)
    erase(lake)
    take(lake, 3)


STEPS = {"prepare": prepare, "raise": raise_generation, "erase": erase, "later": later}


def main(folder: str, step: str) -> None:
    settings = settings_in(Path(folder))
    if step == "recover":
        mending.mend(*compare(settings))
    else:
        STEPS[step](storage.create_lake(settings))
    sys.stdout.write("done\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
