"""The fast reader and the exact splitter agree; cutting a file into blocks changes nothing; nothing is lost."""

from __future__ import annotations

import re

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.contract.model import Column, ColumnType, Logical, Source
from lakehouse.errors import FileRejectedError
from lakehouse.ingest.readers import prepass, splitter
from lakehouse.ingest.readers.delivery import Delivery
from lakehouse.ingest.readers.splitter import Dialect

COLUMNS = 3
DIALECT = Dialect(COLUMNS)

values = st.text(alphabet=st.sampled_from('ab ,"\n\r;é\u20ac\U0001f600\t#'), max_size=6)
tables = st.lists(st.lists(values, min_size=COLUMNS, max_size=COLUMNS), min_size=1, max_size=12)
hostile = st.binary(min_size=1, max_size=60) | st.lists(
    st.sampled_from([b"a", b",", b'"', b'""', b"\n", b"\r\n", b"\r", b"\xff", b"\xc3\xa9", b"\xe2\x82", b"\0", b" "]),
    min_size=1,
    max_size=60,
).map(b"".join)


def columns(count: int = COLUMNS) -> list[Column]:
    text = ColumnType(Logical.STRING)
    return [Column(id=f"c{n}", name=f"c{n}", type=text, category="system.operations") for n in range(count)]


def written(rows, *, quote_all: bool = False, end: str = "\n") -> bytes:
    """What a correct writer makes of rows (Python's leaves a lone carriage return unquoted)."""

    def cell(value: str) -> str:
        return f'"{value.replace(chr(34), chr(34) * 2)}"' if quote_all or set(value) & set(',"\r\n') else value

    return "".join(",".join(map(cell, row)) + end for row in rows).encode()


def read(tmp_path_factory, content: bytes, *, block: int, count: int = COLUMNS) -> pl.DataFrame:
    path = tmp_path_factory.getbasetemp() / "delivered.csv"
    path.write_bytes(content)
    with Delivery(path, Source("s", header=False), columns(count), block=block) as delivery:
        before = delivery.fingerprint()
        frames = list(delivery.blocks())
        delivery.require_unchanged(before)
    return pl.concat(frames) if frames else pl.DataFrame()


@given(tables, st.booleans(), st.sampled_from(["\n", "\r\n"]))
def test_what_a_writer_wrote_is_read_back_by_both(rows, quote_all, end):
    content = written(rows, quote_all=quote_all, end=end)
    found = prepass.prove(content, DIALECT)
    assert found == len(rows) or b"\r" in content.replace(b"\r\n", b"")
    parts = splitter.split(content, DIALECT, at_end=True)
    assert not parts.bad
    assert [[v.decode() for v in splitter.fields(r, DIALECT)] for r in splitter.records(parts.clean, DIALECT)] == rows


@given(tables, st.integers(1, 40))
def test_blocks_of_any_size_give_the_rows_that_were_written(tmp_path_factory, rows, block):
    frame = read(tmp_path_factory, written(rows), block=block)
    assert frame["_bad"].is_null().all()
    assert frame["_row"].to_list() == list(range(len(rows)))
    assert [list(row) for row in frame.select("c0", "c1", "c2").rows()] == rows


@given(hostile)
def test_what_the_pre_pass_proves_the_splitter_takes_whole_and_polars_reads_alike(content):
    content += b"\n"
    found = prepass.prove(content, DIALECT)
    if found is None:
        return
    parts = splitter.split(content, DIALECT, at_end=True)
    assert parts.bad == []
    assert parts.records == found
    assert bytes(parts.clean) == content
    exact = [tuple(v.decode() for v in splitter.fields(r, DIALECT)) for r in splitter.records(content, DIALECT)]
    fast = pl.read_csv(
        content,
        has_header=False,
        schema={f"c{n}": pl.String for n in range(COLUMNS)},
        infer_schema=False,
        empty_string_is_null=False,
    )
    assert fast.rows() == exact


@given(hostile)
def test_every_record_is_clean_or_bad_and_no_byte_is_lost(content):
    content += b"\n"
    parts = splitter.split(content, DIALECT, at_end=True)
    assert parts.rest == b""
    clean = splitter.records(parts.clean, DIALECT)
    assert len(clean) == parts.clean_records
    kept = b"".join(clean) + b"".join(bad.content for bad in parts.bad)
    ends = (b"\r", b"\n")
    assert sorted(kept.translate(None, b"".join(ends))) == sorted(content.translate(None, b"".join(ends)))


@given(hostile, st.integers(1, 30), st.sampled_from([1, COLUMNS]))
def test_hostile_bytes_give_the_same_rows_whatever_the_block(tmp_path_factory, content, block, count):
    whole = read(tmp_path_factory, content, block=1 << 20, count=count)
    small = read(tmp_path_factory, content, block=block, count=count)
    assert whole.equals(small, null_equal=True)


@given(hostile)
def test_a_file_of_junk_is_rejected_or_read_but_never_crashes(tmp_path_factory, content):
    reasons = []
    for suffix in (".csv", ".csv.gz", ".csv.zst"):
        path = tmp_path_factory.getbasetemp() / f"junk{suffix}"
        path.write_bytes(content)
        with Delivery(path, Source("s"), columns()) as delivery:
            try:
                list(delivery.blocks())
            except FileRejectedError as error:
                reasons.append(str(error))
    # The same few reasons whatever the bytes are: nothing of the content can be in them.
    assert all(re.search("empty|header|broken|too early|missing", reason) for reason in reasons)


def test_the_reader_never_shows_polars_own_message(tmp_path_factory, monkeypatch):
    def complain(*_: object, **__: object) -> pl.DataFrame:
        raise pl.exceptions.ComputeError("secret value")

    monkeypatch.setattr(pl, "read_csv", complain)
    frame = read(tmp_path_factory, b'a,"b\n",c\n', block=100)
    assert frame.select("c0", "c1", "c2").rows() == [("a", "b\n", "c")]


@pytest.mark.parametrize("copies", [1, 40_000])
def test_quoted_line_feeds_survive_the_threads_of_the_fast_reader(tmp_path_factory, copies):
    rows = [["1", 'x"\n,\n' * 5, ""], ["2", "", "é"]] * copies
    frame = read(tmp_path_factory, written(rows), block=1 << 20)
    assert [list(row) for row in frame.select("c0", "c1", "c2").rows()] == rows
