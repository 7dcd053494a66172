"""One JSON object a line, the fast way and the exact one, as frames of text.

Machines write every line alike, so the first line's keys make a regular expression that is itself the proof: what it
matches is a legal object of those keys with plain values, and polars takes it apart in one go. Every other line goes
through Python's scanner, which is told to keep numbers as they were written and to refuse what JSON forbids. What a line
may be is decided line by line, so a bad one costs itself and no other.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from lakehouse.errors import FileRejectedError
from lakehouse.ingest.readers.delimited import complete, empty
from lakehouse.ingest.readers.jsonline import BadLineError, Paths, parse, row_of
from lakehouse.ingest.readers.matching import require
from lakehouse.ingest.readers.splitter import ENCODING, LONG, MAX_LINE, MAX_RECORD
from lakehouse.ingest.readers.text import MARK, Transcoder
from lakehouse.ingest.unknown import extra
from lakehouse.model import BAD, BYTES, EXTRA, ROW

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lakehouse.contract.model import Changes, Column, Drift, Source

#: More keys than this make an expression too large to be quick.
_MOST_KEYS = 200
#: So many lines are looked at for one that shows the shape.
_TRIED = 5
_PLAIN_KEY = re.compile(r'[^"\\\x00-\x1f]*')
_VALUE = r'(?:"([^"\\\x00-\x1f]*)"|(-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false)|null)'
_LINE = "line"


@dataclass(frozen=True)
class _Shape:
    """The keys that lines have, in their order, and the expression for such lines."""

    keys: tuple[str, ...]
    pattern: str


class JsonLines:
    """One file of JSON objects.

    Args:
        source: how the contract says it is written.
        columns: the delivered columns, in the contract's order.
        drift: what other keys than the contract's do.
        changes: whether objects are envelopes.
        block: bytes worked on at once.
    """

    def __init__(
        self, source: Source, columns: Sequence[Column], drift: Drift, *, changes: Changes | None, block: int
    ) -> None:
        self._names = [column.name for column in columns]
        self._drift = drift
        self._block = block
        self._text = Transcoder(source.encoding)
        self._paths = Paths([column.path for column in columns], envelope=bool(changes and changes.form == "debezium"))
        self._seen: set[int] = set()
        self._rows = self._good = 0

    def blocks(self, pieces: Iterator[bytes]) -> Iterator[pl.DataFrame]:
        """The records of plain bytes, block by block.

        Raises:
            FileRejectedError: the file as a whole cannot be taken.
        """
        for number, block in enumerate(_whole_lines(self._text.utf8(pieces), self._block)):
            frame = self._take(block.removeprefix(MARK) if number == 0 else block)
            if frame.height:
                yield frame
        self._judge_file()

    def _judge_file(self) -> None:
        """What only shows when all lines have been read."""
        if not self._rows:
            raise empty()
        missing = [path for place, path in enumerate(self._paths.names) if place not in self._seen]
        if self._good and len(missing) == len(self._names):
            raise FileRejectedError("the objects are another table's", hint="no key of the contract is in them")
        if self._good:
            require(missing=missing, unknown=0, doubled=0, drift=self._drift)

    def _take(self, block: bytes) -> pl.DataFrame:
        lines, spoilt = _lines(block)
        numbered = pl.DataFrame({_LINE: lines}, schema={_LINE: pl.String}).with_row_index(ROW)
        records = numbered.filter(pl.col(_LINE).str.contains(r"[^ \t\r]") | pl.col(_LINE).is_null())
        places: list[int] = records[ROW].to_list() if spoilt else []
        bad = [(at, ENCODING, spoilt[place]) for at, place in enumerate(places) if place in spoilt]
        records = records.select(pl.int_range(pl.len()).alias(ROW), _LINE).drop_nulls()
        long = pl.col(_LINE).str.len_bytes() > MAX_RECORD
        bad += [(row, LONG, line.encode()) for row, line in records.filter(long).rows()]
        records = records.filter(~long)
        fast, rest = self._take_alike(records)
        exact, refused = self._take_exactly(rest)
        frames = [fast, exact, self._bad_rows([*bad, *refused])]
        found = pl.concat([complete(frame, self._names) for frame in frames]).sort(ROW)
        found = found.with_columns(pl.col(ROW) + self._rows)
        self._rows += found.height
        self._good += fast.height + exact.height
        return found

    def _take_alike(self, records: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        """The lines of the first one's shape as a frame, and the other lines."""
        shape = shape_of(records[_LINE].head(_TRIED).to_list(), self._paths)
        nothing = pl.DataFrame(schema={ROW: pl.Int64})
        if shape is None:
            return nothing, records
        try:
            groups = records[_LINE].str.extract_groups(shape.pattern).struct.unnest()
        except pl.exceptions.PolarsError:
            return nothing, records  # too large an expression; its text holds delivered keys
        alike = groups.to_series(0).is_not_null()
        # numbered, because polars takes a key such as `*` for a pattern of names
        fields = {key: f"\0{at}" for at, key in enumerate(shape.keys)}
        parts = [pl.coalesce(pl.nth(2 * at + 1, 2 * at + 2)).alias(name) for at, name in enumerate(fields.values())]
        frame = groups.filter(alike).select(parts)
        if frame.is_empty():
            return nothing, records
        unknown = [key for key in shape.keys if key not in self._paths.flat]
        absent = [place for place, name in enumerate(self._paths.names) if name not in shape.keys]
        require(missing=[], unknown=len(unknown), doubled=0, drift=self._drift)
        self._seen |= set(range(len(self._names))) - set(absent)
        told = [self._paths.names[place] for place in absent] if self._drift.missing == "discard_row" else []
        flat = self._paths.flat
        values = [pl.col(fields[key]).alias(self._names[place]) for key, place in flat.items() if key in fields]
        frame = frame.select(*values, extra({key: pl.col(fields[key]) for key in unknown}, told))
        return frame.with_columns(records[ROW].filter(alike)), records.filter(~alike)

    def _take_exactly(self, records: pl.DataFrame) -> tuple[pl.DataFrame, list[tuple[int, str, bytes]]]:
        """The same, line by line."""
        rows: list[tuple[int | str | None, ...]] = []
        refused: list[tuple[int, str, bytes]] = []
        told = self._drift.missing == "discard_row"
        for number, line in records.rows():
            try:
                row = row_of(parse(line), self._paths, tell_absent=told)
            except BadLineError as problem:
                refused.append((number, problem.reason, line.removesuffix("\r").encode()))
                continue
            require(missing=[], unknown=row.unknown, doubled=0, drift=self._drift)
            self._seen |= row.seen
            rows.append((number, *row.values, row.extra))
        schema = {ROW: pl.Int64, **dict.fromkeys(self._names, pl.String), EXTRA: pl.String}
        return pl.DataFrame(rows, schema=schema, orient="row"), refused

    def _bad_rows(self, bad: Sequence[tuple[int, str, bytes]]) -> pl.DataFrame:
        told = [(row, self._text.reason if why == ENCODING else why, self._text.restored(b)) for row, why, b in bad]
        return pl.DataFrame(told, schema={ROW: pl.Int64, BAD: pl.String, BYTES: pl.Binary}, orient="row")


