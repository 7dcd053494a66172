"""Raw in a bucket with object lock: each way to hide, replace or forge is found by its first link, and mended if it can be.

Attackers have all rights in the store. What they hide or overwrite, `lakehouse recover` puts back; what they commit stays a
finding. Attacks that leave nothing behind share a lake, so each of them also meets what the ones before have left.
"""

from __future__ import annotations

import datetime as dt
import io
from dataclasses import replace

import polars as pl
import pytest
from deltalake import write_deltalake
from deltalake.transaction import RemoveAction

from lakehouse import storage
from lakehouse.errors import LakehouseError, LakeMismatchError
from lakehouse.storage import faults, preserved, s3
from tests.attacks import worm_store
from tests.attacks.worm_lake import DRUG, VISIT, prove, put, rows, said
from tests.attacks.worm_store import FOREVER, refused

ON_TOP, MARKER, REWRITTEN, GONE = "lies on top of the one", "hidden by a delete marker", "was rewritten", "is missing"


@pytest.fixture(scope="module")
def kept():
    """By store, a lake in which no finding is left."""
    found: dict[str, worm_store.Attacked] = {}
    yield found
    for each in found.values():
        each.lake.control.dispose()


@pytest.fixture
def attacked(locking_store, kept, tmp_path_factory):
    """A lake that others have attacked and mended before."""
    name = locking_store.name
    lent = kept.pop(name, None) or worm_store.make(locking_store, tmp_path_factory.mktemp(name))
    yield lent
    if said(prove(lent.lake)):
        lent.lake.control.dispose()
    else:
        kept[name] = lent


@pytest.fixture
def own(locking_store, tmp_path):
    """A lake of one's own, for what leaves findings."""
    made = worm_store.make(locking_store, tmp_path)
    yield made
    made.lake.control.dispose()


def parquet(batch: int) -> bytes:
    """A file as good as one of ours, with other rows."""
    content = io.BytesIO()
    rows(batch).write_parquet(content)
    return content.getvalue()


# --- what is hidden or overwritten


def flip_data(a):
    a.flip(a.data(VISIT, 1))
    return 1, "entry 3, version 1, file", ON_TOP


def cut_data(a):
    a.overwrite(a.data(VISIT, 3), b"")
    return 1, "entry 5, version 3, file", ON_TOP


def replace_data_locked_for_ever(a):
    """Other rows that every reader takes, and that nobody can remove."""
    a.overwrite(a.data(VISIT, 1), parquet(999), **FOREVER)
    assert 999 in storage.scan(a.lake, VISIT).collect()["_batch"]
    return 1, "entry 3, version 1, file", ON_TOP


def replace_by_another_table(a):
    a.overwrite(a.data(VISIT, 0), a.read(a.data(DRUG, 0)))
    return 1, "entry 1, version 0, file", ON_TOP


def remove_data(a):
    a.hide(a.data(VISIT, 1))
    return 1, "entry 3, version 1, file", MARKER


def remove_all_data_at_once(a):
    a.hide_at_once(*(a.data(VISIT, version) for version in (0, 1, 3)))
    return 3, "entry 1, version 0, file", MARKER


def overwrite_and_remove(a):
    a.flip(a.data(VISIT, 1))
    a.flip(a.data(VISIT, 1), 80)
    a.hide(a.data(VISIT, 1))
    return 1, "entry 3, version 1, file", MARKER


def remove_and_overwrite(a):
    a.hide(a.data(VISIT, 1))
    a.overwrite(a.data(VISIT, 1), parquet(999))
    return 1, "entry 3, version 1, file", ON_TOP


def rewrite_log(a):
    content = a.read(a.log(VISIT, 1))
    a.overwrite(a.log(VISIT, 1), content.replace(b'\\"_batch\\": 3', b'\\"_batch\\": 9'))
    return 1, "entry 3, version 1: the log entry", REWRITTEN


def empty_log(a):
    a.overwrite(a.log(VISIT, 0), b"", **FOREVER)
    return 1, "entry 1, version 0: the log entry", REWRITTEN


def remove_log(a):
    a.hide(a.log(VISIT, 1))
    return 1, "entry 3, version 1: the log entry", GONE


