"""Gathers what is wrong in contract files, so that a person sees all of it at once.

A finding names the line, says what is wrong and, where a name was meant, the nearest valid one.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from lakehouse.model import Finding, Level

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lakehouse.source import Node


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that looks most like `name`, None when none is near."""
    by_folded = {candidate.casefold(): candidate for candidate in known}
    found = get_close_matches(name.casefold(), by_folded, n=1, cutoff=0.55)
    return by_folded[found[0]] if found else None


def choices(name: str, known: Iterable[str]) -> str:
    """The hint for a name that is not known: the nearest, else what there is."""
    listed = list(known)
    near = nearest(name, listed)
    if near is not None:
        return f"did you mean `{near}`?"
    shown = ", ".join(f"`{candidate}`" for candidate in listed[:12])
    return f"valid here: {shown}{', …' if len(listed) > 12 else ''}" if listed else "nothing is valid here"  # noqa: PLR2004


class Findings:
    """A growing list of findings; the same one is kept once."""

    def __init__(self) -> None:
        self._all: dict[Finding, None] = {}
        self._broken: set[str] = set()

    def broken(self, *names: str | None) -> None:
        """Names that are declared but cannot be used: references to them are not a second mistake."""
        self._broken.update(name for name in names if name)

    def is_broken(self, name: str) -> bool:
        """Whether the name is declared, wrongly."""
        return name in self._broken

    def error(self, code: str, at: Node | str, message: str, *, hint: str | None = None) -> None:
        """Something that must be mended before the contract can be used."""
        self._add(code, Level.ERROR, at, message, hint)

    def warning(self, code: str, at: Node | str, message: str, *, hint: str | None = None) -> None:
        """Something a person should know."""
        self._add(code, Level.WARNING, at, message, hint)

    def unknown(self, code: str, at: Node, what: str, *, known: Iterable[str]) -> None:
        """A name that is not among the known ones."""
        if self.is_broken(at.text):
            return
        self.error(code, at, f"{what} `{at.text}` is not known", hint=choices(at.text, known))

    def extend(self, findings: Iterable[Finding]) -> None:
        """Takes over findings made elsewhere."""
        self._all.update(dict.fromkeys(findings))

    def _add(self, code: str, level: Level, at: Node | str, message: str, hint: str | None) -> None:
        where = at if isinstance(at, str) else at.where
        self._all[Finding(code, level, where, message, hint)] = None

    @property
    def all(self) -> list[Finding]:
        """Every finding in order of file and line."""
        return sorted(self._all, key=lambda finding: (_place(finding.where), finding.level, finding.code))

    @property
    def errors(self) -> list[Finding]:
        """The findings that stand in the way."""
        return [finding for finding in self.all if finding.level is Level.ERROR]


def _place(where: str) -> tuple[str, int]:
    file, _, line = where.rpartition(":")
    return (file, int(line)) if line.isdigit() else (where, 0)
