"""`kill -9` at random times for N minutes (default 10): ingest, gate, merge, rebuild and rotation in random order on one lake.

A round has a lake of its own: each step is killed at a random moment, or not, and files keep coming. In the end all of it is
run once more, undisturbed; then the tables must be row for row those of a lake where nothing was killed, the ledger exact,
the chains whole, `verify worm` quiet and no file there that nothing names (`tests/crash/aftermath.py`).

    .venv-bench/bin/python bench/kills.py [minutes] [seed]
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from rich.console import Console
from rich.table import Table as Shown

FILES, STEPS_OF_A_ROUND = 6, 14
OUT = Path(__file__).parent / "out"
#: Ingest comes more often, because only it brings something new.
ORDER = ("ingest", "ingest", "ingest", "gate", "merge", "rebuild", "rotate")


@dataclass
class Told:
    """What happened."""

    seed: int
    rounds: int = 0
    runs: int = 0
    kills: int = 0
    by_step: Counter[str] = field(default_factory=Counter)
    by_point: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)


def main(minutes: float = 10, seed: int = 0) -> int:
    from tests.crash.forked import Forker, in_memory

    told = Told(seed or random.randrange(10**6))
    chance = random.Random(told.seed)
    forker, end = Forker(), time.monotonic() + 60 * minutes
    try:
        with in_memory() as place:
            wanted = undisturbed(forker, place / "undisturbed")
            while time.monotonic() < end:
                told.rounds += 1
                played(forker, place / f"round-{told.rounds}", chance, told, wanted)
    finally:
        forker.close()
    show(told, minutes)
    return 1 if told.failures else 0


def undisturbed(forker, place: Path):
    """The table of a lake where nothing is killed."""
    for step in ("ingest", "gate", "merge"):
        ended = run(forker, step, place, many=FILES)
        if ended.code:
            raise SystemExit(f"`{step}` fails without a kill:\n{ended.told}")
    return looked_at(place)


def run(forker, step: str, place: Path, *, many: int):
    from tests.crash.scenarios import MANY

    return forker.run("bench", step, place, **{MANY: str(many)})


def looked_at(place: Path):
    """The table, once the lake is known to be clean."""
    from lakehouse import storage
    from tests.crash import aftermath, scenarios

    lake = storage.open_lake(scenarios.settings_of(place))
    try:
        aftermath.require_clean(lake, scenarios.OLD, unfinished=(".delivering",))
        return aftermath.picture(lake, scenarios.OLD, whose=False)
    finally:
        lake.control.dispose()


def played(forker, place: Path, chance: random.Random, told: Told, wanted) -> None:
    """One round."""
    from tests.crash import aftermath

    killed: list[str] = []
    for number in range(STEPS_OF_A_ROUND):
        step = "ingest" if number == 0 else chance.choice(ORDER)
        many = min(FILES, 1 + number // 2)
        killed += killed_once(forker, step, place, many=many, wait=chance.uniform(0, 0.9), told=told)
    try:
        for step in ("ingest", "gate", "rebuild", "merge"):
            ended = run(forker, step, place, many=FILES)
            assert ended.code == 0, f"`{step}` failed: {ended.told.strip().splitlines()[-1:]}"
        aftermath.require_same(looked_at(place), wanted)
    except AssertionError as error:
        told.failures.append(f"round {told.rounds}, killed at {killed}: {error}")


def killed_once(forker, step: str, place: Path, *, many: int, wait: float, told: Told) -> list[str]:
    """Run a step and kill it at a random moment; where, if it was not done before."""
    from tests.crash.forked import LAST
    from tests.crash.scenarios import MANY

    last = place.with_name("last")
    last.write_text("nothing")
    pid = forker.start("bench", step, place, **{MANY: str(many), LAST: str(last)})
    time.sleep(wait)
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    ended = forker.finish()
    told.runs += 1
    if ended.code != -signal.SIGKILL:
        fit = ended.code == 0 or (step != "ingest" and not (place / "lake.json").exists())
        if not fit and not any(word in ended.told for word in ("LakeMissingError", "nothing has landed", "no lake")):
            told.failures.append(f"round {told.rounds}, `{step}` ended with {ended.code}: {ended.told[-400:]}")
        return []
    told.kills += 1
    told.by_step[step] += 1
    told.by_point[last.read_text() or "nothing"] += 1
    return [f"{step} after {last.read_text()}"]


def show(told: Told, minutes: float) -> None:
    shown = Shown(title=f"kills: {minutes:g} minutes, seed {told.seed}")
    for head in ("killed after the point", "times"):
        shown.add_column(head, justify="left" if head != "times" else "right")
    for point, times in told.by_point.most_common():
        shown.add_row(point, str(times))
    console = Console(width=110)
    console.print(shown)
    steps = ", ".join(f"{step} {times}" for step, times in told.by_step.most_common())
    print(f"{told.rounds} rounds, {told.runs} runs, {told.kills} killed ({steps}), {len(told.failures)} failures")
    for each in told.failures:
        print("FAILED", each)
    OUT.mkdir(exist_ok=True)
    (OUT / "kills.json").write_text(json.dumps({"minutes": minutes, **vars(told)}, indent=1))


if __name__ == "__main__":
    sys.exit(main(*(float(each) if number == 0 else int(each) for number, each in enumerate(sys.argv[1:]))))
