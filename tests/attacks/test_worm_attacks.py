"""Each way to change raw past storage is found, and the finding names table, entry, version and file."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from deltalake import CommitProperties, DeltaTable, write_deltalake
from deltalake.transaction import RemoveAction

from lakehouse import storage
from lakehouse.errors import UsageError
from lakehouse.storage import chain, delta, worm
from tests.attacks.worm_lake import (
    DRUG,
    PLACEMENT,
    SCHEMA,
    VISIT,
    checkpoint,
    data,
    first,
    flip,
    log,
    overwrite,
    prove,
    put,
    require,
    rows,
    said,
)


def test_a_lake_that_nobody_touched_gives_no_finding(attacked):
    proof = prove(attacked)
    require(proof)
    assert [(each.table, each.entries, each.files) for each in proof.tables] == [(str(DRUG), 3, 3), (str(VISIT), 5, 4)]
    assert (proof.entries, proof.files) == (8, 7)
    assert proof.bytes == sum(
        Path(p).stat().st_size for t in (VISIT, DRUG) for p in storage.snapshot(attacked, t).files
    )
    assert proof.heads[chain.RAW] == (8, chain.heads(attacked.control)[chain.RAW].hash)


# --- data files


@pytest.mark.parametrize("place", [0, 100, -1])
def test_a_flipped_byte_in_a_data_file(attacked, place):
    path = data(attacked, VISIT, 1)
    flip(path, place)
    require(prove(attacked), (str(VISIT), "entry 3, version 1", path.name, "same size, another SHA-256"))


def test_a_removed_data_file(attacked):
    path = data(attacked, VISIT, 3)
    path.unlink()
    require(prove(attacked), (str(VISIT), "entry 6, version 3", path.name, "is missing, and no retirement"))


def test_a_replaced_data_file(attacked):
    path = data(attacked, VISIT, 1)
    shutil.copy(data(attacked, DRUG, 2), path.with_name("other"))
    path.with_name("other").replace(path)
    require(prove(attacked), (str(VISIT), "entry 3, version 1", path.name, "changed or replaced"))


def test_a_truncated_data_file(attacked):
    path = data(attacked, VISIT, 1)
    content = path.read_bytes()
    overwrite(path, content[:-7])
    require(prove(attacked), (path.name, f"{len(content) - 7:,} bytes instead of {len(content):,}"))


def test_a_data_file_that_became_a_folder_or_a_dead_link(attacked):
    one, other = data(attacked, VISIT, 1), data(attacked, VISIT, 3)
    one.unlink()
    one.mkdir()
    other.unlink()
    other.symlink_to("nowhere")
    require(
        prove(attacked),
        ("entry 3, version 1", one.name, "cannot be read"),
        ("entry 6, version 3", other.name, "is missing"),
        (str(VISIT), f"{one.name}/", "where storage puts nothing"),
    )


@pytest.mark.parametrize("name", ["plain.parquet", "000000000001-aaaaaaaaaaaa-00000-t0-all.parquet"])
def test_a_data_file_put_there_and_never_committed(attacked, name):
    shutil.copy(data(attacked, VISIT, 1), Path(attacked.uri(VISIT), name))
    require(prove(attacked), (str(VISIT), name, "was put there; no entry tells of it"))


def test_a_file_put_there_while_somebody_works(attacked):
    with storage.lease(attacked, VISIT) as held:
        own = f"{held.token:012d}-aaaaaaaaaaaa-00000-t0-all.parquet"
        for name in (own, own.replace(f"{held.token:012d}", "000000000001"), "x.parquet"):
            shutil.copy(data(attacked, VISIT, 1), Path(attacked.uri(VISIT), name))
        require(prove(attacked), ("000000000001-aaaaaaaaaaaa", "no entry tells"), ("x.parquet", "no entry tells"))
    require(prove(attacked), ("000000000001-aaaaaaaaaaaa",), (own,), ("x.parquet",))


def test_a_file_named_after_somebody_is_not_repeated(attacked):
    Path(attacked.uri(VISIT), "Jane Doe.txt").write_text("x")
    require(prove(attacked), (str(VISIT), "none of ours"))
    assert "Jane" not in said(prove(attacked))[0]


def test_files_beside_the_tables(attacked):
    Path(attacked.root, "raw", "clinic", "notes").write_text("x")
    Path(attacked.uri(VISIT), "_delta_log", "odd.json").write_text("x")
    Path(attacked.root, "raw", "clinic", "ghost").mkdir()
    Path(attacked.root, "raw", "clinic", "ghost", "x.parquet").write_text("x")
    require(
        prove(attacked),
        ("raw/clinic/notes", "storage puts nothing"),
        (str(VISIT), "_delta_log/odd.json", "storage puts nothing"),
        ("raw.clinic.ghost", "x.parquet", "no entry tells"),
    )


# --- the log


def test_a_rewritten_log_entry(attacked):
    path = log(attacked, VISIT, 1)
    overwrite(path, path.read_bytes().replace(b'\\"_batch\\": 3', b'\\"_batch\\": 9'))
    proof = prove(attacked)
    assert "entry 3, version 1: the log entry was rewritten (same size)" in first(proof)
    assert str(VISIT) in said(proof)[0]


def test_a_removed_log_entry(attacked):
    log(attacked, VISIT, 1).unlink()
    require(prove(attacked), (str(VISIT), "entry 3, version 1: the log entry is missing: removed, or cleaned"))


def test_a_log_entry_that_became_a_folder(attacked):
    log(attacked, VISIT, 4).unlink()
    log(attacked, VISIT, 4).mkdir()
    proof = prove(attacked)
    assert "entry 8, version 4: the log entry is missing" in first(proof)


def test_a_log_cleaned_by_hand(attacked):
    table = DeltaTable(attacked.uri(VISIT))
    table.alter.set_table_properties({"delta.logRetentionDuration": "interval 0 seconds"})
    for version in range(5):
        os.utime(log(attacked, VISIT, version), (0, 0))
    DeltaTable(attacked.uri(VISIT)).create_checkpoint()
    DeltaTable(attacked.uri(VISIT)).cleanup_metadata()
    proof = prove(attacked)
    assert "entry 1, version 0: the log entry is missing: removed, or cleaned" in first(proof)
    assert any("version 5: a commit without an intent (`SET TBLPROPERTIES`)" in text for text in said(proof))


def test_a_log_entry_of_a_version_far_away(attacked):
    log(attacked, VISIT, 10**15).write_bytes(log(attacked, VISIT, 4).read_bytes())
    for since in (0, 8):
        require(
            prove(attacked, since=since),
            (
                str(VISIT),
                "version 5: the log entry is missing",
                f"and so are those up to version {10**15 - 1}; no entry",
            ),
            (str(VISIT), f"version {10**15}: a commit without an intent"),
        )


def test_what_readers_take_for_many_entries_in_one(attacked):
    path = log(attacked, VISIT, 0)
    for name in (f"{0:020d}.{1:020d}.compacted.json", f"{2:020d}.checkpoint.{1:010d}.{1:010d}.parquet"):
        shutil.copy(path, path.with_name(name))
        text = said(prove(attacked))[0]
        assert f"{VISIT}: file `_delta_log/{name}`: is where storage puts nothing" in text
        path.with_name(name).unlink()


def test_the_newest_commit_taken_back(attacked):
    log(attacked, VISIT, 4).unlink()
    require(prove(attacked), (str(VISIT), "entry 8, version 4: the log entry is missing"))


# --- commits by hand


def test_a_restore_by_hand(attacked):
    DeltaTable(attacked.uri(VISIT)).restore(1)
    require(prove(attacked), (str(VISIT), "version 5: a commit without an intent (`RESTORE`)", "takes 2 files out"))


def test_a_remove_that_append_only_does_not_stop(attacked):
    table, path = DeltaTable(attacked.uri(VISIT)), data(attacked, VISIT, 1)
    remove = RemoveAction(path.name, False, 1, path.stat().st_size, {})
    table.create_write_transaction([remove], "append", table.schema())
    require(prove(attacked), (str(VISIT), "version 5: a commit without an intent", "takes 1 files out"))


def test_an_append_by_hand(attacked):
    write_deltalake(attacked.uri(VISIT), rows(9).to_arrow(), mode="append")
    (name,) = delta.entry(attacked.uri(VISIT), 5).adds
    require(
        prove(attacked),
        (str(VISIT), name, "no entry tells of it"),
        (str(VISIT), "version 5: a commit without an intent (`WRITE`)", "puts 1 files in"),
    )


def test_an_optimize_by_hand(attacked):
    DeltaTable(attacked.uri(VISIT)).optimize.compact()
    proof = prove(attacked)
    assert any("version 5: a commit without an intent (`OPTIMIZE`)" in text for text in said(proof))
    assert {each.where for each in proof.findings} == {str(VISIT)}


def test_a_vacuum_by_hand(attacked):
    DeltaTable(attacked.uri(VISIT)).restore(1)
    path = data(attacked, VISIT, 3)
    DeltaTable(attacked.uri(VISIT)).vacuum(0, dry_run=False, enforce_retention_duration=False, full=True)
    proof = prove(attacked)
    assert not path.exists()
    assert f"entry 6, version 3, file `{path.name}`: is missing" in first(proof)
    assert any("(`VACUUM START`)" in text for text in said(proof))


def test_a_delete_by_hand_after_the_property_was_un_set(attacked):
    table = DeltaTable(attacked.uri(VISIT))
    table.alter.set_table_properties({"delta.appendOnly": "false"})
    DeltaTable(attacked.uri(VISIT)).delete("_batch = 3")
    proof = prove(attacked)
    assert "version 5" in first(proof)
    text = "\n".join(said(proof))
    assert "version 5: un-sets `delta.appendOnly` of the table [raw_property]" in text
    assert "version 6: a commit without an intent (`DELETE`)" in text


def test_an_un_set_log_clean_up_property(attacked):
    DeltaTable(attacked.uri(DRUG)).alter.set_table_properties({"delta.enableExpiredLogCleanup": "true"})
    require(
        prove(attacked),
        (str(DRUG), "version 3: a commit without an intent", "changes schema or properties"),
        (str(DRUG), "version 3: un-sets `delta.enableExpiredLogCleanup`"),
    )


def test_a_commit_by_hand_stays_found_when_storage_goes_on(attacked):
    DeltaTable(attacked.uri(VISIT)).alter.set_table_properties({"delta.appendOnly": "false"})
    put(attacked, VISIT, 9)
    proof = prove(attacked)
    assert "version 5: a commit without an intent" in first(proof)
    assert chain.heads(attacked.control)[chain.RAW].number == 9


def test_a_commit_that_forges_an_intents_name(attacked):
    path = data(attacked, VISIT, 1)
    note = {"kind": "retire", "intent": "0" * 32}
    properties = CommitProperties(custom_metadata={"lakehouse": note})
    table = DeltaTable(attacked.uri(VISIT))
    remove = RemoveAction(path.name, False, 1, path.stat().st_size, {})
    table.create_write_transaction([remove], "append", table.schema(), commit_properties=properties)
    path.unlink()
    proof = prove(attacked)
    assert "is missing, and no retirement took it out" in first(proof)
    assert any("version 5: a commit without an intent" in text for text in said(proof))


# --- what is derived from the log


def changed_checkpoint(attacked, change) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = checkpoint(attacked, VISIT)
    table = pq.read_table(path)
    found = change(table.to_pylist())
    overwrite(path, b"")
    pq.write_table(pa.Table.from_pylist(found, schema=table.schema), path)


def without_a_file(found):
    return [row for row in found if not row["add"]] + [row for row in found if row["add"]][1:]


def other_statistics(found):
    for row in found:
        if row["add"]:
            row["add"]["stats"] = row["add"]["stats"].replace('"numRecords": 50', '"numRecords": 51')
    return found


def other_property(found):
    for row in found:
        if row["metaData"]:
            row["metaData"]["configuration"] = [("delta.appendOnly", "false")]
    return found


def other_token(found):
    for row in found:
        if row["txn"]:
            row["txn"]["version"] = 10**9
    return found


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (without_a_file, "lacks 1"),
        (other_statistics, "other sizes, times or statistics of 2 files"),
        (other_property, "other schema or properties"),
        (other_token, "writers' tokens"),
        (lambda found: [row for row in found if not row["protocol"]], "one schema and one protocol"),
    ],
)
def test_a_checkpoint_that_does_not_follow_from_the_log(attacked, change, says):
    changed_checkpoint(attacked, change)
    require(
        prove(attacked), (str(VISIT), "entry 5, version 2", ".checkpoint.parquet", "does not follow from the log", says)
    )


def test_a_checkpoint_that_is_not_readable(attacked):
    overwrite(checkpoint(attacked, VISIT), b"PAR1PAR1")
    require(prove(attacked), (str(VISIT), "entry 5, version 2", "checkpoint is not readable"))


def test_a_checkpoint_of_a_version_that_is_not_there(attacked):
    shutil.copy(checkpoint(attacked, VISIT), checkpoint(attacked, VISIT, 7))
    proof = prove(attacked)
    assert any("version 7" in text and "the log does not have" in text for text in said(proof))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"{", "not readable"),
        (b'{"version":1,"size":6,"sizeInBytes":1,"numOfAddFiles":2}', "names one that is not there"),
        (b'{"version":2,"size":6,"sizeInBytes":1,"numOfAddFiles":2}', "other figures"),
    ],
)
def test_a_forged_pointer_to_the_last_checkpoint(attacked, content, says):
    overwrite(checkpoint(attacked, VISIT).with_name("_last_checkpoint"), content)
    require(prove(attacked), (str(VISIT), "_last_checkpoint", says))


# --- retirement


def retire(attacked) -> Path:
    path = data(attacked, VISIT, 1)
    with storage.lease(attacked, VISIT) as held:
        tx = storage.begin(attacked, VISIT, held, SCHEMA, PLACEMENT, append_only=True, retires=True)
        tx.write(rows(9))
        tx.remove([str(path)])
        tx.commit("retire")
        storage.delete_retired(attacked, VISIT)
    return path


def test_a_retired_file_put_back(attacked):
    content = data(attacked, VISIT, 1).read_bytes()
    path = retire(attacked)
    require(prove(attacked))
    path.write_bytes(content)
    require(prove(attacked), (str(VISIT), "entry 9, version 5", path.name, "is retired and still there"))


def test_a_file_missing_beside_a_retirement(attacked):
    retire(attacked)
    path = data(attacked, VISIT, 3)
    path.unlink()
    require(prove(attacked), (str(VISIT), "entry 6, version 3", path.name, "no retirement took it out"))


# --- two at once


def test_two_attacks_on_one_table_are_both_told_the_first_first(attacked):
    late, early = data(attacked, VISIT, 4), data(attacked, VISIT, 1)
    late.unlink()
    flip(early)
    proof = prove(attacked)
    require(proof, ("entry 3, version 1", early.name), ("entry 8, version 4", late.name))
    assert early.name in first(proof)


def test_attacks_on_two_tables(attacked):
    flip(data(attacked, DRUG, 1))
    log(attacked, VISIT, 3).unlink()
    proof = prove(attacked)
    require(proof, (str(DRUG), "entry 4, version 1"), (str(VISIT), "entry 6, version 3"))
    assert ("entry 4" in first(proof, DRUG), "entry 6" in first(proof, VISIT)) == (True, True)


def test_a_changed_file_whose_log_entry_was_rewritten_too(attacked):
    path = data(attacked, VISIT, 1)
    size = path.stat().st_size
    overwrite(path, path.read_bytes() + b"x")
    entry = log(attacked, VISIT, 1)
    overwrite(entry, entry.read_bytes().replace(f'"size":{size}'.encode(), f'"size":{size + 1}'.encode()))
    checkpoint(attacked, VISIT).unlink()
    checkpoint(attacked, VISIT).with_name("_last_checkpoint").unlink()
    require(
        prove(attacked),
        (str(VISIT), "entry 3, version 1: the log entry was rewritten"),
        (str(VISIT), "entry 3, version 1", path.name, "changed or replaced"),
    )


def test_only_the_asked_table_is_read(attacked):
    flip(data(attacked, DRUG, 1))
    require(prove(attacked, table=str(VISIT)))
    require(prove(attacked, table=str(DRUG)), ("entry 4, version 1",))
    with pytest.raises(UsageError, match="nothing has landed"):
        prove(attacked, table="raw.clinic.nothing")


def test_a_lake_that_is_gone_gives_a_list_that_ends(attacked, monkeypatch):
    monkeypatch.setattr(worm, "MOST_FINDINGS", 2)
    shutil.rmtree(attacked.uri(VISIT))
    proof = prove(attacked)
    require(proof, ("entry 1, version 0",), ("entry 1, version 0",), ("more broken links behind these",))
    assert "[raw_more]" in said(proof)[2]
