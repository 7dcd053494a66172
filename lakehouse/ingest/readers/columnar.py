"""Parquet and Arrow files, read by a child process with limits of memory and time.

Their readers are large native libraries that a made-up file can crash, hang or fill with memory; so they never see it in
this process. The child sends batches of text back; if it dies, is silent for too long or goes over a limit, the file is
rejected, and nothing but that file is touched.
"""

# pyarrow ships without types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pyarrow as pa

import lakehouse.ingest.readers.columnar_task as child
from lakehouse.contract.model import Logical
from lakehouse.errors import FileRejectedError
from lakehouse.ingest.readers.delimited import complete
from lakehouse.ingest.unknown import extra
from lakehouse.model import BAD, BYTES, ROW

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lakehouse.contract.model import Column, Drift, Source

#: Address space of the child; reading wants a row group's columns at once.
MOST_MEMORY = 4 * 1024 * 1024 * 1024
#: Seconds of processor for a file, and of silence between two batches.
MOST_SECONDS = 900
MOST_SILENCE = 120.0
#: Text of equal values costs next to nothing in a file; beyond this nobody has meant it.
FREE, MOST_RATIO = 256 * 1024 * 1024, 5_000
#: A packed file must be unpacked into the child's memory.
MOST_PACKED = 1024 * 1024 * 1024
_AGAIN = "deliver the file again"
_READ = 1024 * 1024


class Columnar:
    """One Parquet or Arrow file.

    Args:
        source: how the contract says it is written.
        columns: the delivered columns, in the contract's order.
        drift: what other columns than the contract's do.
    """

    def __init__(self, source: Source, columns: Sequence[Column], drift: Drift) -> None:
        self._names = [column.name for column in columns]
        self._paths = [column.path.removeprefix("$.") for column in columns]
        self._dates = [column.type.logical is Logical.DATE for column in columns]
        self._format = source.format
        self._drift = drift
        self._rows = 0

    def blocks(self, pieces: Iterator[bytes] | None, descriptor: int | None, size: int) -> Iterator[pl.DataFrame]:
        """The records, batch by batch.

        Args:
            pieces: the file's bytes, or
            descriptor: the open file to read them from.
            size: of the file as delivered.

        Raises:
            FileRejectedError: the file as a whole cannot be taken.
        """
        task = child.Task(
            format=self._format,
            paths=self._paths,
            dates=self._dates,
            drift=asdict(self._drift),
            memory=MOST_MEMORY,
            seconds=MOST_SECONDS,
            descriptor=descriptor,
        )
        process = _started(descriptor)
        try:
            _feed(process, task, pieces or iter(()))
            total = 0
            for content in _frames(process):
                total += len(content)
                if total > max(FREE, size * MOST_RATIO):
                    raise FileRejectedError("the file unpacks to far more than a feed would", hint=_AGAIN)
                frame = self._frame(content)
                if frame.height:
                    yield frame
        finally:
            _end(process)

    def _frame(self, content: bytes) -> pl.DataFrame:
        with pa.ipc.open_stream(content) as stream:
            text = pl.DataFrame(pl.from_arrow(stream.read_all()))
        there = {name: str(place) for place, name in enumerate(self._names) if str(place) in text.columns}
        missing = [path for path, name in zip(self._paths, self._names, strict=True) if name not in there]
        unknown = {name[1:]: pl.col(name) for name in text.columns if name.startswith(child.UNKNOWN)}
        bad = pl.col(child.BAD) if child.BAD in text.columns else pl.lit(None, pl.String)
        kept = pl.col(child.BYTES) if child.BYTES in text.columns else pl.lit(None, pl.Binary)
        frame = text.select(
            pl.int_range(self._rows, self._rows + text.height).alias(ROW),
            *(pl.when(bad.is_null()).then(pl.col(place)).alias(name) for name, place in there.items()),
            bad.alias(BAD),
            kept.alias(BYTES),
            pl.when(bad.is_null()).then(extra(unknown, missing)),
        )
        self._rows += text.height
        return complete(frame, self._names)


def _started(descriptor: int | None) -> subprocess.Popen[bytes]:
    home = str(Path(__file__).resolve().parents[2])
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LAKEHOUSE_")}
    path = os.pathsep.join(part for part in (home, kept.get("PYTHONPATH")) if part)
    # The system's allocator takes what is needed; the others reserve more address space than the child may have.
    settings = {"PYTHONPATH": path, "ARROW_DEFAULT_MEMORY_POOL": "system", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "lakehouse.ingest.readers.columnar_child"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # a reader's own words hold values
        pass_fds=() if descriptor is None else (descriptor,),
        env={**kept, **settings},
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(BrokenPipeError):  # what it was not told any more
                pipe.close()
    process.wait()


def _feed(process: subprocess.Popen[bytes], task: child.Task, pieces: Iterator[bytes]) -> None:
    told = json.dumps(asdict(task)).encode()
    pipe = process.stdin
    if pipe is None:
        return
    fed = 0
    with suppress(BrokenPipeError):  # it has given up already; its frames say why
        pipe.write(len(told).to_bytes(8) + told)
        for piece in pieces:
            fed += len(piece)
            if fed > MOST_PACKED:
                raise FileRejectedError("the file unpacks to more than fits in memory", hint="deliver it unpacked")
            pipe.write(piece)
        pipe.close()


def _frames(process: subprocess.Popen[bytes]) -> Iterator[bytes]:
    """The contents of the child's batches.

    Raises:
        FileRejectedError: the child rejects the file, dies, or is silent.
    """
    while True:
        head = _exactly(process, child.HEAD)
        content = _exactly(process, int.from_bytes(head[1:]))
        if head[:1] == child.END:
            return
        if head[:1] == child.REJECTED:
            message, hint = json.loads(content)
            raise FileRejectedError(message, hint=hint)
        yield content


def _exactly(process: subprocess.Popen[bytes], length: int) -> bytes:
    pipe = process.stdout
    found = bytearray()
    due = time.monotonic() + MOST_SILENCE
    while pipe is not None and len(found) < length:
        ready, _, _ = select.select([pipe], [], [], max(0.0, due - time.monotonic()))
        if not ready:
            raise FileRejectedError("reading the file takes too long", hint="is it made to hang its readers?")
        piece = os.read(pipe.fileno(), min(_READ, length - len(found)))
        if not piece:
            hint = "it crashes its reader, or needs more memory or time than a file may take"
            raise FileRejectedError("the file cannot be read", hint=hint)
        found += piece
    return bytes(found)