def _whole_lines(pieces: Iterator[bytes], size: int) -> Iterator[bytes]:
    """Blocks of whole lines.

    Raises:
        FileRejectedError: a line without end.
    """
    parts: list[bytes] = []
    length = 0
    for piece in pieces:
        parts.append(piece)
        length += len(piece)
        if length < size:
            continue
        buffer = b"".join(parts)
        end = buffer.rfind(b"\n") + 1
        if end:
            yield buffer[:end]
        if len(buffer) - end > MAX_LINE:
            message = f"a line is longer than {MAX_LINE // 1024 // 1024} MiB"
            raise FileRejectedError(message, hint="one JSON object a line, not one array of them")
        parts, length = [buffer[end:]], 0  # as many bytes again before the next look
    yield b"".join(parts)


def _lines(block: bytes) -> tuple[pl.Series, dict[int, bytes]]:
    """The lines as text, null where they are none; and the bytes of those."""
    block = block.removesuffix(b"\n")
    try:
        text = block.decode("utf-8")
    except UnicodeDecodeError:
        pass  # line by line, then
    else:
        return pl.select(pl.lit(text).str.split("\n").explode()).to_series(), {}
    texts: list[str | None] = []
    spoilt: dict[int, bytes] = {}
    for number, line in enumerate(block.split(b"\n")):
        try:
            texts.append(line.decode("utf-8"))
        except UnicodeDecodeError:
            texts.append(None)
            spoilt[number] = line.removesuffix(b"\r")
    return pl.Series(texts, dtype=pl.String), spoilt


def shape_of(lines: Sequence[str], paths: Paths) -> _Shape | None:
    """What the first plain line looks like; None when none of them is plain."""
    if not paths.flat:
        return None
    for line in lines:
        try:
            found = parse(line)
        except BadLineError:
            continue
        nested = any(isinstance(value, dict | list) for value in found.values())
        plain = all(_PLAIN_KEY.fullmatch(key) for key in found)
        inside = any(key in paths.tree and key not in paths.flat for key in found)
        if found and not nested and plain and not inside and len(found) <= _MOST_KEYS:
            members = ", ?".join(f'"{re.escape(key)}": ?{_VALUE}' for key in found)
            return _Shape(tuple(found), rf"^(\{{){members}\}}\r?$")
    return None
