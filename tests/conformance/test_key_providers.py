"""What every key provider has to keep to, asked of each one here: the key file, the environment, a secret file."""

from __future__ import annotations

import secrets
import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl
import pytest

from lakehouse import storage
from lakehouse.errors import KeyUnavailableError, RefusedError
from lakehouse.model import TableId, Tier
from lakehouse.privacy import entities, epochs, kek, rotation, vault
from lakehouse.settings import load_settings

if TYPE_CHECKING:
    from pathlib import Path

KEY = b"k" * 32
RAW = TableId(Tier.RAW, "clinic", "visit")


@dataclass
class Place:
    """Where the keys of a provider are, and the people who fill it."""

    kind: str
    folder: Path
    monkeypatch: pytest.MonkeyPatch

    def __post_init__(self):
        self.lines: dict[int, str] = {}
        self.file = self.folder / "secret"
        if self.kind != "key file":
            self.add()

    def lake(self):
        """A lake opened now, as a process that starts now would."""
        return storage.create_lake(load_settings(lake=str(self.folder / "lake")))

    def provider(self):
        return kek.provider(self.lake())

    def add(self):
        """People add a version, where that is up to them."""
        if self.kind != "key file":
            self._say({**self.lines, max(self.lines, default=0) + 1: secrets.token_hex(32)})

    def take_away(self, version):
        if self.kind != "key file":
            self._say({number: key for number, key in self.lines.items() if number != version})

    def lose(self):
        if self.kind == "key file":
            self.lake().key_file.unlink()
        else:
            self._say({99: secrets.token_hex(32)})

    def keys(self):
        text = self.lake().key_file.read_text() if self.kind == "key file" else self._text()
        return [line.split()[1] for line in text.splitlines()]

    def _say(self, lines):
        self.lines = lines
        if self.kind == "environment":
            self.monkeypatch.setenv("LAKEHOUSE_KEK", self._text())
        else:
            self.file.write_text(self._text())
            self.monkeypatch.setenv("LAKEHOUSE_KEK_FILE", str(self.file))

    def _text(self):
        return "".join(f"{number} {key}\n" for number, key in self.lines.items())


@pytest.fixture(params=["key file", "environment", "secret file"])
def place(request, tmp_path, monkeypatch, project_root):
    monkeypatch.setenv("LAKEHOUSE_PROJECT", str(project_root))
    monkeypatch.setattr(epochs, "_opened", {})
    return Place(request.param, tmp_path, monkeypatch)


def test_what_is_wrapped_is_unwrapped_by_another_process(place):
    version = place.provider().create()
    wrapped = place.provider().wrap(version, KEY)
    assert KEY not in wrapped
    assert wrapped != place.provider().wrap(version, KEY)
    assert place.provider().unwrap(version, wrapped) == KEY


def test_versions_rise_and_old_ones_still_unwrap(place):
    first = place.provider().create()
    wrapped = place.provider().wrap(first, KEY)
    place.add()
    second = place.provider().create()
    assert second > first
    assert place.provider().newest() == second
    assert place.provider().unwrap(first, wrapped) == KEY


def test_another_version_does_not_unwrap(place):
    first = place.provider().create()
    wrapped = place.provider().wrap(first, KEY)
    place.add()
    second = place.provider().create()
    with pytest.raises(KeyUnavailableError, match="not the one that wrapped"):
        place.provider().unwrap(second, wrapped)


@pytest.mark.parametrize("broken", [b"", b"short", b"\0" * 60])
def test_what_was_changed_does_not_unwrap(place, broken):
    version = place.provider().create()
    with pytest.raises(KeyUnavailableError, match="not the one that wrapped"):
        place.provider().unwrap(version, broken)


def test_a_destroyed_version_unwraps_nothing_and_the_others_stay(place):
    first = place.provider().create()
    lost = place.provider().wrap(first, KEY)
    place.add()
    second = place.provider().create()
    kept = place.provider().wrap(second, KEY)
    place.take_away(first)
    place.provider().destroy(first)
    place.provider().destroy(first)
    with pytest.raises(KeyUnavailableError, match=f"version {first} (was destroyed|is missing)"):
        place.provider().unwrap(first, lost)
    assert place.provider().unwrap(second, kept) == KEY
    place.add()
    assert place.provider().create() > second


def test_a_missing_key_is_a_clear_error_and_no_new_one_is_made(place):
    lake = place.lake()
    vault.secret(lake, "entity")
    place.lose()
    epochs._opened.clear()
    with pytest.raises(KeyUnavailableError, match="missing") as caught:
        vault.secret(place.lake(), "entity")
    assert "backup" in caught.value.hint
    if place.kind == "key file":
        assert not lake.key_file.exists()


def test_a_wrong_key_is_a_clear_error(place):
    lake = place.lake()
    vault.secret(lake, "entity")
    epochs._opened.clear()
    if place.kind == "key file":
        lake.key_file.write_text(f"1 {secrets.token_hex(32)}\n")
    else:
        place._say({1: secrets.token_hex(32)})
    with pytest.raises(KeyUnavailableError, match="not the one that wrapped"):
        vault.secret(place.lake(), "entity")


