"""A first contract out of a delivered file: types, key, event time and personal columns guessed, marked `# review`.

Beside it an access policy that lets nobody read yet, with a grant to begin with as a comment.

The text loads as it is and takes that file; a person then reads every marked line. No value of the file is copied.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import uuid
from itertools import combinations, islice
from typing import IO, TYPE_CHECKING, cast

import zstandard

from lakehouse.contract.guess import Guess, guess, words_of
from lakehouse.contract.load import DOMAINS, FILE
from lakehouse.errors import FileRejectedError, UsageError
from lakehouse.model import TOKEN_SUFFIX

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

#: Rows that are looked at. Enough to see rare shapes, few enough to take seconds.
MOST_ROWS = 200_000
_DELIMITERS = ",;\t|"
_DATED = re.compile(r"(?P<day>(?:19|20)\d{2}(?P<gap>[-_]?)[01]\d(?P=gap)[0-3]\d)")
_LINE = "line"
ACCESS = "access.yaml"


def scaffold(domain: str, file: Path, *, access: bool = True) -> dict[str, str]:
    """Files of a new domain, by their path in the project.

    Args:
        domain: the domain's name, also its folder's.
        file: a delivered CSV file, plain, `.gz` or `.zst`.
        access: whether an access policy is among them: a project without policies cannot have one.

    Raises:
        UsageError: the domain's name cannot be used.
        FileRejectedError: the file cannot be read as CSV with a header.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,40}", domain):
        raise UsageError(f"domain `{domain}` cannot be used", hint="small letters, digits and `_`")
    delimiter, header, rows = _read(file)
    names = _names(header)
    by_column = [[row[place] for row in rows] for place in range(len(header))]
    guesses = [guess(*given) for given in zip(header, names, by_column, strict=True)]
    found = {f"{DOMAINS}/{domain}/{FILE}": _Contract(domain, file, delimiter, guesses, rows).text()}
    if access:
        found[f"{DOMAINS}/{domain}/{ACCESS}"] = _access(domain, _table_name(file), guesses)
    return found


def _access(domain: str, table: str, guesses: Sequence[Guess]) -> str:
    """Nobody's access; the categories of a grant's columns are those that the contract names."""
    categories = sorted({column.category for column in guesses if column.personal})
    shown = ", ".join(f"{category}: clear" for category in categories) or "system: clear"
    lines = [
        f"# Who reads the tables of {domain}, for which purpose: nobody yet. Keys: docs/policy.md.",
        "version: 1",
        "grants: []  # review: something like this; columns that it leaves out are shown as their class says",
        f"#  - id: somebody-reads-{table.replace('_', '-')}",
        "#    groups: [GROUP]  # of policies/groups.yaml",
        "#    purpose: PURPOSE  # of policies/purposes.yaml, where the group must stand as well",
        f"#    tables: [staged.{domain}.{table}]",
        f"#    columns: {{{shown}}}",
        "#    why: what the purpose needs it for",
    ]
    return "\n".join(lines) + "\n"


def _open(file: Path) -> IO[str]:
    if file.suffix == ".gz":
        return io.TextIOWrapper(gzip.open(file), encoding="utf-8-sig", newline="")
    if file.suffix == ".zst":
        unpacked = cast("IO[bytes]", zstandard.open(file, "rb"))  # pyright: ignore[reportUnknownMemberType] - its types are partial
        return io.TextIOWrapper(unpacked, encoding="utf-8-sig", newline="")
    return file.open(encoding="utf-8-sig", newline="")


def _read(file: Path) -> tuple[str, list[str], list[list[str]]]:
    where = file.name
    try:
        with _open(file) as text:
            first = text.readline()
            delimiter = max(_DELIMITERS, key=first.count)
            header = next(csv.reader([first], delimiter=delimiter), list[str]())
            rows = [row for row in islice(csv.reader(text, delimiter=delimiter), MOST_ROWS) if len(row) == len(header)]
    except (OSError, EOFError, zstandard.ZstdError) as problem:
        raise FileRejectedError("the file cannot be read", where=where, hint=str(problem.__class__.__name__)) from None
    except UnicodeDecodeError:
        raise FileRejectedError("the file is not utf-8", where=where, hint="convert it, e.g. with `iconv`") from None
    except csv.Error:
        raise FileRejectedError("the file cannot be split into fields", where=where) from None
    if not rows or not any(name.strip() for name in header):
        raise FileRejectedError(
            "the file has no header and rows", where=where, hint="a CSV file with a first line of names"
        )
    if len({name.strip().casefold() for name in header}) != len(header):
        raise FileRejectedError("two columns of the file have one name", where=where, hint="rename one in its header")
    return delimiter, header, rows


