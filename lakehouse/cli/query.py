"""`lakehouse query`: one select as a person and for a purpose, under the policy, on the embedded engine.

What may be asked is `serving.guard`'s, what is shown the policy's; here is only how a result is printed or written. Exit 3
when it is denied or refused.
"""

# pyarrow ships no types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

import io
import math
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lakehouse.cli import output, words
from lakehouse.errors import UsageError

if TYPE_CHECKING:
    import pyarrow as pa
    from rich.console import Console

#: Rows that people are shown; the other formats have all of them.
MOST_ROWS = 100
_WIDEST = 10_000


class Format(StrEnum):
    """How a result is written."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"
    ARROW = "arrow"


def query(
    sql: Annotated[
        str, typer.Argument(metavar="SQL", help="One select over the purpose's views; `-` reads it from stdin.")
    ],
    *,
    user: Annotated[str, typer.Option("--as", metavar="USER", help="Who asks: a member of groups in `groups.yaml`.")],
    purpose: Annotated[str, typer.Option("--purpose", metavar="P", help="What for: one of `purposes.yaml`.")],
    form: Annotated[Format, typer.Option("--format", help="How the result is written.")] = Format.TABLE,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Write the result to a new file.")] = None,
    lake: output.LakeFolder = None,
    _json: output.Json = False,
) -> None:
    """Ask the lake as somebody, for a purpose: what the policy lets him see, and nothing else.

    Views are called `<domain>_<table>`. Whoever can read the lake's files does not need this command to read them.
    """
    from lakehouse.serving import connect

    if out is not None and out.exists():
        raise UsageError("the file is there already", where=str(out), hint="name a new file")
    if form is Format.TABLE and out is not None:
        raise UsageError("a table is for reading on a terminal", where="--out", hint="choose `--format csv` or another")
    text = sys.stdin.read() if sql == "-" else sql
    with connect(user, purpose, lake=lake) as connection:
        found = connection.arrow(text)
    if output.as_json():
        output.emit({"columns": _columns(found), "rows": _rows(found), "count": found.num_rows}, lambda _: None)
    elif form is Format.TABLE:
        output.emit({}, lambda console: _show(console, found))
    else:
        _write(_encoded(found, form), out)


def _show(console: Console, found: pa.Table) -> None:
    headings = [("#" if _is_number(item.type) else "") + item.name for item in found.schema]
    lines = [tuple(_cell(value) for value in row) for row in _rows(found.slice(0, MOST_ROWS))]
    # A terminal wraps long lines; a table that is made to fit it loses whole columns.
    console.width = _WIDEST
    console.print(output.grid(None, headings, lines))
    if found.num_rows > MOST_ROWS:
        rest = found.num_rows - MOST_ROWS
        output.talk().print(f"[dim]and {words.plural(rest, 'row')} more: --format csv has all of them[/]")


def _encoded(found: pa.Table, form: Format) -> bytes:
    """The result in a format of files."""
    import json

    import pyarrow as pa
    import pyarrow.csv as pc
    import pyarrow.parquet as pq

    names = [name for name in found.schema.names if found.schema.names.count(name) > 1]
    if names and form is not Format.ARROW:
        raise UsageError("two columns of the result have one name", where="the query", hint="name them apart with `as`")
    sink = io.BytesIO()
    if form is Format.CSV:
        pc.write_csv(found, sink)
    elif form is Format.PARQUET:
        pq.write_table(found, sink)
    elif form is Format.ARROW:
        with pa.ipc.new_stream(sink, found.schema) as stream:
            stream.write_table(found)
    else:
        rows = [dict(zip(found.schema.names, row, strict=True)) for row in _rows(found)]
        sink.write((json.dumps(rows, indent=2, default=str, ensure_ascii=False) + "\n").encode())
    return sink.getvalue()


def _write(content: bytes, out: Path | None) -> None:
    if out is None:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
        return
    # Personal values may be in it: a file for its owner alone.
    out.touch(mode=0o600, exist_ok=False)
    out.write_bytes(content)


def _columns(found: pa.Table) -> list[dict[str, str]]:
    return [{"name": item.name, "type": str(item.type)} for item in found.schema]


def _rows(found: pa.Table) -> list[list[Any]]:
    """Rows of plain values; what JSON has no word for is null."""
    columns = [[_plain(value) for value in column.to_pylist()] for column in found.columns]
    return [list(row) for row in zip(*columns, strict=True)]


def _plain(value: object) -> object:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _cell(value: object) -> str:
    isoformat = getattr(value, "isoformat", None)
    return "" if value is None else str(isoformat() if callable(isoformat) else value)


def _is_number(kind: pa.DataType) -> bool:
    import pyarrow.types as kinds

    return kinds.is_integer(kind) or kinds.is_floating(kind) or kinds.is_decimal(kind)
