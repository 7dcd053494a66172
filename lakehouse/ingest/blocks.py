"""A delivered file as a stream of blocks: opened once, hashed as it is read, decompressed, cut into whole records.

Every block is a frame of text, as delivered: `_row` (position in the file), the contract's columns, and for records that
cannot be split `_bad` (why) and `_bytes`. polars reads what the pre-pass has proven, the exact splitter does the rest.
What is wrong with the file as a whole (header, compression, a line without end) is a `FileRejectedError`, whose text
never shows a delivered value; nor is any reader's own message ever shown.
"""

from __future__ import annotations

import hashlib
import os
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

import polars as pl
import zstandard

from lakehouse.errors import FileRejectedError
from lakehouse.ingest.prepass import cut, prove
from lakehouse.ingest.splitter import Dialect, fields, first_record, records, split
from lakehouse.model import BAD, BYTES, ROW

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from typing import BinaryIO

    from lakehouse.contract.model import Column, Source

#: Below 32 MiB, so that the C library takes the memory again instead of mapping it anew for each block.
BLOCK = 16 * 1024 * 1024
_READ = 1024 * 1024
#: Bounds what one call can unpack to: a zstd block of 128 KiB may come from a handful of bytes.
_PACKED_READ = 4096
_BOM = b"\xef\xbb\xbf"
_GZIP_WINDOW = 31


@dataclass(frozen=True)
class Identity:
    """Which file was opened, and when it was last written to."""

    device: int
    inode: int
    size: int
    modified: int
    changed: int

    @staticmethod
    def of(status: os.stat_result) -> Identity:
        """The identity that the file system shows."""
        return Identity(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


@dataclass(frozen=True)
class Fingerprint:
    """What tells one delivery from another: size and SHA-256 of the bytes as delivered."""

    size: int
    sha256: str
    #: Of the file when it was opened; says nothing of the bytes.
    identity: Identity | None = field(default=None, compare=False)


class Delivery:
    """One open file of a table's landing folder.

    Args:
        path: the file.
        source: how the contract says it is written.
        columns: the delivered columns, in the contract's order.
    """

    def __init__(self, path: Path, source: Source, columns: Sequence[Column], *, block: int = BLOCK) -> None:
        self._path = path
        self._source = source
        self._columns = tuple(columns)
        self._block = block
        self._dialect = Dialect(
            len(self._columns), source.delimiter.encode("ascii"), source.quote.encode("ascii") or None
        )
        self._file: BinaryIO | None = None
        self._held: bytes | None = None
        self._hash = hashlib.sha256()
        self._size = 0
        #: For each contract column its place in the file.
        self._places: tuple[int, ...] = tuple(range(len(self._columns)))
        self._rows = 0

    def __enter__(self) -> Self:
        self._file = self._path.open("rb")
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()
        self._held = None

    def fingerprint(self) -> Fingerprint:
        """Size and hash of the bytes, before anything is made of them.

        A file that fits a block stays in memory and is not read again.
        """
        file = self._opened()
        identity = Identity.of(os.fstat(file.fileno()))
        digest = hashlib.sha256()
        size = 0
        first: list[bytes] = []
        while piece := file.read(_READ):
            digest.update(piece)
            size += len(piece)
            if size <= self._block:
                first.append(piece)
            else:
                first.clear()
        self._held = b"".join(first) if size <= self._block else None
        file.seek(0)
        return Fingerprint(size, digest.hexdigest(), identity)

    def require_unchanged(self, before: Fingerprint) -> None:
        """Make sure that `blocks` has read the bytes of that fingerprint.

        Raises:
            FileRejectedError: it has read others.
        """
        if Fingerprint(self._size, self._hash.hexdigest()) != before:
            raise FileRejectedError("the file changed while it was read", hint="let it settle, then ingest it again")

    def blocks(self) -> Iterator[pl.DataFrame]:
        """The file's records, block by block.

        Raises:
            FileRejectedError: the file as a whole cannot be taken.
        """
        pieces = self._plain()
        buffer, at_end = _fill(b"", pieces, self._block)
        buffer = buffer.removeprefix(_BOM)
        if self._source.header:
            buffer = buffer[self._read_header(buffer, at_end=at_end) :]
        while True:
            frame, rest = self._take(buffer, at_end=at_end)
            if frame.height:
                yield frame
            if at_end:
                return
            buffer, at_end = _fill(rest, pieces, self._block)

    def _opened(self) -> BinaryIO:
        if self._file is None:
            message = "a delivery is used as a context manager"
            raise RuntimeError(message)
        return self._file

    def _delivered(self, size: int) -> Iterator[bytes]:
        """The bytes as delivered, hashed on the way."""
        if self._held is not None:
            self._hash.update(self._held)
            self._size = len(self._held)
            yield from (self._held[start : start + size] for start in range(0, len(self._held), size))
            return
        while piece := self._opened().read(size):
            self._hash.update(piece)
            self._size += len(piece)
            yield piece

    def _plain(self) -> Iterator[bytes]:
        match self._path.suffix.lower():
            case ".gz":
                return _gunzip(self._delivered(_PACKED_READ * 16))
            case ".zst":
                return _unzstd(self._delivered(_PACKED_READ))
            case _:
                return self._delivered(_READ)

    def _read_header(self, buffer: bytes, *, at_end: bool) -> int:
        """Find each column's place by the header; how many bytes it takes."""
        if not buffer.strip():
            raise FileRejectedError("the file is empty", hint="even a file without rows has its header line")
        text = buffer if not at_end or buffer.endswith(b"\n") else buffer + b"\n"
        record = first_record(text, self._dialect)
        if record is None:
            raise FileRejectedError(
                "the first line is no header", hint="is this a text table of the contract's dialect?"
            )
        self._places = _places(fields(record, self._dialect), self._columns)
        return len(record)

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
            return _complete(frame, self._names), buffer[end:]
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
                BAD: [bad.reason for bad in parts.bad],
                BYTES: [bad.content for bad in parts.bad],
            },
            schema={ROW: pl.Int64, BAD: pl.String, BYTES: pl.Binary},
        )
        self._rows += parts.records
        return pl.concat([_complete(clean, self._names), _complete(bad, self._names)]).sort(ROW), parts.rest

    def _parse(self, content: bytes, expected: int) -> pl.DataFrame:
        """Text columns in the contract's order from records that are known to be clean."""
        if not expected:
            return pl.DataFrame(schema=dict.fromkeys(self._names, pl.String))
        order = sorted(range(len(self._places)), key=self._places.__getitem__)
        in_file = [self._names[index] for index in order]
        dialect = self._dialect
        try:
            frame = pl.read_csv(
                content,
                has_header=False,
                schema=dict.fromkeys(in_file, pl.String),
                infer_schema=False,
                empty_string_is_null=False,
                separator=dialect.delimiter.decode("ascii"),
                quote_char=None if dialect.quote is None else dialect.quote.decode("ascii"),
            )
        except pl.exceptions.PolarsError:
            # Trap 12: the message holds values. The content is proven clean, so the splitter can always do it.
            frame = None
        if frame is None or frame.height != expected:
            frame = _parse_exactly(content, in_file, dialect)
        return frame.select(self._names)

    @property
    def _names(self) -> list[str]:
        return [column.name for column in self._columns]


