"""A table of ten million rows gated anew from raw, beside a plain polars rewrite of the same raw files.

The rival reads the text, casts it and writes Parquet, without checks, keys, statistics, an account or a commit. Ours is a
whole rebuild with the merge that may follow it. Acceptance: at least 0.5 x the rival's speed. BENCH_ROWS sets the size; the
raw table is made once for each size.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from side_by_side import called_rival, race, report_rival, show

DATA = Path(os.environ.get("BENCH_DATA", tempfile.gettempdir())) / "lakehouse-bench"
PROJECT = Path(__file__).parent / "projects" / "rebuild"
ROWS = int(os.environ.get("BENCH_ROWS", "10000000"))
SEED = DATA / f"rebuild-{ROWS}"
STEP = 1_000_000


def movements(first: int, count: int):
    import polars as pl

    draw = pl.col("movement").hash(1) % 1_000_000
    return pl.int_range(first, first + count, dtype=pl.Int64, eager=True).alias("movement").to_frame().select(
        "movement",
        (pl.datetime(2026, 1, 1) + pl.duration(seconds=pl.col("movement"))).dt.cast_time_unit("us").alias("at"),
        (draw / 100).cast(pl.Decimal(14, 2)).alias("amount"),
        (draw % 5_000).cast(pl.Decimal(14, 2)).alias("balance"),
        pl.when(draw % 3 == 0).then(pl.lit("EUR")).otherwise(pl.lit("CZK")).alias("currency"),
        (draw % 400).cast(pl.Int64).alias("branch"),
        (draw / 7_919).cast(pl.Float64).alias("rate"),
        (pl.date(2000, 1, 1) + pl.duration(days=draw % 9_000)).alias("booked"),
        pl.when(draw % 7 == 0).then(pl.lit("dormant")).otherwise(pl.lit("active")).alias("status"),
        pl.format("note {} of {}", draw, draw % 97).alias("note"),
    )  # fmt: skip


def opened(place: Path):
    from lakehouse import storage
    from lakehouse.contract.load import load_project
    from lakehouse.model import TableId, Tier
    from lakehouse.settings import load_settings

    lake = storage.create_lake(load_settings(PROJECT, lake=str(place)))
    project = load_project(PROJECT)
    return lake, project, project.table(TableId(Tier.STAGED, "rebuild", "movement"))


def seed() -> None:
    """The raw table, made once by ingesting files of a million rows."""
    from lakehouse.ingest import ingest

    if (SEED / "ready").exists():
        return
    shutil.rmtree(SEED, ignore_errors=True)
    SEED.mkdir(parents=True)
    lake, project, table = opened(SEED / "lake")
    for start in range(0, ROWS, STEP):
        file = SEED / f"{start}.csv"
        movements(start, min(STEP, ROWS - start)).write_csv(file, datetime_format="%Y-%m-%d %H:%M:%S")
        done = ingest(lake, project, table, [file], now=lake.now())
        assert done.batches[0].staged == done.batches[0].rows, done
        file.unlink()
    (SEED / "ready").touch()


def ours():
    from lakehouse.ingest.rebuild import rebuild

    lake, project, table = opened(SEED / "lake")

    def run():
        done = rebuild(lake, project, table)
        assert sum(batch.staged for batch in done.batches) == ROWS
        return {"rows": ROWS}

    return run


def plain():
    import polars as pl

    from lakehouse import storage
    from lakehouse.model import Tier

    lake, _, table = opened(SEED / "lake")
    files = storage.snapshot(lake, table.id.at(Tier.RAW)).files
    out = SEED / "plain.parquet"

    def run():
        rows = pl.scan_parquet(list(files)).select(
            "_batch", "_row", "_landed_at", "_entity",
            pl.col("movement").cast(pl.Int64),
            pl.col("at").str.to_datetime("%Y-%m-%d %H:%M:%S", time_unit="us", time_zone="UTC"),
            pl.col("amount", "balance").cast(pl.Decimal(14, 2)),
            "currency",
            pl.col("branch").cast(pl.Int64),
            pl.col("rate").cast(pl.Float64),
            pl.col("booked").str.to_date("%Y-%m-%d"),
            "status", "note",
        )  # fmt: skip
        rows.sink_parquet(out, compression="zstd", compression_level=1)
        return {"rows": ROWS}

    return run


def main() -> None:
    called = called_rival()
    if called:
        report_rival({"ours": ours, "plain": plain}[called[0]]())
        return
    seed()
    figures = race(__file__, {"rebuild": ["ours"], "plain polars rewrite": ["plain"]})
    show("rebuild: rows gated anew from raw", figures, ours="rebuild", unit=ROWS / 1e6, unit_name="M rows/s")
    shutil.rmtree(SEED / "plain.parquet", ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
