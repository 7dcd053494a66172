"""Runs rivals one after another, each in a process of its own, and prints one table of time, ratio and peak memory.

A rival is a function of the calling script: the script is started again with the function's name, so that peak memory
is that rival's alone. It is what the process has to have (`RssAnon`, looked at every 20 ms); pages of mapped files, such as
the control database's, come on top while the system has room for them, and are shown apart. Rounds are interleaved, because
this kind of machine drifts; the best is reported.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
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
    with Memory() as memory:
        start = time.perf_counter()
        extra = run() or {}
        seconds = time.perf_counter() - start
    print("RIVAL " + json.dumps({"seconds": seconds, "peak_mb": memory.own, "mapped_mb": memory.mapped, **extra}))


class Memory:
    """The most memory this process has had while the watch ran, in MB: its own, and pages of mapped files."""

    own = mapped = 0.0

    def __enter__(self):
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(0.02):
            said = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
            self.own = max(self.own, int(said["RssAnon"].split()[0]) / 1024)
            self.mapped = max(self.mapped, int(said["RssFile"].split()[0]) / 1024)


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
    for head in ("way", "seconds", unit_name or "-", "speed of ours / this", "peak MB", "mapped MB"):
        table.add_column(head, justify="left" if head == "way" else "right")
    base = figures[ours]["seconds"]
    for name, figure in figures.items():
        rate = f"{unit / figure['seconds']:.1f}" if unit else ""
        memory = (f"{figure['peak_mb']:.0f}", f"{figure['mapped_mb']:.0f}")
        table.add_row(name, f"{figure['seconds']:.3f}", rate, f"{figure['seconds'] / base:.2f}", *memory)
    Console(width=110).print(table)
    OUT.mkdir(exist_ok=True)
    (OUT / f"{title.split(':', maxsplit=1)[0].replace(' ', '_')}.json").write_text(json.dumps(figures, indent=1))
