"""Reading ahead and writing behind: rows come and go in threads of their own while others are judged.

At most one frame waits on each side, so memory stays bounded. An error of a write shows at the next call.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
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
    """

    def __init__(self, tx: Transaction, *, exact_months: bool = False) -> None:
        self.tx = tx
        self._exact = exact_months
        self._pool = ThreadPoolExecutor(1)
        self._writing: Future[list[DataFile]] | None = None
        self._written: list[DataFile] = []

    def write(self, frame: pl.DataFrame) -> None:
        """Write the frame once the one before is written."""
        self.wait()
        self._writing = self._pool.submit(self.tx.write, frame, exact_months=self._exact)

    def wait(self) -> list[DataFile]:
        """All files, when the last one is written."""
        if self._writing is not None:
            writing, self._writing = self._writing, None
            self._written += writing.result()
        return self._written

    def abandon(self) -> None:
        """Stop writing and forget the transaction; does nothing after its commit."""
        self._pool.shutdown()
        self.tx.abandon()