def _names(header: Sequence[str]) -> list[str]:
    """Names a contract may use, near the delivered ones."""
    found: list[str] = []
    for place, delivered in enumerate(header):
        name = re.sub(r"[^A-Za-z0-9]+", "_", delivered).strip("_")[:60] or f"column_{place + 1}"
        name = name if name[0].isalpha() else f"c_{name}"
        name = f"{name}_" if name.endswith(TOKEN_SUFFIX) else name
        taken = {other.casefold() for other in found}
        while name.casefold() in taken:
            name = f"{name}_{place + 1}"
        found.append(name)
    return found


def _table_name(file: Path) -> str:
    stem = re.sub(r"(?:[-_ ]?\d{4,}(?:[-_]\d+)*)+$", "", _DATED.sub("", file.name.split(".")[0]))
    name = "_".join(words_of(stem)).strip("_")
    return name if name and name[0].isalpha() and name not in {"user", "system"} else "delivery"


def _delivered_at(file: Path) -> str | None:
    match = _DATED.search(file.name)
    if match is None:
        return None
    gap = match["gap"]
    return f"{file.name[: match.start()]}%Y{gap}%m{gap}%d{file.name[match.end() :]}"


class _Contract:
    """Writes the contract's text."""

    def __init__(
        self, domain: str, file: Path, delimiter: str, guesses: Sequence[Guess], rows: Sequence[Sequence[str]]
    ) -> None:
        self.domain, self.file, self.delimiter = domain, file, delimiter
        self.guesses = guesses
        self.key, self.numbered = _key(guesses, rows)
        self.event_time = _event_time(guesses)
        self.entity = next((column for column in guesses if column.entity), None)

    def text(self) -> str:
        name = _table_name(self.file)
        lines = [
            f"# Scaffolded from {json.dumps(self.file.name)}. Lines marked `# review` are guesses; keys: docs/contracts.md.",
            "apiVersion: v3.2.0",
            "kind: DataContract",
            f"id: {uuid.uuid4()}",
            "version: 0.1.0",
            "status: draft",
            f"domain: {self.domain}",
            "description: {purpose: To be said.}  # review",
            "schema:",
            f"  - id: {name}",
            f"    name: {name}  # review",
            "    description: To be said.  # review",
            "    customProperties:",
            "      - property: lakehouse",
            "        value:",
            "          tier: staged",
            *self.sources(name),
            *self.people(),
            *([f"          event_time: {self.event_time.name}  # review"] if self.event_time else []),
            "    properties:",
        ]
        for place, column in enumerate(self.guesses):
            lines += self.column(place, column)
        if self.numbered:
            lines += self.line()
        return "\n".join(lines) + "\n"

    def sources(self, name: str) -> list[str]:
        lines = ["          sources:", f"            - name: {name}"]
        suffix = next((part for part in self.file.name.split(".")[1:] if part not in {"gz", "zst"}), "")
        lines.append(f"              pattern: {json.dumps(f'*.{suffix}*' if suffix else '*')}")
        if self.delimiter != ",":
            lines.append(f"              delimiter: {json.dumps(self.delimiter)}")
        delivered_at = _delivered_at(self.file)
        if delivered_at:
            lines.append(
                f"              delivered_at: {json.dumps(delivered_at)}  # review: the day in the file's name"
            )
        return lines

    def people(self) -> list[str]:
        personal = [column.name for column in self.guesses if column.personal]
        if self.entity is None:
            return self.somebody() if personal else []
        forms = "[trim, integer]" if self.entity.canonical == "integer" else "[trim]"
        optional = ", optional: true" if self.entity.nullable else ""
        return [
            f"          entity: {{type: {self.entity.entity}, key: {self.entity.name}, canonical: {forms}{optional}}}  # review"
        ]

    def somebody(self) -> list[str]:
        """Rows with personal columns must be somebody's; where no id of a person is seen, the key must do."""
        whole = [column for column in self.guesses if not column.nullable] or list(self.guesses)
        chosen = next((column for column in whole if column.name in self.key), whole[0])
        forms = "[trim, integer]" if chosen.logical == "integer" else "[trim]"
        optional = ", optional: true" if chosen.nullable else ""
        return [
            "          # review: personal columns, but no id of a person was found; whose are the rows?",
            f"          entity: {{type: person, key: {chosen.name}, canonical: {forms}{optional}}}  # review",
        ]

    def column(self, place: int, column: Guess) -> list[str]:
        identity = re.sub(r"_+", "_", "_".join(words_of(column.delivered))) or f"column_{place + 1}"
        taken = ["_".join(words_of(other.delivered)) for other in self.guesses[:place]]
        identity = f"{identity}_{place + 1}" if identity in taken or (self.numbered and identity == _LINE) else identity
        lines = [f"      - id: {identity}", f"        name: {column.name}"]
        if column.delivered != column.name:
            lines.append(f"        physicalName: {json.dumps(column.delivered)}")
        lines.append(f"        logicalType: {column.logical}{self.marks(column)}")
        if column.physical:
            lines.append(f"        physicalType: {column.physical}  # review")
        if column.format:
            zone = "timezone: true" if column.offset else "timezone: false, defaultTimezone: UTC"
            options = f"format: {json.dumps(column.format)}" + (f", {zone}" if column.logical == "timestamp" else "")
            lines.append(f"        logicalTypeOptions: {{{options}}}  # review: format and zone")
        if column.name in self.key:
            lines += [
                "        primaryKey: true  # review",
                f"        primaryKeyPosition: {self.key.index(column.name) + 1}",
            ]
        if not column.nullable:
            lines.append("        required: true  # review")
        own = [f"category: {column.category}"]
        if column.canonical:
            own.append(f"canonical: {column.canonical}")
        if column.null_words:
            own.append(f"null_words: {json.dumps(['', *column.null_words])}")
        mark = "  # review" if column.personal or column.null_words else ""
        return [
            *lines,
            "        customProperties:",
            f"          - {{property: lakehouse, value: {{{', '.join(own)}}}}}{mark}",
        ]

    @staticmethod
    def marks(column: Guess) -> str:
        return f"  # review: {'; '.join(column.reasons)}" if column.reasons else ""

    def line(self) -> list[str]:
        over = ", ".join(self.key)
        return [
            f"      - id: {self.numbered}",
            f"        name: {self.numbered}",
            "        description: Which repeat of the key within its file.",
            "        logicalType: integer  # review: no columns were found that tell the rows apart",
            "        primaryKey: true",
            f"        primaryKeyPosition: {len(self.key) + 1}",
            "        required: true",
            "        customProperties:",
            "          - property: lakehouse",
            f"            value: {{category: system.operations, occurrence_over: [{over}]}}",
        ]


