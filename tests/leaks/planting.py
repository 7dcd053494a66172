"""Markers and the files that carry them: a value of its own for every personal column of every contract.

What is personal is read from the contracts. A column gets a rare value that its checks let through, where there is one
(text, patterns, numbers, dates), and a text marker in a row that fails them, whatever its type is; so rows that are staged
and rows that are not both carry markers. File names, headers and unreadable records carry some too.
"""

from __future__ import annotations

import datetime as dt
import fnmatch
import gzip
import io
import re
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from lakehouse.contract.model import Logical, Rule
from lakehouse.demo import patterns
from lakehouse.demo.generate import generate

if TYPE_CHECKING:
    from pathlib import Path

    from lakehouse.contract.model import Column, Project, Table

#: Every text marker begins so; four digits that name its column follow, then what makes it unique.
STEM = "Zq7MARKER"
#: Shorter values stand in too many places by chance to be looked for.
_SHORTEST = 6
#: Rows with rare values that a file gets, few enough that not too many of them refer to nothing; files of a table that are kept.
ROWS, FILES = 2, 3
_BOUNDS = {Logical.INTEGER: (10**15, 9 * 10**15), Logical.DECIMAL: (0, 10**9)}


@dataclass
class Markers:
    """What was planted: the text markers by number, and other rare values by the text that they are seen as."""

    labels: dict[str, str] = field(default_factory=dict)
    rare: dict[str, str] = field(default_factory=dict)
    _known: dict[str, str] = field(default_factory=dict)

    def text(self, *of: str) -> str:
        """A new text marker of a column."""
        label = "/".join(of)
        number = self._known.setdefault(label, f"{len(self._known):04d}")
        self.labels[number] = label
        return f"{STEM}{number}N{len(self.labels):03d}"

    def value(self, table: Table, column: Column, row: int) -> str | None:
        """A rare value that the column's checks let through, as delivered; None when they leave no choice."""
        rules = {check.rule: check for check in table.checks if check.columns[:1] == (column.name,)}
        logical, label = column.type.logical, f"{table.id}/{column.name}"
        if Rule.ENUM in rules or logical is Logical.BOOLEAN:
            return None
        if logical is Logical.STRING:
            return self._string(column, rules[Rule.PATTERN].pattern if Rule.PATTERN in rules else None, label, row)
        # ids are the same wherever a column has the name, so that rows refer to each other
        rng = np.random.default_rng([*column.name.encode(), row])
        if logical in {Logical.DATE, Logical.TIMESTAMP}:
            return self._instant(column, rng, label)
        return self._number(column, rules.get(Rule.RANGE), rng, label)

    def _string(self, column: Column, pattern: str | None, label: str, row: int) -> str | None:
        marker = f"{self.text(label)}R{row}"
        if pattern is None or re.fullmatch(pattern, marker):
            return marker
        if re.fullmatch(pattern, f"{marker}@leak.example"):
            return f"{marker}@leak.example"
        rng = np.random.default_rng([*column.name.encode(), row])
        drawn = patterns.matching(rng, 1, pattern)[0]
        if len(drawn) <= _SHORTEST:
            return None
        self.rare[drawn] = label
        return drawn

    def _number(self, column: Column, bounds, rng: np.random.Generator, label: str) -> str | None:
        low, high = _BOUNDS.get(column.type.logical, (0, 10**6))
        if bounds is not None and bounds.maximum is not None:
            low, high = max(0, int(float(bounds.minimum or 0))), int(float(bounds.maximum)) - 1
        scale = column.type.scale or 0
        if column.type.precision:
            high = min(high, 10 ** (column.type.precision - scale) - 1)
        if high - low < 10**_SHORTEST // 10**scale // 2:
            return None
        number = int(rng.integers((low + high) // 2, high))
        found = Decimal(number)
        if scale:
            found += Decimal(int(rng.integers(11, 10**scale))).scaleb(-scale)
            if str(found).endswith("0"):
                found += Decimal(1).scaleb(-scale)
        self.rare[str(found)] = label
        return str(found)

    def _instant(self, column: Column, rng: np.random.Generator, label: str) -> str:
        moment = dt.datetime(1913, 1, 1) + dt.timedelta(seconds=int(rng.integers(0, 10**9)))
        shown = moment.date() if column.type.logical is Logical.DATE else moment
        said = shown.strftime(column.type.format) if column.type.format else str(shown)
        for spelling in {said, shown.isoformat(), str(shown)} - {""}:
            if len(spelling) > _SHORTEST:
                self.rare[spelling] = label
        return said


def personal(table: Table) -> list[Column]:
    """The delivered columns that the contract calls personal."""
    return [column for column in table.delivered if column.personal]


def planted_files(project: Project, markers: Markers, place: Path, *, rows: int) -> dict[Table, list[Path]]:
    """Well-formed files of the generator, some rows with rare values, some that fail, and files that cannot be taken."""
    made = generate(project, place, rows=rows, seed=3)
    files: dict[Table, list[Path]] = {}
    for table in project.tables:
        if table.sources:
            mine = sorted(file for file in made.files if file.parent == place / table.id.domain / table.id.table)
            files[table] = [_marked(table, mine[0], markers), *mine[1:FILES]]
            files[table] += broken_files(table, mine[0], markers)
    return files


def _marked(table: Table, file: Path, markers: Markers) -> Path:
    """The file with planted rows, under a planted name."""
    frame = _read(table, file)
    names = {column.name: column.path for column in personal(table)}
    planted: list[pl.DataFrame] = []
    for number in range(ROWS):
        row = frame.slice(number, 1)
        for column in table.delivered:
            value = markers.value(table, column, number) if column.personal else None
            value = value or _fresh_key(table, column, number, frame)
            row = row if value is None else _with(row, 0, {column.path: value})
        planted.append(row)
    frame = pl.concat([frame, *planted])
    failing = frame.tail(1)
    for column in personal(table):
        failing = _with(failing, 0, {column.path: markers.text(str(table.id), column.name, "failing")})
    content = _text(table, pl.concat([frame, failing] if names else [frame]))
    if table.sealed:  # what is nobody's stays clear in raw
        content += _unreadable(table, markers)
    target = file.with_name(named(file.name, markers.text(str(table.id), "file name"), table))
    target.write_bytes(gzip.compress(content) if target.suffix == ".gz" else content)
    return target


def _fresh_key(table: Table, column: Column, row: int, frame: pl.DataFrame) -> str | None:
    """A value that no other row has, for a key that cannot be a marker: another row of that key would take its place."""
    if column.name not in table.key:
        return None
    if column.type.logical is Logical.INTEGER:
        return str(8_000_000 + row)
    pattern = next((c.pattern for c in table.checks if c.rule is Rule.PATTERN and c.columns == (column.name,)), None)
    if pattern is None:
        return None
    rng, taken = np.random.default_rng([*column.name.encode(), row]), set(frame[column.path])
    return next(drawn for drawn in patterns.matching(rng, len(taken) + 10, pattern) if drawn not in taken)


def _unreadable(table: Table, markers: Markers) -> bytes:
    """Records that cannot be split into fields or are no text."""
    mark = table.sources[0].delimiter
    torn = markers.text(str(table.id), "torn record") + mark * 90 + "\n"
    quoted = f'"{markers.text(str(table.id), "badly quoted record")}"x{mark}1\n'
    spoilt = mark.join([markers.text(str(table.id), "badly encoded record")] * len(table.delivered))
    return (torn + quoted).encode() + spoilt.encode() + b"\xff\xfe\n"


def broken_files(table: Table, file: Path, markers: Markers) -> list[Path]:
    """Files that are rejected as a whole: another header, broken packing, a name that fits no source."""
    marker = markers.text(str(table.id), "rejected file")
    strange = file.with_name(named("strange.csv" if _fits(table, "strange.csv") else file.name, marker + "h", table))
    lines = f"{marker}a,{marker}b\n{marker},{marker}\n".encode()
    strange.write_bytes(gzip.compress(lines) if strange.suffix == ".gz" else lines)
    found = [strange]
    if _fits(table, f"{marker}.csv.gz"):
        broken = file.with_name(f"{marker}.csv.gz")
        broken.write_bytes(gzip.compress(lines)[:-9] + lines)
        found.append(broken)
    nobodys = file.with_name(f"{marker}.nobodys")
    nobodys.write_bytes(lines)
    return [*found, nobodys]


def named(name: str, marker: str, table: Table) -> str:
    """A file name with a marker in it that still fits the table's source."""
    stem, dot, suffix = name.partition(".")
    wanted = f"{stem}-{marker}{dot}{suffix}"
    assert _fits(table, wanted), wanted
    return wanted


def _fits(table: Table, name: str) -> bool:
    return any(fnmatch.fnmatchcase(name, source.pattern) for source in table.sources)


def _read(table: Table, file: Path) -> pl.DataFrame:
    content = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
    return pl.read_csv(content, separator=table.sources[0].delimiter, infer_schema=False, empty_string_is_null=False)


def _text(table: Table, frame: pl.DataFrame) -> bytes:
    text = io.BytesIO()
    frame.write_csv(text, separator=table.sources[0].delimiter)
    return text.getvalue()


def _with(frame: pl.DataFrame, row: int, values: dict[str, str]) -> pl.DataFrame:
    here = pl.int_range(frame.height) == row
    return frame.with_columns(pl.when(here).then(pl.lit(v)).otherwise(pl.col(n)).alias(n) for n, v in values.items())
