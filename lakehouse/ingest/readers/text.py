"""Delivered text in any of the contract's encodings, as UTF-8, piece by piece.

Bytes that are no character of the encoding must cost their record and not the file. So they become what UTF-8 forbids
(surrogates), which the splitters turn into bad records like any other broken UTF-8, and which can be turned back: a bad
record is kept with the very bytes that were delivered.
"""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING

from lakehouse.errors import FileRejectedError

if TYPE_CHECKING:
    from collections.abc import Iterator

#: The byte order mark, as UTF-8; it says nothing once the encoding is known.
MARK = b"\xef\xbb\xbf"
UTF8 = "utf-8"


class Transcoder:
    """One file's way to UTF-8.

    Args:
        encoding: one of the contract's encodings.
    """

    def __init__(self, encoding: str) -> None:
        self._codec = encoding
        self._wide = encoding == "utf-16"
        self.reason = f"not valid {encoding.upper()}"

    def utf8(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """The text as UTF-8; what cannot be decoded is not valid UTF-8.

        Raises:
            FileRejectedError: two-byte text that ends within a character: everything in it may be shifted.
        """
        if self._codec == UTF8:
            yield from pieces
            return
        if self._wide:
            pieces = self._ordered(pieces)
        decoder = codecs.getincrementaldecoder(self._codec)(self._errors)
        for piece in pieces:
            yield decoder.decode(piece).encode(UTF8, "surrogatepass")
        try:
            yield decoder.decode(b"", final=True).encode(UTF8, "surrogatepass")
        except UnicodeDecodeError:
            raise FileRejectedError("the UTF-16 text ends within a character", hint="deliver the file again") from None

    def restored(self, content: bytes) -> bytes:
        """The bytes as they were delivered, of a part of what `utf8` gave."""
        if self._codec == UTF8:
            return content
        return content.decode(UTF8, "surrogatepass").encode(self._codec, self._errors)

    @property
    def _errors(self) -> str:
        return "surrogatepass" if self._wide else "surrogateescape"

    def _ordered(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """Learn the byte order from the first two bytes; without a mark it is the order of Windows."""
        start = b""
        for piece in pieces:
            start += piece
            if len(start) >= len(codecs.BOM_UTF16):
                break
        self._codec = "utf-16-be" if start.startswith(codecs.BOM_UTF16_BE) else "utf-16-le"
        return _again(start, pieces)


def _again(start: bytes, pieces: Iterator[bytes]) -> Iterator[bytes]:
    yield start
    yield from pieces
