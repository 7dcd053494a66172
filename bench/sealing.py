"""Visits of 500,000 people, six personal columns, landing to raw to staged, sealed; beside the same kept clear, and dlt.

Acceptance: 150,000 rows/s or more on two cores; peak memory at ten times the file at most 1.3 x (BENCH_SCALES=1,10).
Bytes per row of raw are printed against clear Parquet. dlt loads one Delta table, without raw, checks and seals.
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
PROJECT = Path(__file__).parent / "projects" / "people"
ROWS, PEOPLE = 1_500_000, 500_000


def visits(scale: str) -> Path:
    """The CSV with `scale` times the rows and the people, made once."""
    import numpy as np
    import polars as pl

    file = DATA / f"visits-{scale}.csv"
    if file.exists():
        return file
    file.parent.mkdir(parents=True, exist_ok=True)
    rows, people = ROWS * int(scale), PEOPLE * int(scale)
    random = np.random.default_rng(7)
    who = pl.Series("person_id", random.integers(0, people, rows))
    digits = who.cast(pl.String)
    frame = pl.DataFrame(
        {
            "visit_id": np.arange(rows),
            "person_id": who,
            "name": "Person " + digits,
            "email": "person." + digits + "@example.org",
            "phone": "+4930" + digits.str.zfill(8),
            "city": "City " + (who % 9973).cast(pl.String),
            "born": pl.Series(who % 25_000).cast(pl.Int32).cast(pl.Date),
            "amount": pl.Series(random.integers(0, 100_000, rows) / 100).cast(pl.Decimal(12, 2)),
        }
    )
    frame.write_csv(file)
    return file


def _into(table_name: str, file: Path, out: Path):
    from lakehouse import storage
    from lakehouse.contract.load import load_project
    from lakehouse.ingest import ingest
    from lakehouse.model import TableId, Tier
    from lakehouse.settings import load_settings

    settings = load_settings(PROJECT, lake=str(out))
    lake = storage.create_lake(settings)
    project = load_project(PROJECT)
    table = project.table(TableId(Tier.STAGED, "people", table_name))
    landed = lake.landing("people", table_name) / file.name
    landed.parent.mkdir(parents=True, exist_ok=True)
    os.link(file, landed)

    def run():
        done = ingest(lake, project, table, [landed], now=lake.now())
        batch = done.batches[0]
        assert batch.rows == batch.staged, batch
        raw = storage.snapshot(lake, table.id.at(Tier.RAW))
        size = sum(Path(path).stat().st_size for path in raw.files)
        return {"rows": batch.rows, "raw_bytes_per_row": size / batch.rows}

    return run


def sealed(file: Path, out: Path):
    return _into("visit", file, out)


def clear(file: Path, out: Path):
    return _into("visit_clear", file, out)


def dlt_arrow(file: Path, out: Path):
    import dlt
    import pyarrow.csv as pacsv

    os.environ["DLT_DATA_DIR"] = str(out / "dlt")

    @dlt.resource(name="visit", write_disposition="append")
    def rows():
        yield from pacsv.open_csv(file, read_options=pacsv.ReadOptions(block_size=32 << 20))

    def run():
        pipeline = dlt.pipeline(
            "bench",
            destination=dlt.destinations.filesystem(str(out / "lake")),
            dataset_name="d",
            pipelines_dir=str(out),
        )
        pipeline.run(rows(), table_format="delta", loader_file_format="parquet")

    return run


def main() -> None:
    rivals = {"sealed": sealed, "clear": clear, "dlt": dlt_arrow}
    called = called_rival()
    if called:
        DATA.mkdir(parents=True, exist_ok=True)
        out = Path(tempfile.mkdtemp(dir=DATA))
        try:
            report_rival(rivals[called[0]](visits(called[1]), out))
        finally:
            shutil.rmtree(out)
        return
    for scale in os.environ.get("BENCH_SCALES", "1").split(","):
        visits(scale)
        ours = "lakehouse: landing -> raw -> staged, sealed"
        names = {ours: ["sealed", scale], "lakehouse: the same kept clear": ["clear", scale]}
        if scale == "1":
            names["dlt: arrow -> delta"] = ["dlt", scale]
        figures = race(__file__, names, rounds=2 if scale == "1" else 1)
        rows = ROWS * int(scale) / 1000
        show(f"sealing x{scale}: {rows:,.0f} k rows", figures, ours=ours, unit=rows, unit_name="k rows/s")
        for name, figure in figures.items():
            if "raw_bytes_per_row" in figure:
                print(f"{name}: {figure['raw_bytes_per_row']:.0f} bytes of raw per row")


if __name__ == "__main__":
    main()
