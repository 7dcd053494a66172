"""The control database on PostgreSQL: the same protocol by the same portable statements."""

from __future__ import annotations

import dataclasses

import polars as pl
import pyarrow as pa
import pytest
import sqlalchemy as sa

from lakehouse import storage
from lakehouse.errors import LeaseTakenError
from lakehouse.model import EventKind, LedgerEvent, TableId, Tier

pytestmark = [pytest.mark.postgres, pytest.mark.slow]

VISITS = TableId(Tier.STAGED, "clinic", "visit")
SCHEMA = pa.schema([("_batch", pa.int64())])


@pytest.fixture
def lake(postgres_url, lake_settings):
    lake = storage.create_lake(dataclasses.replace(lake_settings, control_url=postgres_url))
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


def test_maintain_vacuums_the_keys(lake):
    """A deleted row stays in its page until then."""
    lake.control.vacuum(("data_key", "epoch"))
    with lake.control.read() as connection:
        seen = sa.text("select relname from pg_stat_user_tables where last_vacuum is not null")
        assert {"data_key", "epoch"} <= set(connection.execute(seen).scalars())
