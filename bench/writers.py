"""Four processes that write one table, beside one process: batches a second, each a lease, a file, a commit and its chain.

Acceptance: four writers together at least as fast as one alone. Who finds the lease taken looks until it
is free and tries again; every batch must be in the table once at the end.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.table import Table as Shown

sys.path.insert(0, str(Path(__file__).parent))
from commit import servers

BATCHES, ROWS, ROUNDS = 200, 1_000, 2
PROJECT = Path(__file__).parent / "projects" / "months"


def write(place: str, first: int, count: int) -> None:
    """One writer's batches."""
    import polars as pl
    import pyarrow as pa

    from lakehouse import storage
    from lakehouse.errors import LeaseTakenError
    from lakehouse.model import EventKind, LedgerEvent, TableId, Tier
    from lakehouse.settings import load_settings

    table = TableId(Tier.RAW, "bench", "small")
    schema = pa.schema([("_batch", pa.int64()), ("_row", pa.int64()), ("name", pa.string())])
    placement = storage.Placement("none", statistics_columns=("_batch", "_row"))
    lake = storage.open_lake(load_settings(PROJECT, lake=place))
    print("ready", flush=True)
    sys.stdin.readline()
    for number in range(first, first + count):
        frame = pl.select(_batch=pl.lit(number, pl.Int64), _row=pl.int_range(ROWS), name=pl.lit("x"))
        while True:
            try:
                with storage.lease(lake, table) as held:
                    change = storage.begin(lake, table, held, schema, placement, append_only=True)
                    change.write(frame)
                    change.commit("raw", events=[LedgerEvent(number, table, EventKind.READ, ROWS, "bench")])
                break
            except LeaseTakenError:
                while storage.is_held(lake, table):  # only looks: who tries to take it keeps the holder waiting
                    time.sleep(random.uniform(0.02, 0.06))


def race(place: str, writers: int) -> float:
    """Batches a second; the writers start at one moment, imports are done by then."""
    from lakehouse import storage
    from lakehouse.model import TableId, Tier
    from lakehouse.settings import load_settings

    lake = storage.create_lake(load_settings(PROJECT, lake=place))
    each = BATCHES // writers
    started = [
        subprocess.Popen(
            [sys.executable, __file__, place, str(number * each), str(each)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(writers)
    ]
    for process in started:
        assert process.stdout.readline() == "ready\n"
    begun = time.perf_counter()
    for process in started:
        process.stdin.write("go\n")
        process.stdin.flush()
    assert [process.wait() for process in started] == [0] * writers
    seconds = time.perf_counter() - begun
    found = storage.scan(lake, TableId(Tier.RAW, "bench", "small")).select("_batch").unique().collect()
    assert sorted(found["_batch"]) == list(range(BATCHES))
    return BATCHES / seconds


def main() -> None:
    if len(sys.argv) > 1:
        write(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
        return
    found: dict[str, dict[int, float]] = {}
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder, servers() as urls:  # /tmp may be memory
        for server, url in urls.items():
            found[server] = best = {1: 0.0, 2: 0.0, 4: 0.0}
            for number in range(ROUNDS):
                for writers, rate in list(best.items()):
                    with database(url, f"writers_{number}_{writers}"):
                        best[writers] = max(rate, race(f"{folder}/{server}-{number}-{writers}", writers))
            show(server, best)
    out = Path(__file__).parent / "out"
    out.mkdir(exist_ok=True)
    (out / "writers.json").write_text(json.dumps(found, indent=1))


@contextmanager
def database(url: str | None, name: str):
    """A database of its own for one race, told to the writers by the environment; nothing where it is a file of the lake."""
    import sqlalchemy as sa

    if url is None:
        yield
        return
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    os.environ["LAKEHOUSE_CONTROL_URL"] = sa.make_url(url).set(database=name).render_as_string(hide_password=False)
    try:
        yield
    finally:
        del os.environ["LAKEHOUSE_CONTROL_URL"]


def show(server: str, best: dict[int, float]) -> None:
    shown = Shown(title=f"{BATCHES} batches of {ROWS:,} rows into one table, local disk, control database on {server}")
    for head in ("writers", "batches/s", "against one"):
        shown.add_column(head, justify="right")
    for writers, rate in best.items():
        shown.add_row(str(writers), f"{rate:.1f}", f"{rate / best[1]:.2f}")
    Console(width=110).print(shown)
    print(f"four writers against one: {'met' if best[4] >= best[1] else 'MISSED'}")


if __name__ == "__main__":
    main()
