"""Seals: what is put in comes out, only under its key and only in its place."""

from __future__ import annotations

import hashlib
import hmac

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.errors import StorageError
from lakehouse.privacy import sealing
from lakehouse.privacy.sealing import KeyKind

KEY = bytes(range(32))
ABOUT = sealing.about("raw.clinic.visit")
TEXT = st.one_of(st.none(), st.text())
CELLS = st.lists(st.tuples(TEXT, TEXT, st.one_of(st.none(), st.binary())), max_size=20)


def frame(cells) -> pl.DataFrame:
    schema = {"name": pl.String, "note": pl.String, "_bytes": pl.Binary}
    return pl.DataFrame(cells, schema=schema, orient="row")


def places(count: int, *, key: bytes | None = KEY, kind: KeyKind = KeyKind.ENTITY, first: int = 0) -> pl.DataFrame:
    rows = {"_batch": [3] * count, "_row": range(first, first + count), "key": [key] * count, "kind": [kind] * count}
    return pl.DataFrame(rows, schema={"_batch": pl.Int64, "_row": pl.Int64, "key": pl.Binary, "kind": pl.UInt8})


def sealed(cells: pl.DataFrame, *, layout: int = 0, about: bytes = ABOUT, kind: KeyKind = KeyKind.ENTITY) -> pl.Series:
    return sealing.seal(sealing.pack(cells), places(cells.height, kind=kind), about=about, layout=layout)


def unsealed(blobs: pl.Series, *, about: bytes = ABOUT, first: int = 0, key: bytes | None = KEY) -> pl.DataFrame:
    rows = places(blobs.len(), key=key, first=first).drop("kind").hstack(sealing.heads(blobs))
    opened = sealing.opened(blobs, rows, about=about)
    return sealing.unpack(opened, ["name", "note", "_bytes"], last_is_bytes=True)


ONE = [("Ada", None, b"\xff\xfe\x00"), ("", "ÿþ\x01", None), (None, "", b""), ("\x7f", "x", b"\xfe")]


@given(CELLS)
def test_what_is_sealed_comes_out_as_it_was(cells):
    assert unsealed(sealed(frame(cells))).equals(frame(cells))


@given(st.lists(TEXT, max_size=20))
def test_a_layout_of_one_text_column_is_no_exception(cells):
    alone = pl.DataFrame({"name": cells}, schema={"name": pl.String})
    assert sealing.unpack(sealing.pack(alone), ["name"], last_is_bytes=False).equals(alone)


def test_bytes_that_look_like_marks_are_told_from_missing_ones():
    assert unsealed(sealed(frame(ONE))).equals(frame(ONE))


def test_no_value_shows_in_a_blob_and_no_two_blobs_are_alike():
    blobs = sealed(frame([("Ada Lovelace", None, None)] * 50)).to_list()
    assert len(set(blobs)) == 50
    assert not any(b"Ada" in blob for blob in blobs)


def test_a_blob_does_not_open_in_another_row():
    with pytest.raises(StorageError, match="does not open in its place") as error:
        unsealed(sealed(frame(ONE)), first=1)
    assert "Ada" not in str(error.value)


def test_two_swapped_blobs_do_not_open():
    with pytest.raises(StorageError, match="does not open"):
        unsealed(sealed(frame(ONE)).reverse())


@pytest.mark.parametrize("about", [sealing.about("raw.clinic.bill"), sealing.about("raw.clinic.visit", "doctor")])
def test_a_blob_does_not_open_in_another_table_or_role(about):
    with pytest.raises(StorageError, match="does not open"):
        unsealed(sealed(frame(ONE)), about=about)


def test_table_and_role_cannot_be_mistaken_for_one_another():
    assert sealing.about("ab", "c") != sealing.about("a", "bc")


def test_a_blob_told_another_layout_or_kind_of_key_does_not_open():
    for place, byte in ((1, KeyKind.BATCH), (3, 9)):
        blobs = [blob[:place] + bytes((byte,)) + blob[place + 1 :] for blob in sealed(frame(ONE))]
        with pytest.raises(StorageError, match="does not open"):
            unsealed(pl.Series(blobs, dtype=pl.Binary))


def test_any_flipped_byte_is_noticed():
    blob = sealed(frame(ONE[:1])).item()
    for place in range(1, len(blob)):
        spoilt = blob[:place] + bytes((blob[place] ^ 1,)) + blob[place + 1 :]
        with pytest.raises(StorageError):
            unsealed(pl.Series([spoilt], dtype=pl.Binary))


def test_a_blob_says_its_kind_and_layout():
    blobs = pl.concat([sealed(frame(ONE[:1]), layout=300, kind=KeyKind.BATCH), pl.Series([None], dtype=pl.Binary)])
    assert sealing.heads(blobs).rows() == [(KeyKind.BATCH, 300), (None, None)]


@pytest.mark.parametrize("blob", [b"", b"\x01", b"\x02" * 40])
def test_a_blob_of_no_known_format_is_refused(blob):
    with pytest.raises(StorageError, match="no known format"):
        sealing.heads(pl.Series([blob], dtype=pl.Binary))


def test_without_its_key_a_row_stays_closed():
    assert unsealed(sealed(frame(ONE)), key=None).null_count().row(0) == (4, 4, 4)


def test_a_seal_key_is_rfc_5869_extract_of_data_key_and_period():
    data, period = "ab" * 32, "cd" * 32
    expected = hmac.digest(period.encode(), data.encode(), hashlib.sha256)
    assert sealing.seal_keys(pl.Series([data]), period).to_list() == [expected]


def test_another_period_is_another_seal_key():
    keys = {sealing.seal_keys(pl.Series(["ab" * 32]), period).item() for period in ("00" * 32, "01" * 32)}
    assert len(keys) == 2