def unchanged(path: Path, read: Fingerprint) -> bool:
    """Whether the file still holds the bytes that were read.

    A large file is not hashed again if the file system has not seen a write since it was opened. Clocks of file systems
    tick every few milliseconds, within which a small file can be read and written, so a small one is.
    """
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if status.st_size > BLOCK and Identity.of(status) == read.identity:
                return True
            if status.st_size != read.size:
                return False
            while piece := file.read(_READ):
                digest.update(piece)
    except FileNotFoundError:
        return False
    return digest.hexdigest() == read.sha256


def _parse_exactly(content: bytes, names: Sequence[str], dialect: Dialect) -> pl.DataFrame:
    rows = [[value.decode("utf-8") for value in fields(record, dialect)] for record in records(content, dialect)]
    return pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String), orient="row")


def _complete(frame: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    """All columns of a block, in order; what is missing is null."""
    wanted = {ROW: pl.Int64, **dict.fromkeys(names, pl.String), BAD: pl.String, BYTES: pl.Binary}
    missing = [pl.lit(None, kind).alias(name) for name, kind in wanted.items() if name not in frame.columns]
    return frame.with_columns(missing).select(list(wanted))


def _fill(start: bytes, pieces: Iterator[bytes], size: int) -> tuple[bytes, bool]:
    """`start` and about `size` more bytes; whether the end was reached."""
    parts, length = [start], 0
    for piece in pieces:
        parts.append(piece)
        length += len(piece)
        if length >= size:
            return b"".join(parts), False
    return b"".join(parts), True


def _places(header: Sequence[bytes], columns: Sequence[Column]) -> tuple[int, ...]:
    """Where each contract column stands in the file. Delivered words are not shown: they may be the first row's."""
    wanted = [(column.source_name or column.name).encode() for column in columns]
    missing = [name.decode() for name in wanted if name not in header]
    if len(missing) == len(wanted):
        raise FileRejectedError(
            "the file has no header, or another table's", hint="the first line must name the columns"
        )
    unknown = sum(1 for name in header if name not in wanted)
    doubled = sum(1 for name in wanted if header.count(name) > 1)
    problems = [
        f"missing {', '.join(f'`{name}`' for name in missing)}" if missing else "",
        f"{unknown} that the contract does not know" if unknown else "",
        f"{doubled} twice" if doubled else "",
    ]
    if any(problems):
        raise FileRejectedError(
            f"columns differ from the contract: {'; '.join(problem for problem in problems if problem)}",
            hint="mend the file, or change the contract",
        )
    return tuple(header.index(name) for name in wanted)


def _gunzip(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Unpack gzip, one member after the other; a cut or broken one is an error, never a short file."""
    member, fresh = zlib.decompressobj(_GZIP_WINDOW), True
    try:
        for piece in pieces:
            waiting = piece
            while waiting:
                if member.eof:
                    waiting = waiting.lstrip(b"\0")  # padding between or after members is allowed
                    member, fresh = zlib.decompressobj(_GZIP_WINDOW), True
                    continue
                fresh = False
                yield member.decompress(waiting, _READ * 8)
                waiting = member.unused_data if member.eof else member.unconsumed_tail
    except zlib.error:
        raise FileRejectedError("the gzip data is broken", hint="deliver the file again") from None
    if not member.eof and not fresh:
        raise FileRejectedError("the gzip data ends too early", hint="deliver the file again")


def _unzstd(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Unpack zstd, one frame after the other."""
    unpacker = zstandard.ZstdDecompressor(max_window_size=1 << 27)
    frame, fresh = unpacker.decompressobj(), True
    try:
        for piece in pieces:
            waiting = piece
            while waiting:
                if frame.eof:
                    frame = unpacker.decompressobj()
                fresh = False
                yield frame.decompress(waiting)
                waiting = frame.unused_data if frame.eof else b""
    except zstandard.ZstdError:
        raise FileRejectedError("the zstd data is broken", hint="deliver the file again") from None
    if not frame.eof and not fresh:
        raise FileRejectedError("the zstd data ends too early", hint="deliver the file again")
