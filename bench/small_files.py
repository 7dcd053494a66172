"""1,000 files of 200 rows over 20 tables, landing to raw to staged, beside bare polars with one Delta commit for each file.

Acceptance: at least 3 x the files per second of the bare loop, which checks nothing and knows no repeat. BENCH_FILES sets
how many files there are.
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
PROJECT = Path(__file__).parent / "projects" / "feeds"
FILES, ROWS, TABLES = int(os.environ.get("BENCH_FILES", "1000")), 200, 20


def delivered() -> list[tuple[int, Path]]:
    """The files, made once: table and path."""
    folder = DATA / f"small-{FILES}"
    if not (folder / ".made").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for file in range(FILES):
            lines = [
                f"{file * ROWS + row},2026-01-{1 + row % 28:02d} 10:{row % 60:02d}:00,{row * 7 % 991}.{row % 100:02d},kind {row % 9}"
                for row in range(ROWS)
            ]
            (folder / f"{file:04d}.csv").write_text("\n".join(["number,at,amount,kind", *lines]) + "\n")
        (folder / ".made").touch()
    return [(file % TABLES, folder / f"{file:04d}.csv") for file in range(FILES)]


def ours(out: Path):
    from lakehouse import storage
    from lakehouse.contract.load import load_project
    from lakehouse.ingest import ingest
    from lakehouse.model import TableId, Tier
    from lakehouse.settings import load_settings

    lake = storage.create_lake(load_settings(PROJECT, lake=str(out / "lake")))
    project = load_project(PROJECT)
    tables = [project.table(TableId(Tier.STAGED, "feeds", f"feed_{number:02d}")) for number in range(TABLES)]
    landed: dict[int, list[Path]] = {number: [] for number in range(TABLES)}
    for number, file in delivered():
        target = lake.landing("feeds", f"feed_{number:02d}") / file.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
        landed[number].append(target)

    def run():
        staged = 0
        for number, table in enumerate(tables):
            report = ingest(lake, project, table, landed[number], now=lake.now())
            staged += sum(batch.staged for batch in report.batches)
        assert staged == FILES * ROWS, staged

    return run


def bare(out: Path):
    import polars as pl
    from deltalake import write_deltalake

    files = delivered()

    def run():
        for number, file in files:
            frame = pl.read_csv(file, try_parse_dates=True)
            write_deltalake(str(out / str(number)), frame.to_arrow(), mode="append")

    return run


def main() -> None:
    rivals = {"ours": ours, "bare": bare}
    called = called_rival()
    if called:
        out = Path(tempfile.mkdtemp(dir=DATA))
        try:
            report_rival(rivals[called[0]](out))
        finally:
            shutil.rmtree(out)
        return
    delivered()
    names = {
        "lakehouse: landing -> raw -> staged, every file once": ["ours"],
        "bare polars, one Delta commit per file": ["bare"],
    }
    figures = race(__file__, names)
    title = f"small files: {FILES:,} files of {ROWS} rows over {TABLES} tables"
    show(title, figures, ours=next(iter(names)), unit=FILES, unit_name="files/s")


if __name__ == "__main__":
    main()
