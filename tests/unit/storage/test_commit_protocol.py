"""The commit protocol as its users see it: all or nothing, one writer, exactly once."""

from __future__ import annotations

import dataclasses
import datetime as dt
from pathlib import Path

import polars as pl
import pytest

from lakehouse import storage
from lakehouse.errors import FencedOutError, LeaseTakenError, RefusedError, SchemaMismatchError, StorageError
from lakehouse.model import EventKind, LedgerEvent
from lakehouse.storage import delta
from lakehouse.storage.intents import open_intents


def events(table, batch, read, staged):
    return [
        LedgerEvent(batch, table, EventKind.READ, read, "file"),
        LedgerEvent(batch, table, EventKind.STAGED, staged, "gate"),
    ]


def test_nothing_is_visible_before_the_commit(lake, visits):
    with storage.lease(lake, visits.VISITS) as held:
        tx = storage.begin(lake, visits.VISITS, held, visits.SCHEMA, visits.PLACEMENT)
        written = tx.write(visits.rows(1))
        assert not storage.exists(lake, visits.VISITS)
        assert tx.commit("stage") == 0
    now = storage.snapshot(lake, visits.VISITS)
    assert (now.version, now.rows, len(now.files)) == (0, 4, 1)
    assert written[0].size == Path(now.files[0]).stat().st_size
    assert storage.scan(lake, visits.VISITS).sort("_row").collect().equals(visits.rows(1))


def test_the_digest_is_of_the_bytes_on_disk(lake, visits):
    import hashlib

    with storage.lease(lake, visits.VISITS) as held:
        tx = storage.begin(lake, visits.VISITS, held, visits.SCHEMA, visits.PLACEMENT)
        (written,) = tx.write(visits.rows(1))
        tx.commit("stage")
    content = Path(lake.uri(visits.VISITS), written.path).read_bytes()
    assert written.sha256 == hashlib.sha256(content).hexdigest()


def test_an_abandoned_change_leaves_no_file(lake, visits):
    with storage.lease(lake, visits.VISITS) as held:
        tx = storage.begin(lake, visits.VISITS, held, visits.SCHEMA, visits.PLACEMENT)
        tx.write(visits.rows(1))
        tx.abandon()
    assert list(Path(lake.uri(visits.VISITS)).glob("*.parquet")) == []
    with pytest.raises(StorageError):
        tx.write(visits.rows(1))


def test_every_commit_is_one_version_with_its_token(lake, visits):
    assert [visits.put(lake, visits.rows(n)) for n in (1, 2, 3)] == [0, 1, 2]
    tokens = [delta.entry(lake.uri(visits.VISITS), version).token for version in (0, 1, 2)]
    assert tokens == [1, 2, 3]


def test_several_changes_under_one_lease(lake, visits):
    with storage.lease(lake, visits.VISITS) as held:
        first = storage.begin(lake, visits.VISITS, held, visits.SCHEMA, visits.PLACEMENT)
        second = storage.begin(lake, visits.VISITS, held, visits.SCHEMA, visits.PLACEMENT)
        first.write(visits.rows(1))
        second.write(visits.rows(2))
        assert (second.commit("stage"), first.commit("stage")) == (0, 1)
    assert storage.snapshot(lake, visits.VISITS).rows == 8


def test_a_lease_is_one_holders(lake, visits):
    again = storage.lease(lake, visits.VISITS)
    with storage.lease(lake, visits.VISITS, holder="ingest"):
        assert storage.is_held(lake, visits.VISITS)
        with pytest.raises(LeaseTakenError, match="`ingest` works on the table"):
            again.__enter__()
    assert not storage.is_held(lake, visits.VISITS)


def test_a_lease_that_ran_out_can_be_taken_and_the_old_holder_is_fenced_out(lake, visits):
    visits.put(lake, visits.rows(1))
    with storage.lease(lake, visits.VISITS, ttl=dt.timedelta(0)) as slow:
        tx = storage.begin(lake, visits.VISITS, slow, visits.SCHEMA, visits.PLACEMENT)
        tx.write(visits.rows(2))
        visits.put(lake, visits.rows(3))
        with pytest.raises(FencedOutError):
            tx.commit("stage")
        with pytest.raises(FencedOutError):
            slow.renew()
    found = storage.scan(lake, visits.VISITS).select(pl.col("_batch").unique().sort()).collect()
    assert found["_batch"].to_list() == [1, 3]


