"""How long one waits before anything happens: `lakehouse --help`, loading the definitions, the whole demo.

Acceptance: help under 0.4 s, definitions under 5 s, demo under 60 s on a prepared environment.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent


def best(command: list[str], rounds: int, **environment: str) -> float:
    times: list[float] = []
    for _ in range(rounds):
        start = time.perf_counter()
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True, env={**os.environ, **environment})
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        load = "import lakehouse.definitions as d; d.definitions()"
        figures = {
            "python -c pass": (best([str(BIN / "python"), "-c", "pass"], 5), None),
            "lakehouse --help": (best([str(BIN / "lakehouse"), "--help"], 5), 0.4),
            "load lakehouse.definitions": (best([str(BIN / "python"), "-c", load], 3, LAKEHOUSE_LAKE=folder), 5.0),
            "lakehouse demo": (
                best([str(BIN / "lakehouse"), "demo", "--lake", f"{folder}/demo"], 1, DAGSTER_HOME=""), 60.0,
            ),
        }  # fmt: skip
    table = Table("what", "seconds", "at most", title="start")
    for name, (seconds, limit) in figures.items():
        table.add_row(name, f"{seconds:.2f}", "" if limit is None else str(limit))
    Console().print(table)
    out = ROOT / "bench" / "out"
    out.mkdir(exist_ok=True)
    (out / "start.json").write_text(json.dumps({name: seconds for name, (seconds, _) in figures.items()}, indent=1))


if __name__ == "__main__":
    main()
