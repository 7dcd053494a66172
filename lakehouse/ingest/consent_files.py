"""Consent in bulk: CSV files in the landing folder `consent/`, taken once and removed, because they name people.

The header is `entity_type,id,purpose,said,valid_from,source,expires_on`; `said` is `given` or `withdrawn`, `valid_from` an
instant with an offset (empty: now), `expires_on` a day (empty: it lasts). Good lines of a file are recorded in one commit.
Bad ones are told by their number and a reason, never by what stands in them, and stay in the folder as a file of their own
that ends in `.bad`: mended and renamed, it is a delivery like any other.
"""

from __future__ import annotations

import csv
import datetime as dt
import hashlib
import io
import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from lakehouse.errors import UsageError
from lakehouse.ingest.landing import DONE, SETTLE
from lakehouse.privacy import consent, entities

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from lakehouse.contract.model import Project
    from lakehouse.storage import Lake

FOLDER = "consent"
HEADER = ("entity_type", "id", "purpose", "said", "valid_from", "source", "expires_on")
BAD = ".bad"
#: Bytes of a file's name that a name made of it keeps: a folder has room for 255.
_LONGEST = 220
_NOT_WHOLE = (".part", ".tmp", DONE, BAD)


@dataclass(frozen=True)
class BadLine:
    """A line that was not recorded: its number in the file, the header being 1, and why."""

    line: int
    reason: str


@dataclass(frozen=True)
class Taken:
    """What became of a file: lines recorded, lines not, or `repeated` when it had come before."""

    recorded: int
    bad: tuple[BadLine, ...]
    repeated: bool = False


def waiting(lake: Lake, now: dt.datetime) -> list[Path]:
    """The complete files, those that have not changed for ten seconds, in order of name."""
    folder = lake.landing_root / FOLDER
    if not folder.is_dir():
        return []
    # No links: what stays of a file is written down again here, and a link may lead to anything that this process can read.
    files = (path for path in folder.iterdir() if path.is_file() and not path.is_symlink())
    named = (path for path in files if not path.name.startswith(".") and path.suffix not in _NOT_WHOLE)
    return sorted(path for path in named if _has_settled(path, now))


def left(lake: Lake) -> int:
    """How many files of bad lines wait in the folder for somebody to mend them."""
    folder = lake.landing_root / FOLDER
    return sum(path.suffix == BAD for path in folder.iterdir()) if folder.is_dir() else 0


def take(lake: Lake, project: Project, file: Path, *, asks: Mapping[str, str]) -> Taken:
    """Record a file's lines and remove it, but for the bad ones; the second time that the same bytes come adds nothing.

    Args:
        lake: the lake.
        project: every contract.
        file: the file.
        asks: purpose -> entity type that must consent.
    """
    try:
        content, mode = file.read_bytes(), stat.S_IMODE(file.stat().st_mode)
    except FileNotFoundError:  # somebody else has just taken it
        return Taken(0, ())
    delivery = entities.name_hash(lake, f"consent {hashlib.sha256(content).hexdigest()}")
    good, bad, rest = _read(lake, project, content, asks)
    recorded = consent.record(lake, project, good, asks=asks, delivery=delivery) if good else 0
    if rest:
        _keep(_beside(file, delivery), rest, mode=mode)
    # INVARIANT: only what was read is removed; a file written anew meanwhile is another delivery
    with suppress(FileNotFoundError):
        if file.read_bytes() == content:
            file.unlink()
            if (marker := _marker(file)) is not None:
                marker.unlink()
    return Taken(recorded, tuple(bad), repeated=bool(good) and not recorded)


