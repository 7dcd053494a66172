"""One folder for everything that a run could leave something in, and a watch over what is gone when the run has ended.

Project, lake, temporary folders, Dagster's and the user's home, the working directory and all output stand below one
root. Workers run in processes of their own; while they do, the watch reads temporary files (those that are deleted but
open too), arguments and environments of every process below them.
"""

from __future__ import annotations

import copy
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from lakehouse import storage
from lakehouse.contract.load import load_project
from lakehouse.ingest import landing
from lakehouse.model import TableId, Tier
from lakehouse.settings import load_settings
from lakehouse.transform import dbt_schema
from tests.leaks.planting import STEM, Markers
from tests.leaks.project import ROOT, write_project
from tests.leaks.scan import Leak, Scanner, frames

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lakehouse.contract.model import Project, Table
    from lakehouse.settings import Settings
    from lakehouse.storage import Lake

WORKER = Path(__file__).with_name("worker.py")
_PAUSE = 0.003
#: So small that whatever sorts or groups many rows has to spill, if it may.
SMALL = {"POLARS_OOC_MEMORY_BUDGET_MB": "24", "LAKEHOUSE_DUCKDB_MEMORY": "48MB"}
_CLEAR = (Tier.STAGED, Tier.CURATED, Tier.FEATURES)


@dataclass
class Home:
    """A project, its lake and everything around them below `root`."""

    root: Path
    control_url: str | None = None
    markers: Markers = field(default_factory=Markers)
    temporary: set[Leak] = field(default_factory=set)

    @staticmethod
    def make(root: Path, *, control_url: str | None = None, alone: bool = False) -> Home:
        """The folders, the project (the domain `leak` alone, or with the shipped ones) and an empty lake."""
        home = Home(root, control_url)
        for name in ("project", "tmp", "spill", "dagster", "home", "work", "output"):
            (root / name).mkdir(parents=True)
        write_project(home.project_root, alone=alone)
        home.generate_sources()
        storage.create_lake(home.settings()).control.dispose()
        return home

    def copy(self, root: Path, *, control_url: str | None = None) -> Home:
        """The same in another place, to be spoilt; a control database on a server was copied to `control_url` before."""
        shutil.copytree(self.root, root)
        return Home(root, control_url, markers=copy.deepcopy(self.markers))

    def begin_anew(self) -> None:
        """An empty lake in place of the one that is there."""
        shutil.rmtree(self.root / "lake")
        if self.control_url is not None:
            engine = sa.create_engine(self.control_url, poolclass=sa.NullPool)
            with engine.begin() as connection:
                connection.exec_driver_sql("DROP SCHEMA public CASCADE")
                connection.exec_driver_sql("CREATE SCHEMA public")
        storage.create_lake(self.settings()).control.dispose()

    @property
    def project_root(self) -> Path:
        return self.root / "project"

    @property
    def project(self) -> Project:
        return load_project(self.project_root)

    def settings(self) -> Settings:
        with environment(self.variables()):
            return load_settings(self.project_root, lake=str(self.root / "lake"))

    @contextmanager
    def lake(self) -> Iterator[Lake]:
        lake = storage.open_lake(self.settings())
        try:
            yield lake
        finally:
            lake.control.dispose()

    def generate_sources(self) -> None:
        """dbt's files that are made from contracts."""
        dbt_schema.write(self.project)

    def variables(self) -> dict[str, str]:
        """The environment of everything that runs here; nothing points outside of the root."""
        at = {name: str(self.root / name) for name in ("tmp", "spill", "dagster", "home")}
        found = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
            "HOME": at["home"],
            "USER": "leak",
            "TMPDIR": at["tmp"],
            "POLARS_TEMP_DIR": at["tmp"],
            "POLARS_OOC_SPILL_DIR": at["spill"],
            "DAGSTER_HOME": at["dagster"],
            "LAKEHOUSE_PROJECT": str(self.project_root),
            "LAKEHOUSE_LAKE": str(self.root / "lake"),
            **SMALL,
        }
        return found | ({"LAKEHOUSE_CONTROL_URL": self.control_url} if self.control_url else {})

    def run(self, *arguments: str, timeout: float = 300, **more: str) -> int:
        """Let a worker do a stage under watch; its output is kept below the root. Returns its exit code."""
        return self.execute(
            [sys.executable, str(WORKER), *arguments], name="-".join(arguments), timeout=timeout, **more
        )

    def execute(self, command: list[str], *, name: str, timeout: float = 300, **more: str) -> int:
        """The same for any command."""
        out = self.root / "output" / f"{len(list((self.root / 'output').iterdir())):03d}-{name[:40].replace('/', '_')}"
        with out.open("wb") as stream:
            process = subprocess.Popen(
                command, env=self.variables() | more, cwd=self.root / "work", stdout=stream, stderr=subprocess.STDOUT
            )
            with Watch(self, process.pid):
                code = process.wait(timeout)
        return code

    def land(self, table: Table, files: Sequence[Path]) -> None:
        """Copy files into the table's landing folder, complete."""
        with self.lake() as lake:
            folder = landing.folder(lake, table)
        folder.mkdir(parents=True, exist_ok=True)
        for file in files:
            shutil.copyfile(file, folder / file.name)
            then = time.time() - 60
            os.utime(folder / file.name, (then, then))

    def allowed(self) -> frozenset[Path]:
        """Where markers may be: landing, and data files that a version of a staged, curated or feature table holds."""
        with self.lake() as lake:
            found = {Path(lake.root) / "landing"}
            for table in self.project.tables:
                if storage.exists(lake, table.id):
                    found |= {Path(path) for path in held_files(lake, table.id)}
        return frozenset(found)

    def leaks(self) -> list[Leak]:
        """Every marker where none may be: in files now, and in what the watch saw while workers ran."""
        scanner = Scanner(self.markers)
        found = scanner.tree(self.root, without=self.allowed())
        found += [] if self.control_url is None else rows_with_markers(scanner, self.control_url)
        return [*found, *sorted(self.temporary, key=str)]


