"""The reading child of `columnar`: one Parquet or Arrow file in, batches of text out, then it ends.

It runs with limits of memory and time and without the lake's settings, so that a file made to break its reader breaks
this process alone. Reads its task and the file from standard input (or the file from a descriptor it was given), writes
frames to standard output: one letter, eight bytes of length, the content. Run by `columnar` only.
"""

# pyarrow ships without types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

import json
import os
import resource
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lakehouse.contract.model import Column, ColumnType, Drift, Logical
from lakehouse.errors import FileRejectedError
from lakehouse.ingest.readers.arrowtext import TEXT, as_text, is_bytes, is_text
from lakehouse.ingest.readers.columnar_task import BAD, BATCH, BYTES, END, REJECTED, UNKNOWN, Task, send
from lakehouse.ingest.readers.matching import Match, match

if TYPE_CHECKING:
    from collections.abc import Iterator
#: Values of one batch: few enough that a batch of wide rows stays small.
_CELLS = 2_000_000
_ROWS = 65_536
_ENCODING, _NUL = "not valid UTF-8", "a NUL character"
_MAGIC = b"ARROW1"
#: pyarrow makes its functions at run time, so a checker does not see them.
_COMPUTE: Any = pc


@dataclass(frozen=True)
class _Leaf:
    """A delivered column: its dotted name and the way to it."""

    name: str
    way: tuple[int | str, ...]
    kind: Any


def main() -> None:
    """Do one task."""
    length = int.from_bytes(sys.stdin.buffer.read(8))
    task = Task(**json.loads(sys.stdin.buffer.read(length)))
    _limit(task)
    out = sys.stdout.buffer
    try:
        for content in _texts(task):
            send(out, BATCH, content)
        send(out, END, b"")
    except FileRejectedError as error:
        send(out, REJECTED, json.dumps([error.message, error.hint]).encode())
    except MemoryError:
        message = "the file needs more memory than a reader may take"
        send(out, REJECTED, json.dumps([message, "deliver it with smaller row groups"]).encode())


def _limit(task: Task) -> None:
    # A core file would hold the values that were being read.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (task.seconds, task.seconds))
    resource.setrlimit(resource.RLIMIT_AS, (task.memory, task.memory))


def _texts(task: Task) -> Iterator[bytes]:
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    descriptor = task.descriptor
    file = sys.stdin.buffer if descriptor is None else os.fdopen(descriptor, "rb")
    source = pa.py_buffer(file.read()) if descriptor is None else pa.PythonFile(file, mode="r")
    try:
        yield from _batches(task, source)
    except (pa.ArrowException, OSError, ValueError, NotImplementedError, KeyError, IndexError, TypeError):
        message = f"the {'Parquet' if task.format == 'parquet' else 'Arrow'} data is broken or encrypted"
        raise FileRejectedError(message, hint="deliver the file again") from None


def _batches(task: Task, source: Any) -> Iterator[bytes]:
    schema, batches = _parquet(source) if task.format == "parquet" else _arrow(source)
    leaves = [leaf for place, field in enumerate(schema) for leaf in _leaves(field, (place,), field.name, task.paths)]
    columns = [Column(str(n), str(n), ColumnType(Logical.STRING), "", source_name=p) for n, p in enumerate(task.paths)]
    found = match([leaf.name for leaf in leaves], columns, Drift(**task.drift))
    _require_text(leaves, found, task)
    for batch in batches:
        for start in range(0, batch.num_rows, _height(len(leaves))):
            part = _text(batch.slice(start, _height(len(leaves))), leaves, found, task)
            sink = pa.BufferOutputStream()
            with pa.ipc.new_stream(sink, part.schema) as writer:
                writer.write_batch(part)
            yield sink.getvalue().to_pybytes()