def _read(
    lake: Lake, project: Project, content: bytes, asks: Mapping[str, str]
) -> tuple[list[consent.Statement], list[BadLine], bytes]:
    """The statements of a file, the lines that are none, and what stays of the file because of them."""
    try:
        rows = list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error):
        return [], [BadLine(1, "the file is not CSV in UTF-8")], content
    if not rows or tuple(rows[0]) != HEADER:
        return [], [BadLine(1, f"the header must be `{','.join(HEADER)}`")], content
    now, good, bad = lake.now(), list[tuple[int, consent.Statement]](), list[BadLine]()
    for number, row in enumerate(rows[1:], start=2):
        if not row:
            continue
        try:
            statement = _statement(row)
        except UsageError as problem:
            bad.append(BadLine(number, problem.message))
            continue
        reason = consent.refusal(statement, asks, now)
        if reason is None:
            good.append((number, statement))
        else:
            bad.append(BadLine(number, reason))
    kept, bad = _readable(lake, project, good, bad)
    return kept, bad, _written([rows[0], *(rows[each.line - 1] for each in bad)]) if bad else b""


def _beside(file: Path, delivery: str) -> Path:
    """Where bad lines stay: named by the delivery, the same again after a crash, and no other file's."""
    name = os.fsdecode(os.fsencode(file.name)[:_LONGEST])
    return file.with_name(f"{name}.{delivery[:8]}{BAD}")


def _keep(path: Path, content: bytes, *, mode: int) -> None:
    """Write a file that may be read by whom its delivery might be read by."""
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)
    part.touch(0o600, exist_ok=False)
    with part.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    part.chmod(mode)
    part.replace(path)


def _written(rows: list[list[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def _readable(
    lake: Lake, project: Project, good: list[tuple[int, consent.Statement]], bad: list[BadLine]
) -> tuple[list[consent.Statement], list[BadLine]]:
    """Without those whose id cannot be read."""
    found = consent.surrogates(lake, project, [statement for _, statement in good])
    pairs = list(zip(good, found, strict=True))
    bad += [BadLine(number, "`id` cannot be read") for (number, _), surrogate in pairs if surrogate is None]
    kept = [statement for (_, statement), surrogate in pairs if surrogate is not None]
    return kept, sorted(bad, key=lambda each: each.line)


def _statement(row: list[str]) -> consent.Statement:
    if len(row) != len(HEADER):
        raise UsageError(f"there are {len(row)} fields and not {len(HEADER)}")
    type_, id_, purpose, said, valid_from, source, expires_on = (field.strip() for field in row)
    if said not in {"given", "withdrawn"}:
        raise UsageError("`said` is neither `given` nor `withdrawn`")
    if not source:
        raise UsageError("`source` is missing")
    return consent.Statement(
        type_,
        id_,
        purpose,
        cast("consent.Said", said),
        source,
        instant(valid_from) if valid_from else None,
        day(expires_on) if expires_on else None,
    )


def instant(text: str) -> dt.datetime:
    """An instant with an offset, such as `2026-01-31T12:00:00+01:00`.

    Raises:
        UsageError: it is none.
    """
    try:
        found = dt.datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise UsageError("`valid_from` is no instant with an offset", hint="write it like `2026-01-31T12:00:00+01:00`")
    try:
        return found.astimezone(dt.UTC)
    except OverflowError:
        raise UsageError("`valid_from` is no instant with an offset", hint="it lies outside the calendar") from None


def day(text: str) -> dt.date:
    """A day, such as `2026-12-31`.

    Raises:
        UsageError: it is none.
    """
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        raise UsageError("`expires_on` is no day", hint="write it like `2026-12-31`") from None


def _has_settled(path: Path, now: dt.datetime) -> bool:
    try:
        changed = dt.datetime.fromtimestamp(path.stat().st_mtime, tz=dt.UTC)
    except FileNotFoundError:
        return False
    return now - changed >= SETTLE or _marker(path) is not None


def _marker(file: Path) -> Path | None:
    """The `.done` beside a file; a name that leaves no room for one has none."""
    marker = file.with_name(file.name + DONE)
    try:
        return marker if marker.exists() else None
    except OSError:
        return None
