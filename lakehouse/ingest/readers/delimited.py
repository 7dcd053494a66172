"""Delimited text, the fast way and the exact one: polars reads what the pre-pass has proven, the splitter the rest.

Every block becomes a frame of text as delivered: `_row` (position in the file), the contract's columns, for records that
cannot be split `_bad` (why) and `_bytes`, and what the contract does not know in `_extra`. Both ways give the same frame;
no reader's own message is ever shown, because it holds values.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import polars as pl

from lakehouse.errors import FileRejectedError
from lakehouse.ingest.readers.matching import Match, match
from lakehouse.ingest.readers.prepass import cut, prove
from lakehouse.ingest.readers.splitter import ENCODING, Dialect, fields, first_record, records, split
from lakehouse.ingest.readers.text import MARK, Transcoder
from lakehouse.ingest.unknown import extra
from lakehouse.model import BAD, BYTES, EXTRA, ROW

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lakehouse.contract.model import Column, Drift, Source


class Delimited:
    """One file of delimited text.

    Args:
        source: how the contract says it is written.
        columns: the delivered columns, in the contract's order.
        drift: what other columns than the contract's do.
        block: bytes worked on at once.
    """

    def __init__(self, source: Source, columns: Sequence[Column], drift: Drift, *, block: int) -> None:
        self._source = source
        self._columns = tuple(columns)
        self._drift = drift
        self._block = block
        self._names = [column.name for column in columns]
        self._text = Transcoder(source.encoding)
        self._dialect = dialect_of(source, len(self._columns))
        self._match = Match(tuple(range(len(self._columns))), {}, ())
        self._fields = self._names_in_file()
        self._rows = 0

    def blocks(self, pieces: Iterator[bytes]) -> Iterator[pl.DataFrame]:
        """The records of plain bytes, block by block.

        Raises:
            FileRejectedError: the file as a whole cannot be taken.
        """
        pieces = self._text.utf8(pieces)
        buffer, at_end = _fill(b"", pieces, self._block)
        buffer = buffer.removeprefix(MARK)
        if not buffer:
            raise empty()
        if self._source.header:
            buffer = buffer[self._read_header(buffer, at_end=at_end) :]
        while True:
            frame, rest = self._take(buffer, at_end=at_end)
            if frame.height:
                yield frame
            if at_end:
                return
            buffer, at_end = _fill(rest, pieces, self._block)

    def _read_header(self, buffer: bytes, *, at_end: bool) -> int:
        """Find each column's place by the header; how many bytes it takes."""
        if not buffer.strip():
            raise empty()
        text = buffer if not at_end or buffer.endswith(b"\n") else buffer + b"\n"
        found = first_record(text, self._dialect)
        if found is None:
            raise FileRejectedError(
                "the first line is no header", hint="is this a text table of the contract's dialect?"
            )
        record, end = found
        header = [name.decode("utf-8", "backslashreplace") for name in fields(record, self._dialect)]
        self._match = match(header, self._columns, self._drift)
        self._dialect = replace(self._dialect, columns=len(header))
        self._fields = self._names_in_file()
        return end

    def _names_in_file(self) -> list[str]:
        """What the file's fields are called in a frame: contract's names, numbers for what it does not know."""
        names = {place: name for place, name in zip(self._match.places, self._names, strict=True) if place is not None}
        return [names.get(at, f"\0{at}") for at in range(self._dialect.columns)]

    def _take(self, buffer: bytes, *, at_end: bool) -> tuple[pl.DataFrame, bytes]:
        """Make a frame of the buffer's whole records; what is left over."""
        if at_end and buffer and not buffer.endswith(b"\n"):
            buffer += b"\n"
        end = len(buffer) if at_end else cut(buffer, self._dialect)
        whole = buffer if end == len(buffer) else buffer[:end]
        found = prove(whole, self._dialect) if end else None
        if found is not None:
            frame = self._parse(whole, found).with_columns(pl.int_range(self._rows, self._rows + found).alias(ROW))
            self._rows += found
            return self._complete(frame), buffer[end:]
        return self._take_exactly(buffer, at_end=at_end)

    def _take_exactly(self, buffer: bytes, *, at_end: bool) -> tuple[pl.DataFrame, bytes]:
        parts = split(buffer, self._dialect, at_end=at_end)
        spoilt = [bad.row for bad in parts.bad]
        rows = pl.int_range(parts.records, eager=True)
        rows = rows.filter(~rows.is_in(spoilt)) if spoilt else rows
        clean = self._parse(bytes(parts.clean), parts.clean_records).with_columns((rows + self._rows).alias(ROW))
        bad = pl.DataFrame(
            {
                ROW: [row + self._rows for row in spoilt],
                BAD: [self._text.reason if bad.reason == ENCODING else bad.reason for bad in parts.bad],
                BYTES: [self._text.restored(bad.content) for bad in parts.bad],
            },
            schema={ROW: pl.Int64, BAD: pl.String, BYTES: pl.Binary},
        )
        self._rows += parts.records
        frames = [self._complete(clean), complete(bad, self._names)]
        return pl.concat(frames).sort(ROW), parts.rest

    def _parse(self, content: bytes, expected: int) -> pl.DataFrame:
        """Text columns from records that are known to be clean, quotes in them doubled."""
        if not expected:
            return pl.DataFrame(schema=dict.fromkeys(self._fields, pl.String))
        dialect = self._dialect
        try:
            frame = pl.read_csv(
                content,
                has_header=False,
                schema=dict.fromkeys(self._fields, pl.String),
                infer_schema=False,
                empty_string_is_null=False,
                separator=dialect.delimiter.decode("ascii"),
                quote_char=None if dialect.quote is None else dialect.quote.decode("ascii"),
            )
        except pl.exceptions.PolarsError:
            # Trap 12: the message holds values. The content is proven clean, so the splitter can always do it.
            frame = None
        if frame is None or frame.height != expected:
            frame = _parse_exactly(content, self._fields, dialect.plain)
        return frame

    def _complete(self, frame: pl.DataFrame) -> pl.DataFrame:
        if self._match.unknown or self._match.missing:
            fields = {name: pl.col(self._fields[at]) for at, name in self._match.unknown.items()}
            values = {name: pl.when(field != "").then(field) for name, field in fields.items()}
            frame = frame.with_columns(extra(values, self._match.missing))
        return complete(frame, self._names)


