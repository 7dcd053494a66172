"""The feeds of a staged table: which files, and how each is written, as typed `Source`s.

A dialect that cannot be told apart by bytes (a delimiter that is also the quote, a mark outside ASCII) is a mistake of
the contract, found here and not by a reader at midnight.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING, Literal, cast, get_args

from lakehouse.contract import reading
from lakehouse.contract.model import ENCODINGS, FileFormat, Source
from lakehouse.model import Tier

if TYPE_CHECKING:
    from lakehouse.contract.findings import Findings
    from lakehouse.source import Node

#: Keys that only mean something in one format.
_OF_CSV = ("delimiter", "quote", "escape", "header", "comment")
_OF_TEXT = ("encoding",)


def read_sources(node: Node, own: Node | None, tier: Tier, findings: Findings) -> tuple[Source, ...]:
    """The typed feeds of a table."""
    if own and "sources" in own.entries and tier is not Tier.STAGED:
        findings.error("sources-tier", own.key("sources"), "only staged tables have sources", hint="say `inputs`")
    if tier is Tier.STAGED and not (own and "sources" in own.entries):
        hint = "`sources: [{name: feed, pattern: '*.csv'}]`"
        findings.error(
            "sources-missing", node, f"staged table `{reading.text(node, 'name') or ''}` has no sources", hint=hint
        )
    found: list[Source] = []
    for entry in reading.mappings(own, "sources"):
        source = _source(entry, findings)
        if any(other.name == source.name for other in found):
            findings.error("source-doubled", entry, f"source `{source.name}` stands twice")
        found.append(source)
    return tuple(found)


def _source(entry: Node, findings: Findings) -> Source:
    pattern = reading.text(entry, "delivered_at")
    if pattern and not _keeps_the_day(pattern):
        hint = "a strptime pattern of the file's name, such as `%Y-%m-%d.csv.gz`"
        findings.error("delivered-at", entry.entries["delivered_at"], "`delivered_at` does not name a day", hint=hint)
    quote = reading.text(entry, "quote")
    encoding = reading.text(entry, "encoding") or "utf-8"
    source = Source(
        name=reading.text(entry, "name") or "",
        pattern=reading.text(entry, "pattern") or "*",
        format=_format(entry),
        delimiter=reading.text(entry, "delimiter") or ",",
        quote='"' if quote is None else quote,
        escape=reading.text(entry, "escape"),
        header=not ("header" in entry.entries and not reading.flag(entry, "header")),
        encoding=encoding if encoding in ENCODINGS else "utf-8",
        comment=reading.text(entry, "comment"),
        complete=cast('Literal["settle", "marker"]', reading.text(entry, "complete") or "settle"),
        keep_days=reading.whole(entry, "keep_days", 0),
        delivered_at=pattern,
    )
    _judge_format(entry, source, findings)
    if source.format == "csv":
        _judge_dialect(entry, source, findings)
    return source


def _format(entry: Node) -> FileFormat:
    said = reading.text(entry, "format")
    return cast("FileFormat", said) if said in get_args(FileFormat) else "csv"


def _judge_format(entry: Node, source: Source, findings: Findings) -> None:
    foreign = () if source.format == "csv" else _OF_CSV
    if source.format in {"parquet", "arrow"}:
        foreign += _OF_TEXT
    for key in foreign:
        if key in entry.entries:
            findings.error("source-format", entry.key(key), f"`{key}` has no meaning for `format: {source.format}`")


def _judge_dialect(entry: Node, source: Source, findings: Findings) -> None:
    marks = {"delimiter": source.delimiter, "quote": source.quote, "escape": source.escape or ""}
    for key, mark in marks.items():
        if mark and (not mark.isascii() or mark in "\r\n\0"):
            hint = "one ASCII character that is no line end"
            findings.error("dialect", entry.entries.get(key, entry), f"`{key}` cannot be used", hint=hint)
    given = [mark for mark in marks.values() if mark]
    if len(set(given)) != len(given):
        findings.error("dialect", entry, "`delimiter`, `quote` and `escape` must differ from each other")
    if source.escape and not source.quote:
        findings.error("dialect", entry.key("escape"), "`escape` needs a `quote`")
    comment = source.comment
    if comment is not None and (set(comment) & {"\r", "\n"} or comment[0] in given):
        hint = "a start that no record can have, such as `#`"
        findings.error("dialect", entry.entries["comment"], "`comment` cannot be told from a record", hint=hint)


def _keeps_the_day(pattern: str) -> bool:
    day = date(2011, 3, 4)
    try:
        return datetime.strptime(day.strftime(pattern), pattern).date() == day  # noqa: DTZ007 - only the day counts
    except ValueError:
        return False
