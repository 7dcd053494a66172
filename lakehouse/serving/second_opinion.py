"""DuckDB's own reading of a query's text: its serialised tree, walked by a list of what may be.

The guard reads with sqlglot; what is run is read by DuckDB. Where the two would differ, a query could mean something to the
one that the other never saw, so the text that will be run goes through both. Nothing here knows what was written by whom.
"""

# duckdb ships no complete types for what a query gives back.
# pyright: reportUnknownMemberType=false

# ruff: noqa: PLR0402 - `from lakehouse.serving import x` would go through the package's re-export, an import cycle.

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any, cast

import duckdb

import lakehouse.serving.functions as functions
import lakehouse.serving.grammar as grammar
from lakehouse.serving.lockdown import SETTINGS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

_ROW = "row"  # how DuckDB spells a comparison of several columns at once


def objection(text: str, tables: Collection[str]) -> str | None:
    """What stands against running this text, None when nothing does.

    Args:
        text: the statement.
        tables: the names that it may read, views and its own `with` names.
    """
    try:
        tree = json.loads(_serialised(text))
    except (RecursionError, ValueError):
        return "it is nested too deep"
    if tree.get("error", True):
        return "it is not one select"
    if len(tree["statements"]) != 1:
        return "it is more than one statement"
    found = (why for part in _parts(tree) if (why := _against(part, tables)))
    return next(found, None)


def _serialised(text: str) -> str:
    cursor = _parser().cursor()
    try:
        row = cursor.execute("select json_serialize_sql(?::varchar)", [text]).fetchone()
    except duckdb.Error:
        return '{"error": true}'
    finally:
        cursor.close()
    return str(row[0]) if row else "{}"


@cache
def _parser() -> duckdb.DuckDBPyConnection:
    """A database without anything in it, which only parses; one per process, for opening one takes 20 ms."""
    return duckdb.connect(":memory:", config={**SETTINGS, "memory_limit": "256MB", "threads": 1})


def _parts(tree: object) -> Iterator[dict[str, Any]]:
    """Every mapping of the tree, without recursion."""
    waiting: list[Any] = [tree]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            mapping = cast("dict[str, Any]", part)
            yield mapping
            waiting.extend(mapping.values())
        elif isinstance(part, list):
            waiting.extend(cast("list[Any]", part))


def _against(part: dict[str, Any], tables: Collection[str]) -> str | None:
    """What stands against one mapping of the tree."""
    kind, group = part.get("type"), part.get("class")
    if group is not None:
        objection = _against_expression(part, group, kind)
    elif kind is not None and kind not in grammar.PLACES:
        objection = f"it has `{kind}`"
    else:
        objection = "it reads what is no view" if kind == "BASE_TABLE" and part["table_name"] not in tables else None
    return objection or _against_keys(part)


def _against_keys(part: dict[str, Any]) -> str | None:
    """A key that is not known, must be empty and is not, or says what it may not say."""
    for key, value in part.items():
        if key not in grammar.KEYS or (key in grammar.EMPTY and value):
            return f"it has `{key}`"
        if key in grammar.SAID and value not in grammar.SAID[key]:
            return f"it has `{key}` `{value}`"
    return None


def _against_expression(part: dict[str, Any], group: object, kind: object) -> str | None:
    if (group, kind) not in grammar.EXPRESSIONS:
        return f"it has `{kind}`"
    name = str(part.get("function_name", _ROW)).lower()
    if name not in functions.RUNNABLE and name != _ROW:
        return "it calls a function that is not listed"
    if group == "TYPE" and str(part["type_name"]).upper() not in grammar.CASTS:
        return "it names a type that is not listed"
    return None
