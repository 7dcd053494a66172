"""The leak domain's files: the same rows in every format that a source can have, and every way to be broken."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from typing import TYPE_CHECKING

import polars as pl

from tests.leaks.planting import personal

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from lakehouse.contract.model import Table
    from tests.leaks.planting import Markers

FORMATS = (".csv", ".csv.gz", ".csv.zip", ".jsonl", ".parquet", ".arrow")
#: Delivered beside the contract, by a name that is somebody's.
_UNKNOWN = "unknown column"


def rows(table: Table, markers: Markers, start: int, count: int) -> pl.DataFrame:
    """Rows with a marker in each personal column, as text under the contract's names."""
    made: dict[str, list[str | None]] = {column.name: [] for column in table.delivered}
    for row in range(start, start + count):
        for column in table.delivered:
            if column in personal(table):
                made[column.name].append(markers.value(table, column, row))
            else:
                made[column.name].append(markers.text(str(table.id), column.name))
    return pl.DataFrame(made, schema=dict.fromkeys(made, pl.String))


def good_files(table: Table, markers: Markers, place: Path, *, formats: Sequence[str] = FORMATS) -> list[Path]:
    """A file in each format, names with markers, three rows each and an unknown column whose name is a marker too."""
    place.mkdir(parents=True, exist_ok=True)
    found: list[Path] = []
    for number, ending in enumerate(formats):
        frame = rows(table, markers, 10 + 3 * number, 3)
        header = markers.text(str(table.id), "unknown header")
        frame = frame.with_columns(pl.lit(markers.text(str(table.id), _UNKNOWN)).alias(header))
        path = place / f"{markers.text(str(table.id), 'file name')}{ending}"
        path.write_bytes(as_format(frame, ending))
        found.append(path)
    return found


def bad_files(table: Table, markers: Markers, place: Path, *, formats: Sequence[str] = FORMATS) -> list[Path]:
    """Rows that fail, records that cannot be read, and files that are broken as a whole, in each format."""
    place.mkdir(parents=True, exist_ok=True)
    known, found = str(table.id), []
    names = [column.name for column in table.delivered]
    for ending in formats:
        failing = {name: markers.text(known, name, "failing") for name in names}
        files = {"failing": as_format(pl.DataFrame([failing]), ending)}
        other = {f"{failing[name]}x": failing[name] for name in names[:2]}
        files["foreign"] = as_format(pl.DataFrame([other]), ending)
        whole = as_format(pl.DataFrame([failing] * 50), ending)
        files["cut"] = whole[: len(whole) // 2] + failing["name"].encode()
        if ending in {".csv", ".jsonl"}:
            files["torn"] = as_format(pl.DataFrame([failing]), ending) + _torn(failing, ending)
            files["spoilt"] = files["failing"].replace(b"N", b"N\xff\xfe")
            files["utf16"] = files["failing"].decode().encode("utf-16")
        for kind, content in files.items():
            path = place / f"{kind}-{markers.text(known, 'file name')}{ending}"
            path.write_bytes(content)
            found.append(path)
    return found


def _torn(failing: dict[str, str], ending: str) -> bytes:
    if ending == ".csv":
        return f'{failing["name"]},{failing["email"]}\n"{failing["name"]}"x,\n"{failing["email"]}'.encode()
    return (
        f'{{"name": "{failing["name"]}", "name": "x"}}\n{{"name": {failing["email"]}}}\n["{failing["name"]}"'.encode()
    )


def as_format(frame: pl.DataFrame, ending: str) -> bytes:
    """A frame of text as the bytes of a file with this ending."""
    buffer = io.BytesIO()
    if ending == ".parquet":
        frame.write_parquet(buffer)
    elif ending == ".arrow":
        frame.write_ipc(buffer)
    elif ending == ".jsonl":
        return b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in frame.iter_rows(named=True))
    else:
        frame.write_csv(buffer)
    content = buffer.getvalue()
    if ending == ".csv.gz":
        return gzip.compress(content)
    if ending == ".csv.zip":
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("inside.csv", content)
        return packed.getvalue()
    return content
