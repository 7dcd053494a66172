"""Reading ahead and writing behind: rows come and go in threads of their own while others are judged.

At most one frame waits at each step, so memory stays bounded. An error of a write shows at the next call.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future

    import polars as pl

    from lakehouse.storage import DataFile, Transaction


def ahead(frames: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """The same frames, the next one read and taken apart in another thread while this one is worked on."""
    with ThreadPoolExecutor(1) as reader:
        waiting = reader.submit(next, frames, None)
        while (frame := waiting.result()) is not None:
            waiting = reader.submit(next, frames, None)
            yield frame


class WriteBehind:
    """The writes of one transaction.

    Args:
        tx: the transaction.
        exact_months: never let one file span several months.
        prepare: what is made of each frame before it is written, in a thread of its own; nothing when not given.
    """

    def __init__(
        self,
        tx: Transaction,
        *,
        exact_months: bool = False,
        prepare: Callable[[pl.DataFrame], pl.DataFrame] | None = None,
    ) -> None:
        self.tx = tx
        self._exact = exact_months
        self._prepare = prepare
        self._writer = ThreadPoolExecutor(1)
        self._preparer = ThreadPoolExecutor(1)
        self._preparing: Future[None] | None = None
        self._writing: Future[list[DataFile]] | None = None
        self._written: list[DataFile] = []

    def write(self, frame: pl.DataFrame) -> None:
        """Write the frame once the one before is written, or prepared where frames are."""
        if self._prepare is None:
            self._write(frame)
            return
        self._prepared()
        self._preparing = self._preparer.submit(self._prepare_and_write, self._prepare, frame)

    def wait(self) -> list[DataFile]:
        """All files, when the last one is written."""
        self._prepared()
        self._settle()
        return self._written

    def abandon(self) -> None:
        """Stop writing and forget the transaction; does nothing after its commit."""
        self._preparer.shutdown()
        self._writer.shutdown()
        self.tx.abandon()

    def _prepare_and_write(self, prepare: Callable[[pl.DataFrame], pl.DataFrame], frame: pl.DataFrame) -> None:
        self._write(prepare(frame))

    def _write(self, frame: pl.DataFrame) -> None:
        """Hand a frame over; one thread at a time comes here, the caller's or the preparing one."""
        self._settle()
        self._writing = self._writer.submit(self.tx.write, frame, exact_months=self._exact)

    def _prepared(self) -> None:
        if self._preparing is not None:
            preparing, self._preparing = self._preparing, None
            preparing.result()

    def _settle(self) -> None:
        if self._writing is not None:
            writing, self._writing = self._writing, None
            self._written += writing.result()