def _key(guesses: Sequence[Guess], rows: Sequence[Sequence[str]]) -> tuple[list[str], str | None]:
    """Key columns, and the name of the counting column when they do not tell rows apart."""
    places = [place for place, column in enumerate(guesses) if not column.nullable and column.physical is None]
    # Ids first, then columns without personal data, then what has most values: what a person would take.
    places.sort(key=lambda place: (not guesses[place].identifying, guesses[place].personal, -guesses[place].distinct))
    for size in (1, 2, 3):
        for chosen in combinations(places[:6], size):
            if len({tuple(row[place] for place in chosen) for row in rows}) == len(rows):
                return [guesses[place].name for place in sorted(chosen)], None
    ids = [place for place in places if guesses[place].identifying][:2] or places[:1] or [0]
    taken = {column.name.casefold() for column in guesses}
    name = next(name for name in (_LINE, "occurrence", "repeat_number") if name not in taken)
    return [guesses[place].name for place in sorted(ids)], name


def _event_time(guesses: Sequence[Guess]) -> Guess | None:
    found = [
        column
        for column in guesses
        if column.logical in {"date", "timestamp"} and not column.personal and not column.nullable
    ]
    named = [column for column in found if {"date", "time", "at", "timestamp", "ts"} & set(words_of(column.delivered))]
    return next(iter(named or found), None)
