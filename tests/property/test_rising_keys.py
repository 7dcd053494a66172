"""Keys that mostly rise: repeats are found all the same, whether or not a filter was needed so far."""

from __future__ import annotations

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.contract.model import Column, ColumnType, Logical, Table
from lakehouse.ingest.modes.repeats import Repeats
from lakehouse.model import TableId, Tier

SCHEMA = {"_batch": pl.Int64, "_row": pl.Int64, "k": pl.Int64, "v": pl.Int64}
PLACE = pl.lit("a file").alias("__place")
NUMBER = ColumnType(Logical.INTEGER)
TABLE = Table(
    TableId(Tier.STAGED, "d", "t"),
    "t",
    (Column("k", "k", NUMBER, "system"), Column("v", "v", NUMBER, "system")),
    ("k",),
)
STEPS = st.one_of(st.just(1), st.just(1), st.just(1), st.integers(-3, 3))
FRAMES = st.lists(st.lists(st.tuples(STEPS, st.integers(0, 1)), min_size=1, max_size=6), max_size=6)


@given(FRAMES)
def test_the_first_row_of_a_key_stays_and_every_repeat_is_counted(frames):
    written: list[pl.DataFrame] = []
    none = pl.DataFrame(schema=SCHEMA)
    repeats = Repeats(TABLE, existing=None, written=lambda: pl.concat([none, *written]).lazy().with_columns(PLACE))
    first: dict[int, int] = {}
    same = other = key = row = 0
    for steps in frames:
        rows = []
        for step, value in steps:
            key += step
            rows.append((1, row := row + 1, key, value))
            same += first.get(key) == value
            other += key in first and first[key] != value
            first.setdefault(key, value)
        written.append(repeats.sift(pl.DataFrame(rows, schema=SCHEMA, orient="row")))
    settled = repeats.settle()
    counted = (sum(settled.duplicates.values()), sum(settled.conflicts.values()))
    found = pl.concat([none, *written, settled.fresh.select(list(SCHEMA)) if settled.fresh.height else none])
    assert (dict(found.select("k", "v").rows()), found.height, counted) == (first, len(first), (same, other))
