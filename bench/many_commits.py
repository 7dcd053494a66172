"""Ten thousand commits to one raw table, one small file each: what a commit costs at the end, beside the beginning.

Acceptance: the median of the last five hundred at most 2 x that of the first five hundred (`python bench/many_commits.py
[COMMITS [FOLDER]]`), by the clock and by the processor's time, which other work on the machine does not change.
`verify worm --since` of the last ten commits is shown too. `bench/commit.py` sets a commit beside deltalake's bare append.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table as Shown

COMMITS, EDGE, ROWS, MOST = 10_000, 500, 100, 2.0


def main() -> None:
    import polars as pl
    import pyarrow as pa

    from lakehouse import storage
    from lakehouse.model import EventKind, LedgerEvent, TableId, Tier
    from lakehouse.settings import load_settings
    from lakehouse.storage import worm

    count = int(sys.argv[1].replace("_", "")) if len(sys.argv) > 1 else COMMITS
    staged = TableId(Tier.STAGED, "bench", "small")
    table = staged.at(Tier.RAW)
    schema = pa.schema([("_batch", pa.int64()), ("_row", pa.int64()), ("name", pa.string())])
    placement = storage.Placement("none", statistics_columns=("_batch", "_row"))
    clock: list[float] = []
    processor: list[float] = []
    with tempfile.TemporaryDirectory(
        dir=sys.argv[2] if len(sys.argv) > 2 else Path.cwd()
    ) as folder:  # /tmp may be memory
        lake = storage.create_lake(load_settings(Path(__file__).parent / "projects" / "months", lake=folder + "/lake"))
        for number in track(range(count), "committing"):
            batch = storage.reserve(
                lake, staged, source="s", name_hash=str(number), sha256=str(number), size=1, landed_at=lake.now()
            )
            frame = pl.select(_batch=pl.lit(batch.number, pl.Int64), _row=pl.int_range(ROWS), name=pl.lit("x"))
            begun, worked = time.perf_counter(), time.process_time()
            with storage.lease(lake, table) as held:
                change = storage.begin(lake, table, held, schema, placement, append_only=True)
                change.write(frame)
                change.commit(
                    "raw",
                    events=[LedgerEvent(batch.number, staged, EventKind.READ, ROWS, "bench")],
                    batches=[storage.BatchUpdate(batch.number, "raw", ROWS)],
                )
            clock.append((time.perf_counter() - begun) * 1000)
            processor.append((time.process_time() - worked) * 1000)
        begun = time.perf_counter()
        proof = worm.verify(lake, since=count - 10)
        since = (time.perf_counter() - begun) * 1000
        assert not proof.findings
    show(count, {"by the clock": clock, "by the processor's time": processor})
    print(f"verify worm --since of the last 10 commits: {since:.0f} ms")


def show(count: int, times: dict[str, list[float]]) -> None:
    shown = Shown(
        title=f"{count:,} commits (lease, file, commit, chain, release) of {ROWS} rows to one table, local disk"
    )
    for head in ("measured", f"first {EDGE}, median ms", f"last {EDGE}, median ms", "ratio"):
        shown.add_column(head, justify="left" if head == "measured" else "right")
    found: dict[str, dict[str, float]] = {}
    for name, values in times.items():
        first, last = statistics.median(values[:EDGE]), statistics.median(values[-EDGE:])
        found[name] = {"first": first, "last": last, "ratio": last / first}
        shown.add_row(name, f"{first:.1f}", f"{last:.1f}", f"{last / first:.2f}")
    Console(width=110).print(shown)
    ratio = next(iter(found.values()))["ratio"]
    print(f"end to start {ratio:.2f}, at most {MOST}: {'met' if ratio <= MOST else 'MISSED'}")
    out = Path(__file__).parent / "out"
    out.mkdir(exist_ok=True)
    (out / "many_commits.json").write_text(json.dumps({"commits": count, **found}, indent=1))


if __name__ == "__main__":
    main()