def take_the_newest_commit_back(a):
    a.hide(a.log(VISIT, 3))
    return 1, "entry 5, version 3: the log entry", GONE


def clean_the_log(a):
    a.hide_at_once(*(a.log(VISIT, version) for version in range(4)))
    return 4, "entry 1, version 0: the log entry", GONE


def remove_everything(a):
    everything = a.objects(VISIT)
    a.hide_at_once(*everything)
    assert a.objects(VISIT) == []
    return 7, "entry 1, version 0: the log entry", GONE


def everything_in_all_tables(a):
    a.hide_at_once(*a.objects(DRUG))
    a.flip(a.log(VISIT, 0))
    a.hide(a.log(VISIT, 2), a.data(VISIT, 1))
    a.flip(a.data(VISIT, 3))
    return 6, "entry 1, version 0: the log entry", REWRITTEN


HIDING = (
    *(
        flip_data,
        cut_data,
        replace_data_locked_for_ever,
        replace_by_another_table,
        remove_data,
        remove_all_data_at_once,
    ),
    *(overwrite_and_remove, remove_and_overwrite, rewrite_log, empty_log, remove_log, take_the_newest_commit_back),
    *(clean_the_log, remove_everything, everything_in_all_tables),
)


@pytest.mark.parametrize("attack", HIDING)
def test_what_was_hidden_is_found_and_put_back(attacked, attack):
    hidden, *words = attack(attacked)
    attacked.require_found((VISIT, *words))
    assert prove(attacked.lake).findings[0].hint.startswith("the store still has the version")
    assert attacked.recover() == hidden
    attacked.require_quiet()
    assert attacked.recover() == 0


def test_the_command_says_what_is_hidden_and_puts_it_back_with_yes(attacked):
    hidden, *_ = everything_in_all_tables(attacked)
    for words, code, done in (((), 3, False), (("--yes",), 0, True), (("--yes",), 0, False)):
        ended, document = attacked.run("recover", *words)
        assert (ended, len(document["hidden"]), document["done"]) == (code, hidden, done)
        hidden = 0 if done else hidden
    attacked.require_quiet()
    assert attacked.run("verify", "worm")[0] == 0


def test_a_copy_of_the_same_bytes_on_top_is_no_finding(attacked):
    for uri in (attacked.data(VISIT, 1), attacked.log(VISIT, 1)):
        attacked.overwrite(uri, attacked.read(uri))
    attacked.require_quiet()
    assert preserved.hidden(attacked.lake) == []


def test_nothing_is_begun_anew_over_a_hidden_table(attacked):
    attacked.hide_at_once(*attacked.objects(DRUG))
    with pytest.raises(LakeMismatchError, match=r"version 0 of `raw\.clinic\.drug` is missing"):
        put(attacked.lake, DRUG, 77)
    attacked.require_found((DRUG, "entry 2, version 0: the log entry", GONE))
    assert attacked.recover() == 2
    attacked.require_quiet()


def test_the_store_refuses_to_give_up_what_is_locked(attacked):
    c, bucket = attacked.client, attacked.raw_bucket
    soon = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=5)
    for uri in (attacked.data(VISIT, 1), attacked.log(VISIT, 1)):
        told = attacked.versions(uri)[-1].id
        place = {**attacked.at(uri), "VersionId": told}
        assert refused(c.delete_object, **place)
        assert refused(c.delete_object, **place, BypassGovernanceRetention=True)
        one = {"Key": place["Key"], "VersionId": told}
        assert refused(c.delete_objects, Bucket=bucket, Delete={"Objects": [one]})
        for mode in ("COMPLIANCE", "GOVERNANCE"):
            assert refused(c.put_object_retention, **place, Retention={"Mode": mode, "RetainUntilDate": soon})
        assert not storage.files.delete(uri)
    assert refused(c.put_bucket_versioning, Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})
    assert refused(c.delete_bucket, Bucket=bucket)
    attacked.recover()  # a batch's delete of all versions leaves a marker in some stores
    attacked.require_quiet()