def empty() -> FileRejectedError:
    """What to say of a file without any content: it cannot be told from one that failed."""
    return FileRejectedError("the file is empty", hint="even a file without rows has its header line")


def dialect_of(source: Source, columns: int) -> Dialect:
    """A source's dialect in bytes."""
    return Dialect(
        columns,
        source.delimiter.encode("ascii"),
        source.quote.encode("ascii") or None,
        None if source.escape is None else source.escape.encode("ascii"),
        None if source.comment is None else source.comment.encode(),
    )


def complete(frame: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    """All columns of a block, in order; what is missing is null."""
    wanted = {ROW: pl.Int64, **dict.fromkeys(names, pl.String), BAD: pl.String, BYTES: pl.Binary, EXTRA: pl.String}
    missing = [pl.lit(None, kind).alias(name) for name, kind in wanted.items() if name not in frame.columns]
    return frame.with_columns(missing).select(list(wanted))


def _parse_exactly(content: bytes, names: Sequence[str], dialect: Dialect) -> pl.DataFrame:
    rows = [[value.decode("utf-8") for value in fields(record, dialect)] for record in records(content, dialect)]
    return pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String), orient="row")


def _fill(start: bytes, pieces: Iterator[bytes], size: int) -> tuple[bytes, bool]:
    """`start` and about `size` more bytes; whether the end was reached."""
    parts, length = [start], 0
    for piece in pieces:
        parts.append(piece)
        length += len(piece)
        if length >= size:
            return b"".join(parts), False
    return b"".join(parts), True