def test_a_dead_process_is_not_waited_for(lake, visits):
    from lakehouse.storage.control import lease_table
    from lakehouse.storage.leases import _boot

    visits.put(lake, visits.rows(1))
    gone = f"{_boot()}:999999999:1/x/ingest"
    with lake.control.engine.begin() as connection:
        connection.execute(lease_table.update().values(holder=gone, expires=2**60, dirty=True))
    with storage.lease(lake, visits.VISITS) as held:
        assert held.token == 2


def test_a_process_that_cannot_be_seen_is_waited_for(lake, visits):
    from lakehouse.storage.control import lease_table

    visits.put(lake, visits.rows(1))
    elsewhere = "another-boot.4026531836:999999999:1/x/ingest"
    with lake.control.engine.begin() as connection:
        soon = lake.control.micros(connection) + 60_000_000
        connection.execute(lease_table.update().values(holder=elsewhere, expires=soon, dirty=True))
    with pytest.raises(LeaseTakenError):
        storage.lease(lake, visits.VISITS).__enter__()


def test_events_and_batches_come_with_the_commit_exactly_once(lake, visits, clock):
    batch = storage.reserve(
        lake, visits.VISITS, source="s", name_hash="n", sha256="c", size=1, landed_at=clock, delivered_at=None
    )
    visits.put(
        lake,
        visits.rows(batch.number),
        events=events(visits.VISITS, batch.number, 5, 4),
        batches=[storage.BatchUpdate(batch.number, "staged", 4)],
    )
    assert storage.get_batch(lake, batch.number).state == "staged"
    balance = storage.balance(lake, visits.VISITS)
    assert balance.rows.select("read", "staged", "told", "pending").row(0) == (5, 4, 4, 1)
    assert balance.unbalanced == (batch.number,)
    assert storage.flush_outbox(lake, at_least=3) == 0
    assert storage.read_ledger(lake, visits.VISITS).height == 2
    assert storage.flush_outbox(lake, at_least=2) == 2
    assert storage.flush_outbox(lake) == 0
    assert storage.read_ledger(lake, visits.VISITS).height == 2
    assert storage.read_ledger(lake, visits.RAW).height == 0


def test_pending_rows_are_balanced_while_somebody_works(lake, visits):
    visits.put(lake, visits.rows(1), events=events(visits.VISITS, 1, 6, 4))
    with storage.lease(lake, visits.VISITS):
        assert storage.balance(lake, visits.VISITS).unbalanced == ()
    assert storage.balance(lake, visits.VISITS).unbalanced == (1,)


def test_staged_is_counted_from_the_table_not_believed(lake, visits):
    visits.put(lake, visits.rows(1, 3), events=events(visits.VISITS, 1, 4, 4))
    assert storage.balance(lake, visits.VISITS).unbalanced == (1,)


def test_a_commit_that_somebody_overtook_is_tried_anew(lake, visits, monkeypatch):
    """Another commit of the same version: the log is read, a new intent is made, nothing is lost or doubled."""
    visits.put(lake, visits.rows(1))
    original, calls = delta.commit, []

    def overtaken(uri, change, table):
        calls.append(change.version)
        if len(calls) == 1:
            other = dataclasses.replace(change, adds=(), note={"kind": "other"})
            original(uri, other, delta.handle(uri))
        original(uri, change, table)

    monkeypatch.setattr(delta, "commit", overtaken)
    assert visits.put(lake, visits.rows(2), events=events(visits.VISITS, 2, 4, 4)) == 2
    assert calls == [1, 2]
    assert storage.snapshot(lake, visits.VISITS).rows == 8
    assert storage.read_ledger(lake).height == 2
    assert open_intents(lake, visits.VISITS) == []


def test_a_commit_whose_answer_was_lost_counts_as_done(lake, visits, monkeypatch):
    original = delta.commit

    def deaf(uri, change, table):
        original(uri, change, table)
        raise StorageError("time-out")

    monkeypatch.setattr(delta, "commit", deaf)
    assert visits.put(lake, visits.rows(1), events=events(visits.VISITS, 1, 4, 4)) == 0
    assert storage.snapshot(lake, visits.VISITS).version == 0
    assert storage.balance(lake, visits.VISITS).unbalanced == ()


def test_a_store_that_never_answers_is_an_error_and_recovered_from(lake, visits, monkeypatch):
    visits.put(lake, visits.rows(1))

    def dead(uri, change, table):
        raise StorageError("time-out")

    with monkeypatch.context() as patch:
        patch.setattr(delta, "commit", dead)
        with pytest.raises(StorageError, match="5 attempts"):
            visits.put(lake, visits.rows(2))
    assert len(open_intents(lake, visits.VISITS)) == 5
    visits.put(lake, visits.rows(3))
    assert open_intents(lake, visits.VISITS) == []
    assert storage.snapshot(lake, visits.VISITS).rows == 8
    assert len(list(Path(lake.uri(visits.VISITS)).glob("*.parquet"))) == 2  # the orphan is gone