def held_files(lake: Lake, table: TableId) -> list[str]:
    """The data files of every version of a table: readers that pinned an older one still read them."""
    last = storage.snapshot(lake, table).version
    uri = lake.uri(table)
    entries = [storage.delta.entry(uri, version) for version in range(last + 1)]
    return [f"{uri}/{path}" for found in entries if found is not None for path in found.adds]


def rows_with_markers(scanner: Scanner, url: str) -> list[Leak]:
    """Every marker in the rows of a control database on a server."""
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    found: list[Leak] = []
    with engine.connect() as connection:
        names = sa.inspect(connection).get_table_names()
        assert "batch" in names
        for name in names:
            rows = connection.exec_driver_sql(f'select row_to_json(t)::text from "{name}" t').scalars()
            found += scanner.content(name, "\n".join(rows).encode())
    return found


@contextmanager
def environment(variables: dict[str, str]) -> Iterator[None]:
    """The settings' variables for a moment, in this process."""
    before = {name: os.environ.get(name) for name in variables if name.startswith("LAKEHOUSE_")}
    os.environ.update({name: variables[name] for name in before})
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


class Watch:
    """Looks at temporary files and at processes as long as a worker runs."""

    def __init__(self, home: Home, pid: int) -> None:
        self._home = home
        self._pid = pid
        self._seen: set[tuple[object, ...]] = set()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(_PAUSE):
            for name in ("tmp", "spill", "work"):
                self._folder(self._home.root / name)
            for pid in _below(self._pid):
                self._process(pid)

    def _folder(self, place: Path) -> None:
        with suppress(OSError):
            for folder, _, names in os.walk(place):
                for name in names:
                    self._file(Path(folder, name), f"a file in {place.name} while the worker ran")

    def _file(self, path: Path, place: str) -> None:
        with suppress(OSError):
            status = path.stat()
            state = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
            if state not in self._seen:
                self._seen.add(state)
                self._look(path.read_bytes(), place)

    def _process(self, pid: int) -> None:
        with suppress(OSError):
            for name in ("cmdline", "environ"):
                said = Path(f"/proc/{pid}/{name}").read_bytes()
                if (pid, name, said) not in self._seen:
                    self._seen.add((pid, name, said))
                    self._look(said, f"the {name} of a process")
            for link in Path(f"/proc/{pid}/fd").iterdir():
                if str(link.readlink()).endswith("(deleted)"):
                    self._file(link, "a file that was deleted while it was open")

    def _look(self, content: bytes, place: str) -> None:
        # what polars and DuckDB spill is packed
        if any(STEM.encode() in view for view in (content, *(more for _, more in frames(place, content)))):
            self._home.temporary.add(Leak(place, "any", "utf-8"))


def _below(pid: int) -> list[int]:
    """A process and its descendants."""
    found = [pid]
    for one in found:
        with suppress(OSError):
            for task in Path(f"/proc/{one}/task").iterdir():
                children = (task / "children").read_text()
                found += [int(child) for child in children.split()]
    return found


KILLED = -signal.SIGKILL
