"""Any dialect a contract can name: what was written is read back, the fast way and the exact one, whatever the blocks."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, replace

import polars as pl
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from lakehouse.contract.model import ENCODINGS, Column, ColumnType, Logical, Source
from lakehouse.errors import FileRejectedError
from lakehouse.ingest.readers import delimited, prepass
from lakehouse.ingest.readers.delivery import Delivery

NAMES = ("c0", "c1", "c2")
COLUMNS = [Column(id=n, name=n, type=ColumnType(Logical.STRING), category="system.operations") for n in NAMES]
#: All but the tab are in every encoding; the last ones are not in ASCII, and not the same byte everywhere.
ALPHABET = "ab ,;|\t\"'\\#-\n\r\u00e1\u0160"


@dataclass(frozen=True)
class Written:
    """A file in a dialect."""

    source: Source
    rows: tuple[tuple[str, ...], ...]
    end: str
    quote_all: bool
    mark: bool
    comments: bool

    @property
    def content(self) -> bytes:
        source = self.source
        comment = f"{source.comment} \"a remark'{self.end}" if source.comment and self.comments else ""
        lines = [comment]
        if source.header:
            lines += [self.record(NAMES), comment]
        for row in self.rows:
            lines += [self.record(row), comment]
        text = "".join(lines)
        if source.encoding == "utf-16":
            return text.encode("utf-16" if self.mark else "utf-16-le")
        mark = "\ufeff" if self.mark and source.encoding == "utf-8" else ""
        return (mark + text).encode(source.encoding)

    def record(self, row: tuple[str, ...]) -> str:
        return self.source.delimiter.join(map(self.cell, row)) + self.end

    def cell(self, value: str) -> str:
        source, quote = self.source, self.source.quote
        special = set(value) & {source.delimiter, quote or source.delimiter, "\r", "\n"}
        remark = source.comment is not None and value.startswith(source.comment[0])
        if not quote or not (self.quote_all or special or remark):
            return value
        if source.escape:
            value = value.replace(source.escape, source.escape * 2).replace(quote, source.escape + quote)
        else:
            value = value.replace(quote, quote * 2)
        return f"{quote}{value}{quote}"


@st.composite
def written(draw) -> Written:
    delimiter = draw(st.sampled_from(",;|\t"))
    quote = draw(st.sampled_from(['"', "'", ""]))
    source = Source(
        "s",
        delimiter=delimiter,
        quote=quote,
        escape=draw(st.sampled_from([None, "\\"])) if quote else None,
        header=draw(st.booleans()),
        encoding=draw(st.sampled_from(ENCODINGS)),
        comment=draw(st.sampled_from([None, "#", "--"])),
    )
    known = [letter for letter in ALPHABET if _writes(letter, source.encoding)]
    if not quote:
        barred = {delimiter, "\r", "\n", *(source.comment or "")}
        known = [letter for letter in known if letter not in barred]
    rows = draw(st.lists(st.tuples(*[st.text(st.sampled_from(known), max_size=5)] * 3), max_size=8))
    rows = rows or [("a", "b", "c")]
    return Written(
        source,
        tuple(rows),
        draw(st.sampled_from(["\n", "\r\n"])),
        draw(st.booleans()),
        draw(st.booleans()),
        draw(st.booleans()),
    )


def _writes(letter: str, encoding: str) -> bool:
    try:
        letter.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def read(
    folder, content: bytes, source: Source, *, block: int = 1 << 20, exact: bool = False, step: int = 1 << 17
) -> pl.DataFrame | str:
    """The rows, or why the file is rejected."""
    path = folder.getbasetemp() / "dialect.csv"
    path.write_bytes(content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prepass, "_STEP", step)
        if exact:
            patch.setattr(delimited, "prove", lambda *_: None)
        with Delivery(path, source, COLUMNS, block=block) as delivery:
            before = delivery.fingerprint()
            try:
                frames = list(delivery.blocks())
            except FileRejectedError as error:
                return error.message
            delivery.require_unchanged(before)
    return pl.concat(frames) if frames else pl.DataFrame()


@given(written(), st.integers(1, 60))
def test_what_is_written_in_a_dialect_is_read_back_both_ways(tmp_path_factory, file, block):
    wanted = [list(row) for row in file.rows]
    for exact in (False, True):
        for size in (1 << 20, block):
            frame = read(tmp_path_factory, file.content, file.source, block=size, exact=exact, step=block)
            assert isinstance(frame, pl.DataFrame), frame
            assert frame["_bad"].is_null().all()
            assert frame["_row"].to_list() == list(range(len(wanted)))
            assert [list(row) for row in frame.select(NAMES).rows()] == wanted


@given(written(), st.data())
def test_broken_bytes_cost_rows_alike_both_ways_and_whatever_the_block(tmp_path_factory, file, data):
    content = bytearray(file.content)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place : place + data.draw(st.integers(0, 2))] = data.draw(
            st.sampled_from([b"\xff", b"\x81", b'"', b"'", b"\\", b"\n", b"\r", b"\0", b",", b"#", b"\xd8", b""])
        )
    assume(content)
    whole = read(tmp_path_factory, bytes(content), file.source)
    for exact, block in ((True, 1 << 20), (False, data.draw(st.integers(1, 40))), (True, 7)):
        other = read(tmp_path_factory, bytes(content), file.source, block=block, exact=exact, step=5)
        if isinstance(whole, str) or isinstance(other, str):
            assert isinstance(whole, str)  # a file with two faults is rejected for the one that is met first
            assert isinstance(other, str)
        else:
            assert whole.equals(other, null_equal=True)


@given(written())
def test_pythons_own_reader_agrees(tmp_path_factory, file):
    source = replace(file.source, quote=file.source.quote or '"', escape=None, comment=None)
    rows = tuple(
        tuple(value.replace("\r", "") for value in row) for row in file.rows
    )  # Python takes a lone one for an end
    file = replace(file, source=source, rows=rows)
    frame = read(tmp_path_factory, file.content, source)
    assert isinstance(frame, pl.DataFrame)
    text = file.content.decode("utf-16" if source.encoding == "utf-16" and file.mark else _plain(source.encoding))
    reader = csv.reader(
        io.StringIO(text.removeprefix("\ufeff"), newline=""),
        delimiter=source.delimiter,
        quotechar=source.quote,
        strict=True,
    )
    rows = [row for row in reader if row]
    assert [list(row) for row in frame.select(NAMES).rows()] == rows[source.header :]


def _plain(encoding: str) -> str:
    return "utf-16-le" if encoding == "utf-16" else encoding


@given(st.binary(min_size=1, max_size=80), st.sampled_from(ENCODINGS), st.integers(1, 30))
def test_a_bad_record_keeps_the_bytes_that_were_delivered(tmp_path_factory, junk, encoding, block):
    source = Source("s", header=False, encoding=encoding, quote="")
    content = junk.replace(b"\n", b"").replace(b"\r", b"").replace(b"\0", b"")
    assume(content and encoding != "utf-16")
    frame = read(tmp_path_factory, b"a,b,c\n" + content + b"\n", source, block=block)
    assert isinstance(frame, pl.DataFrame)
    bad = frame.filter(pl.col("_bad").is_not_null())
    mark = encoding == "utf-8" and content.startswith(b"\xef\xbb\xbf")
    assert mark or bad["_bytes"].to_list() in ([content], [])


def test_the_escape_is_read_as_its_writer_meant_it(tmp_path_factory):
    source = Source("s", header=False, escape="\\")
    content = b'"a \\"quoted\\" word","C:\\\\temp","back\\slash"\n\\,b\\,"c"\n"x""y",b,c\n'
    frame = read(tmp_path_factory, content, source)
    assert isinstance(frame, pl.DataFrame)
    assert frame.select(NAMES).rows() == [
        ('a "quoted" word', "C:\\temp", "back\\slash"),
        ("\\", "b\\", "c"),
        (None, None, None),
    ]
    assert frame["_bad"].to_list() == [None, None, "quotes are out of place"]


def test_comments_are_no_records_and_a_quoted_one_is(tmp_path_factory):
    source = replace(Source("s", comment="#"))
    content = b'# made by "us\n\n#\nc0,c1,c2\n#,,\n1,2,3\n"#",2,"a\n# b"\n#end'
    frame = read(tmp_path_factory, content, source)
    assert isinstance(frame, pl.DataFrame)
    assert frame.select(NAMES).rows() == [("1", "2", "3"), ("#", "2", "a\n# b")]
