"""The exact splitter: which bytes are one record, and why a record cannot be read.

The grammar is RFC 4180 with the contract's marks: fields between delimiters, records end with LF or CRLF, a field is
quoted as a whole or not at all, a quote inside a quoted field is doubled, or escaped where the contract says so. Comments
and empty lines are no records (the latter unless the table has one column). Everything else is a bad record with a
reason, and reading goes on: at the next record when only the number of fields is wrong, at the next line when quoting is
broken, so that one stray quote costs one line and not the file. What is bad never depends on where a block was cut.
Written with possessive regular expressions over bytes; `prepass` proves the common case without it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from functools import lru_cache

from lakehouse.errors import FileRejectedError

#: A record that is not finished after this many bytes is broken.
MAX_RECORD = 8 * 1024 * 1024
#: A line that is not finished after this many makes the file no table.
MAX_LINE = 64 * 1024 * 1024
#: Records examined in one step: big enough for the regular expression to run in C, small enough to look again.
_RUN = 1000

QUOTING = "quotes are out of place"
ENCODING = "not valid UTF-8"
RETURN = "a carriage return outside quotes"
NUL = "a NUL byte"
LONG = "longer than a record may be"


@dataclass(frozen=True)
class Dialect:
    """How a delivered file is written.

    Attributes:
        columns: fields of a record.
        delimiter: one byte, as are quote and escape.
        quote: None where there is no quoting.
        escape: None where a quote within quotes is doubled.
        comment: how lines start that are no records.
    """

    columns: int
    delimiter: bytes = b","
    quote: bytes | None = b'"'
    escape: bytes | None = None
    comment: bytes | None = None

    @property
    def plain(self) -> Dialect:
        """The dialect of what `split` gives as clean: quotes doubled, no comments."""
        return replace(self, escape=None, comment=None)


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
        clean: the clean records' bytes, in order, each with its line end, in the dialect's `plain` form.
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
    skipped: re.Pattern[bytes]
    quoted: re.Pattern[bytes]
    escaped: re.Pattern[bytes]


_LINE = re.compile(rb"[^\n]*+\n")
_NEVER = re.compile(rb"(?!)")


@lru_cache(maxsize=64)
def _grammar(dialect: Dialect) -> _Grammar:
    comma = re.escape(dialect.delimiter)
    body, cell, opened = _cells(dialect)
    comment = None if dialect.comment is None else re.escape(dialect.comment)
    record = b"" if comment is None else b"(?!" + comment + b")"
    one = record + b"(?:" + cell + comma + b"){%d}" % (dialect.columns - 1) + cell + rb"\r?\n"
    escape, mark = re.escape(dialect.escape or b""), re.escape(dialect.quote or b"")
    return _Grammar(
        field=re.compile(cell + b"(?:" + comma + rb"|\r?\n)"),
        one=re.compile(one),
        run=re.compile(b"(?:" + one + b"){1,%d}+" % _RUN),
        any=re.compile(b"(?:" + cell + comma + b")*+" + cell + rb"\r?\n"),
        unfinished=re.compile(b"(?:" + cell + comma + b")*+" + opened + rb"\Z"),
        skipped=_skipped(dialect.columns, comment),
        quoted=re.compile(body + mark) if dialect.quote else _NEVER,
        escaped=re.compile(escape + b"([" + escape + mark + b"])") if dialect.escape else _NEVER,
    )


def _cells(dialect: Dialect) -> tuple[bytes, bytes, bytes]:
    """Expressions for a quoted field up to its closing quote, for any field, and for one that is not finished."""
    comma = re.escape(dialect.delimiter)
    if dialect.quote is None:
        some = b"[^" + comma + rb"\r\n]*+"
        return b"", some, some + rb"\r?"
    mark = re.escape(dialect.quote)
    plain = b"[^" + mark + comma + rb"\r\n]*+"
    if dialect.escape is None:
        body = mark + b"[^" + mark + b"]*+(?:" + mark + mark + b"[^" + mark + b"]*+)*+"
        # A quote at the very end may close the field or be the first half of a doubled one.
        end = b"(?:" + mark + rb"\r?)?"
    else:
        escape = re.escape(dialect.escape)
        free = b"[^" + mark + escape + b"]*+"
        body = mark + free + b"(?:" + escape + rb"[\s\S]" + free + b")*+"
        end = b"(?:" + mark + rb"\r?|" + escape + b")?"
    cell = b"(?:" + body + mark + b"|" + plain + b")"
    return body, cell, b"(?:" + body + end + b"|" + plain + rb"\r?)"


def _skipped(columns: int, comment: bytes | None) -> re.Pattern[bytes]:
    """Lines that are no records: comments, and empty ones where a record cannot be empty."""
    kinds = [rb"\r?\n"] if columns > 1 else []
    if comment is not None:
        kinds.append(comment + rb"[^\n]*+\n")
    return re.compile(b"(?:" + b"|".join(kinds) + b")++") if kinds else _NEVER


def fields(record: bytes, dialect: Dialect) -> list[bytes]:
    """The values of one whole record (with its line end), quotes taken off."""
    comma, mark = dialect.delimiter, dialect.quote
    values: list[bytes] = []
    for match in _grammar(dialect).field.finditer(record):
        value = match.group()
        value = value[:-1] if value.endswith(comma) else value.rstrip(b"\r\n")
        values.append(_bare(value, dialect) if mark is not None and value.startswith(mark) else value)
    return values


def _bare(value: bytes, dialect: Dialect) -> bytes:
    """A quoted value without its quotes."""
    inner, mark = value[1:-1], dialect.quote or b""
    if dialect.escape is None:
        return inner.replace(mark + mark, mark)
    # A backslash before anything but a quote or a backslash is a backslash: dropping it would lose what was delivered.
    return _grammar(dialect).escaped.sub(rb"\1", inner) if dialect.escape in inner else inner


def first_record(block: bytes, dialect: Dialect) -> tuple[bytes, int] | None:
    """The first record's bytes with its line end, whatever its number of fields, and where it ends.

    None when there is no record, or its quoting is broken.
    """
    lines = _skipped(2, None if dialect.comment is None else re.escape(dialect.comment)).match(block)
    match = _grammar(dialect).any.match(block, lines.end() if lines else 0)
    return (match.group(), match.end()) if match else None


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
        end = position if run is None else _end(run, grammar)
        if end > position:
            _take_run(result, block[position:end], dialect)
            position = end
            continue
        step = _take_bad(result, block, position, dialect, at_end=at_end)
        if step is None:
            result.rest = block[position:]
            break
        position = step
    return result


def _end(run: re.Match[bytes], grammar: _Grammar) -> int:
    """Where a run of clean records ends: before the first one that is too long."""
    if run.end() - run.start() <= MAX_RECORD:
        return run.end()
    end = run.start()
    for record in grammar.one.finditer(run.string, *run.span()):
        if record.end() - record.start() > MAX_RECORD:
            break
        end = record.end()
    return end


def _take_run(result: Split, run: bytes, dialect: Dialect) -> None:
    """Add records that are split well; those that are no text are bad."""
    if _spoilt(run) is None:
        result.clean += _plain(run, dialect)
        result.records += _count(run, dialect)
        return
    for record in records(run, dialect):
        reason = _spoilt(record)
        if reason is None:
            result.clean += _plain(record, dialect)
            result.records += 1
        else:
            _add_bad(result, record, reason)


def _plain(run: bytes, dialect: Dialect) -> bytes:
    """The same records with quotes doubled instead of escaped."""
    escape, mark = dialect.escape, dialect.quote or b""
    if escape is None or escape not in run:
        return run
    if escape + escape not in run:
        # No plain field holds a quote, so an escaped one is within quotes wherever it stands.
        return run.replace(escape + mark, mark + mark)

    def doubled(match: re.Match[bytes]) -> bytes:
        value = match.group()
        return value if escape not in value else mark + _bare(value, dialect).replace(mark, mark * 2) + mark

    return _grammar(dialect).quoted.sub(doubled, run)


def _take_bad(result: Split, block: bytes, position: int, dialect: Dialect, *, at_end: bool) -> int | None:
    """Take what is no clean record at `position` (lines to skip, a bad record); None when more bytes must decide."""
    grammar = _grammar(dialect)
    skipped = grammar.skipped.match(block, position)
    if skipped is not None:
        return skipped.end()
    whole = grammar.any.match(block, position, position + MAX_RECORD)
    if whole is not None:
        found = len(fields(whole.group(), dialect))
        _add_bad(result, whole.group(), f"{found} fields instead of {dialect.columns}")
        return whole.end()
    if not at_end and len(block) - position <= MAX_RECORD and grammar.unfinished.match(block, position):
        return None
    line = _LINE.match(block, position)
    if line is None:
        if len(block) - position <= MAX_LINE:
            return None
        raise FileRejectedError(
            f"a line is longer than {MAX_LINE // 1024 // 1024} MiB", hint="is this a text table at all?"
        )
    broken = line.group()
    if len(broken) > MAX_RECORD:
        _add_bad(result, broken, LONG)
    else:
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


def _spoilt(content: bytes) -> str | None:
    """Why bytes are no text; None when they are."""
    if b"\0" in content:
        return NUL
    if content.isascii():
        return None
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return ENCODING
    return None
