"""The exact splitter: which bytes are one record, and why a record cannot be read.

The grammar is RFC 4180 and nothing else: fields between delimiters, records end with LF or CRLF, a field is quoted as a
whole or not at all, a quote inside a quoted field is doubled. Empty lines are no records (unless the table has one
column). Everything else is a bad record with a reason, and reading goes on: at the next record when only the number of
fields is wrong, at the next line when quoting is broken, so that one stray quote costs one line and not the file.
Written with possessive regular expressions over bytes; `prepass` proves the common case without it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache

from lakehouse.errors import FileRejectedError

#: A record that is not finished after this many bytes is broken; a longer line makes the file no table.
MAX_RECORD = 8 * 1024 * 1024
#: Records examined in one step: big enough for the regular expression to run in C, small enough to look again.
_RUN = 1000

QUOTING = "quotes are out of place"
ENCODING = "not valid UTF-8"
RETURN = "a carriage return outside quotes"


@dataclass(frozen=True)
class Dialect:
    """How a delivered file is written: one-byte delimiter and quote (None: there is no quoting), number of columns."""

    columns: int
    delimiter: bytes = b","
    quote: bytes | None = b'"'


@dataclass(frozen=True)
class BadRecord:
    """A record that cannot be split: its position in the block, its bytes without line end, and why."""

    row: int
    content: bytes
    reason: str


@dataclass
class Split:
    """A block taken apart.

    Attributes:
        clean: the clean records' bytes, in order, each with its line end.
        records: how many records there are, bad ones included.
        bad: the bad records in order.
        rest: bytes after the last whole record.
    """

    clean: bytearray = field(default_factory=bytearray)
    records: int = 0
    bad: list[BadRecord] = field(default_factory=list["BadRecord"])
    rest: bytes = b""

    @property
    def clean_records(self) -> int:
        """How many records `clean` holds."""
        return self.records - len(self.bad)


@dataclass(frozen=True)
class _Grammar:
    """The dialect's regular expressions."""

    field: re.Pattern[bytes]
    one: re.Pattern[bytes]
    run: re.Pattern[bytes]
    any: re.Pattern[bytes]
    unfinished: re.Pattern[bytes]


_LINE = re.compile(rb"[^\n]*+\n")
_BLANK = re.compile(rb"(?:\r?\n)++")


@lru_cache(maxsize=64)
def _grammar(dialect: Dialect) -> _Grammar:
    comma = re.escape(dialect.delimiter)
    if dialect.quote is None:
        some = cell = b"[^" + comma + rb"\r\n]*+"
        opened = some
    else:
        mark = re.escape(dialect.quote)
        plain = b"[^" + mark + comma + rb"\r\n]*+"
        body = mark + b"[^" + mark + b"]*+(?:" + mark + mark + b"[^" + mark + b"]*+)*+"
        cell = b"(?:" + body + mark + b"|" + plain + b")"
        # A quote at the very end may close the field or be the first half of a doubled one.
        opened = b"(?:" + body + b"(?:" + mark + rb"\r?)?|" + plain + rb"\r?)"
    leading = b"(?:" + cell + comma + b"){%d}" % (dialect.columns - 1)
    one = leading + cell + rb"\r?\n"
    return _Grammar(
        field=re.compile(cell + b"(?:" + comma + rb"|\r?\n)"),
        one=re.compile(one),
        run=re.compile(b"(?:" + one + b"){1,%d}+" % _RUN),
        any=re.compile(b"(?:" + cell + comma + b")*+" + cell + rb"\r?\n"),
        unfinished=re.compile(b"(?:" + cell + comma + b")*+" + opened + rb"\Z"),
    )


def fields(record: bytes, dialect: Dialect) -> list[bytes]:
    """The values of one whole record (with its line end), quotes taken off."""
    comma, mark = dialect.delimiter, dialect.quote
    values: list[bytes] = []
    for match in _grammar(dialect).field.finditer(record):
        value = match.group()
        value = value[:-1] if value.endswith(comma) else value.rstrip(b"\r\n")
        if mark is not None and value.startswith(mark):
            value = value[1:-1].replace(mark + mark, mark)
        values.append(value)
    return values


def first_record(block: bytes, dialect: Dialect) -> bytes | None:
    """The first record's bytes with its line end, whatever its number of fields; None when quoting is broken."""
    match = _grammar(dialect).any.match(block)
    return match.group() if match else None


def records(block: bytes | bytearray, dialect: Dialect) -> list[bytes]:
    """The records of a block that is clean throughout."""
    return [match.group() for match in _grammar(dialect).one.finditer(block)]


def split(block: bytes, dialect: Dialect, *, at_end: bool) -> Split:
    """Take a block apart: clean records, bad ones, and the rest that needs the next block's bytes.

    Args:
        block: bytes from the start of a record; at the end of the file it must end with a line feed.
        dialect: how the file is written.
        at_end: no bytes follow.

    Raises:
        FileRejectedError: a single line is longer than `MAX_RECORD`.
    """
    grammar = _grammar(dialect)
    result = Split()
    position = 0
    while position < len(block):
        run = grammar.run.match(block, position)
        if run is not None:
            _take_run(result, run.group(), dialect)
            position = run.end()
            continue
        step = _take_bad(result, block, position, dialect, at_end=at_end)
        if step is None:
            result.rest = block[position:]
            break
        position = step
    return result


def _take_run(result: Split, run: bytes, dialect: Dialect) -> None:
    """Add records that are split well; those that are not UTF-8 are bad."""
    if _is_text(run):
        result.clean += run
        result.records += _count(run, dialect)
        return
    for record in records(run, dialect):
        if _is_text(record):
            result.clean += record
        else:
            result.bad.append(BadRecord(result.records, record.rstrip(b"\r\n"), ENCODING))
        result.records += 1


def _take_bad(result: Split, block: bytes, position: int, dialect: Dialect, *, at_end: bool) -> int | None:
    """Take what is no clean record at `position` (blank lines, a bad record); None when more bytes must decide."""
    grammar = _grammar(dialect)
    blank = _BLANK.match(block, position)
    if blank is not None:
        return blank.end()
    whole = grammar.any.match(block, position)
    if whole is not None:
        found = len(fields(whole.group(), dialect))
        _add_bad(result, whole.group(), f"{found} fields instead of {dialect.columns}")
        return whole.end()
    undecided = not at_end and len(block) - position <= MAX_RECORD
    if undecided and grammar.unfinished.match(block, position):
        return None
    line = _LINE.match(block, position)
    if line is None:
        if undecided:
            return None
        raise FileRejectedError(
            f"a line is longer than {MAX_RECORD // 1024 // 1024} MiB", hint="is this a text table at all?"
        )
    broken = line.group()
    quoted = dialect.quote is not None and dialect.quote in broken
    _add_bad(result, broken, QUOTING if quoted else RETURN)
    return line.end()


def _add_bad(result: Split, record: bytes, reason: str) -> None:
    result.bad.append(BadRecord(result.records, record.removesuffix(b"\n").removesuffix(b"\r"), reason))
    result.records += 1


def _count(run: bytes, dialect: Dialect) -> int:
    if dialect.quote is None or dialect.quote not in run:
        return run.count(b"\n")
    return sum(1 for _ in _grammar(dialect).one.finditer(run))


def _is_text(content: bytes) -> bool:
    if content.isascii():
        return True
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
