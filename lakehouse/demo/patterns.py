r"""Text that matches a regular expression, a whole column at once.

The closed part of RE2 that contracts use for codes: literals, `.`, classes, `\d \w \s`, groups, `|`, and the
quantifiers `? * + {m,n}`, anchored or not. Anything else is refused by name, never guessed.
"""

from __future__ import annotations

import string
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from lakehouse.demo import values
from lakehouse.errors import ProjectError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

_UNBOUNDED = 4  # how often `*` and `+` repeat at most beyond their minimum
_SHORTHAND = {"d": string.digits, "w": string.ascii_letters + string.digits + "_", "s": " "}


@dataclass(frozen=True)
class _Class:
    characters: str


@dataclass(frozen=True)
class _Repeat:
    item: _Node
    least: int
    most: int


@dataclass(frozen=True)
class _Sequence:
    items: tuple[_Node, ...]


@dataclass(frozen=True)
class _Either:
    options: tuple[_Node, ...]


_Node = _Class | _Repeat | _Sequence | _Either


def matching(rng: np.random.Generator, rows: int, pattern: str) -> pl.Series:
    """Random text matching the pattern.

    Raises:
        ProjectError: the pattern uses something that this generator does not speak.
    """
    return _draw(rng, rows, _Reader(pattern).read())


def _draw(rng: np.random.Generator, rows: int, node: _Node) -> pl.Series:
    match node:
        case _Class(characters):
            return values.pick(list(characters), rng.integers(0, len(characters), rows))
        case _Sequence(items):
            return _side_by_side([_draw(rng, rows, item) for item in items], rows)
        case _Either(options):
            chosen = rng.integers(0, len(options), rows)
            column = _draw(rng, rows, options[0])
            for number, option in enumerate(options[1:], start=1):
                column = column.zip_with(pl.Series(chosen != number), _draw(rng, rows, option))
            return column
        case _Repeat(item, least, most):
            times = rng.integers(least, most + 1, rows)
            nothing = pl.Series([""])
            parts = [_draw(rng, rows, item).zip_with(pl.Series(times > turn), nothing) for turn in range(most)]
            return _side_by_side(parts, rows)


def _side_by_side(parts: Sequence[pl.Series], rows: int) -> pl.Series:
    return values.joined(parts) if parts else pl.Series([""] * rows)


class _Reader:
    """Recursive descent over the pattern."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._text = pattern.removeprefix("^").removesuffix("$")
        self._at = 0

    def read(self) -> _Node:
        node = self._either()
        if self._at != len(self._text):
            raise self._refusal()
        return node

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _take(self) -> str:
        self._at += 1
        return self._text[self._at - 1 : self._at]

    def _either(self) -> _Node:
        options = [self._sequence()]
        while self._peek() == "|":
            self._take()
            options.append(self._sequence())
        return options[0] if len(options) == 1 else _Either(tuple(options))

    def _sequence(self) -> _Node:
        items: list[_Node] = []
        while self._peek() not in {"", "|", ")"}:
            items.append(self._repeat(self._atom()))
        return _Sequence(tuple(items))

    def _repeat(self, item: _Node) -> _Node:
        match self._peek():
            case "?":
                least, most = 0, 1
            case "*":
                least, most = 0, _UNBOUNDED
            case "+":
                least, most = 1, 1 + _UNBOUNDED
            case "{":
                return _Repeat(item, *self._bounds())
            case _:
                return item
        self._take()
        return _Repeat(item, least, most)

    def _bounds(self) -> tuple[int, int]:
        end = self._text.find("}", self._at)
        low, comma, high = self._text[self._at + 1 : end].partition(",")
        if end < 0 or not low.isdecimal() or (high and not high.isdecimal()):
            raise self._refusal()
        self._at = end + 1
        least = int(low)
        return least, (int(high) if high else least + _UNBOUNDED) if comma else least

    def _atom(self) -> _Node:
        character = self._take()
        match character:
            case "(":
                if self._text.startswith("?:", self._at):
                    self._at += 2
                node = self._either()
                if self._take() != ")":
                    raise self._refusal()
                return node
            case "[":
                return self._class()
            case ".":
                return _Class(string.ascii_letters + string.digits)
            case "\\":
                return _Class(self._escaped())
            case "?" | "*" | "+" | "{" | "^" | "$":
                raise self._refusal()
            case _:
                return _Class(character)

    def _escaped(self) -> str:
        character = self._take()
        if not character or (character.isalnum() and character not in _SHORTHAND):
            raise self._refusal()
        return _SHORTHAND.get(character, character)

    def _class(self) -> _Node:
        negated = self._peek() == "^"
        if negated:
            self._take()
        found = ""
        while self._peek() != "]" or not found:
            character = self._take()
            if not character:
                raise self._refusal()
            piece = self._escaped() if character == "\\" else character
            if self._peek() == "-" and self._text[self._at + 1 : self._at + 2] not in {"]", ""} and len(piece) == 1:
                self._take()
                piece = "".join(chr(code) for code in range(ord(piece), ord(self._take()) + 1))
            found += piece
        self._take()
        allowed = "".join(c for c in string.ascii_letters + string.digits if c not in found) if negated else found
        if not allowed:
            raise self._refusal()
        return _Class(allowed)

    def _refusal(self) -> ProjectError:
        return ProjectError(
            f"the generator cannot make text for the pattern `{self._pattern}`",
            hint="say in the domain's demo.yaml how the column's values look",
        )
