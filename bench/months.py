"""One month of 36 read from eight million rows: layout by month and surrogate beside layouts by month only.

Acceptance: within 1.3 x. Two tables are written by `lakehouse.storage`, by month and by month and surrogate; the third
is a Delta table partitioned by month as deltalake writes it. All rows and columns of the month are read by polars, each
time from the table's address on: finding the files is part of it.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table as Shown

ROWS = 8_000_000
PROJECT = Path(__file__).parent / "projects" / "months"


def write(lake, table, frame) -> None:
    import pyarrow as pa

    from lakehouse import storage

    storage.replace(
        lake, table.id, table, pa.RecordBatchReader.from_batches(frame.to_arrow().schema, frame.to_arrow().to_batches()),
        months=None, inputs={}, holder="bench",
    )  # fmt: skip


def main() -> None:
    import polars as pl
    from deltalake import DeltaTable, write_deltalake

    from lakehouse import storage
    from lakehouse.contract import arrow
    from lakehouse.contract.load import load_project
    from lakehouse.settings import load_settings

    project = load_project(PROJECT)
    with tempfile.TemporaryDirectory() as folder:
        lake = storage.create_lake(load_settings(PROJECT, lake=folder))
        index = pl.int_range(ROWS, eager=True)
        start = pl.datetime(2020, 1, 1, time_zone="UTC")
        frame = pl.select(
            _batch=pl.lit(1, dtype=pl.Int64),
            _row=pl.lit(index),
            payment=pl.lit(index),
            _entity=pl.lit(((index * 2654435761) % 500_000).cast(pl.String)).str.zfill(32),
            _landed_at=start,
            at=start + pl.duration(seconds=pl.lit((index * 7919) % (36 * 30 * 86_400))),
            payer=pl.lit(((index * 2654435761) % 500_000).cast(pl.String)).str.zfill(32),
            amount=pl.lit((index * 31) % 10_000),
        ).with_columns(pl.col("at", "_landed_at").cast(pl.Datetime("us", "UTC")))
        tables = {table.id.table: table for table in project.tables}
        for table in tables.values():
            schema = arrow.schema(table, table.id.tier)
            write(lake, table, frame.select(schema.names))
        plain = f"{folder}/plain"
        rows = frame.sort("at").with_columns(pl.col("at").dt.strftime("%Y-%m").alias("month"))
        write_deltalake(plain, rows.to_arrow(), partition_by=["month"])
        ways = {
            **{name: partial(storage.scan, lake, table.id, months=["2021-03"]) for name, table in tables.items()},
            "plain Delta, a partition a month": lambda: pl.scan_delta(plain).filter(pl.col("month") == "2021-03"),
        }
        times: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(7):
            for name, scan in ways.items():
                begin = time.perf_counter()
                got = scan().collect()
                times[name].append(time.perf_counter() - begin)
                assert got.height > 200_000
        best = {name: min(seconds) for name, seconds in times.items()}
        shown = Shown("layout", "seconds", "ratio", "files", title="one month of 36, eight million rows")
        for name in ways:
            files = (
                len(storage.snapshot(lake, tables[name].id).files)
                if name in tables
                else len(DeltaTable(plain).file_uris())
            )
            shown.add_row(name, f"{best[name]:.4f}", f"{best[name] / best['by_time']:.2f}", str(files))
        Console().print(shown)
        out = Path(__file__).parent / "out"
        out.mkdir(exist_ok=True)
        (out / "months.json").write_text(json.dumps(best, indent=1))


if __name__ == "__main__":
    sys.exit(main())
