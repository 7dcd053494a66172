"""The control database goes away in the middle, or is locked for too long: a clear error, and the next run ends the work."""

from __future__ import annotations

import dataclasses
import os
import pwd
import shutil
import socket
import sqlite3
import subprocess
import tempfile
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from lakehouse import storage
from lakehouse.errors import StorageError
from lakehouse.storage import control, faults
from tests.crash import aftermath, scenarios
from tests.crash.forked import in_memory

OLD = scenarios.OLD
#: Where the server stops: while files are taken, between an intent and its commit, and before what follows from one.
POINTS = (
    "manifest.reserve.before",
    "entity.add.after",
    "file.put.after:2",
    "commit.intent.after",
    "commit.delta.after",
    "commit.done.before:2",
    "commit.delta.before:3",
    "lease.release.before",
)
SECRET = "a-pass-word"


class Server:
    """A PostgreSQL server of this module's own, which may be stopped without a warning."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._user = {"user": _other_user(folder)} if os.getuid() == 0 else {}
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self._run("initdb", "-D", str(folder / "data"), "-A", "trust", "-U", "lakehouse", "--no-sync")
        self.start()

    def start(self) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -k {self._folder} -c fsync=off"
        self._run(
            "pg_ctl", "-D", str(self._folder / "data"), "-w", "-l", str(self._folder / "log"), "-o", options, "start"
        )

    def stop(self) -> None:
        self._run("pg_ctl", "-D", str(self._folder / "data"), "-m", "immediate", "stop")

    def url(self, database: str = "postgres") -> str:
        return f"postgresql+psycopg://lakehouse:{SECRET}@127.0.0.1:{self.port}/{database}"

    def ask(self, *statements: str) -> None:
        engine = sa.create_engine(self.url(), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)
        engine.dispose()

    def _run(self, *command: str) -> None:
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        subprocess.run(command, check=True, cwd=self._folder, **quiet, **self._user)


def _other_user(folder: Path) -> str:
    """PostgreSQL refuses to run as root."""
    name = "postgres" if "postgres" in {entry.pw_name for entry in pwd.getpwall()} else "nobody"
    shutil.chown(folder, name)
    return name


@pytest.fixture(scope="module")
def server():
    if None in (shutil.which("initdb"), shutil.which("pg_ctl")):
        if os.environ.get("LAKEHOUSE_REQUIRE") == "all":
            pytest.fail("PostgreSQL is missing; run `make test-deps`")
        pytest.skip("PostgreSQL is not here; run `make test-deps`")
    folder = Path(tempfile.mkdtemp(prefix="lakehouse-postgres-"))
    one = Server(folder)
    yield one
    one.stop()
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def wanted():
    with in_memory() as place:
        scenarios.take(scenarios.settings_of(place / "lake"))
        lake = storage.open_lake(scenarios.settings_of(place / "lake"))
        yield aftermath.picture(lake, OLD)
        lake.control.dispose()


@pytest.fixture
def settings(server, tmp_path, request):
    name = f"lost{abs(hash(request.node.name))}"
    server.ask(f"CREATE DATABASE {name}")
    return dataclasses.replace(scenarios.settings_of(tmp_path / "lake"), control_url=server.url(name))


@contextmanager
def at(point: str, happens):
    """Let something happen once, at the n-th passing of a fault point."""
    name, _, nth = point.partition(":")
    original, passed = faults.point, [0]

    def watched(said: str) -> None:
        original(said)
        passed[0] += said == name
        if said == name and passed[0] == int(nth or 1):
            happens()

    faults.point = watched
    try:
        yield
    finally:
        faults.point = original
    assert passed[0] >= int(nth or 1), f"`{point}` was never passed"


def require_whole(settings, wanted) -> None:
    scenarios.take(settings)
    lake = storage.open_lake(settings)
    aftermath.require_clean(lake, OLD)
    aftermath.require_same(aftermath.picture(lake, OLD), wanted)
    lake.control.dispose()


@pytest.mark.postgres
@pytest.mark.slow
@pytest.mark.parametrize("point", POINTS)
def test_the_server_stops_in_the_middle(server, settings, wanted, point):
    storage.create_lake(settings).control.dispose()
    try:
        with at(point, server.stop), pytest.raises(StorageError) as caught:
            scenarios.take(settings)
    finally:
        server.start()
    error = caught.value
    assert error.message == "the control database cannot be reached"
    assert error.where == f"127.0.0.1:{server.port}/{sa.make_url(settings.control_url).database}"
    assert "LAKEHOUSE_CONTROL_URL" in error.hint
    assert SECRET not in f"{error} {error.__cause__}"
    require_whole(settings, wanted)


@pytest.mark.postgres
@pytest.mark.slow
def test_a_server_that_is_not_there_and_a_database_that_is_not(server, settings):
    storage.create_lake(settings).control.dispose()
    server.stop()
    with pytest.raises(StorageError, match="cannot be reached"):
        storage.open_lake(settings)
    server.start()
    gone = dataclasses.replace(settings, control_url=server.url("nowhere"))
    with pytest.raises(StorageError) as caught:
        storage.open_lake(gone)
    assert SECRET not in str(caught.value)


@pytest.mark.postgres
@pytest.mark.slow
def test_connections_that_were_ended_while_they_lay_in_the_pool_are_not_missed(server, settings, wanted):
    lake = storage.create_lake(settings)
    assert lake.control.engine.pool.checkedin() > 0
    others = "pid <> pg_backend_pid() AND starts_with(datname, 'lost')"
    server.ask(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}")
    landed = scenarios.deliver(lake, OLD, *scenarios.FILES)
    scenarios.ingest(lake, scenarios.shop.project_of(OLD), OLD, landed, now=scenarios.NOW)
    lake.control.dispose()
    require_whole(settings, wanted)


@pytest.mark.parametrize("point", ["manifest.reserve.before", "commit.intent.after", "commit.done.before:2"])
def test_sqlite_is_locked_for_longer_than_we_wait(tmp_path, wanted, monkeypatch, point):
    monkeypatch.setattr(control, "BUSY_SECONDS", 0.1)
    settings = scenarios.settings_of(tmp_path / "lake")
    storage.create_lake(settings)
    with closing(
        sqlite3.connect(tmp_path / "lake/control/control.db", isolation_level=None, check_same_thread=False)
    ) as other:
        with at(point, lambda: other.execute("BEGIN EXCLUSIVE")), pytest.raises(StorageError) as caught:
            scenarios.take(settings)
        other.execute("ROLLBACK")
    assert caught.value.message == "the control database was locked for too long"
    assert caught.value.where == str(tmp_path / "lake/control/control.db")
    require_whole(settings, wanted)


def test_a_damaged_database_is_said_to_be_damaged(tmp_path):
    settings = scenarios.settings_of(tmp_path / "lake")
    storage.create_lake(settings)
    (tmp_path / "lake/control/control.db").write_bytes(b"no database at all, " * 1000)
    with pytest.raises(StorageError, match="is damaged") as caught:
        storage.open_lake(settings)
    assert "recover" in caught.value.hint


def test_a_statement_that_is_wrong_stays_a_mistake_of_ours(lake):
    with pytest.raises(sa.exc.OperationalError), lake.control.read() as connection:
        connection.exec_driver_sql("select nothing from nowhere")