@pytest.mark.parametrize("nth", [1, 3])
def test_a_recovery_that_dies_midway_is_finished_by_the_next(attacked, monkeypatch, nth):
    hidden, *_ = remove_all_data_at_once(attacked)
    passed, point = [], faults.point

    def dying(name):
        passed.append(name)
        if passed.count("file.put_back.after") == nth:
            raise KeyboardInterrupt
        point(name)

    with monkeypatch.context() as patched:
        patched.setattr(faults, "point", dying)
        with pytest.raises(KeyboardInterrupt):
            preserved.put_back(attacked.lake, preserved.hidden(attacked.lake))
    assert attacked.recover() == hidden - nth
    attacked.require_quiet()


# --- the chain, which is in the lake's bucket


def change_entry(a):
    a.client.put_object(**a.at(a.link(3)), Body=a.read(a.link(3)).replace(b'"version":1', b'"version":7'))
    return "entry 3 of chain `raw`"


def remove_entry(a):
    a.hide(a.link(3))
    return "entry 3 of chain `raw` is missing"


def empty_entry(a):
    a.client.put_object(**a.at(a.link(1)), Body=b"")
    return "entry 1 of chain `raw` is not readable"


def swap_entry(a):
    a.client.put_object(**a.at(a.link(4)), Body=a.read(a.link(3)))
    return "entry 4 of chain `raw` is another entry"


def cut_chain(a):
    a.hide(a.link(4), a.link(5))
    return "entry 4 of chain `raw` is missing"


@pytest.mark.parametrize("attack", [change_entry, remove_entry, empty_entry, swap_entry, cut_chain])
def test_a_chain_that_was_changed_is_found_and_believed_by_nobody(attacked, attack):
    before = {number: attacked.read(attacked.link(number)) for number in range(1, 6)}
    words = attack(attacked)
    attacked.require_found((words,))
    attacked.flip(attacked.data(VISIT, 1))
    versions = attacked.versions(attacked.data(VISIT, 1))
    with pytest.raises(LakeMismatchError, match=r"the chain `raw` (is broken|was cut)"):
        attacked.recover()
    assert attacked.versions(attacked.data(VISIT, 1)) == versions
    for number, content in before.items():
        attacked.client.put_object(**attacked.at(attacked.link(number)), Body=content)
    assert attacked.recover() == 1
    attacked.require_quiet()


def test_an_entry_that_nobody_appended(attacked):
    place = attacked.at(attacked.link(6))
    attacked.client.put_object(**place, Body=attacked.read(attacked.link(5)))
    attacked.require_found(("entry 6 of chain `raw` is unknown to the control database",))
    attacked.client.delete_object(**place)
    attacked.require_quiet()


# --- what is committed by hand


def test_files_put_there_stay_a_finding(own):
    own.overwrite(f"{own.lake.uri(VISIT)}/000000000001-aaaaaaaaaaaa-00000-t0-all.parquet", parquet(9), **FOREVER)
    own.overwrite(f"{own.lake.uri(VISIT)}/_delta_log/odd.json", b"{}")
    own.require_found((VISIT, "aaaaaaaaaaaa", "no entry tells of it"), (VISIT, "odd.json", "storage puts nothing"))
    own.flip(own.data(VISIT, 1))
    assert own.recover() == 1
    assert len(said(prove(own.lake))) == 2


def test_a_restore_a_delete_and_a_vacuum_by_hand(own):
    own.table(VISIT).restore(1)
    own.table(VISIT).alter.set_table_properties({"delta.appendOnly": "false"})
    own.table(VISIT).delete("_batch = 3")
    own.table(VISIT).vacuum(0, dry_run=False, enforce_retention_duration=False, full=True)
    own.require_found(
        (VISIT, "entry 1, version 0, file", MARKER) if own.data(VISIT, 0) not in own.objects(VISIT) else (VISIT,),
        (VISIT, "entry 5, version 3, file", MARKER),
        (VISIT, "version 4: a commit without an intent (`RESTORE`)"),
        (VISIT, "version 5: un-sets `delta.appendOnly`"),
        (VISIT, "version 6: a commit without an intent (`DELETE`)"),
        (VISIT, "a commit without an intent (`VACUUM START`)"),
    )
    assert own.recover() >= 2
    left = said(prove(own.lake))
    assert left
    assert all("a commit without an intent" in text or "un-sets" in text for text in left)
    told = [own.data(VISIT, version) for version in (0, 1, 3)]
    assert pl.read_parquet([io.BytesIO(own.read(uri)) for uri in told])["_batch"].unique().sort().to_list() == [1, 3, 5]


