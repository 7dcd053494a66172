"""Raw through every public way of storage: rows come, nothing else happens to it, and its log stays for ever."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake

from lakehouse import storage
from lakehouse.contract.arrow import schema as arrow_schema
from lakehouse.contract.load import load_project
from lakehouse.errors import RefusedError
from lakehouse.model import Tier
from lakehouse.storage import delta, files, worm
from lakehouse.storage.protocol import Design, commit_change

DAY = 86_400
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def raw(lake, visits):
    """A raw table with one file."""
    visits.put(lake, visits.rows(1), table=visits.RAW, placement=visits.LOOSE)
    return storage.snapshot(lake, visits.RAW)


def begin(lake, visits, held, **how):
    return storage.begin(lake, visits.RAW, held, visits.SCHEMA, visits.LOOSE, **how)


def removing(lake, visits, held, raw, **how):
    tx = begin(lake, visits, held, **how)
    tx.remove(raw.files)
    tx.commit("raw")


def rewriting(lake, visits, held, raw, **how):
    begin(lake, visits, held, **how).rewrite(raw.files, lambda _: visits.rows(2))


def retiring_as_something_else(lake, visits, held, raw, **how):
    tx = begin(lake, visits, held, retires=True, **how)
    tx.remove(raw.files)
    tx.commit("replace")


def removing_past_the_transaction(lake, visits, held, raw, **how):
    names = [path.rpartition("/")[2] for path in raw.files]
    design = Design(visits.SCHEMA, retires=bool(how))
    note = {"kind": "erase", "inputs": {}, "months": []}
    commit_change(held, design, adds=(), removes=names, note=note, effects=effects())


def effects():
    from lakehouse.storage.intents import Effects

    return Effects()


@pytest.mark.parametrize("how", [{}, {"append_only": True}], ids=["forgetful", "append-only"])
@pytest.mark.parametrize("way", [removing, rewriting, retiring_as_something_else, removing_past_the_transaction])
def test_no_way_takes_a_file_out_of_raw(lake, visits, raw, way, how):
    with storage.lease(lake, visits.RAW) as held, pytest.raises(RefusedError, match="append-only"):
        way(lake, visits, held, raw, **how)
    assert storage.snapshot(lake, visits.RAW).files == raw.files


def test_the_property_un_set_by_hand_opens_no_way(lake, visits, raw):
    DeltaTable(lake.uri(visits.RAW)).alter.set_table_properties({"delta.appendOnly": "false"})
    with storage.lease(lake, visits.RAW) as held, pytest.raises(RefusedError, match="append-only"):
        removing_past_the_transaction(lake, visits, held, raw)


def test_raw_is_never_replaced_as_a_whole(lake, visits, raw):
    with storage.lease(lake, visits.RAW) as held:
        for how in ({}, {"append_only": True}):
            with pytest.raises(RefusedError, match="append-only"):
                begin(lake, visits, held, generation=True, **how)


def test_raw_is_never_replaced_by_a_stream(lake, visits, raw):
    contract = load_project(ROOT / "bench" / "projects" / "months").tables[0]
    schema = arrow_schema(contract, Tier.RAW)
    reader = pa.RecordBatchReader.from_batches(schema, [])
    with pytest.raises(RefusedError, match="append-only"):
        storage.replace(lake, visits.RAW, contract, reader, months=None, inputs={})
    assert storage.snapshot(lake, visits.RAW).files == raw.files


def test_raw_is_not_merged(lake, visits):
    for batch in range(2):
        visits.put(lake, visits.rows(batch), table=visits.RAW, placement=visits.PLACEMENT)
    before = storage.snapshot(lake, visits.RAW)
    with pytest.raises(RefusedError, match="append-only"):
        storage.merge(lake, visits.RAW, visits.PLACEMENT)
    assert storage.snapshot(lake, visits.RAW) == before
    assert sorted(files.names(lake.uri(visits.RAW))) == sorted(path.rpartition("/")[2] for path in before.files)


def test_raw_is_made_append_only_whatever_its_first_writer_says(lake, visits):
    with storage.lease(lake, visits.RAW) as held:
        tx = begin(lake, visits, held)
        tx.write(visits.rows(1))
        tx.commit("raw")
    assert DeltaTable(lake.uri(visits.RAW)).metadata().configuration == {**delta.CHECKPOINTS, **delta.WORM}


# --- trap 13: the log stays


def aged(uri: str, days: int = 40) -> None:
    """Move the file times of a table's log back."""
    for path in Path(uri, "_delta_log").iterdir():
        moment = path.stat().st_mtime - days * DAY
        os.utime(path, (moment, moment))


def entries(uri: str) -> int:
    return len(list(Path(uri, "_delta_log").glob("*.json")))


def plain_append(uri: str, frame, number: int) -> None:
    said = CommitProperties(app_transactions=[Transaction("test", number)])
    write_deltalake(uri, frame.to_arrow(), mode="append", commit_properties=said)


def test_trap_13_nothing_of_an_old_log_is_cleaned(lake, visits, tmp_path):
    """Forty days on, past a checkpoint: raw keeps its entries, a plain table does not."""
    plain, uri, frame = str(tmp_path / "plain"), lake.uri(visits.RAW), visits.rows(1, 1)
    for number in range(9):
        plain_append(plain, frame, number)
        visits.put(lake, frame, table=visits.RAW, placement=visits.LOOSE)
        if number == 6:
            DeltaTable(plain).create_checkpoint()
            DeltaTable(uri).create_checkpoint()
    aged(plain)
    aged(uri)
    plain_append(plain, frame, 10)
    visits.put(lake, frame, table=visits.RAW, placement=visits.LOOSE)
    assert entries(plain) < 5, "the control experiment: without our property the log is cleaned"
    assert entries(uri) == 10
    assert worm.verify(lake).findings == ()
    # nor by somebody who appends to raw with delta-rs itself, which cleans unless the table says no
    aged(uri)
    plain_append(uri, frame, 1)
    assert entries(uri) == 11
    (finding, *_) = [each for each in worm.verify(lake).findings if each.code == "raw_commit"]
    assert "version 10: a commit without an intent" in finding.message


def test_trap_13_a_raw_log_that_was_cleaned_after_all_is_found(lake, visits):
    uri, frame = lake.uri(visits.RAW), visits.rows(1, 1)
    for _ in range(5):
        visits.put(lake, frame, table=visits.RAW, placement=visits.LOOSE)
    DeltaTable(uri).create_checkpoint()
    DeltaTable(uri).alter.set_table_properties({"delta.enableExpiredLogCleanup": "true"})
    aged(uri)
    plain_append(uri, frame, 1)
    assert entries(uri) < 5
    found = [each.message for each in worm.verify(lake).findings]
    assert "entry 1, version 0: the log entry is missing: removed, or cleaned away" in found[0]
    assert any("version 5: un-sets `delta.enableExpiredLogCleanup`" in text for text in found)
