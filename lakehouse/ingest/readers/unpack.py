"""Unpacking delivered files as they stream by: gzip, zstd, bzip2, and zip with exactly one member.

A file that is cut short or broken is an error, never a short file. One that unpacks to far more than a feed ever does is
a bomb: it is rejected once it is beyond both a size and a ratio, so that what it costs is bounded whatever it claims.
"""

from __future__ import annotations

import bz2
import lzma
import struct
import zipfile
import zlib
from pathlib import PurePath
from typing import TYPE_CHECKING

import zstandard

from lakehouse.errors import FileRejectedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import BinaryIO

#: Up to here any ratio is taken: a small file of equal rows packs very well.
FREE = 256 * 1024 * 1024
#: A feed packs to a tenth, a log of equal lines to a hundredth of its size.
MOST_RATIO = 200
MOST_UNPACKED = 256 * 1024 * 1024 * 1024
_PIECE = 8 * 1024 * 1024
#: Bounds what one call can unpack to: a zstd block of 128 KiB may come from a handful of bytes.
_SIP = 4096
_GULP = 64 * 1024
_GZIP_WINDOW = 31
_AGAIN = "deliver the file again"
#: All that `zipfile` raises on broken archives, found by flipping bytes.
_ZIP_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    NotImplementedError,  # a compression that Python does not have
    RuntimeError,  # encrypted
    OSError,  # bz2 data that is broken, and places outside the file
    ValueError,
    OverflowError,
)

PACKINGS = (".gz", ".zst", ".bz2", ".zip")


def packing(name: str) -> str | None:
    """How a file is packed, by its name."""
    suffix = PurePath(name).suffix.lower()
    return suffix if suffix in PACKINGS else None


def unpacked(packing: str, delivered: Callable[[int], Iterator[bytes]]) -> Iterator[bytes]:
    """The bytes in a packed stream; for zip see `unzipped`.

    Args:
        packing: `.gz`, `.zst` or `.bz2`.
        delivered: gives the packed bytes in pieces of at most that size.

    Raises:
        FileRejectedError: broken, cut short, or a bomb.
    """
    match packing:
        case ".gz":
            return _bounded(delivered(_GULP), _gunzip)
        case ".bz2":
            return _bounded(delivered(_GULP), _bunzip)
        case _:
            return _bounded(delivered(_SIP), _unzstd)


def unzipped(file: BinaryIO, size: int) -> Iterator[bytes]:
    """The bytes of a zip archive's only member.

    Raises:
        FileRejectedError: another number of members, encrypted, broken, cut short, or a bomb.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
            if len(members) != 1:
                raise FileRejectedError(
                    f"the zip archive has {len(members)} members", hint="put one file in an archive"
                )
            unpacked = 0
            with archive.open(members[0]) as member:
                while piece := member.read(_PIECE):
                    unpacked += len(piece)
                    _require_no_bomb(size, unpacked)
                    yield piece
    except _ZIP_ERRORS:
        raise FileRejectedError("the zip archive is broken or encrypted", hint=_AGAIN) from None


def _bounded(pieces: Iterator[bytes], unpack: Callable[[Iterable[bytes]], Iterator[bytes]]) -> Iterator[bytes]:
    packed = unpacked = 0

    def counted() -> Iterator[bytes]:
        nonlocal packed
        for piece in pieces:
            packed += len(piece)
            yield piece

    for piece in unpack(counted()):
        unpacked += len(piece)
        _require_no_bomb(packed, unpacked)
        if piece:
            yield piece


def _require_no_bomb(packed: int, unpacked: int) -> None:
    if unpacked > MOST_UNPACKED or (unpacked > FREE and unpacked > packed * MOST_RATIO):
        raise FileRejectedError(
            "the file unpacks to far more than a feed would", hint="deliver it unpacked, or in parts"
        )


def _gunzip(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Unpack gzip, one member after the other."""
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
                yield member.decompress(waiting, _PIECE)
                waiting = member.unused_data if member.eof else member.unconsumed_tail
    except zlib.error:
        raise FileRejectedError("the gzip data is broken", hint=_AGAIN) from None
    if not member.eof and not fresh:
        raise FileRejectedError("the gzip data ends too early", hint=_AGAIN)


def _unzstd(pieces: Iterable[bytes]) -> Iterator[bytes]:
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
        raise FileRejectedError("the zstd data is broken", hint=_AGAIN) from None
    if not frame.eof and not fresh:
        raise FileRejectedError("the zstd data ends too early", hint=_AGAIN)


def _bunzip(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Unpack bzip2, one stream after the other."""
    stream, fresh = bz2.BZ2Decompressor(), True
    try:
        for piece in pieces:
            waiting = piece
            while waiting or not (stream.needs_input or stream.eof):
                if stream.eof:
                    stream = bz2.BZ2Decompressor()
                fresh = False
                yield stream.decompress(waiting, _PIECE)
                waiting = stream.unused_data if stream.eof else b""
    except (OSError, EOFError):
        raise FileRejectedError("the bzip2 data is broken", hint=_AGAIN) from None
    if not stream.eof and not fresh:
        raise FileRejectedError("the bzip2 data ends too early", hint=_AGAIN)
