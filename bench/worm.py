"""`verify worm` on raw, beside reading and hashing the same files with sha256sum and hashlib, and what `--since` costs.

Acceptance: 500 MB/s or more over all data files (page cache warm for everybody), and `--since` proportional to what is
new: the newest of 24 files within a tenth of the time of all. The second table shows what `--since` costs beside the
bytes: names are listed, the newest checkpoint and the log entries behind it are read. Each rival runs in a process of its own; what is
imported late is imported before the clock starts.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from side_by_side import called_rival, race, report_rival, show

PROJECT = Path(__file__).parent / "projects" / "months"
BIG_FILES, BIG_MB = 24, 64
COMMITS, NEW = 500, 5
LIMIT_MB_S, LIMIT_SHARE = 500, 0.1
NEWEST = "verify worm --since, the newest file"


def opened(folder: str):
    from lakehouse import storage
    from lakehouse.settings import load_settings

    return storage.open_lake(load_settings(PROJECT, lake=folder))


def make(folder: str, *, commits: int, rows: int, noise: int) -> None:
    import numpy as np
    import polars as pl
    import pyarrow as pa

    from lakehouse import storage
    from lakehouse.model import TableId, Tier
    from lakehouse.settings import load_settings

    lake = storage.create_lake(load_settings(PROJECT, lake=folder))
    table = TableId(Tier.RAW, "bench", "sealed")
    schema = pa.schema([("_batch", pa.int64()), ("_sealed", pa.binary())])
    placement = storage.Placement("none", statistics_columns=("_batch",))
    random = np.random.default_rng(1)
    with storage.lease(lake, table) as held:
        for number in range(commits):
            cells = [random.bytes(noise) for _ in range(rows)]
            frame = pl.DataFrame({"_batch": [number] * rows, "_sealed": cells})
            change = storage.begin(lake, table, held, schema, placement, append_only=True)
            change.write(frame)
            change.commit("raw")


def data_files(folder: str) -> list[str]:
    return sorted(str(path) for path in Path(folder, "raw", "bench", "sealed").glob("*.parquet"))


def rivals(name: str, folder: str, new: str = "0") -> None:
    if name == "ours":
        from lakehouse.storage import worm

        lake = opened(folder)
        report_rival(lambda: _require_clean(worm.verify(lake)), prepare=lambda: _warm(lake))
    elif name == "since":
        from lakehouse.storage import chain, worm

        lake = opened(folder)
        since = chain.heads(lake.control)[chain.RAW].number - int(new)
        report_rival(lambda: _require_clean(worm.verify(lake, since=since)), prepare=lambda: _warm(lake))
    elif name == "sha256sum":
        report_rival(
            lambda: subprocess.run(["sha256sum", *data_files(folder)], stdout=subprocess.DEVNULL, check=True) and None
        )
    elif name == "hashlib":
        report_rival(
            lambda: [hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in data_files(folder)] and None
        )


def _warm(lake) -> None:
    from lakehouse.storage import chain, worm

    worm.verify(lake, since=chain.heads(lake.control)[chain.RAW].number)


def _require_clean(proof) -> None:
    assert proof.findings == (), proof.findings


def main() -> None:
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:  # /tmp may be memory
        big, many = f"{folder}/big", f"{folder}/many"
        make(big, commits=BIG_FILES, rows=BIG_MB * 1024, noise=1024)
        megabytes = sum(Path(path).stat().st_size for path in data_files(big)) / 1e6
        script = str(Path(__file__))
        names = {"verify worm": "ours", "hashlib, one thread": "hashlib"}
        if shutil.which("sha256sum"):
            names["sha256sum"] = "sha256sum"
        wanted = {title: [name, big] for title, name in names.items()} | {NEWEST: ["since", big, "1"]}
        found = race(script, wanted)
        show(
            f"worm: {BIG_FILES} files of raw, {megabytes:.0f} MB",
            found,
            ours="verify worm",
            unit=megabytes,
            unit_name="MB/s",
        )
        started = time.perf_counter()
        make(many, commits=COMMITS, rows=20, noise=64)
        print(f"{COMMITS} small commits made in {time.perf_counter() - started:.0f} s")
        small = race(script, {"all": ["ours", many], f"--since, the last {NEW}": ["since", many, str(NEW)]})
        show(f"worm since: {COMMITS} commits", small, ours="all")
        rate = megabytes / found["verify worm"]["seconds"]
        share = found[NEWEST]["seconds"] / found["verify worm"]["seconds"]
        print(f"verify worm {rate:.0f} MB/s, limit {LIMIT_MB_S}: {'met' if rate >= LIMIT_MB_S else 'MISSED'}")
        print(f"--since {share:.3f} of all, limit {LIMIT_SHARE}: {'met' if share <= LIMIT_SHARE else 'MISSED'}")


if __name__ == "__main__":
    called = called_rival()
    if called is not None:
        rivals(*called)
    else:
        sys.path.insert(0, str(Path(__file__).parent))
        main()
