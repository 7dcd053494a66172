"""Children that cost no imports: a process that has imported everything forks one for each run and says how it ended.

Run as `python -m tests.crash.forked`, it reads one request a line: a scenario and a step of it (`prepare` or `act`), a lake,
variables. Nothing of polars or deltalake has been used before the fork, so no lock of theirs is held in the child.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
#: Where a child writes how often it passed each fault point; at which it stands still (`name:n`), and while which file exists.
COUNTS, PAUSE, FLAG = "TEST_COUNTS", "TEST_PAUSE", "TEST_FLAG"
#: Set, the thread that stood still kills the process at the next point that it passes.
DIES = "TEST_DIES"
#: Where a child writes which point it has passed last.
LAST = "TEST_LAST"


@dataclass(frozen=True)
class Ended:
    """How a child ended: its exit code, negative for a signal, and what it wrote to stderr."""

    code: int
    told: str


@contextlib.contextmanager
def in_memory():
    """A folder that needs no disk: many small lakes would spend their time on `fsync`, which no kill can undo."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        yield Path(folder)


class Forker:
    """One such process; one child at a time."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.crash.forked"]
        clean = {name: value for name, value in os.environ.items() if not name.startswith("LAKEHOUSE_")}
        self._child = 0
        self._process = subprocess.Popen(
            command, cwd=ROOT, env=clean, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def start(self, scenario: str, step: str, place: Path, **variables: str) -> int:
        """Fork a child; its pid."""
        self._child = 0
        request = {"scenario": scenario, "step": step, "place": str(place), "variables": variables}
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        self._child = int(self._answer()["pid"])
        return self._child

    def finish(self) -> Ended:
        """Wait for the child."""
        ended = Ended(**self._answer())
        self._child = 0
        return ended

    def run(self, scenario: str, step: str, place: Path, **variables: str) -> Ended:
        self.start(scenario, step, place, **variables)
        return self.finish()

    def stop(self) -> None:
        """End a child that nobody has waited for: the test failed before."""
        if self._child:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._child, signal.SIGKILL)
            self.finish()

    def close(self) -> None:
        self.stop()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def _answer(self) -> dict:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())


class Forkers:
    """As many at once as there are cores to use."""

    def __init__(self, count: int = 2) -> None:
        self._all = [Forker() for _ in range(count)]
        self._free: queue.Queue[Forker] = queue.Queue()
        for each in self._all:
            self._free.put(each)

    @contextlib.contextmanager
    def one(self):
        forker = self._free.get()
        try:
            yield forker
        finally:
            self._free.put(forker)

    def run(self, scenario: str, step: str, place: Path, **variables: str) -> Ended:
        with self.one() as forker:
            return forker.run(scenario, step, place, **variables)

    def close(self) -> None:
        for each in self._all:
            each.close()


def watched(faults) -> None:
    """Count the passes of fault points, and stop at one of them, if the environment says so."""
    file, pause, last = os.environ.get(COUNTS), os.environ.get(PAUSE, ""), os.environ.get(LAST)
    if not file and not pause and not last:
        return
    target, _, nth = pause.partition(":")
    original, passed, lock, mine = faults.point, Counter[str](), threading.Lock(), threading.local()

    def point(name: str) -> None:
        if getattr(mine, "dying", False):
            os.kill(os.getpid(), signal.SIGKILL)
        with lock:
            passed[name] += 1
            number = passed[name]
            if file:
                Path(file).write_text(json.dumps(passed), encoding="utf-8")
            if last:
                Path(last).write_text(name, encoding="utf-8")
        if (name, number) == (target, int(nth or 1)):
            flag = Path(os.environ[FLAG])
            flag.touch()
            while flag.exists():
                time.sleep(0.005)
            mine.dying = DIES in os.environ
        original(name)

    faults.point = point


def _child(request: dict, told: int) -> None:
    """Never comes back: what pytest or the parent has open is not ours to close."""
    os.dup2(told, 1)
    os.dup2(told, 2)
    code = 1
    try:
        os.environ.update(request["variables"])
        from lakehouse.storage import faults
        from tests.crash import scenarios

        watched(faults)
        scenarios.run(request["scenario"], request["step"], request["place"])
        code = 0
    except BaseException:  # noqa: BLE001 - the parent has to hear of it whatever it is
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def main() -> None:
    from tests.crash import scenarios  # every import there is

    scenarios.warm()
    for line in sys.stdin:
        with tempfile.TemporaryFile() as told:
            pid = os.fork()
            if pid == 0:
                _child(json.loads(line), told.fileno())
            _say({"pid": pid})
            _, status = os.waitpid(pid, 0)
            told.seek(0)
            text = told.read().decode(errors="replace")[-4000:]
            _say({"code": os.waitstatus_to_exitcode(status), "told": text})


def _say(answer: dict) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