def test_an_intent_whose_version_says_something_else_is_an_error(lake, visits, monkeypatch):
    original = delta.commit

    def forged(uri, change, table):
        original(uri, dataclasses.replace(change, adds=()), table)

    monkeypatch.setattr(delta, "commit", forged)
    with pytest.raises(StorageError, match="differs from it"):
        visits.put(lake, visits.rows(1))


def test_a_fence_makes_older_tokens_fail(lake, visits):
    visits.put(lake, visits.rows(1))
    with storage.lease(lake, visits.VISITS) as held:
        assert storage.fence(held) == 1
        older = dataclasses.replace(held, token=1)
        tx = storage.begin(lake, visits.VISITS, older, visits.SCHEMA, visits.PLACEMENT)
        with pytest.raises(FencedOutError, match="a newer holder has committed"):
            tx.commit("stage")


def test_a_fence_needs_a_table(lake, visits):
    with storage.lease(lake, visits.VISITS) as held:
        assert storage.fence(held) is None


def test_the_lease_must_be_the_tables(lake, visits):
    with storage.lease(lake, visits.RAW) as held, pytest.raises(StorageError, match="another table's"):
        storage.begin(lake, visits.VISITS, held, visits.SCHEMA)


def test_a_long_change_renews_its_lease(lake, visits):
    with storage.lease(lake, visits.VISITS, ttl=dt.timedelta(milliseconds=5)) as held:
        tx = storage.begin(lake, visits.VISITS, held, visits.SCHEMA, visits.PLACEMENT)
        tx._renewed -= 1
        tx.write(visits.rows(1))
        tx.commit("stage")


def test_rows_are_never_cast_and_required_columns_never_null(lake, visits):
    import pyarrow as pa

    frame = visits.rows(1)
    with storage.lease(lake, visits.VISITS) as held:
        tx = storage.begin(lake, visits.VISITS, held, visits.SCHEMA, visits.PLACEMENT)
        with pytest.raises(SchemaMismatchError, match="`weight`"):
            tx.write(frame.with_columns(pl.col("weight").cast(pl.Int64)))
        with pytest.raises(SchemaMismatchError, match="the order of columns"):
            tx.write(frame.select(reversed(frame.columns)))
        with pytest.raises(SchemaMismatchError, match="`extra`"):
            tx.write(frame.with_columns(extra=1))
        strict = pa.schema([item.with_nullable(item.name != "name") for item in visits.SCHEMA])
        other = storage.begin(lake, visits.VISITS, held, strict, visits.PLACEMENT)
        with pytest.raises(SchemaMismatchError, match="`name` must not be null"):
            other.write(frame.with_columns(name=pl.lit(None, dtype=pl.String)))


def test_no_value_stands_in_a_refusal_or_in_the_log(lake, visits):
    visits.put(lake, visits.rows(1))
    log = Path(lake.uri(visits.VISITS), "_delta_log").glob("*.json")
    assert not any("secret" in entry.read_text() for entry in log)
    with pytest.raises(SchemaMismatchError) as refusal:
        visits.put(lake, visits.rows(1).with_columns(weight=pl.col("name")))
    assert "secret" not in str(refusal.value)


def test_verdicts_gate_what_is_built_on_a_table(lake, visits):
    version = visits.put(lake, visits.rows(1))
    with pytest.raises(RefusedError, match="has not been checked"):
        storage.require_passed(lake, visits.VISITS)
    storage.record_verdict(lake, visits.VISITS, version, ["unique_key"])
    with pytest.raises(RefusedError, match="failed `unique_key`"):
        storage.require_passed(lake, visits.VISITS)
    storage.record_verdict(lake, visits.VISITS, version, [])
    assert storage.require_passed(lake, visits.VISITS) == 0
    assert storage.merge(lake, visits.VISITS, visits.PLACEMENT) == 1
    assert storage.require_passed(lake, visits.VISITS) == 1
    visits.put(lake, visits.rows(2))
    with pytest.raises(RefusedError, match="has not been checked"):
        storage.require_passed(lake, visits.VISITS)


def test_requests_are_kept_by_id(lake):
    request = storage.put_request(lake, "materialise", {"months": ["2011-01"]})
    assert storage.get_request(lake, request) == {"months": ["2011-01"]}
    with pytest.raises(StorageError):
        storage.get_request(lake, "nothing")
