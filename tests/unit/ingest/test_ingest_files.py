"""Files as a whole: headers, compression, emptiness; a rejection says why and shows no delivered value."""

from __future__ import annotations

import gzip
import hashlib

import polars as pl
import pytest
import zstandard

from lakehouse.contract.model import Column, ColumnType, Logical, Source
from lakehouse.errors import FileRejectedError
from lakehouse.ingest.readers.delivery import Delivery

SECRET = "jane.doe@example.com"
GOOD = b"id,name,mail\n1,Jane,x\n2,Joe,y\n"


def delivered(tmp_path, content: bytes, name: str = "f.csv", block: int = 1 << 20, **options) -> pl.DataFrame:
    path = tmp_path / name
    path.write_bytes(content)
    text = ColumnType(Logical.STRING)
    columns = [Column(id=n, name=n, type=text, category="user") for n in ("id", "name", "mail")]
    with Delivery(path, Source("s", **options), columns, block=block) as delivery:
        before = delivery.fingerprint()
        assert before.sha256 == hashlib.sha256(content).hexdigest()
        assert before.size == len(content)
        frames = list(delivery.blocks())
        delivery.require_unchanged(before)
    return pl.concat(frames) if frames else pl.DataFrame()


@pytest.mark.parametrize("block", [5, 1 << 20])
@pytest.mark.parametrize(
    ("name", "pack"),
    [
        ("f.csv", bytes),
        ("f.csv.gz", gzip.compress),
        ("f.csv.gz", lambda content: gzip.compress(content[:20], mtime=0) + gzip.compress(content[20:], mtime=0)),
        ("f.csv.zst", zstandard.compress),
        ("f.csv.zst", lambda content: zstandard.compress(content[:20]) + zstandard.compress(content[20:])),
    ],
)
def test_all_packings_give_the_same_rows(tmp_path, name, pack, block):
    frame = delivered(tmp_path, pack(GOOD), name, block)
    assert frame.select("id", "name", "mail").rows() == [("1", "Jane", "x"), ("2", "Joe", "y")]


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf" + GOOD,
        GOOD.replace(b"\n", b"\r\n"),
        GOOD[:-1],
        b'"id","name","mail"\n1,Jane,x\n2,Joe,y',
        b"mail,id,name\nx,1,Jane\ny,2,Joe\n",
    ],
)
def test_marks_line_ends_and_the_order_of_columns_do_not_matter(tmp_path, content):
    frame = delivered(tmp_path, content)
    assert frame.select("id", "name", "mail").rows() == [("1", "Jane", "x"), ("2", "Joe", "y")]


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (b"id,name", "missing `mail`"),
        (b"id,name,email", "missing `mail`; 1 that the contract does not know"),
        (b"id,name,mail,more", "1 that the contract does not know"),
        (b"id,name,mail,mail", "1 twice"),
        (SECRET.encode() + b",b,c", "no header, or another table's"),
    ],
)
def test_columns_that_differ_reject_the_file_without_showing_its_words(tmp_path, header, reason):
    with pytest.raises(FileRejectedError, match=reason) as caught:
        delivered(tmp_path, header + b"\n1,2,3\n")
    assert SECRET not in str(caught.value)
    assert "email" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("f.csv", b"", "empty"),
        ("f.csv", b"\n\n", "empty"),
        ("f.csv.gz", gzip.compress(b"", mtime=0), "empty"),
        ("f.csv.gz", gzip.compress(GOOD, mtime=0)[:-9], "ends too early"),
        ("f.csv.gz", gzip.compress(GOOD, mtime=0)[:15], "ends too early"),
        ("f.csv.gz", GOOD, "gzip data is broken"),
        ("f.csv.gz", gzip.compress(GOOD, mtime=0) + b"junk", "gzip data is broken"),
        ("f.csv.zst", zstandard.compress(GOOD * 9)[:-3], "ends too early"),
        ("f.csv.zst", GOOD, "zstd data is broken"),
        ("f.csv", bytes(range(256)) * 20, "header|first line"),
        ("f.csv", GOOD.decode().encode("utf-16"), "header|first line"),
    ],
)
def test_what_is_no_table_is_rejected(tmp_path, name, content, reason):
    with pytest.raises(FileRejectedError, match=reason):
        delivered(tmp_path, content, name)


def test_a_header_alone_is_a_file_without_rows(tmp_path):
    assert delivered(tmp_path, b"id,name,mail").is_empty()


def test_bad_records_stand_in_their_place(tmp_path):
    frame = delivered(tmp_path, b"id,name,mail\n1,a,b\n2,b\n3,c,d\n")
    assert frame["_row"].to_list() == [0, 1, 2]
    assert frame["_bad"].to_list() == [None, "2 fields instead of 3", None]
    assert frame["_bytes"].to_list() == [None, b"2,b", None]
    assert frame["id"].to_list() == ["1", None, "3"]


def test_empty_fields_are_empty_text_quoted_or_not(tmp_path):
    frame = delivered(tmp_path, b'id,name,mail\n1,,""\n')
    assert frame.select("name", "mail").rows() == [("", "")]


def test_a_packed_bomb_is_read_block_by_block(tmp_path):
    content = GOOD + b"3,Bob,z\n" * 2_000_000
    frame = delivered(tmp_path, gzip.compress(content, 1, mtime=0), "f.csv.gz")
    assert frame.height == 2_000_002


def test_a_file_that_changes_while_it_is_read_is_rejected(tmp_path):
    path = tmp_path / "f.csv"
    path.write_bytes(GOOD)
    columns = [Column(id=n, name=n, type=ColumnType(Logical.STRING), category="user") for n in ("id", "name", "mail")]
    with Delivery(path, Source("s"), columns, block=4) as delivery:
        before = delivery.fingerprint()
        path.write_bytes(GOOD.replace(b"Joe", b"Jim"))
        list(delivery.blocks())
        with pytest.raises(FileRejectedError, match="changed while"):
            delivery.require_unchanged(before)
