"""One batch's commit to raw, step by step, on SQLite and PostgreSQL, beside a bare Delta append of the same rows.

Acceptance: what a batch costs more than the bare append (lease, file, intent, commit, chain, release: everything but the
bare append's own time) is under 15 ms on SQLite and under 30 ms on PostgreSQL, median of a hundred on a local disk. Every
step is durable (fsync) before the next begins, PostgreSQL's too.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import shutil
import statistics
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.table import Table as Shown

ROUNDS, ROWS = 100, 1_000
LIMITS_MS = {"SQLite": 15, "PostgreSQL": 30}
STEPS = ("take the lease", "write the file", "commit, with its entry in the chain", "release the lease")
STAGED = "the same commit to staged, without a chain"
BARE = "deltalake's append, nothing else"


@contextmanager
def servers():
    """The control databases there are, as URLs; None is a file of the lake."""
    if shutil.which("initdb") is None:
        print("PostgreSQL is not here: `make test-deps`")
        yield {"SQLite": None}
        return
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from tests.control_servers import running_postgres

    with running_postgres(durable=True) as url:
        yield {"SQLite": None, "PostgreSQL": url}


def measure(folder: str, url: str | None) -> dict[str, list[float]]:
    import polars as pl
    import pyarrow as pa
    from deltalake import write_deltalake

    from lakehouse import storage
    from lakehouse.model import EventKind, LedgerEvent, TableId, Tier
    from lakehouse.settings import load_settings

    staged = TableId(Tier.STAGED, "bench", "small")
    schema = pa.schema([("_batch", pa.int64()), ("_row", pa.int64()), ("name", pa.string())])
    placement = storage.Placement("none", statistics_columns=("_batch", "_row"))
    times: dict[str, list[float]] = {name: [] for name in (*STEPS, STAGED, BARE)}
    settings = load_settings(Path(__file__).parent / "projects" / "months", lake=f"{folder}/{url is None}")
    lake = storage.create_lake(settings if url is None else dataclasses.replace(settings, control_url=url))

    def committed(table: TableId, frame: pl.DataFrame, batch: int) -> list[float]:
        stops = [time.perf_counter()]
        with storage.lease(lake, table) as held:
            stops.append(time.perf_counter())
            change = storage.begin(lake, table, held, schema, placement, append_only=table.tier is Tier.RAW)
            change.write(frame)
            stops.append(time.perf_counter())
            events = [LedgerEvent(batch, staged, kind, ROWS, "bench") for kind in (EventKind.READ, EventKind.HELD)]
            change.commit("raw", events=events, batches=[storage.BatchUpdate(batch, "raw", ROWS)])
            stops.append(time.perf_counter())
        stops.append(time.perf_counter())
        return [(stop - start) * 1000 for start, stop in itertools.pairwise(stops)]

    for number in range(ROUNDS + 1):
        told = {"source": "s", "name_hash": str(number), "sha256": str(number), "size": 1, "landed_at": lake.now()}
        batch = storage.reserve(lake, staged, **told).number
        frame = pl.select(_batch=pl.lit(batch, pl.Int64), _row=pl.int_range(ROWS), name=pl.lit("x"))
        taken = [*committed(staged.at(Tier.RAW), frame, batch), committed(staged, frame, batch)[2]]
        begun = time.perf_counter()
        write_deltalake(f"{folder}/bare-{url is None}", frame.to_arrow(), mode="append")
        taken.append((time.perf_counter() - begun) * 1000)
        if number:  # the first round makes the tables and imports what is imported late
            for name, value in zip(times, taken, strict=True):
                times[name].append(value)
    return times


def main() -> None:
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder, servers() as urls:  # /tmp may be memory
        for name, url in urls.items():
            times = measure(folder, url)
            shown = Shown(title=f"one batch of {ROWS:,} rows, {ROUNDS} rounds, local disk, control database on {name}")
            for head in ("step", "median ms", "worst ms"):
                shown.add_column(head, justify="left" if head == "step" else "right")
            medians = {step: statistics.median(values) for step, values in times.items()}
            for step, values in times.items():
                shown.add_row(step, f"{medians[step]:.1f}", f"{max(values):.1f}")
            Console(width=110).print(shown)
            whole = statistics.median(map(sum, zip(*(times[step] for step in STEPS), strict=True)))
            over, limit = whole - medians[BARE], LIMITS_MS[name]
            print(
                f"{whole:.1f} ms a batch, {over:.1f} more than bare, limit {limit}: {'met' if over < limit else 'MISSED'}"
            )
            found[name] = {**medians, "batch": whole, "over bare": over}
    out = Path(__file__).parent / "out"
    out.mkdir(exist_ok=True)
    (out / "commit.json").write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
