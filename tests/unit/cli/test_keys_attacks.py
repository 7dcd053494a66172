"""What the commands say to whoever has lost the keys, or names a place where no backup can be."""

from __future__ import annotations

import json

import pytest

from lakehouse import storage
from lakehouse.privacy import epochs, vault
from lakehouse.settings import load_settings


@pytest.fixture
def filled(fleet):
    lake = storage.create_lake(load_settings())
    vault.secret(lake, "entity")
    return lake


def test_a_backup_in_no_folder_is_refused_and_explained(lakehouse, filled, tmp_path):
    ran = lakehouse("keys", "backup", str(tmp_path / "nowhere" / "copy"))
    assert ran.code == 3
    assert "cannot be written" in ran.err
    assert "Traceback" not in ran.err
    assert "withheld" not in ran.err


def test_doctor_finds_lost_keys_and_says_what_is_lost(lakehouse, filled):
    filled.key_file.unlink()
    epochs._opened.clear()
    ran = lakehouse("doctor", "--json")
    assert ran.code == 3
    keys = next(each for each in json.loads(ran.out)["examinations"] if each["name"] == "keys")
    assert "the key file is missing" in keys["findings"][0]["message"]
    assert "never open again" in keys["findings"][0]["hint"]
    ran = lakehouse("keys", "backup", "copy")
    assert ran.code == 3
    assert "restore it from its backup" in ran.err
