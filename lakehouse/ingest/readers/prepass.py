"""The pre-pass: numpy proves that a block of bytes is clean, so that a fast reader may have it.

polars turns a short row into nulls without a word, loses a whole file to one stray quote, and prints values when it
complains (notes/delta.md, trap 12). So it is only given what is proven here: every record has the right number of
fields, every quote opens or closes a field or is doubled, no carriage return stands alone, the text is UTF-8.
A block that cannot be proven is not wrong yet; `splitter` decides.
"""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING

import numpy as np

import lakehouse.ingest.readers.splitter as splitter  # noqa: PLR0402 - through the package it would be an import cycle

if TYPE_CHECKING:
    from lakehouse.ingest.readers.splitter import Dialect

#: Bytes looked at in one step; the masks of a step stay in the processor's cache.
_STEP = 1 << 17
_TEXT_STEP = 1 << 20
_LF, _CR = 10, 13


def cut(block: bytes, dialect: Dialect) -> int:
    """Where the last whole record ends, as far as counting quotes tells (right for every block that `prove` proves)."""
    quote = dialect.quote
    end = block.rfind(b"\n") + 1
    if quote is None or quote not in block:
        return end
    while end and block.count(quote, 0, end) % 2:
        end = block.rfind(b"\n", 0, block.rfind(quote, 0, end)) + 1
    return end


def prove(block: bytes, dialect: Dialect) -> int | None:
    """The number of records in a block of whole records that is clean; None when it is not proven.

    Args:
        block: whole records, the last one with its line feed.
        dialect: how the file is written.
    """
    if not block:
        return 0
    if b"\0" in block or _is_special(block, dialect):
        return None
    if b"\r" in block and block.count(b"\r") != block.count(b"\r\n"):
        return None
    if not _is_text(block):
        return None
    quote = dialect.quote
    if quote is None or quote not in block:
        return _prove_plain(block, dialect)
    return _prove_quoted(block, dialect)


def _is_special(block: bytes, dialect: Dialect) -> bool:
    """Whether there may be escapes or comments in the block, which only the splitter understands."""
    if dialect.escape is not None and dialect.escape in block:
        return True
    comment = dialect.comment
    return comment is not None and (block.startswith(comment) or b"\n" + comment in block)


def _prove_plain(block: bytes, dialect: Dialect) -> int | None:
    """Delimiters and line feeds must come as n-1 of the one and one of the other, over and over."""
    content = np.frombuffer(block, np.uint8)
    comma, width = dialect.delimiter[0], dialect.columns
    seen = idle = 0
    for start in range(0, content.size, _STEP):
        part = content[start : start + _STEP]
        kinds = part[(part == comma) | (part == _LF)]
        ends = _in_step(kinds == _LF, seen % width, width)
        idle = 0 if ends else idle + 1
        if ends is None or _may_be_long(idle):
            return None
        seen += kinds.size
    return seen // width if seen % width == 0 else None


def _prove_quoted(block: bytes, dialect: Dialect) -> int | None:
    """As `_prove_plain`, without what stands between quotes; and each quote must be in its place."""
    content = np.frombuffer(block, np.uint8)
    comma, mark, width = dialect.delimiter[0], (dialect.quote or b"\0")[0], dialect.columns
    seen = quotes = idle = 0
    for start in range(0, content.size, _STEP):
        part = content[start : start + _STEP]
        places = np.flatnonzero((part == comma) | (part == _LF) | (part == mark))
        kinds = part[places]
        is_quote = kinds == mark
        counted = np.cumsum(is_quote) + quotes
        inside = (counted & 1).astype(np.bool_)  # of a quote: it opens
        if not _quotes_fit(content, places + start, (is_quote & inside, is_quote & ~inside), dialect):
            return None
        outside = kinds[~(is_quote | inside)]
        ends = _in_step(outside == _LF, seen % width, width)
        idle = 0 if ends else idle + 1
        if ends is None or _may_be_long(idle):
            return None
        seen += outside.size
        quotes += int(np.count_nonzero(is_quote))
    return seen // width if seen % width == 0 and quotes % 2 == 0 else None


def _in_step(ends: np.ndarray, phase: int, width: int) -> int | None:
    """How many records end here; None unless they do at every `width`-th structural byte, and nowhere else."""
    due = ends[width - 1 - phase :: width]
    return due.size if bool(due.all()) and int(np.count_nonzero(ends)) == due.size else None


def _may_be_long(idle: int) -> bool:
    """Whether a record that has not ended within so many steps may be longer than the splitter allows."""
    return (idle + 2) * _STEP > splitter.MAX_RECORD


def _quotes_fit(
    content: np.ndarray, places: np.ndarray, quotes: tuple[np.ndarray, np.ndarray], dialect: Dialect
) -> bool:
    """Whether opening quotes stand at a field's start, closing ones at its end, and others are doubled.

    Outside quotes every delimiter, line feed and quote is among the places. So it is enough that an opening quote comes
    right after one of them, and a closing one right before; one that opens right after one that closed is the second half
    of a doubled quote. Before a line feed there may be a carriage return.
    """
    opening, closing = quotes
    if not places.size:
        return True
    doubled = dialect.escape is None
    close = np.diff(places) == 1
    if (opening[1:] & ~close).any() or not (doubled or not (closing[:-1] & opening[1:] & close).any()):
        return False
    apart = places[:-1][closing[:-1] & ~close]
    if apart.size and not (content[apart + 1] == _CR).all():
        return False
    # At the edges of a step the neighbours are looked at. The block ends with a line feed: no quote is its last byte,
    # and what stands before its first byte is as good as a line feed.
    around = {dialect.delimiter[0], _LF, *((dialect.quote or b"") if doubled else b"")}
    first, last = int(places[0]), int(places[-1])
    if opening[0] and int(content[first - 1]) not in around:
        return False
    return not closing[-1] or int(content[last + 1]) in {*around, _CR}


def _is_text(block: bytes) -> bool:
    if block.isascii():
        return True
    decoder = codecs.getincrementaldecoder("utf-8")()
    view = memoryview(block)
    try:
        for start in range(0, len(view), _TEXT_STEP):
            decoder.decode(view[start : start + _TEXT_STEP])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True
