"""What the crash test kills: create the lake, take files one by one, merge, flush, replace. Safe to run again and again.

Run as `python storage_worker.py <lake folder>`; ends with `done` on stdout when nothing killed it.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import polars as pl
import pyarrow as pa

from lakehouse import storage
from lakehouse.contract.arrow import schema as arrow_schema
from lakehouse.contract.model import Column, ColumnType, EntityKey, Logical, Table
from lakehouse.model import EventKind, LedgerEvent, TableId, Tier
from lakehouse.settings import load_settings

STAGED = TableId(Tier.STAGED, "clinic", "visit")
RAW = STAGED.at(Tier.RAW)
REPORT = TableId(Tier.CURATED, "clinic", "report")
FILES, ROWS = 4, 50


def column(name: str, logical: Logical) -> Column:
    return Column(name, name, ColumnType(logical), "system.operations")


VISITS = Table(
    STAGED,
    "visit",
    (column("seen", Logical.TIMESTAMP), column("weight", Logical.FLOAT)),
    key=("seen",),
    entity=EntityKey("patient"),
    event_time="seen",
    layout="time+entity",
)
REPORTS = Table(
    REPORT, "report", (column("day", Logical.DATE), column("visits", Logical.INTEGER)), ("day",), event_time="day"
)


def delivered(number: int) -> pl.DataFrame:
    row = pl.int_range(ROWS, eager=True)
    return pl.DataFrame(
        {
            "_batch": pl.repeat(0, ROWS, dtype=pl.Int64, eager=True),
            "_row": row,
            "_landed_at": pl.select(pl.datetime(2026, 1, 1, time_zone="UTC").repeat_by(ROWS).explode()).to_series(),
            "_entity": [f"{hash_of(f'{number}-{i}')[:32]}" for i in range(ROWS)],
            "seen": pl.select(pl.datetime(2011, row % 3 + 1, row % 28 + 1, time_zone="UTC")).to_series(),
            "weight": (row + number).cast(pl.Float64),
        }
    )


def hash_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def take(lake: storage.Lake, number: int) -> None:
    batch = storage.reserve(
        lake,
        STAGED,
        source="s",
        name_hash=hash_of(str(number)),
        sha256=hash_of(f"content {number}"),
        size=ROWS,
        landed_at=lake.now(),
    )
    frame = delivered(number).with_columns(_batch=pl.lit(batch.number, dtype=pl.Int64))
    with storage.lease(lake, RAW, holder="worker") as held:
        if storage.get_batch(lake, batch.number).state == "reserved":
            text = frame.with_columns(
                pl.col("seen", "weight").cast(pl.String),
                _bad=pl.lit(None, pl.String),
                _bytes=pl.lit(None, pl.Binary),
                _extra=pl.lit(None, pl.String),
            )
            placement = storage.Placement.of(VISITS, Tier.RAW)
            tx = storage.begin(lake, RAW, held, arrow_schema(VISITS, Tier.RAW), placement, append_only=True)
            tx.write(text)
            read = LedgerEvent(batch.number, STAGED, EventKind.READ, ROWS, "file")
            tx.commit("raw", events=[read], batches=[storage.BatchUpdate(batch.number, "raw", ROWS)])
    with storage.lease(lake, STAGED, holder="worker") as held:
        if storage.get_batch(lake, batch.number).state == "raw":
            placement = storage.Placement.of(VISITS, Tier.STAGED)
            tx = storage.begin(lake, STAGED, held, arrow_schema(VISITS, Tier.STAGED), placement)
            tx.write(frame.filter(pl.col("_row") > 0))
            staged = LedgerEvent(batch.number, STAGED, EventKind.STAGED, ROWS - 1, "gate")
            odd = LedgerEvent(batch.number, STAGED, EventKind.QUARANTINED, 1, "gate")
            tx.commit("stage", events=[staged, odd], batches=[storage.BatchUpdate(batch.number, "staged", ROWS - 1)])


def report(lake: storage.Lake) -> None:
    counts = storage.scan(lake, STAGED).group_by(pl.col("seen").dt.date().alias("day")).agg(visits=pl.len())
    frame = counts.select(
        pl.lit(None, pl.Datetime("us", "UTC")).alias("_landed_at"), "day", pl.col("visits").cast(pl.Int64)
    )
    table = frame.collect().to_arrow(compat_level=pl.CompatLevel.oldest())
    reader = pa.RecordBatchReader.from_batches(table.schema, table.to_batches())
    version = storage.replace(lake, REPORT, REPORTS, reader, months=None, inputs={str(STAGED): 1})
    storage.record_verdict(lake, REPORT, version, [])


def main(folder: str) -> None:
    settings = load_settings(Path(__file__).resolve().parents[2], lake=folder)
    lake = storage.create_lake(settings)
    storage.put_request(lake, "work", {})
    for number in range(FILES):
        take(lake, number)
    rejected = storage.reserve(
        lake, STAGED, source="s", name_hash="x", sha256="x", size=1, landed_at=lake.now(), delivered_at=None
    )
    storage.reject(lake, rejected, "no header")
    with storage.lease(lake, STAGED) as held:  # long work renews, and what is abandoned goes
        held.renew()
        tx = storage.begin(
            lake, STAGED, held, arrow_schema(VISITS, Tier.STAGED), storage.Placement.of(VISITS, Tier.STAGED)
        )
        tx.write(delivered(99))
        tx.abandon()
    storage.merge_tail(lake, VISITS)
    storage.flush_outbox(lake)
    report(lake)
    sys.stdout.write("done\n")


if __name__ == "__main__":
    main(sys.argv[1])
