"""The servers a control database can be on, as fixtures: what is true on SQLite has to be true on PostgreSQL."""

from __future__ import annotations

import dataclasses
import itertools
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest

ANYWHERE = ("sqlite", pytest.param("postgres", marks=[pytest.mark.postgres, pytest.mark.slow]))
_numbers = itertools.count()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running_postgres(*, durable: bool = False):
    """The URL of a PostgreSQL server of our own, on a port of its own; PostgreSQL refuses to run as root."""
    # of its own, because pytest's folders belong to the user and go when another run of pytest tidies up
    folder = Path(tempfile.mkdtemp(prefix="lakehouse-postgres-"))
    user: dict[str, str] = {}
    if os.getuid() == 0:
        names = {entry.pw_name for entry in pwd.getpwall()}
        name = "postgres" if "postgres" in names else "nobody"
        user = {"user": name}
        shutil.chown(folder, name)
    port, data = _free_port(), folder / "data"
    run = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder, **user}
    subprocess.run(["initdb", "-D", data, "-A", "trust", "-U", "lakehouse"], check=True, **run)
    options = f"-p {port} -c listen_addresses=127.0.0.1 -k {folder}{'' if durable else ' -c fsync=off'}"
    subprocess.run(["pg_ctl", "-D", data, "-w", "-l", folder / "log", "-o", options, "start"], check=True, **run)
    try:
        yield f"postgresql+psycopg://lakehouse@127.0.0.1:{port}/postgres"
    finally:
        subprocess.run(["pg_ctl", "-D", data, "-m", "immediate", "stop"], check=True, **run)
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def postgres_server():
    """A server for all tests."""
    if None in [shutil.which(name) for name in ("initdb", "pg_ctl")]:
        if os.environ.get("LAKEHOUSE_REQUIRE") == "all":
            pytest.fail("PostgreSQL is missing; run `make test-deps`")
        pytest.skip("PostgreSQL is not here; run `make test-deps`")
    with running_postgres() as url:
        yield url


@pytest.fixture
def postgres_url(postgres_server):
    """The URL of a fresh database."""
    import sqlalchemy as sa

    name = f"lake{next(_numbers)}"
    engine = sa.create_engine(postgres_server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    yield sa.make_url(postgres_server).set(database=name).render_as_string(hide_password=False)
    with engine.connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
    engine.dispose()


@pytest.fixture(params=ANYWHERE)
def any_settings(request, lake_settings):
    """Settings of a lake whose control database is on SQLite, then on PostgreSQL."""
    if request.param == "sqlite":
        return lake_settings
    return dataclasses.replace(lake_settings, control_url=request.getfixturevalue("postgres_url"))


@pytest.fixture
def any_lake(any_settings):
    """A fresh lake, its control database on SQLite, then on PostgreSQL."""
    from lakehouse import storage

    lake = storage.create_lake(any_settings)
    yield lake
    lake.control.dispose()
