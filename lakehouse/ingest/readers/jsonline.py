"""One line of JSON, exactly: parsed by RFC 8259 with numbers as they were written, then laid out by the contract's paths.

Python's scanner is right but for three things, which are refused here: NaN and the infinities, keys that stand twice, and
text that no encoding can write (lone surrogates). What is refused is told by a word, never by what stands in the line.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

#: Deeper than any feed nests, and far from where a scanner would fail.
MOST_DEPTH = 100

SYNTAX = "not valid JSON"
KIND = "no JSON object"
DOUBLED = "a key stands twice"
DEEP = "nested too deeply"
SURROGATE = "a lone surrogate"
NUL = "a NUL character"
ENVELOPE = "an envelope without a row"


class BadLineError(Exception):
    """A line that is no record; `reason` says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Number(str):
    """A number's text, told from a string's."""

    __slots__ = ()


@dataclass(frozen=True)
class JsonRow:
    """A record laid out: one text per path, which paths were there, and what else was.

    `unknown` counts keys that the contract does not know, null ones too.
    """

    values: list[str | None]
    seen: set[int]
    extra: str | None
    unknown: int


class Paths:
    """Where the contract's columns stand in an object.

    Args:
        paths: dotted paths, one a column; `$.` in front means the whole object.
        envelope: objects are Debezium's, and paths without `$.` lead into its row.

    Attributes:
        names: the paths as the contract writes them.
        tree: key -> column, or the keys below it.
        flat: key -> column of paths without dots, of objects that are no envelopes.
    """

    def __init__(self, paths: Sequence[str], *, envelope: bool = False) -> None:
        self.names = tuple(paths)
        self.envelope = envelope
        self.tree: dict[str, Any] = {}
        self.outer: dict[str, Any] = {}
        for place, path in enumerate(paths):
            whole = path.startswith("$.")
            _plant(self.outer if whole and envelope else self.tree, path.removeprefix("$."), place)
        flat = {key: place for key, place in self.tree.items() if isinstance(place, int)}
        self.flat: dict[str, int] = {} if envelope else flat


def _plant(tree: dict[str, Any], path: str, place: int) -> None:
    first, _, below = path.partition(".")
    if not below:
        tree[first] = place
        return
    inner = tree.setdefault(first, {})
    if isinstance(inner, dict):
        _plant(cast("dict[str, Any]", inner), below, place)
    else:
        tree[path] = place  # both `a` and `a.b` are columns: the latter can only be a key of that name


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise BadLineError(DOUBLED)
    return found


def _constant(_: str) -> NoReturn:
    raise BadLineError(SYNTAX)


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=Number, parse_float=Number, parse_constant=_constant, strict=True
)
#: The scanner itself: what `decode` does around it costs as much again.
_SCAN: Callable[[str, int], tuple[Any, int]] = cast("Any", _DECODER).scan_once
_SPACE = " \t\r\n"
_quoted = json.encoder.encode_basestring


def parse(line: str) -> dict[str, Any]:
    """The object in a line; numbers are `Number`.

    Raises:
        BadLineError: it is none.
    """
    line = line.strip(_SPACE)
    try:
        found, end = _SCAN(line, 0)
    except RecursionError:
        raise BadLineError(DEEP) from None
    except (ValueError, StopIteration):
        raise BadLineError(SYNTAX) from None
    if end != len(line):
        raise BadLineError(SYNTAX)
    if not isinstance(found, dict):
        raise BadLineError(KIND)
    value = cast("dict[str, Any]", found)
    if line.count("{") + line.count("[") > MOST_DEPTH and _depth(value) > MOST_DEPTH:
        raise BadLineError(DEEP)
    if "\\u" in line:
        _require_text(value)
    return value


def row_of(found: dict[str, Any], paths: Paths, *, tell_absent: bool) -> JsonRow:
    """An object laid out by the contract's paths.

    Raises:
        BadLineError: an envelope without a row.
    """
    values: list[str | None] = [None] * len(paths.names)
    seen: set[int] = set()
    rest: dict[str, Any] = {}
    if paths.envelope:
        envelope, found = _opened(found)
        _lay(envelope, paths.outer, "", (values, seen, {}))
    _lay(found, paths.tree, "", (values, seen, rest))
    told: dict[str, str | None] = {}
    if tell_absent:
        told = {name: None for place, name in enumerate(paths.names) if place not in seen}
    told |= {name: text for name, value in rest.items() if (text := text_of(value)) is not None}
    extra = json.dumps(told, ensure_ascii=False, separators=(",", ":")) if told else None
    return JsonRow(values, seen, extra, len(rest))


def text_of(value: Any) -> str | None:
    """A value as text: strings and numbers as they are, what is nested as JSON."""
    if value is None or isinstance(value, str):
        return value
    return json_of(value)


def json_of(value: Any) -> str:
    """A parsed value as JSON again, numbers as they were written."""
    if isinstance(value, str):
        return str(value) if isinstance(value, Number) else _quoted(value)
    if isinstance(value, dict):
        members = cast("dict[str, Any]", value).items()
        return "{" + ",".join([f"{_quoted(key)}:{json_of(one)}" for key, one in members]) + "}"
    if isinstance(value, list):
        return "[" + ",".join([json_of(one) for one in cast("list[Any]", value)]) + "]"
    return json.dumps(value)


def _opened(found: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """A Debezium envelope and its row: what it is now, or what it was before it was deleted."""
    payload = found.get("payload")
    envelope = cast("dict[str, Any]", payload) if isinstance(payload, dict) and "op" not in found else found
    for key in ("after", "before"):
        row = envelope.get(key)
        if isinstance(row, dict):
            return envelope, cast("dict[str, Any]", row)
    raise BadLineError(ENVELOPE)


def _lay(
    found: dict[str, Any],
    tree: dict[str, Any],
    above: str,
    into: tuple[list[str | None], set[int], dict[str, Any]],
) -> None:
    values, seen, rest = into
    for key, value in found.items():
        place = tree.get(key)
        if isinstance(place, int):
            values[place] = value if value is None or isinstance(value, str) else json_of(value)
            seen.add(place)
        elif isinstance(place, dict) and isinstance(value, dict):
            _lay(cast("dict[str, Any]", value), cast("dict[str, Any]", place), f"{above}{key}.", into)
        elif place is None or value is not None:
            rest[f"{above}{key}"] = value


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, one in cast("dict[str, Any]", value).items():
            yield key
            yield from _strings(one)
    elif isinstance(value, list):
        for one in cast("list[Any]", value):
            yield from _strings(one)


def _require_text(value: Any) -> None:
    joined = "".join(_strings(value))
    if "\0" in joined:
        raise BadLineError(NUL)
    for one in _strings(value):  # one by one: two halves of a pair in two strings are no character
        try:
            one.encode("utf-8")
        except UnicodeEncodeError:
            raise BadLineError(SURROGATE) from None


def _depth(value: Any) -> int:
    deepest, waiting = 0, [(value, 1)]
    while waiting:
        one, depth = waiting.pop()
        deepest = max(deepest, depth)
        inner = cast("dict[str, Any]", one).values() if isinstance(one, dict) else cast("list[Any]", one)
        waiting += [(below, depth + 1) for below in inner if isinstance(below, dict | list)]
    return deepest
