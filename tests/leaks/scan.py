"""Finds planted markers in every byte below a folder: as they are, unpacked, decoded, and in other spellings.

A file is looked at as bytes and as everything that can be made of it: Parquet values, dictionaries, statistics and key-value
metadata; zstd and gzip frames wherever they stand; JSON inside JSON, also as the log's base85 notes; rows of SQLite. Where
markers may be is said by `allowed`: landing, and the data files that tables of staged, curated and features hold.
"""

from __future__ import annotations

import base64
import io
import json
import re
import sqlite3
import zipfile
import zlib
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from tests.leaks.planting import STEM

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.leaks.planting import Markers

_ZSTD, _GZIP, _SQLITE = b"\x28\xb5\x2f\xfd", b"\x1f\x8b\x08", b"SQLite format 3\0"
_BASE85 = re.compile(r"[0-9A-Za-z!#$%&()*+\-;<=>?@^_`{|}~]{16,}")
_MOST = 64 * 1024 * 1024
_DEEP = 6


@dataclass(frozen=True)
class Leak:
    """A marker where none may be: what it is of, the place, and how it was spelt."""

    place: str
    marker: str
    spelling: str


def spellings(text: str) -> dict[str, bytes]:
    """A text's bytes in every encoding that a log, a message or a database could give it."""
    plain = text.encode()
    found = {"utf-8": plain, "utf-16-le": text.encode("utf-16-le"), "utf-16-be": text.encode("utf-16-be")}
    found["hex"] = plain.hex().encode()
    found["HEX"] = plain.hex().upper().encode()
    found["json"] = "".join(f"\\u{ord(letter):04x}" for letter in text).encode()
    found["percent"] = "".join(f"%{ord(letter):02X}" for letter in text).encode()
    for shift in range(3):
        # what stands before and after decides the first and the last letters, so only the middle is looked for
        coded = base64.b64encode(b"\0" * shift + plain)
        first = -(-shift * 8 // 6)
        found[f"base64+{shift}"] = coded[first : (shift + len(plain)) * 8 // 6]
    return found


class Scanner:
    """Looks for the markers of one planting."""

    def __init__(self, markers: Markers) -> None:
        self._markers = markers
        self._stems = {
            (name, form): coded
            for form in (STEM, STEM.lower(), STEM.upper())
            for name, coded in spellings(form).items()
        }
        self._rare = {value.encode(): label for value, label in markers.rare.items()}
        self._rare |= {
            int(value).to_bytes(8, "little"): label
            for value, label in markers.rare.items()
            if value.isdigit() and len(value) > 12
        }

    def content(self, place: str, content: bytes) -> list[Leak]:
        """The markers in one piece of bytes, decoded as far as it goes."""
        pieces = list(views(place, content))
        # one search for all of them: most files hold nothing
        if not any(self._view(place, b"\n".join(view for _, view in pieces))):
            return []
        return [leak for where, view in pieces for leak in self._view(where, view)]

    def _view(self, place: str, content: bytes) -> Iterator[Leak]:
        for (name, _), coded in self._stems.items():
            at = content.find(coded)
            if at >= 0:
                yield Leak(place, self._label(content[at : at + 12 * len(coded)], name), name)
        for value, label in self._rare.items():
            at = content.find(value)
            while at >= 0:
                if _stands_alone(content, at, len(value)):
                    yield Leak(place, label, "value")
                    break
                at = content.find(value, at + 1)

    def _label(self, around: bytes, spelling: str) -> str:
        """Which table and column the marker is of, where its number can be read."""
        text = {"utf-16-le": "utf-16-le", "utf-16-be": "utf-16-be"}.get(spelling, "latin-1")
        found = re.match(rf"{STEM}(\d{{4}})", around.decode(text, "replace"), re.IGNORECASE)
        return self._markers.labels.get(found[1], "?") if found else "?"

    def tree(self, root: Path, *, without: frozenset[Path] = frozenset()) -> list[Leak]:
        """The markers in all files below a folder, in their names and those of folders."""
        found: list[Leak] = []
        for path in sorted(root.rglob("*")):
            if path in without or any(parent in without for parent in path.parents):
                continue
            found += self._view(f"the name of {path.relative_to(root).parent}/…", path.name.encode())
            if path.is_file() and not path.is_symlink():
                found += self.content(str(path.relative_to(root)), path.read_bytes())
        return list(dict.fromkeys(found))


def _stands_alone(content: bytes, at: int, length: int) -> bool:
    around = content[at - 1 : at] + content[at + length : at + length + 1]
    return not re.search(rb"[0-9A-Za-z]", around)


def views(place: str, content: bytes, depth: int = 0) -> Iterator[tuple[str, bytes]]:
    """The bytes, and what they decode to."""
    yield place, content
    if depth >= _DEEP:
        return
    for where, more in _decoded(place, content):
        yield from views(where, more, depth + 1)


def _decoded(place: str, content: bytes) -> Iterator[tuple[str, bytes]]:
    yield from frames(place, content)
    if content[:4] == b"PAR1" == content[-4:]:
        yield from _parquet(place, content)
    elif content.startswith(_SQLITE):
        yield from _sqlite(place, content)
    elif content[:4] == b"PK\x03\x04":
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            yield from ((f"{place}!{name}", archive.read(name)) for name in archive.namelist())
    elif content[:1] in b"{[" and content:
        yield from _json(place, content)


def frames(place: str, content: bytes) -> Iterator[tuple[str, bytes]]:
    """Compressed frames wherever they stand: pages and dictionaries of Parquet, logs, packed files."""
    for magic, name in ((_ZSTD, "zstd"), (_GZIP, "gzip")):
        at = content.find(magic)
        while at >= 0:
            with suppress(zstandard.ZstdError, zlib.error):
                unpack = zstandard.ZstdDecompressor().decompressobj() if name == "zstd" else zlib.decompressobj(31)
                yield f"{place} ({name} at {at})", unpack.decompress(content[at : at + _MOST])
            at = content.find(magic, at + 1)


def _parquet(place: str, content: bytes) -> Iterator[tuple[str, bytes]]:
    file = pq.ParquetFile(io.BytesIO(content))
    told = dict(file.metadata.metadata or {})
    if b"ARROW:schema" in told:
        told[b"decoded"] = base64.b64decode(told[b"ARROW:schema"])
    yield f"{place} (key-value metadata)", b"\n".join(part for pair in told.items() for part in pair)
    for group in range(file.metadata.num_row_groups):
        for at in range(file.metadata.num_columns):
            chunk = file.metadata.row_group(group).column(at)
            bounds = chunk.statistics
            if bounds is not None and bounds.has_min_max:
                yield f"{place} (statistics of {chunk.path_in_schema})", f"{bounds.min}\n{bounds.max}".encode()
    for name, column in zip(file.schema_arrow.names, file.read().columns, strict=True):
        for part in _cells(column):
            yield f"{place} (values of {name})", part


def _cells(column: pa.ChunkedArray) -> Iterator[bytes]:
    kind = column.type
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        yield b"\n".join(value for value in column.to_pylist() if value is not None)
        return
    texts = [text for value in column.to_pylist() for text in _texts(value)]
    yield "\n".join(texts).encode("utf-8", "surrogatepass")
    # a text that is JSON may spell a value by escapes, or hold the log's packed notes
    yield from (text for _, text in _within("", texts))


def _json(place: str, content: bytes) -> Iterator[tuple[str, bytes]]:
    lines = content.splitlines() if content[:1] == b"{" else [content]
    for line in lines:
        with suppress(ValueError):
            texts = list(_texts(json.loads(line)))
            yield f"{place} (json)", "\n".join(texts).encode("utf-8", "surrogatepass")
            yield from _within(place, texts)


def _within(place: str, texts: list[str]) -> Iterator[tuple[str, bytes]]:
    """What texts hold that are JSON or packed themselves."""
    for text in texts:
        if text[:1] in {"{", "["}:
            yield f"{place} (json)", text.encode("utf-8", "surrogatepass")
        elif text[:1] == "c" and _BASE85.fullmatch(text):  # what zlib's first byte becomes
            with suppress(ValueError, zlib.error):
                yield f"{place} (base85, zlib)", zlib.decompress(base64.b85decode(text))


def _texts(value: Any) -> Iterator[str]:
    """Every text in a document, keys too; numbers and dates as text."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from _texts(key)
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)
    elif value is not None:
        yield str(value)


def _sqlite(place: str, content: bytes) -> Iterator[tuple[str, bytes]]:
    """All rows of all tables; deleted ones are in the bytes, if anywhere."""
    with closing(sqlite3.connect(":memory:")) as connection:
        # a copy in rollback mode: a file that was left in WAL mode cannot be read from memory
        connection.deserialize(content[:18] + b"\x01\x01" + content[20:])
        try:
            named = connection.execute("select name from sqlite_master where type = 'table'").fetchall()
            for (name,) in named:
                rows = connection.execute(f'select * from "{name}"').fetchall()
                texts = [
                    text for row in rows for value in row if not isinstance(value, bytes) for text in _texts(value)
                ]
                yield f"{place} (table {name})", "\n".join(texts).encode("utf-8", "surrogatepass")
                yield from _within(f"{place} (table {name})", texts)
                blobs = [value for row in rows for value in row if isinstance(value, bytes)]
                yield f"{place} (table {name}, blobs)", b"\n".join(blobs)
        except sqlite3.DatabaseError:
            return


def decoded_files(root: Path) -> Iterator[tuple[str, bytes]]:
    """Everything below a folder as `views` sees it."""
    for path in sorted(root.rglob("*")):
        if path.is_file():
            yield from views(str(path.relative_to(root)), path.read_bytes())
