"""A small lake with two raw tables, copied for each attack, and what attackers do to its files."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import polars as pl
import pyarrow as pa
import sqlalchemy as sa
from deltalake import DeltaTable

from lakehouse import storage
from lakehouse.model import EventKind, LedgerEvent, TableId, Tier
from lakehouse.settings import load_settings
from lakehouse.storage import chain, delta, worm
from lakehouse.storage.control import chain_head_table

ROOT = Path(__file__).resolve().parents[2]
VISIT, DRUG = (TableId(Tier.RAW, "clinic", name) for name in ("visit", "drug"))
STAGED = VISIT.at(Tier.STAGED)
SCHEMA = pa.schema([("_batch", pa.int64()), ("_row", pa.int64()), ("name", pa.string())])
PLACEMENT = storage.Placement("none", None, None, ("_batch",))
ROWS = 50


def settings_of(folder: Path):
    return load_settings(ROOT, lake=str(folder / "lake"))


def rows(batch: int) -> pl.DataFrame:
    return pl.DataFrame({"_batch": [batch] * ROWS, "_row": range(ROWS), "name": [f"{batch}-{n}" for n in range(ROWS)]})


def put(lake, table: TableId, batch: int) -> None:
    with storage.lease(lake, table, holder="test") as held:
        tx = storage.begin(lake, table, held, SCHEMA, PLACEMENT, append_only=table.tier is Tier.RAW)
        tx.write(rows(batch))
        tx.commit("raw", events=[LedgerEvent(batch, table.at(Tier.STAGED), EventKind.READ, ROWS, "test")])


def make(folder: Path) -> None:
    """Entries 1 to 8: visit 0, drug 0, visit 1, drug 1, visit 2 (a fence), with a checkpoint, visit 3, drug 2, visit 4."""
    lake = storage.create_lake(settings_of(folder))
    put(lake, VISIT, 1)
    put(lake, DRUG, 2)
    put(lake, VISIT, 3)
    put(lake, DRUG, 4)
    with storage.lease(lake, VISIT) as held:
        storage.fence(held)
    DeltaTable(lake.uri(VISIT)).create_checkpoint()
    put(lake, VISIT, 5)
    put(lake, DRUG, 6)
    put(lake, VISIT, 7)
    lake.control.dispose()


#: Versions of `visit` and the entries that tell of them.
ENTRY = {0: 1, 1: 3, 2: 5, 3: 6, 4: 8}


def data(lake, table: TableId, version: int) -> Path:
    """The data file that a version has added."""
    entry = delta.entry(lake.uri(table), version)
    assert entry is not None
    (name,) = entry.adds
    return Path(lake.uri(table), name)


def log(lake, table: TableId, version: int) -> Path:
    return Path(delta.log_entry(lake.uri(table), version))


def checkpoint(lake, table: TableId, version: int = 2) -> Path:
    return log(lake, table, version).with_name(f"{version:020d}.checkpoint.parquet")


def link(lake, number: int) -> Path:
    return Path(chain.place(lake.root, chain.RAW, number))


def overwrite(path: Path, content: bytes) -> None:
    """Put other bytes in a file's place; who owns the folder needs no right to write the file."""
    path.unlink(missing_ok=True)
    path.write_bytes(content)


def flip(path: Path, place: int = 40) -> None:
    content = bytearray(path.read_bytes())
    content[place % len(content)] ^= 1
    overwrite(path, bytes(content))


def rewrite_chain(lake, start: int, change) -> str:
    """Forge the entry `start` and link all later ones anew; returns the hash of the last one."""
    last, number = "", start
    while link(lake, number).exists():
        said = json.loads(link(lake, number).read_bytes())
        if number == start:
            change(said["body"])
        if last:
            said["previous"] = last
        entry = chain.Entry(**said)
        overwrite(link(lake, number), entry.content)
        last, number = entry.hash, number + 1
    return last


def set_head(lake, number: int, hash_: str) -> None:
    with lake.control.engine.begin() as connection:
        mine = chain_head_table.c.name == chain.RAW
        connection.execute(sa.update(chain_head_table).where(mine).values(number=number, hash=hash_))


def tell(content: bytes) -> dict:
    """What the chain says of bytes."""
    return {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def prove(lake, **wanted):
    return worm.verify(lake, **wanted)


def said(proof) -> list[str]:
    return [f"{each.where}: {each.message} [{each.code}]" for each in proof.findings]


def require(proof, *wanted: tuple[str, ...]) -> None:
    """Exactly these findings in this order, each with all of its words."""
    found = said(proof)
    assert len(found) == len(wanted), found
    for text, words in zip(found, wanted, strict=True):
        for word in words:
            assert str(word) in text, (word, found)


def first(proof, table: TableId = VISIT) -> str:
    """The first broken link of a table."""
    (found,) = (each.first for each in proof.tables if each.table == str(table))
    assert found is not None, said(proof)
    return found.message


def copy(template: Path, folder: Path) -> Path:
    shutil.copytree(template, folder, dirs_exist_ok=True)
    return folder
