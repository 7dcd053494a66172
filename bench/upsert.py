"""100,000 and 1,000 upserts into a table of 10 million rows, by key, beside delta-rs MERGE: seconds and bytes rewritten.

Ours is the whole way from the delivered CSV file (landing, raw, checks, staged), MERGE has its rows in memory already.
Acceptance: at least as fast. BENCH_ROWS sets the size of the table; it is made once for each size.
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
PROJECT = Path(__file__).parent / "projects" / "feeds"
ROWS = int(os.environ.get("BENCH_ROWS", "10000000"))


def rows_of(first: int, count: int, *, day: int, seed: int = 1):
    """Accounts from `first` on, as they stood on a day."""
    import polars as pl

    number = pl.int_range(first, first + count, dtype=pl.Int64, eager=True).alias("account").to_frame()
    draw = pl.col("account").hash(seed) % 1_000_000
    return number.select(
        "account",
        (pl.datetime(2026, 1, 1) + pl.duration(days=day, seconds=draw % 86_400))
        .dt.cast_time_unit("us")
        .alias("known_at"),
        (draw / 100).cast(pl.Decimal(14, 2)).alias("balance"),
        (draw % 5_000).cast(pl.Decimal(14, 2)).alias("limit"),
        pl.when(draw % 3 == 0).then(pl.lit("EUR")).otherwise(pl.lit("CZK")).alias("currency"),
        (draw % 400).cast(pl.Int64).alias("branch"),
        pl.when(draw % 7 == 0).then(pl.lit("dormant")).otherwise(pl.lit("active")).alias("status"),
        (draw / 7_919).cast(pl.Float64).alias("rate"),
        (pl.date(2000, 1, 1) + pl.duration(days=draw % 9_000)).alias("opened"),
        pl.format("note {} of {}", draw, draw % 97).alias("note"),
    )


def changed(count: int):
    """Accounts all over the table, a day later."""
    import polars as pl

    chosen = rows_of(0, ROWS, day=1, seed=2).sample(count, seed=3) if ROWS < 100_000 else None
    if chosen is not None:
        return chosen
    picked = pl.int_range(0, ROWS, eager=True).sample(count, seed=3).sort().alias("account").to_frame()
    step = 1_000_000
    parts = [
        rows_of(start, min(step, ROWS - start), day=1, seed=2).join(picked, on="account", how="semi")
        for start in range(0, ROWS, step)
    ]
    return pl.concat(parts)


def ours_seed(place: Path) -> None:
    from lakehouse import storage
    from lakehouse.contract.load import load_project
    from lakehouse.ingest import ingest
    from lakehouse.model import TableId, Tier
    from lakehouse.settings import load_settings

    lake = storage.create_lake(load_settings(PROJECT, lake=str(place)))
    project = load_project(PROJECT)
    table = project.table(TableId(Tier.STAGED, "feeds", "balance"))
    folder = place / "delivered"
    folder.mkdir()
    step = 2_500_000
    for start in range(0, ROWS, step):
        file = folder / f"{start}.csv"
        rows_of(start, min(step, ROWS - start), day=0).write_csv(file, datetime_format="%Y-%m-%d %H:%M:%S")
        done = ingest(lake, project, table, [file], now=lake.now())
        assert done.batches[0].staged == done.batches[0].rows, done
        file.unlink()
    lake.control.dispose()


def rival_seed(place: Path) -> None:
    import polars as pl
    from deltalake import write_deltalake

    step = 1_000_000
    frame = pl.concat([rows_of(start, min(step, ROWS - start), day=0) for start in range(0, ROWS, step)])
    write_deltalake(str(place), frame.to_arrow())


def seeded(name: str, make) -> Path:
    """The table of that size, made once."""
    place = DATA / f"upsert-{name}-{ROWS}"
    if not (place / ".made").exists():
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        make(place / "t")
        (place / ".made").touch()
    return place / "t"


def copy_of(source: Path, out: Path) -> Path:
    """A copy that shares the data files, which nobody changes."""
    target = out / "t"
    shutil.copytree(
        source, target, copy_function=lambda a, b: os.link(a, b) if a.endswith(".parquet") else shutil.copy2(a, b)
    )
    return target


def ours(count: int, out: Path):
    from lakehouse import storage
    from lakehouse.contract.load import load_project
    from lakehouse.ingest import ingest
    from lakehouse.model import TableId, Tier
    from lakehouse.settings import load_settings
    from lakehouse.storage.delta import entry

    place = copy_of(seeded("ours", ours_seed), out)
    lake = storage.open_lake(load_settings(PROJECT, lake=str(place)))
    project = load_project(PROJECT)
    table = project.table(TableId(Tier.STAGED, "feeds", "balance"))
    file = out / "changed.csv"
    changed(count).write_csv(file, datetime_format="%Y-%m-%d %H:%M:%S")
    before = storage.snapshot(lake, table.id).version

    def run():
        done = ingest(lake, project, table, [file], now=lake.now())
        assert done.batches[0].staged == count, done
        now = storage.snapshot(lake, table.id)
        assert now.rows == ROWS
        written = [entry(lake.uri(table.id), version) for version in range(before + 1, now.version + 1)]
        return {"rewritten_mb": sum(sum(one.adds.values()) for one in written) / 1e6}

    return run


def merge(count: int, out: Path):
    from deltalake import DeltaTable

    place = copy_of(seeded("merge", rival_seed), out)
    rows = changed(count).to_arrow()

    def run():
        table = DeltaTable(str(place))
        figures = (
            table.merge(rows, "t.account = s.account", source_alias="s", target_alias="t")
            .when_matched_update_all("s.known_at >= t.known_at")
            .when_not_matched_insert_all()
            .execute()
        )
        assert figures["num_target_rows_updated"] == count, figures
        added = DeltaTable(str(place)).get_add_actions(flatten=True)
        import pyarrow as pa

        fresh = [size for path, size in zip(*(pa.table(added)[c].to_pylist() for c in ("path", "size_bytes")), strict=True)
                 if (place / path).stat().st_nlink == 1]  # fmt: skip
        return {"rewritten_mb": sum(fresh) / 1e6}

    return run


def main() -> None:
    rivals = {"ours": ours, "merge": merge}
    called = called_rival()
    if called and called[0] == "seed":
        seeded(called[1], {"ours": ours_seed, "merge": rival_seed}[called[1]])
        return
    if called:
        out = Path(tempfile.mkdtemp(dir=DATA))
        try:
            report_rival(rivals[called[0]](int(called[1]), out))
        finally:
            shutil.rmtree(out)
        return
    for name in rivals:  # in a process of its own, or every rival would seem to need that much memory
        subprocess.run([sys.executable, __file__, "--rival", "seed", name], check=True)
    for count in (100_000, 1_000):
        names = {
            "lakehouse: CSV file -> raw -> upsert in staged": ["ours", str(count)],
            "delta-rs MERGE from memory": ["merge", str(count)],
        }
        figures = race(__file__, names)
        title = f"upsert {count}: {count:,} upserts into {ROWS:,} rows"
        show(title, figures, ours=next(iter(names)), unit=count, unit_name="rows/s")
        for name, figure in figures.items():
            print(f"  {name}: {figure['rewritten_mb']:.0f} MB written to staged")


if __name__ == "__main__":
    main()
