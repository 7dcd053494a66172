"""Runs rivals one after another, each in a process of its own, and prints one table of time, ratio and peak memory.

A rival is a function of the calling script: the script is started again with the function's name, so that peak memory
(`ru_maxrss`) is that rival's alone. Rounds are interleaved, because this kind of machine drifts; the best is reported.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from pathlib import Path

OUT = Path(__file__).parent / "out"


def called_rival() -> list[str] | None:
    """The rival's name and arguments when this process was started to run one."""
    return sys.argv[2:] if len(sys.argv) > 2 and sys.argv[1] == "--rival" else None


def report_rival(run, *, prepare=None) -> None:
    """Runs the rival in this process and prints its figures for the parent."""
    if prepare is not None:
        prepare()
    start = time.perf_counter()
    extra = run() or {}
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print("RIVAL " + json.dumps({"seconds": seconds, "peak_mb": peak, **extra}))


def race(script: str, rivals: dict[str, list[str]], *, rounds: int = 2) -> dict[str, dict]:
    """Best figures of each rival over interleaved rounds."""
    best: dict[str, dict] = {}
    for _ in range(rounds):
        for name, arguments in rivals.items():
            done = subprocess.run(
                [sys.executable, script, "--rival", *arguments], capture_output=True, text=True, check=False
            )
            lines = [line for line in done.stdout.splitlines() if line.startswith("RIVAL ")]
            if done.returncode != 0 or not lines:
                print(done.stdout[-2000:], done.stderr[-4000:], file=sys.stderr)
                raise SystemExit(f"{name} failed")
            figures = json.loads(lines[-1][6:])
            if name not in best or figures["seconds"] < best[name]["seconds"]:
                best[name] = figures
    return best


def show(title: str, figures: dict[str, dict], *, ours: str, unit: float = 0.0, unit_name: str = "") -> None:
    """Prints the table and writes `bench/out/<title>.json`."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title)
    for head in ("way", "seconds", unit_name or "-", "speed of ours / this", "peak MB"):
        table.add_column(head, justify="left" if head == "way" else "right")
    base = figures[ours]["seconds"]
    for name, figure in figures.items():
        rate = f"{unit / figure['seconds']:.1f}" if unit else ""
        table.add_row(
            name, f"{figure['seconds']:.3f}", rate, f"{figure['seconds'] / base:.2f}", f"{figure['peak_mb']:.0f}"
        )
    Console(width=110).print(table)
    OUT.mkdir(exist_ok=True)
    (OUT / f"{title.split(':', maxsplit=1)[0].replace(' ', '_')}.json").write_text(json.dumps(figures, indent=1))
