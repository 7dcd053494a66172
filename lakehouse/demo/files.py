"""Writing generated rows as the files of a source: its header, delimiter, file names and compression.

A file is written as `.<name>.part` and appears under its name when it is whole, as a landing folder expects. Files are
written in order of their numbers, several at once; a file that goes on in the next block stays open until then.
"""

from __future__ import annotations

import gzip
import io
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, BinaryIO, cast

import polars as pl

from lakehouse.contract.model import Logical
from lakehouse.demo.recipe import TableRecipe
from lakehouse.demo.rows import FILE

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Sequence
    from pathlib import Path

    from lakehouse.contract.model import Column, Table

_GZIP_LEVEL = 1  # 150 MB/s here; level 6 is three times slower for 20 % less


def file_names(table: Table, days: Sequence[dt.date], pattern: str | None) -> tuple[str, ...]:
    """One name a day when the source (or the recipe's `pattern`) dates its files, else one name."""
    source = table.sources[0] if table.sources else None
    dated = pattern or (source.delivered_at if source else None)
    if dated and "%" in dated:
        return tuple(day.strftime(dated) for day in days)
    if dated:
        return (dated,)
    shape = source.pattern if source else "*.csv"
    name = shape.replace(".csv*", ".csv").replace("*", table.id.table)
    return (name if "." in name else f"{name}.csv",)


class FileSet:
    """The files of one table, open while their rows may still come."""

    def __init__(self, table: Table, folder: Path, names: Sequence[str], recipe: TableRecipe | None = None) -> None:
        self.names = tuple(names)
        self.files: list[Path] = []
        self.rows = 0
        self._folder = folder
        self._source = table.sources[0] if table.sources else None
        self._columns = table.delivered
        self._recipe = recipe or TableRecipe()
        self._open: dict[int, BinaryIO] = {}

    def write(self, rows: pl.DataFrame, *, upto: int) -> None:
        """Write rows to their files; files numbered below `upto` are whole then."""
        self._folder.mkdir(parents=True, exist_ok=True)
        parts = rows.partition_by(FILE, maintain_order=True, as_dict=True)
        numbers = sorted(cast("int", key[0]) for key in parts)
        with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
            list(pool.map(self._append, numbers, [parts[(number,)] for number in numbers]))
        self.rows += len(rows)
        for number in sorted(self._open):
            if number < upto:
                self._finish(number)

    def close(self) -> None:
        """Finish every file that is still open."""
        for number in sorted(self._open):
            self._finish(number)

    def _append(self, number: int, rows: pl.DataFrame) -> None:
        new = number not in self._open
        if new:
            self._open[number] = self._opened(self._part(number))
        text = io.BytesIO()
        header = new and (self._source.header if self._source else True)
        quote, every = self._quote, self._recipe.quoted == "text"
        shown = [self._quoted(column) if every else pl.col(column.name) for column in self._columns]
        names = [column.source_name or column.name for column in self._columns]
        titles = [f"{quote}{name}{quote}" if every else name for name in names]
        rows.select(cell.alias(title) for cell, title in zip(shown, titles, strict=True)).write_csv(
            text,
            include_header=header,
            separator=self._source.delimiter if self._source else ",",
            quote_char=quote,
            quote_style="never" if every else "necessary",
            line_terminator=self._recipe.line_end,
        )
        self._open[number].write(text.getbuffer())

    @property
    def _quote(self) -> str:
        return self._source.quote if self._source else '"'

    def _quoted(self, column: Column) -> pl.Expr:
        """Text in quotes, whatever it holds; other types as they are. A missing value is an empty field."""
        cell, quote = pl.col(column.name), self._quote
        if column.type.logical is not Logical.STRING:
            return cell
        return pl.concat_str(pl.lit(quote), cell.str.replace_all(quote, quote * 2, literal=True), pl.lit(quote))

    def _opened(self, part: Path) -> BinaryIO:
        plain = part.open("wb")
        if not part.name.endswith(".gz.part"):
            return plain
        # No name and no time in the header, so that equal rows are equal bytes.
        return cast("BinaryIO", _Gzip(plain))

    def _part(self, number: int) -> Path:
        return self._folder / f".{self.names[number]}.part"

    def _finish(self, number: int) -> None:
        self._open.pop(number).close()
        whole = self._folder / self.names[number]
        self._part(number).replace(whole)
        self.files.append(whole)


class _Gzip(gzip.GzipFile):
    """A gzip file that also closes the file below it."""

    def __init__(self, below: BinaryIO) -> None:
        super().__init__(filename="", mode="wb", compresslevel=_GZIP_LEVEL, fileobj=below, mtime=0)
        self._below = below

    def close(self) -> None:
        super().close()
        self._below.close()
