"""The lake that bench/masking.py asks: TPC-H ingested by the platform, personal columns sealed and tokenised, with consent.

Made once for each scale and kept in the folder of bench data; at scale 1 that takes under a minute.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PROJECT = Path(__file__).parent / "projects" / "tpch_masked"
DATA = Path(os.environ.get("BENCH_DATA", tempfile.gettempdir())) / "lakehouse-bench"
CONSENTING = 0.9


def made_lake(scale: str) -> Path:
    """The lake with the eight tables and nine of ten customers' consent, made once by ingesting what tpchgen-cli writes."""
    folder = DATA / f"tpch-masked-{scale}"
    ready = folder / "ready"
    if not ready.exists():
        shutil.rmtree(folder, ignore_errors=True)  # of a run that was broken off
        folder.mkdir(parents=True, exist_ok=True)
        _ingest(folder, scale)
        ready.touch()
    return folder / "lake"


def _ingest(folder: Path, scale: str) -> None:
    from lakehouse import storage
    from lakehouse.contract.load import load_project
    from lakehouse.ingest import ingest
    from lakehouse.settings import load_settings

    project = load_project(PROJECT)
    lake = storage.create_lake(load_settings(PROJECT, lake=str(folder / "lake")))
    for table in project.tables:
        landed = lake.landing("tpch", table.id.table)
        landed.mkdir(parents=True, exist_ok=True)
        command = [str(Path(sys.executable).parent / "tpchgen-cli"), "csv", "--scale-factor", scale]
        command += ["--tables", table.id.table, "--output-dir", str(landed)]
        subprocess.run(command, check=True, capture_output=True)
        (file,) = landed.iterdir()
        batch = ingest(lake, project, table, [file], now=lake.now()).batches[0]
        assert batch.rows == batch.staged, batch
        print(f"  {table.id.table}: {batch.rows:,} rows")
    _consent(lake, project)


def _consent(lake, project) -> None:
    from lakehouse import storage
    from lakehouse.model import TableId, Tier
    from lakehouse.privacy import consent

    rows = storage.scan(lake, TableId(Tier.STAGED, "tpch", "customer")).select("c_custkey").collect()
    keys = rows["c_custkey"].sample(fraction=CONSENTING, seed=7).to_list()
    said = [consent.Statement("customer", key, "consented", "given", "bench") for key in keys]
    consent.record(lake, project, said, asks={"consented": "customer"})