def test_the_provider_is_asked_once_for_each_epoch_and_process(place, monkeypatch):
    use_everything(place.lake())
    place.add()
    rotation.rotate(place.lake())
    epochs._opened.clear()  # as in a process that starts now
    asked = []

    class Counting:
        def __init__(self, inner):
            self.inner = inner

        def __getattr__(self, name):
            def ask(*given):
                asked.append((name, given[0] if given else None))
                return getattr(self.inner, name)(*given)

            return ask

    real = kek.provider
    monkeypatch.setattr(kek, "provider", lambda lake: Counting(real(lake)))
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: use_everything(place.lake()), range(4)))
    assert asked == [("unwrap", 2)]
    epochs.cipher(place.lake(), 1)
    epochs.cipher(place.lake(), 1)
    assert asked == [("unwrap", 2), ("unwrap", 1)]


def use_everything(lake):
    made = entities.with_keys(lake, "c", ("trim",), pl.Series([str(n) for n in range(20)]), scope="main")
    entities.data_keys(lake, made["surrogate"], scope="main")
    entities.with_keys(lake, "c", ("trim",), pl.Series(["new"]), scope="duty")
    entities.name_hash(lake, "a.csv")
    vault.period_key(lake, RAW, "2026-11")
    vault.batch_key(lake, 1, table=RAW, destroy_after=lake.now())
    vault.find_batch_key(lake, 1)


def test_no_key_is_in_any_text(place, capfd):
    lake = place.lake()
    use_everything(lake)
    place.add()
    place.provider().create()
    texts = [repr(each) for each in (lake, place.provider(), epochs.current(lake), load_settings())]
    texts += [str(lake), str(place.provider()), str(epochs.current(lake))]
    for wrong in (lambda: place.provider().unwrap(1, b"x" * 60), lambda: place.provider().unwrap(77, b"x" * 60)):
        with pytest.raises(KeyUnavailableError) as caught:
            wrong()
        texts.append(f"{caught.value} {caught.value!r} {caught.value.__cause__}")
    texts += capfd.readouterr()
    found = place.keys()
    assert len(found) == 2
    assert not [key for key in found for text in texts if key in text]


@pytest.mark.parametrize("content", ["secret-ish", "1 abc", "x" * 64, f"1 {'a' * 64}\n1 {'b' * 64}", f"0 {'a' * 64}"])
def test_broken_keys_are_refused_without_showing_them(place, content):
    if place.kind == "key file":
        lake = place.lake()
        lake.key_file.write_text(content)
        lake.key_file.chmod(0o600)
    else:
        place.monkeypatch.setenv("LAKEHOUSE_KEK", content)
    with pytest.raises(KeyUnavailableError, match="64 hex digits") as caught:
        place.provider().newest()
    assert content not in str(caught.value)


class TestKeyFile:
    def test_it_is_made_on_first_use_private_and_with_a_notice(self, lake, capfd):
        assert not lake.key_file.exists()
        vault.secret(lake, "entity")
        assert "back it up" in capfd.readouterr().err
        assert stat.S_IMODE(lake.key_file.stat().st_mode) == 0o600
        vault.secret(lake, "entity")
        rotation.rotate(lake)
        assert capfd.readouterr().err == ""
        assert stat.S_IMODE(lake.key_file.stat().st_mode) == 0o600
        assert sorted(each.name for each in lake.key_file.parent.iterdir()) == ["control.db", "kek.key"]

    @pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
    def test_one_that_others_can_read_is_refused(self, lake, mode, monkeypatch):
        vault.secret(lake, "entity")
        lake.key_file.chmod(mode)
        monkeypatch.setattr(epochs, "_opened", {})
        with pytest.raises(KeyUnavailableError, match="others can read") as caught:
            vault.secret(lake, "entity")
        assert "chmod 600" in caught.value.hint

    def test_who_makes_versions_at_once_loses_none(self, tmp_path):
        file = kek.KeyFile(tmp_path / "keys")
        with ThreadPoolExecutor(4) as pool:
            made = list(pool.map(lambda _: file.create(), range(12)))
        assert sorted(made) == file.versions() == list(range(1, 13))

    def test_a_destroyed_key_is_overwritten_where_it_stood(self, tmp_path):
        file = kek.KeyFile(tmp_path / "keys")
        file.create(), file.create()
        key = file.path.read_text().split()[1]
        with file.path.open() as before:  # the old file's bytes, after it was replaced
            file.destroy(1)
            assert key not in before.read()
        assert key not in file.path.read_text()
        assert file.versions() == [2]

    def test_one_who_died_on_the_way_is_no_hindrance(self, tmp_path):
        file = kek.KeyFile(tmp_path / "keys")
        file.create()
        (tmp_path / ".keys.new").write_text("half")
        assert file.create() == 2
        assert [each.name for each in tmp_path.iterdir()] == ["keys"]


class TestSecretText:
    def test_a_new_version_has_to_be_there_first(self):
        text = kek.SecretText(f"1 {'a' * 64}\n2 {'b' * 64}\n", used=2)
        with pytest.raises(RefusedError, match="no newer") as caught:
            text.create()
        assert "3 <64 hex digits>" in caught.value.hint
        assert kek.SecretText(text.text, used=1).create() == 2

    def test_a_version_has_to_be_taken_away_by_people(self):
        with pytest.raises(RefusedError, match="version 1 is still in the secret text"):
            kek.SecretText(f"1 {'a' * 64}\n").destroy(1)
