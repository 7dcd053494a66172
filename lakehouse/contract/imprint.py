"""A table's contract as plain data: what the lake remembers of the contract that its rows stand under.

Texts and places are left out, so that a reworded contract is the same one. Data of an older program reads as a contract
with today's defaults for what it did not know.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, fields, is_dataclass, replace
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin, get_type_hints

from lakehouse.contract.model import Table

if TYPE_CHECKING:
    from collections.abc import Mapping


def imprint(table: Table) -> dict[str, Any]:
    """The table's contract as JSON values, without texts and places."""
    bare = replace(
        table,
        description="",
        owner="",
        where="",
        columns=tuple(replace(column, description="", where="") for column in table.columns),
        checks=tuple(replace(check, description="", where="") for check in table.checks),
    )
    return json.loads(json.dumps(asdict(bare)))


def fingerprint(table: Table) -> str:
    """A digest of the imprint."""
    content = json.dumps(imprint(table), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def table_of(data: Mapping[str, Any]) -> Table:
    """The contract that an imprint was made of."""
    return _read(Table, data)


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _read(kind: Any, value: Any) -> Any:
    origin, inner = get_origin(kind), get_args(kind)
    if value is None or origin is Literal:
        return value
    if origin in {Union, UnionType}:
        return _read(next(each for each in inner if each is not NoneType), value)
    if origin is tuple:
        value = [value] if isinstance(value, str) else value  # one form of a column was a text once
        kinds = (inner[0],) * len(value) if inner[-1] is Ellipsis else inner
        return tuple(_read(each, item) for each, item in zip(kinds, value, strict=True))
    if isinstance(kind, type) and is_dataclass(kind):
        hints, known = _hints(kind), [each.name for each in fields(kind) if each.name in value]
        return kind(**{name: _read(hints[name], value[name]) for name in known})
    return kind(value) if isinstance(kind, type) and issubclass(kind, Enum) else value
