"""A backup of the lake or of its control database is noticed by every command, and mended without guessing."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys

import pytest

from lakehouse import storage
from lakehouse.errors import LakeMismatchError
from lakehouse.privacy import vault
from lakehouse.storage import chain, intents
from lakehouse.storage.agreement import DATABASE, LAKE
from lakehouse.storage.catching_up import catch_up, lost_batches
from lakehouse.storage.going_back import go_back, gone_batches
from lakehouse.storage.lake import raise_generation
from lakehouse.storage.marker import raise_in
from lakehouse.storage.restored import compare
from tests.integration.restored_lake import (
    EVERYWHERE,
    RAW,
    ROOT,
    ROWS,
    STAGED,
    gate,
    keep,
    land,
    mend,
    require_quiet,
    require_refused,
    require_whole,
    reserve,
    restore,
    settings_anywhere,
    settings_in,
    states,
    take,
)
from tests.stores import copy_below, read_at, write_at

pytestmark = pytest.mark.parametrize(("any_place", "control"), EVERYWHERE, indirect=["any_place"])


@pytest.fixture
def control():
    """Parametrised by each test."""


@pytest.fixture
def settings(site, control, request, monkeypatch):
    # no lock would let an older lake be put back
    yield from settings_anywhere(site.with_raw, request, monkeypatch, control)


@pytest.fixture
def lake(settings):
    return storage.create_lake(settings)


# --- yesterday's database


@pytest.mark.parametrize("flushed", [False, True], ids=["events in the outbox", "events in the ledger"])
def test_yesterdays_database_learns_from_the_lake(settings, lake, tmp_path, flushed):
    take(lake, 0)
    reserve(lake, 1)  # known to the backup, but not yet in raw
    keep(settings, "db")
    take(lake, 1, 2)
    land(lake, 3)  # its gate run never came
    if flushed:
        storage.flush_outbox(lake)
    restore(settings, "db")
    with pytest.raises(LakeMismatchError, match="control database is older than the lake") as refusal:
        storage.open_lake(settings)
    assert "lakehouse recover" in str(refusal.value.hint)
    difference = mend(settings)
    assert (difference.older, sorted(lost_batches(difference))) == (DATABASE, [2, 3, 4])
    lake = require_quiet(settings)
    assert states(lake) == ["staged", "lost", "lost", "lost"]
    require_whole(lake, batches=4)
    ledger = storage.balance(lake, STAGED).rows
    assert ledger["lost"].to_list() == [0, 0, 0, ROWS]
    assert ledger["staged"].to_list() == [ROWS - 1] * 3 + [0]
    take(lake, 0, 1, 2, 3)  # what is lost comes again under other numbers, what is not does not
    assert states(lake) == ["staged", *["lost"] * 3, *["staged"] * 3]
    require_whole(lake, batches=7)


def test_a_batch_that_was_gated_after_the_backup_is_not_gated_twice(settings, lake, tmp_path):
    land(lake, 0)
    keep(settings, "db")
    gate(lake, 0)
    restore(settings, "db")
    require_refused(settings, STAGED, r"does not know version 0 of `staged\.clinic\.visit`")
    assert lost_batches(mend(settings)) == {}
    lake = require_quiet(settings)
    assert states(lake) == ["staged"]
    gate(lake, 0)
    require_whole(lake, batches=1)


def test_tokens_of_before_the_restore_stay_below_the_next_one(settings, lake, tmp_path):
    take(lake, 0)
    keep(settings, "db")
    take(lake, 1, 2, 3)
    restore(settings, "db")
    tokens = compare(settings)[1].tokens
    mend(settings)
    lake = require_quiet(settings)
    with storage.lease(lake, RAW) as held:
        assert held.token > tokens["raw.clinic.visit"] > 1


def test_a_recovery_that_is_interrupted_is_repeated(settings, lake, tmp_path):
    take(lake, 0)
    keep(settings, "db")
    take(lake, 1)
    restore(settings, "db")
    lake, difference = compare(settings)
    catch_up(lake, difference)  # and dies before it writes chain and marker
    lake = require_quiet(settings)
    require_whole(lake, batches=2)


def test_a_raw_commit_whose_process_died_before_the_chain_was_told(settings, lake, tmp_path, monkeypatch):
    take(lake, 0)
    keep(settings, "db")

    def die(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as dying:
        dying.setattr("lakehouse.storage.intents.settle", die)
        with pytest.raises(KeyboardInterrupt):
            land(lake, 1)
    restore(settings, "db")
    require_refused(settings, RAW, "control database is older")
    mend(settings)
    lake = require_quiet(settings)
    told = [entry.body for entry in chain.entries(lake.root, chain.RAW) if entry.body["kind"] == "raw"]
    assert [(each["version"], each["files"][0]["rows"]) for each in told] == [(0, ROWS), (1, ROWS)]
    assert all(len(each["files"][0]["sha256"]) == 64 for each in told)


def test_a_backup_from_the_middle_of_a_commit_loses_nothing_of_it(settings, lake, tmp_path, monkeypatch):
    settle = intents.settle

    def keep_and_settle(*arguments, **named):
        if not (tmp_path / "kept").exists():
            (tmp_path / "kept").touch()
            keep(settings, "db")
        settle(*arguments, **named)

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr("lakehouse.storage.intents.settle", keep_and_settle)
        land(lake, 0)
    take(lake, 0, 1)
    restore(settings, "db")
    assert sorted(lost_batches(mend(settings))) == [2]
    lake = require_quiet(settings)
    assert states(lake) == ["staged", "lost"]
    take(lake, 0)
    require_whole(lake, batches=2)
    told = [entry.body["version"] for entry in chain.entries(lake.root, chain.RAW) if entry.body["kind"] == "raw"]
    assert told == [0, 1]


def test_a_process_that_died_after_its_commit_is_no_restored_backup(settings, lake, monkeypatch):
    def die(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as dying:
        dying.setattr("lakehouse.storage.intents.settle", die)
        with pytest.raises(KeyboardInterrupt):
            land(lake, 0)
    lake = require_quiet(settings)
    take(lake, 0)
    assert states(lake) == ["staged"]


@pytest.mark.parametrize("what", ["db", "lake"])
def test_a_backup_from_before_the_first_row(settings, lake, what):
    keep(settings, what)
    take(lake, 0)
    restore(settings, what)
    with pytest.raises(LakeMismatchError, match="is older"):
        storage.open_lake(settings)
    mend(settings)
    lake = require_quiet(settings)
    assert states(lake) == [{"db": "lost", "lake": "reserved"}[what]]
    take(lake, 0)
    require_whole(lake, batches={"db": 2, "lake": 1}[what])


# --- yesterday's lake


@pytest.mark.parametrize("flushed", ["never", "before", "after"])
def test_yesterdays_lake_is_forgotten_by_the_database(settings, lake, tmp_path, flushed):
    take(lake, 0)
    land(lake, 1)
    if flushed == "before":
        storage.flush_outbox(lake)
    keep(settings, "lake")
    gate(lake, 1)
    take(lake, 2)
    if flushed == "after":
        storage.flush_outbox(lake)
    restore(settings, "lake")
    with pytest.raises(LakeMismatchError, match="lake is older than the control database"):
        storage.open_lake(settings)
    difference = mend(settings)
    assert (difference.older, gone_batches(difference)) == (LAKE, {3: ("raw.clinic.visit", ROWS)})
    lake = require_quiet(settings)
    assert states(lake) == ["staged", "raw", "reserved"]
    assert storage.balance(lake, STAGED).rows["read"].to_list() == [ROWS, ROWS]
    take(lake, 0, 1, 2)
    assert states(lake) == ["staged"] * 3
    require_whole(lake, batches=3)
    last = list(chain.entries(lake.root, chain.RAW))
    assert [entry.body["kind"] for entry in last] == ["raw", "raw", "recover", "raw"]
    assert last[2].body["database"] == 3


def test_an_older_lake_without_a_new_raw_row_is_noticed_too(settings, lake, tmp_path):
    land(lake, 0)
    keep(settings, "lake")
    gate(lake, 0)
    restore(settings, "lake")
    require_refused(settings, STAGED, r"version 0 of `staged\.clinic\.visit` is missing")
    mend(settings)
    lake = require_quiet(settings)
    gate(lake, 0)
    require_whole(lake, batches=1)


def test_parts_of_different_moments_are_not_guessed_at(settings, lake, tmp_path):
    take(lake, 0)
    keep(settings, "lake")
    take(lake, 1)
    copy_below(f"{settings.lake}.backup/raw", f"{settings.lake}/raw")
    require_refused(settings, RAW, "is missing")
    with pytest.raises(LakeMismatchError, match="different moments"):
        mend(settings)


def test_both_sides_gone_on_are_refused(settings, lake, tmp_path):
    take(lake, 0)
    keep(settings, "lake")
    keep(settings, "db")
    take(lake, 1)
    copy_below(settings.lake, f"{settings.lake}.ours")
    restore(settings, "lake")
    restore(settings, "db")
    take(storage.open_lake(settings), 2)
    copy_below(f"{settings.lake}.ours", settings.lake)
    with pytest.raises(LakeMismatchError, match="not the one that the control database knows"):
        storage.open_lake(settings)
    with pytest.raises(LakeMismatchError, match="does not follow"):
        mend(settings)


# --- something is gone


def test_a_lost_database_is_said_plainly(settings, lake, tmp_path):
    take(lake, 0)
    settings = dataclasses.replace(settings, control_url=f"sqlite:///{tmp_path / 'nowhere' / 'control.db'}")
    for use in (storage.open_lake, storage.create_lake, compare):
        with pytest.raises(LakeMismatchError, match="no control database") as refusal:
            use(settings)
        assert "never open again" in str(refusal.value.hint)


def test_a_lost_key_file_is_said_plainly(settings, lake):
    vault.secret(lake, "entity")
    settings.key_file.unlink()
    assert storage.open_lake(settings).id == lake.id  # what needs no key goes on
    asks = (
        "import dataclasses, pathlib, sys; from lakehouse import storage; from lakehouse.privacy import vault;"
        "from tests.integration.restored_lake import settings_in;"
        "settings = dataclasses.replace("
        "settings_in(pathlib.Path(sys.argv[1])), lake=sys.argv[2], control_url=sys.argv[3]);"
        "vault.secret(storage.open_lake(settings), 'entity')"
    )
    folder = str(settings.key_file.parents[1])
    command = [sys.executable, "-c", asks, folder, settings.lake, settings.control_url]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "the key file is missing" in done.stderr
    assert "hint: " in done.stderr
    assert not settings.key_file.exists(), "a new key file in its place would look as if all were well"


def test_a_recovery_that_died_before_the_marker_file_is_finished_by_the_next(settings, lake, tmp_path):
    land(lake, 0)
    keep(settings, "lake")
    for _ in range(3):
        raise_generation(lake)
    restore(settings, "lake")
    go_back(*compare(settings))
    with pytest.raises(LakeMismatchError, match="lake is older"):
        storage.open_lake(settings)
    mend(settings)
    require_quiet(settings)


def test_two_lakes_do_not_share_a_database(settings, lake, tmp_path):
    take(lake, 0)
    other = settings_in(tmp_path / "other")
    take(storage.create_lake(other), 0)
    mixed = dataclasses.replace(settings, control_url=other.control_url)
    for use in (storage.open_lake, storage.create_lake, compare):
        with pytest.raises(LakeMismatchError, match="different lakes"):
            use(mixed)


def test_a_chain_of_another_lake_does_not_fit(settings, lake, tmp_path):
    land(lake, 0)
    other = settings_in(tmp_path / "other")
    land(storage.create_lake(other), 0)
    write_at(chain.place(settings.lake, chain.RAW, 1), read_at(chain.place(other.lake, chain.RAW, 1)))
    with pytest.raises(LakeMismatchError, match="not the one"):
        storage.open_lake(settings)
    found = chain.verify(lake.root, lake.control, chain.RAW).findings
    assert "does not follow from the lake's id" in found[0].message


# --- generations


def test_a_raised_generation_is_noticed_on_either_side(settings, lake, tmp_path):
    keep(settings, "db")
    keep(settings, "lake")
    raise_generation(lake)
    assert storage.open_lake(settings).id == lake.id
    restore(settings, "db")
    with pytest.raises(LakeMismatchError, match=r"control database is older.*lake 2, database 1"):
        storage.open_lake(settings)
    mend(settings)
    require_quiet(settings)
    restore(settings, "lake")
    with pytest.raises(LakeMismatchError, match=r"lake is older.*lake 1"):
        storage.open_lake(settings)
    mend(settings)
    require_quiet(settings)


def test_a_generation_raised_halfway_is_finished_by_whoever_opens_next(settings, lake):
    with lake.control.write("lake.generation") as connection:
        raise_in(connection)
    assert json.loads(read_at(f"{lake.root}/lake.json"))["generation"] == 1
    require_quiet(settings)
    assert json.loads(read_at(f"{lake.root}/lake.json"))["generation"] == 2


def test_a_generation_raised_halfway_does_not_hide_an_older_lake(settings, lake, tmp_path):
    keep(settings, "lake")
    raise_generation(lake)
    with lake.control.write("lake.generation") as connection:
        raise_in(connection)
    restore(settings, "lake")
    with pytest.raises(LakeMismatchError, match="lake is older"):
        storage.open_lake(settings)
