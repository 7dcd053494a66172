"""TPC-H lineitem as CSV, ten checks, landing to raw to staged; beside dlt's Arrow load to Delta and a plain polars copy.

Acceptance: at least 2 x dlt, at least 0.3 x the plain copy; peak memory at scale 3 at most 1.3 x that of scale 1.
The input is generated with tpchgen-cli into a temporary folder. Set BENCH_SCALES=1,3 for the memory figure.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from side_by_side import called_rival, race, report_rival, show

DATA = Path(os.environ.get("BENCH_DATA", tempfile.gettempdir())) / "lakehouse-bench"
PROJECT = Path(__file__).parent / "projects" / "tpch"


def lineitem(scale: str) -> Path:
    """The CSV of that scale, made once."""
    file = DATA / f"sf{scale}" / "lineitem.csv"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            [Path(sys.executable).parent / "tpchgen-cli", "csv", "--scale-factor", scale, "--tables", "lineitem",
             "--output-dir", str(file.parent)],
            check=True, capture_output=True,
        )  # fmt: skip
    return file


def ours(file: Path, out: Path):
    from lakehouse import storage
    from lakehouse.contract.load import load_project
    from lakehouse.ingest import ingest
    from lakehouse.model import TableId, Tier
    from lakehouse.settings import load_settings

    settings = load_settings(PROJECT, lake=str(out))
    lake = storage.create_lake(settings)
    project = load_project(PROJECT)
    table = project.table(TableId(Tier.STAGED, "tpch", "lineitem"))
    landed = lake.landing("tpch", "lineitem") / file.name
    landed.parent.mkdir(parents=True, exist_ok=True)
    os.link(file, landed)

    def run():
        done = ingest(lake, project, table, [landed], now=lake.now())
        batch = done.batches[0]
        assert batch.rows == batch.staged, batch
        return {"rows": batch.rows}

    return run


def dlt_arrow(file: Path, out: Path):
    import dlt
    import pyarrow.csv as pacsv

    os.environ["DLT_DATA_DIR"] = str(out / "dlt")

    @dlt.resource(name="lineitem", write_disposition="append")
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


def plain_copy(file: Path, out: Path):
    import polars as pl
    import pyarrow.parquet as pq
    from deltalake import DeltaTable, Schema
    from deltalake.transaction import AddAction, create_table_with_add_actions

    out.mkdir(parents=True, exist_ok=True)

    def run():
        pl.scan_csv(file, try_parse_dates=True).sink_parquet(
            out / "part.parquet", compression="zstd", compression_level=1
        )
        schema = Schema.from_arrow(pq.read_schema(out / "part.parquet").remove_metadata())
        size = (out / "part.parquet").stat().st_size
        add = AddAction(
            path="part.parquet", size=size, partition_values={}, modification_time=0, data_change=True, stats="{}"
        )
        create_table_with_add_actions(str(out), schema, [add], mode="append", partition_by=[])
        assert DeltaTable(str(out)).version() == 0

    return run


def main() -> None:
    rivals = {"ours": ours, "dlt": dlt_arrow, "plain": plain_copy}
    called = called_rival()
    if called:
        out = Path(tempfile.mkdtemp(dir=DATA))
        try:
            report_rival(rivals[called[0]](lineitem(called[1]), out))
        finally:
            shutil.rmtree(out)
        return
    for scale in os.environ.get("BENCH_SCALES", "1").split(","):
        size = lineitem(scale).stat().st_size / 1e6
        names = {
            "lakehouse: landing -> raw -> staged, 10 checks": ["ours", scale],
            "plain polars scan_csv -> sink_parquet + commit": ["plain", scale],
        }
        if scale == "1":
            names["dlt: arrow -> delta"] = ["dlt", scale]
        figures = race(__file__, names, rounds=2 if scale == "1" else 1)
        show(f"ingest sf{scale}: {size:.0f} MB of CSV", figures, ours=next(iter(names)), unit=size, unit_name="MB/s")


if __name__ == "__main__":
    main()
