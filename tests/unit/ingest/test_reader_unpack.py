"""Packed files: every packing gives the same rows, a broken one is rejected whole, a bomb is stopped early."""

from __future__ import annotations

import bz2
import gzip
import io
import random
import zipfile

import polars as pl
import pytest
import zstandard

from lakehouse.contract.model import Column, ColumnType, Logical, Source
from lakehouse.errors import FileRejectedError
from lakehouse.ingest.readers import unpack
from lakehouse.ingest.readers.delivery import Delivery

CONTENT = b"id,name\n" + b"".join(b"%d,Name %d\n" % (n, n) for n in range(500))
COLUMNS = [Column(id=n, name=n, type=ColumnType(Logical.STRING), category="user") for n in ("id", "name")]


def zipped(*members: tuple[str, bytes], **options) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, **options) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return out.getvalue()


PACK = {
    ".gz": gzip.compress,
    ".zst": zstandard.compress,
    ".bz2": bz2.compress,
    ".zip": lambda content: zipped(("secret name.csv", content)),
}


def read(tmp_path, content: bytes, suffix: str, *, block: int = 1 << 20) -> pl.DataFrame:
    path = tmp_path / f"f.csv{suffix}"
    path.write_bytes(content)
    with Delivery(path, Source("s"), COLUMNS, block=block) as delivery:
        before = delivery.fingerprint()
        frames = list(delivery.blocks())
        delivery.require_unchanged(before)
    return pl.concat(frames)


@pytest.mark.parametrize("block", [64, 1 << 20])
@pytest.mark.parametrize("suffix", [*PACK, ".GZ", ".Zip"])
def test_every_packing_gives_the_rows(tmp_path, suffix, block):
    frame = read(tmp_path, PACK[suffix.lower()](CONTENT), suffix, block=block)
    assert frame.height == 500
    assert frame["name"][499] == "Name 499"


@pytest.mark.parametrize("suffix", [".gz", ".zst", ".bz2"])
def test_parts_one_after_the_other_are_one_file(tmp_path, suffix):
    pack = PACK[suffix]
    assert read(tmp_path, pack(CONTENT[:100]) + pack(CONTENT[100:]), suffix).height == 500


@pytest.mark.parametrize("share", [0.02, 0.3, 0.7, 0.99])
@pytest.mark.parametrize("suffix", PACK)
def test_a_file_that_is_cut_short_is_never_a_short_file(tmp_path, suffix, share):
    packed = PACK[suffix](CONTENT)
    with pytest.raises(FileRejectedError, match=r"too early|broken"):
        read(tmp_path, packed[: max(1, int(len(packed) * share))], suffix)


@pytest.mark.parametrize("suffix", PACK)
def test_flipped_bytes_give_the_same_rows_or_a_rejection_and_nothing_else(tmp_path, suffix):
    packed, chance = PACK[suffix](CONTENT), random.Random(7)
    whole = read(tmp_path, packed, suffix)
    outcomes = set()
    for _ in range(150):
        broken = bytearray(packed)
        for _ in range(chance.randint(1, 3)):
            broken[chance.randrange(len(broken))] ^= 1 << chance.randrange(8)
        try:
            frame = read(tmp_path, bytes(broken), suffix)
        except FileRejectedError as error:
            outcomes.add(str(error))
        else:
            # zstandard.compress writes no checksum: there a flipped bit can be another letter
            assert suffix == ".zst" or frame.equals(whole)
            outcomes.add("read")
    # few reasons whatever the bytes are: nothing of the content can be in them
    assert len(outcomes) <= 8
    assert any("broken" in outcome for outcome in outcomes)


@pytest.mark.parametrize("suffix", PACK)
def test_junk_is_rejected(tmp_path, suffix):
    with pytest.raises(FileRejectedError, match="broken"):
        read(tmp_path, CONTENT, suffix)


@pytest.mark.parametrize(
    ("members", "reason"),
    [([], "has 0 members"), ([("a.csv", CONTENT), ("b.csv", CONTENT)], "has 2 members")],
)
def test_an_archive_holds_exactly_one_file(tmp_path, members, reason):
    with pytest.raises(FileRejectedError, match=reason):
        read(tmp_path, zipped(*members), ".zip")


def test_folders_in_an_archive_do_not_count(tmp_path):
    assert read(tmp_path, zipped(("data/", b""), ("data/a.csv", CONTENT)), ".zip").height == 500


def test_an_encrypted_archive_is_rejected(tmp_path):
    packed = bytearray(zipped(("a.csv", CONTENT)))
    packed[6] |= 1
    packed[packed.rfind(b"PK\1\2") + 8] |= 1
    with pytest.raises(FileRejectedError, match="encrypted"):
        read(tmp_path, bytes(packed), ".zip")


@pytest.mark.parametrize("suffix", PACK)
def test_a_bomb_is_stopped_by_size_and_ratio(tmp_path, suffix, monkeypatch):
    monkeypatch.setattr(unpack, "FREE", 1_000_000)
    packed = PACK[suffix](b"id,name\n" + b"1,aaaaaaaa\n" * 2_000_000)
    with pytest.raises(FileRejectedError, match="far more than a feed"):
        read(tmp_path, packed, suffix, block=100_000)


def test_a_feed_that_packs_well_is_no_bomb(tmp_path, monkeypatch):
    monkeypatch.setattr(unpack, "FREE", 1_000)
    assert read(tmp_path, gzip.compress(CONTENT), ".gz").height == 500


def test_nothing_unpacks_without_end(tmp_path, monkeypatch):
    monkeypatch.setattr(unpack, "MOST_UNPACKED", 5_000)
    with pytest.raises(FileRejectedError, match="far more than a feed"):
        read(tmp_path, gzip.compress(CONTENT), ".gz")
