"""A small governed table and its rows, for the storage tests."""

from __future__ import annotations

import datetime as dt

import polars as pl
import pyarrow as pa

from lakehouse import storage
from lakehouse.model import TableId, Tier

VISITS = TableId(Tier.STAGED, "clinic", "visit")
RAW = TableId(Tier.RAW, "clinic", "visit")
SCHEMA = pa.schema(
    [
        ("_batch", pa.int64()),
        ("_row", pa.int64()),
        ("_entity", pa.string()),
        ("seen", pa.timestamp("us", "UTC")),
        ("weight", pa.float64()),
        ("name", pa.string()),
    ]
)
PLACEMENT = storage.Placement("time+entity", "_entity", "seen", ("_batch", "_entity", "seen", "weight"))
LOOSE = storage.Placement("none", "_entity", None, ("_batch",))
_TYPES = {
    "_batch": pl.Int64,
    "_row": pl.Int64,
    "_entity": pl.String,
    "seen": pl.Datetime("us", "UTC"),
    "weight": pl.Float64,
    "name": pl.String,
}


def rows(batch: int, count: int = 4, *, months: int = 1, start: str = "2011-01") -> pl.DataFrame:
    """`count` rows spread evenly over months and entities."""
    year, month = int(start[:4]), int(start[5:])
    numbers = pl.int_range(count, eager=True)
    index = numbers % months + month - 1
    return pl.DataFrame(
        {
            "_batch": pl.repeat(batch, count, dtype=pl.Int64, eager=True),
            "_row": numbers,
            "_entity": [f"{(number * 2654435761 + batch * 97) % 2**32:08x}{number:024x}" for number in range(count)],
            "seen": pl.select(
                pl.datetime(year + index // 12, index % 12 + 1, numbers % 28 + 1, 12, 30, time_zone="UTC")
            ).to_series(),
            "weight": numbers.cast(pl.Float64) / 7,
            "name": [f"secret-{batch}-{number}" for number in range(count)],
        },
        schema=_TYPES,
    )


def put(lake, frame, *, table=VISITS, placement=PLACEMENT, kind="stage", **commit):
    """Commit one frame; returns the version."""
    with storage.lease(lake, table, holder="test") as held:
        tx = storage.begin(lake, table, held, SCHEMA, placement, append_only=table.tier is Tier.RAW)
        tx.write(frame)
        return tx.commit(kind, **commit)


def instant(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)
