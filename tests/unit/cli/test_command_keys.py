"""`keys`, `maintain` and `migrate`: what they do, what they refuse, and that no key is printed."""

from __future__ import annotations

import json
import secrets
import stat

import polars as pl
import pytest
import sqlalchemy as sa

from lakehouse import storage
from lakehouse.model import TableId, Tier
from lakehouse.privacy import entities, epochs, vault
from lakehouse.settings import load_settings
from lakehouse.storage.control import data_key_table, epoch_table

RAW = TableId(Tier.RAW, "fleet", "trip")


@pytest.fixture
def filled(fleet):
    lake = storage.create_lake(load_settings())
    entities.with_keys(lake, "driver", ("trim",), pl.Series([str(n) for n in range(12)]), scope="main")
    vault.batch_key(lake, 1, table=RAW, destroy_after=lake.now())
    return lake


def ran_json(ran):
    return json.loads(ran.out)


def test_rotate_says_what_it_would_do_until_it_is_told_to(lakehouse, filled):
    ran = lakehouse("keys", "rotate")
    assert ran.code == 0
    assert "--yes" in ran.out
    assert epochs.current(filled).number == 1
    document = ran_json(lakehouse("keys", "rotate", "--yes", "--json"))
    assert (document["epoch"], document["done"], document["rewrapped"]) == (2, True, 14)
    assert [each["epoch"] for each in document["scheduled"]] == [1]
    assert "is destroyed by" in lakehouse("keys", "rotate", "--yes").out


def test_the_days_of_backups_are_a_setting(lakehouse, filled, monkeypatch):
    monkeypatch.setenv("LAKEHOUSE_BACKUP_DAYS", "0")
    assert lakehouse("keys", "rotate", "--yes").code == 0
    document = ran_json(lakehouse("maintain", "--json"))
    assert (document["epochs"], document["batch_keys"], document["findings"]) == ([1], 1, [])
    assert "0 batch keys destroyed" in lakehouse("maintain").out
    monkeypatch.setenv("LAKEHOUSE_BACKUP_DAYS", "many")
    ran = lakehouse("maintain")
    assert ran.code == 1
    assert "not a number of days" in ran.err


def test_backup_copies_the_key_file_once_and_privately(lakehouse, filled, tmp_path):
    copy = tmp_path / "copy.keys"
    document = ran_json(lakehouse("keys", "backup", str(copy), "--json"))
    assert document == {"file": str(copy), "versions": [1]}
    assert copy.read_bytes() == filled.key_file.read_bytes()
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    ran = lakehouse("keys", "backup", str(copy))
    assert ran.code == 3
    assert "not overwritten" in ran.err


def test_backup_needs_a_key_file(lakehouse, fleet, tmp_path):
    ran = lakehouse("keys", "backup", str(tmp_path / "copy"))
    assert ran.code == 3
    assert "there is no key file" in ran.err
    assert not (tmp_path / "copy").exists()


def test_keys_given_as_text_have_no_file_and_are_changed_by_people(lakehouse, fleet, monkeypatch, tmp_path):
    lines = [f"{number} {secrets.token_hex(32)}" for number in (1, 2)]
    monkeypatch.setenv("LAKEHOUSE_KEK", lines[0])
    monkeypatch.setenv("LAKEHOUSE_BACKUP_DAYS", "0")
    vault.secret(storage.create_lake(load_settings()), "entity")
    assert "no file to copy" in lakehouse("keys", "backup", str(tmp_path / "copy")).out
    assert not (tmp_path / "copy").exists()
    ran = lakehouse("keys", "rotate", "--yes")
    assert ran.code == 3
    assert "2 <64 hex digits>" in ran.err
    monkeypatch.setenv("LAKEHOUSE_KEK", "\n".join(lines))
    assert lakehouse("keys", "rotate", "--yes").code == 0
    ran = lakehouse("maintain", "--json")
    assert ran.code == 3
    assert "still in the secret text" in ran_json(ran)["findings"][0]["message"]
    monkeypatch.setenv("LAKEHOUSE_KEK", lines[1])
    monkeypatch.setattr(epochs, "_opened", {})  # as in another process
    assert ran_json(lakehouse("maintain", "--json"))["epochs"] == [1]
    assert lakehouse("keys", "verify").code == 0
    assert not any(line.split()[1] in ran.out + ran.err for line in lines)


def test_verify_counts_and_opens_everything(lakehouse, filled):
    lakehouse("keys", "rotate", "--yes")
    document = ran_json(lakehouse("keys", "verify", "--json"))
    assert document["verified"] is True
    assert document["keys"] == 14
    assert [each["state"] for each in document["epochs"]] == ["old", "current"]
    assert document["epochs"][1]["keys"] == {"secret": 1, "period_key": 0, "batch_key": 1, "data_key": 12}
    assert ran_json(lakehouse("keys", "verify", "--at-most", "5", "--json"))["keys"] == 7
    assert "14 wrapped keys opened" in lakehouse("keys", "verify").out


def broken_key(lake):
    with lake.control.write("key.make") as connection:
        one = sa.select(sa.func.min(data_key_table.c.surrogate)).scalar_subquery()
        connection.execute(
            data_key_table.update().where(data_key_table.c.surrogate == one).values(wrapped=secrets.token_bytes(60))
        )


def unknown_epoch(lake):
    with lake.control.write("key.make") as connection:
        connection.execute(data_key_table.update().values(epoch=7))


def other_epoch_key(lake):
    with lake.control.write("key.make") as connection:
        connection.execute(epoch_table.update().values(wrapped=secrets.token_bytes(60)))


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (broken_key, "1 of `data_key` do not open by epoch 1"),
        (unknown_epoch, "12 of `data_key` name epoch 7, which is unknown"),
        (other_epoch_key, "epoch 1: key version 1 is not the one that wrapped"),
        (lambda lake: lake.key_file.chmod(0o644), "others can read the key file"),
        (lambda lake: lake.key_file.unlink(), "the key file is missing"),
    ],
)
def test_verify_finds_what_does_not_open(lakehouse, filled, harm, words):
    harm(filled)
    ran = lakehouse("keys", "verify", "--json")
    assert ran.code == 3
    assert words in ran_json(ran)["findings"][0]["message"]
    assert lakehouse("keys", "verify").code == 3


def test_a_lake_without_keys_is_verified(lakehouse, fleet):
    storage.create_lake(load_settings())
    assert "0 wrapped keys opened" in lakehouse("keys", "verify").out


def test_migrate_says_that_nothing_is_to_do(lakehouse, filled):
    document = ran_json(lakehouse("migrate", "--json"))
    assert document["before"] == document["after"]
    assert "already" in lakehouse("migrate").out


def test_maintain_merges_small_files_of_tables_that_nobody_writes(lakehouse, fleet, monkeypatch):
    from lakehouse.errors import LeaseTakenError

    storage.create_lake(load_settings())
    monkeypatch.setattr(storage, "merge_tail", lambda *_: 7)
    assert ran_json(lakehouse("maintain", "trip", "--json"))["merged"] == ["staged.fleet.trip"]

    def taken(*_):
        raise LeaseTakenError("taken")

    monkeypatch.setattr(storage, "merge_tail", taken)
    document = ran_json(lakehouse("maintain", "--json"))
    assert (document["merged"], document["busy"]) == ([], ["staged.fleet.trip"])
    assert "the next run" in lakehouse("maintain").out
    assert lakehouse("maintain", "nothing").code == 2
