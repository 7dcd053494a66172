"""A delivered file as a stream of blocks: opened once, hashed as it is read, unpacked, and read in its format.

Every block is a frame of text, as delivered: `_row` (position in the file), the contract's columns, for records that
cannot be read `_bad` (why) and `_bytes`, and `_extra` with what the contract does not know. What is wrong with the file as
a whole (header, compression, a line without end) is a `FileRejectedError`, whose text never shows a delivered value; nor
is any reader's own message ever shown.
"""

from __future__ import annotations

import hashlib
import io
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

import lakehouse.ingest.readers.unpack as unpack  # noqa: PLR0402 - through the package it would be an import cycle
from lakehouse.contract.model import Drift
from lakehouse.errors import FileRejectedError
from lakehouse.ingest.readers.columnar import Columnar
from lakehouse.ingest.readers.delimited import Delimited, empty
from lakehouse.ingest.readers.ndjson import JsonLines

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from typing import BinaryIO

    import polars as pl

    from lakehouse.contract.model import Changes, Column, Source

#: Below 32 MiB, so that the C library takes the memory again instead of mapping it anew for each block.
BLOCK = 16 * 1024 * 1024
_READ = 1024 * 1024


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
        drift: what a file does whose columns differ.
        changes: how a delivery of changes says what happened.
    """

    def __init__(
        self,
        path: Path,
        source: Source,
        columns: Sequence[Column],
        *,
        drift: Drift | None = None,
        changes: Changes | None = None,
        block: int = BLOCK,
    ) -> None:
        self._path = path
        self._source = source
        self._columns = tuple(columns)
        self._drift = drift or Drift()
        self._changes = changes
        self._block = block
        self._packing = unpack.packing(path.name)
        self._file: BinaryIO | None = None
        self._held: bytes | None = None
        self._hash = hashlib.sha256()
        self._size = 0

    def __enter__(self) -> Self:
        try:
            self._file = self._path.open("rb")
        except FileNotFoundError:
            raise  # the gateway knows whether another run may have taken it
        except OSError:
            raise FileRejectedError("the file cannot be opened", hint="see its owner and its rights") from None
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()
        self._held = None

    def fingerprint(self) -> Fingerprint:
        """Size and hash of the bytes, before anything is made of them.

        A file that fits a block stays in memory and is not read again.

        Raises:
            FileRejectedError: it cannot be read to its end.
        """
        file = self._opened()
        identity = Identity.of(os.fstat(file.fileno()))
        digest = hashlib.sha256()
        size = 0
        first: list[bytes] = []
        for piece in _pieces(file, _READ):
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
        source, columns, drift = self._source, self._columns, self._drift
        if source.format in {"parquet", "arrow"}:
            yield from self._columnar()
            return
        if source.format == "ndjson":
            reader = JsonLines(source, columns, drift, changes=self._changes, block=self._block)
        else:
            reader = Delimited(source, columns, drift, block=self._block)
        yield from reader.blocks(self._plain())

    def _opened(self) -> BinaryIO:
        if self._file is None:
            message = "a delivery is used as a context manager"
            raise RuntimeError(message)
        return self._file

    def _delivered(self, size: int) -> Iterator[bytes]:
        """The bytes as delivered, hashed on the way."""
        held = self._held
        whole = None if held is None else (held[start : start + size] for start in range(0, len(held), size))
        for piece in _pieces(self._opened(), size) if whole is None else whole:
            self._hash.update(piece)
            self._size += len(piece)
            yield piece

    def _plain(self) -> Iterator[bytes]:
        """The unpacked bytes."""
        if self._packing is None:
            yield from self._delivered(_READ)
        elif self._packing == ".zip":
            yield from self._unzipped()
        else:
            yield from unpack.unpacked(self._packing, self._delivered)

    def _columnar(self) -> Iterator[pl.DataFrame]:
        """Small and packed files are sent to the reading child, others it reads by itself, and they are hashed after."""
        reader = Columnar(self._source, self._columns, self._drift)
        file = self._opened()
        size = os.fstat(file.fileno()).st_size
        if not size:
            raise empty()
        if self._held is not None or self._packing is not None:
            yield from reader.blocks(self._plain(), None, size)
            return
        yield from reader.blocks(None, file.fileno(), size)
        file.seek(0)
        for _ in self._delivered(_READ):
            pass

    def _unzipped(self) -> Iterator[bytes]:
        """A zip archive is read from its end, so it is hashed for itself afterwards."""
        file = self._opened() if self._held is None else io.BytesIO(self._held)
        yield from unpack.unzipped(file, os.fstat(self._opened().fileno()).st_size)
        self._opened().seek(0)
        for _ in self._delivered(_READ):
            pass


def _pieces(file: BinaryIO, size: int) -> Iterator[bytes]:
    try:
        while piece := file.read(size):
            yield piece
    except OSError:
        raise FileRejectedError("the file cannot be read to its end", hint="deliver the file again") from None


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