def _height(width: int) -> int:
    return max(1, min(_ROWS, _CELLS // max(1, width)))


def _parquet(source: Any) -> tuple[Any, Iterator[pa.RecordBatch]]:
    file = pq.ParquetFile(source, page_checksum_verification=True, pre_buffer=False)
    schema = file.schema_arrow
    return schema, file.iter_batches(batch_size=_height(len(schema)), use_threads=False)


def _arrow(source: Any) -> tuple[Any, Iterator[pa.RecordBatch]]:
    file = pa.BufferReader(source) if isinstance(source, pa.Buffer) else source
    start = file.read(len(_MAGIC))
    file.seek(0)
    if start == _MAGIC:
        whole = pa.ipc.open_file(file)
        return whole.schema, (whole.get_batch(number) for number in range(whole.num_record_batches))
    stream = pa.ipc.open_stream(file)
    return stream.schema, iter(stream)


def _leaves(field: Any, way: tuple[int | str, ...], name: str, paths: list[str]) -> list[_Leaf]:
    """A field, or those below it where the contract's paths lead into it."""
    inside = name not in paths and any(path.startswith(f"{name}.") for path in paths)
    if not (inside and pa.types.is_struct(field.type)):
        return [_Leaf(name, way, field.type)]
    below = [field.type.field(place) for place in range(field.type.num_fields)]
    return [leaf for one in below for leaf in _leaves(one, (*way, one.name), f"{name}.{one.name}", paths)]


def _require_text(leaves: list[_Leaf], found: Match, task: Task) -> None:
    for path, place in zip(task.paths, found.places, strict=True):
        if place is not None and is_bytes(leaves[place].kind):
            hint = "deliver it as text; bytes have no one spelling"
            raise FileRejectedError(f"column `{path}` holds bytes", hint=hint)


def _text(batch: pa.RecordBatch, leaves: list[_Leaf], found: Match, task: Task) -> pa.RecordBatch:
    """The batch's columns as text, and which rows hold what is none."""
    wanted = [(str(n), at, task.dates[n]) for n, at in enumerate(found.places) if at is not None]
    wanted += [(UNKNOWN + name, at, False) for at, name in found.unknown.items()]
    texts: dict[str, pa.Array] = {}
    bad: dict[int, str] = {}
    broken: dict[str, dict[int, bytes]] = {}
    for name, at, as_date in wanted:
        column, spoilt = _checked(_walk(batch, leaves[at].way))
        texts[name] = as_text(column, as_date=as_date)
        broken[name] = spoilt
        bad |= dict.fromkeys(spoilt, _ENCODING)
        bad |= dict.fromkeys(_with_nul(texts[name]), _NUL)
    marks = {BAD: pa.array([bad.get(row) for row in range(batch.num_rows)], TEXT)} if bad else {}
    if bad:
        names = {name: leaves[at].name for name, at, _ in wanted}
        kept = [_record(texts, broken, names, row) if row in bad else None for row in range(batch.num_rows)]
        marks[BYTES] = pa.array(kept, pa.large_binary())
    return pa.RecordBatch.from_pydict({**texts, **marks})


def _walk(batch: pa.RecordBatch, way: tuple[int | str, ...]) -> pa.Array:
    column = batch.column(way[0])
    for name in way[1:]:
        column = _COMPUTE.struct_field(column, name)
    return column


def _checked(column: pa.Array) -> tuple[pa.Array, dict[int, bytes]]:
    """A column whose text is valid, and by row the bytes of what was not."""
    try:
        column.validate(full=True)
    except pa.ArrowInvalid:
        if not is_text(column.type):
            raise
        column.validate()
    else:
        return column, {}
    values: list[bytes | None] = column.cast(pa.large_binary()).to_pylist()
    spoilt = {row: value for row, value in enumerate(values) if value is not None and not _is_utf8(value)}
    kept = [None if row in spoilt or value is None else value.decode("utf-8") for row, value in enumerate(values)]
    return pa.array(kept, pa.large_string()), spoilt


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _with_nul(texts: pa.Array) -> list[int]:
    found = _COMPUTE.match_substring(texts, "\0")
    return _COMPUTE.indices_nonzero(_COMPUTE.fill_null(found, False)).to_pylist()  # noqa: FBT003 - arrow's own signature


def _record(texts: dict[str, pa.Array], broken: dict[str, dict[int, bytes]], names: dict[str, str], row: int) -> bytes:
    """A row that is no text, as JSON with the very bytes in it."""
    values = {
        names[name]: broken[name][row].decode("utf-8", "surrogateescape")
        if row in broken[name]
        else column[row].as_py()
        for name, column in texts.items()
    }
    return json.dumps(values, ensure_ascii=False).encode("utf-8", "surrogateescape")


if __name__ == "__main__":
    main()
