"""What `columnar` and its reading child say to each other: a task in, frames out.

A frame is one letter, eight bytes of length and the content: a batch as an Arrow stream, why the file is rejected (as JSON
of message and hint), or the end. Whoever stops without the end has crashed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import BinaryIO

BATCH, REJECTED, END = b"B", b"R", b"E"
#: Bytes of a frame before its content.
HEAD = 9
#: Columns of a batch: contract columns by their place, others by `?` and their delivered name.
UNKNOWN, BAD, BYTES = "?", "!bad", "!bytes"


@dataclass(frozen=True)
class Task:
    """What the child is asked to do.

    Attributes:
        format: `parquet` or `arrow`.
        paths: where the contract's columns stand, dotted into structs.
        dates: per column whether the contract has a date there.
        drift: the contract's `Drift` as a mapping.
        memory: bytes of address space.
        seconds: of processor time.
        descriptor: the file, when it does not follow on standard input.
    """

    format: str
    paths: list[str]
    dates: list[bool]
    drift: dict[str, Any]
    memory: int
    seconds: int
    descriptor: int | None = None


def send(out: BinaryIO, letter: bytes, content: bytes) -> None:
    """Write one frame."""
    out.write(letter + len(content).to_bytes(8) + content)
    out.flush()
