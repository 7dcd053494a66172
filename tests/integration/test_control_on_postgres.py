"""The control database on PostgreSQL: the same protocol by the same portable statements."""

from __future__ import annotations

import dataclasses
import os
import pwd
import shutil
import socket
import subprocess

import polars as pl
import pyarrow as pa
import pytest

from lakehouse import storage
from lakehouse.errors import LeaseTakenError
from lakehouse.model import EventKind, LedgerEvent, TableId, Tier

pytestmark = [pytest.mark.postgres, pytest.mark.slow]

VISITS = TableId(Tier.STAGED, "clinic", "visit")
SCHEMA = pa.schema([("_batch", pa.int64())])


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A PostgreSQL server of our own, on a port of its own; PostgreSQL refuses to run as root."""
    programs = [shutil.which(name) for name in ("initdb", "pg_ctl")]
    if None in programs:
        if os.environ.get("LAKEHOUSE_REQUIRE") == "all":
            pytest.fail("PostgreSQL is missing; run `make test-deps`")
        pytest.skip("PostgreSQL is not here; run `make test-deps`")
    folder = tmp_path_factory.mktemp("postgres")
    user: dict[str, str] = {}
    if os.getuid() == 0:
        names = {entry.pw_name for entry in pwd.getpwall()}
        name = "postgres" if "postgres" in names else "nobody"
        user = {"user": name}
        shutil.chown(folder, name)
        for parent in list(folder.parents)[:2]:
            parent.chmod(0o755)
    port, data = _free_port(), folder / "data"
    run = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder, **user}
    subprocess.run(["initdb", "-D", data, "-A", "trust", "-U", "lakehouse"], check=True, **run)
    options = f"-p {port} -c listen_addresses=127.0.0.1 -k {folder} -c fsync=off"
    subprocess.run(["pg_ctl", "-D", data, "-w", "-l", folder / "log", "-o", options, "start"], check=True, **run)
    yield f"postgresql+psycopg://lakehouse@127.0.0.1:{port}/postgres"
    subprocess.run(["pg_ctl", "-D", data, "-m", "immediate", "stop"], check=True, **run)


@pytest.fixture
def lake(server, lake_settings):
    import sqlalchemy as sa

    engine = sa.create_engine(server)
    with engine.begin() as connection:
        storage.lease_table.metadata.drop_all(connection)
    engine.dispose()
    lake = storage.create_lake(dataclasses.replace(lake_settings, control_url=server))
    yield lake
    lake.control.dispose()


def put(lake, batch, rows=3):
    with storage.lease(lake, VISITS, holder="test") as held:
        tx = storage.begin(lake, VISITS, held, SCHEMA)
        tx.write(pl.DataFrame({"_batch": [batch] * rows}))
        events = [LedgerEvent(batch, VISITS, kind, rows, "test") for kind in (EventKind.READ, EventKind.STAGED)]
        return tx.commit("stage", events=events, batches=[storage.BatchUpdate(batch, "staged", rows)])


def test_the_whole_protocol_on_postgresql(lake, clock):
    for name in ("a", "b", "a"):
        batch = storage.reserve(
            lake, VISITS, source="s", name_hash=name, sha256="x", size=1, landed_at=clock, delivered_at=None
        )
        if batch.state == "reserved":
            put(lake, batch.number)
    assert storage.batches(lake, VISITS)["state"].to_list() == ["staged", "staged"]
    assert storage.balance(lake, VISITS).unbalanced == ()
    assert storage.flush_outbox(lake) == 4
    assert storage.read_ledger(lake).height == 4
    storage.record_verdict(lake, VISITS, 1, [])
    assert storage.require_passed(lake, VISITS) == 1
    assert storage.get_request(lake, storage.put_request(lake, "x", {"a": [1]})) == {"a": [1]}


def test_leases_on_postgresql(lake):
    again = storage.lease(lake, VISITS)
    with storage.lease(lake, VISITS, holder="one") as held:
        assert held.token == 1
        held.renew()
        with pytest.raises(LeaseTakenError, match="`one`"):
            again.__enter__()
    with storage.lease(lake, VISITS) as held:
        assert held.token == 2


def test_a_half_done_commit_is_recovered_on_postgresql(lake, monkeypatch):
    from lakehouse.storage import intents

    with monkeypatch.context() as patch:
        patch.setattr(intents, "settle", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            put(lake, 1)
    assert storage.read_ledger(lake).height == 0
    with storage.lease(lake, VISITS):
        pass
    assert storage.read_ledger(lake).height == 2