def test_commits_by_hand(own):
    write_deltalake(
        own.table(VISIT), rows(9).to_arrow(), mode="append", storage_options=s3.options(own.lake.uri(VISIT))
    )
    own.table(VISIT).optimize.compact()
    table, uri = own.table(DRUG), own.data(DRUG, 0)
    remove = RemoveAction(uri.rpartition("/")[2], False, 1, len(own.read(uri)), {})
    table.create_write_transaction([remove], "append", table.schema())
    own.require_found(
        (VISIT, "no entry tells of it"),
        (DRUG, "version 1: a commit without an intent", "takes 1 files out"),
        (VISIT, "version 4: a commit without an intent (`WRITE`)", "puts 1 files in"),
        (VISIT, "version 5: a commit without an intent (`OPTIMIZE`)"),
    )
    assert own.recover() == 0
    put(own.lake, VISIT, 10)  # storage goes on behind them
    assert len([text for text in said(prove(own.lake)) if "without an intent" in text]) == 3


def test_a_forged_checkpoint_is_found_and_may_be_deleted(own):
    own.table(VISIT).create_checkpoint()
    own.require_quiet()
    log = f"{own.lake.uri(VISIT)}/_delta_log"
    forged, pointer = f"{log}/{3:020d}.checkpoint.parquet", f"{log}/_last_checkpoint"
    content = pl.read_parquet(io.BytesIO(own.read(forged)))
    fewer = io.BytesIO()
    content.filter(pl.col("add").is_null()).write_parquet(fewer)
    own.overwrite(forged, fewer.getvalue())
    own.require_found((VISIT, "entry 5, version 3", "the checkpoint does not follow from the log"))
    assert own.recover() == 0  # it is derived: the chain does not tell of it
    own.hide(forged, pointer)
    own.require_quiet()


# --- what was never locked, or not by that name


def test_files_that_were_put_without_a_lock_are_named(own):
    put(replace(own.lake, raw_lock_days=None), VISIT, 7)
    own.require_found((VISIT, "entry 6, version 4: is not locked"), (VISIT, "entry 6, version 4, file", "not locked"))
    own.hide(own.data(VISIT, 4))
    assert own.recover() == 1
    uri = own.data(VISIT, 4)
    own.client.delete_object(**own.at(uri), VersionId=own.versions(uri)[-1].id)  # nothing keeps it
    own.flip(own.data(VISIT, 1))
    assert own.recover() == 1  # what is gone for good does not stop the rest
    own.require_found((VISIT, "entry 6, version 4"), (uri.rpartition("/")[2], "is missing, and no retirement"))


def test_in_a_bucket_without_lock_what_was_put_while_versions_were_suspended_is_seen(locking_store, tmp_path):
    own = worm_store.make(locking_store, tmp_path, days=None, locks=False, filled=False)
    for status in ("Enabled", "Suspended"):
        own.client.put_bucket_versioning(Bucket=own.raw_bucket, VersioningConfiguration={"Status": status})
        if status == "Enabled":
            put(own.lake, VISIT, 1)
            put(own.lake, DRUG, 2)
    own.client.put_object(**own.at(own.data(VISIT, 0)), Body=parquet(999))
    own.hide(own.data(DRUG, 0))
    own.require_found((VISIT, "entry 1, version 0, file", ON_TOP), (DRUG, "entry 2, version 0, file", MARKER))
    own.client.put_bucket_versioning(Bucket=own.raw_bucket, VersioningConfiguration={"Status": "Enabled"})
    assert own.recover() == 2
    assert said(prove(own.lake)) == []
    own.lake.control.dispose()


def test_readers_get_an_error_and_not_fewer_rows_while_data_is_hidden(attacked):
    attacked.hide(attacked.data(VISIT, 0))
    with pytest.raises((LakehouseError, OSError, pl.exceptions.ComputeError)):
        storage.scan(attacked.lake, VISIT).collect()
    assert attacked.recover() == 1
    attacked.require_quiet()
