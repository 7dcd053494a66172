"""Arrow values as exact text, column by column: what the reading child of `columnar` sends back.

Text says the same as the value and nothing less: whole numbers and decimals digit by digit, floats as the shortest text
that reads back the same, dates and instants as ISO 8601, nested values as JSON. Bytes are no text.
"""

# pyarrow ships without types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

import json
import math
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Callable

Part = TypeVar("Part")
TEXT = pa.large_string()
#: Up to here a double holds every whole number.
_EXACT = float(1 << 53)
#: pyarrow makes its functions at run time, so a checker does not see them.
_COMPUTE: Any = pc


def is_bytes(kind: pa.DataType) -> bool:
    """Whether values of a type are bytes, which no text stands for."""
    kind = _plain_type(kind)
    if isinstance(kind, pa.BaseExtensionType):
        return not isinstance(kind, pa.UuidType) and is_bytes(kind.storage_type)
    return (
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_fixed_size_binary(kind)
        or pa.types.is_binary_view(kind)
    )


def is_text(kind: pa.DataType) -> bool:
    """Whether values of a type are text already."""
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def as_text(column: pa.Array, *, as_date: bool = False) -> pa.Array:
    """A column's values as text, null where they are.

    Args:
        column: any Arrow array whose text is valid.
        as_date: the contract has a date here, so an instant at midnight without a zone is its day.
    """
    column = _unwrapped(column)
    kind = column.type
    if pa.types.is_decimal(kind):
        return _decimals(column)
    if pa.types.is_float64(kind):
        return _doubles(column)
    if pa.types.is_timestamp(kind):
        return _instants(column, as_date=as_date)
    if pa.types.is_nested(kind):
        texts = _json(column)
        return pa.array([text if valid else None for text, valid in zip(texts, _valid(column), strict=True)], TEXT)
    if is_bytes(kind) or pa.types.is_interval(kind):
        values = column.to_pylist()
        return pa.array([value.hex() if isinstance(value, bytes) else value and str(value) for value in values], TEXT)
    return pc.cast(column, TEXT)


def _json(column: pa.Array) -> list[str]:
    """Each value as JSON; what JSON has no word for (dates, NaN, bytes) is text in it."""
    column = _unwrapped(column)
    kind = column.type
    if pa.types.is_struct(kind):
        names = [json.dumps(kind.field(place).name, ensure_ascii=False) for place in range(kind.num_fields)]
        parts = zip(*(_json(part) for part in column.flatten()), strict=True) if names else [()] * len(column)
        found = ["{" + ",".join(f"{n}:{v}" for n, v in zip(names, row, strict=True)) + "}" for row in parts]
    elif pa.types.is_map(kind):
        pairs = pc.cast(column, pa.list_(pa.struct([("key", kind.key_type), ("value", kind.item_type)])))
        found = _grouped(pairs, _json_pairs(pairs.flatten()), _object)
    elif pa.types.is_nested(kind) and not pa.types.is_union(kind):
        if pa.types.is_list_view(kind) or pa.types.is_large_list_view(kind):
            column = pc.cast(column, pa.large_list(kind.value_type))
        found = _grouped(column, _json(column.flatten()), lambda items: "[" + ",".join(items) + "]")
    elif pa.types.is_union(kind):
        found = [json.dumps(str(value), ensure_ascii=False) for value in column.to_pylist()]
    else:
        texts: list[str | None] = as_text(column).to_pylist()
        bare = pa.types.is_integer(kind) or pa.types.is_decimal(kind) or pa.types.is_boolean(kind)
        number = pa.types.is_floating(kind)
        found = [
            text if text and (bare or (number and _finite(text))) else json.dumps(text, ensure_ascii=False)
            for text in texts
        ]
    return [text if valid else "null" for text, valid in zip(found, _valid(column), strict=True)]


def _json_pairs(entries: pa.StructArray) -> list[tuple[str, str]]:
    keys, values = entries.flatten()
    return list(zip(_json(pc.cast(as_text(keys), TEXT)), _json(values), strict=True))


def _object(pairs: list[tuple[str, str]]) -> str:
    """A map as an object; as a list of pairs where a key stands twice, which an object cannot say."""
    if len({key for key, _ in pairs}) == len(pairs):
        return "{" + ",".join(f"{key}:{value}" for key, value in pairs) + "}"
    return "[" + ",".join(f"[{key},{value}]" for key, value in pairs) + "]"


def _grouped(column: pa.Array, parts: list[Part], whole: Callable[[list[Part]], str]) -> list[str]:
    """The parts of each list put together."""
    lengths: list[int | None] = _COMPUTE.list_value_length(column).to_pylist()
    found: list[str] = []
    start = 0
    for length in lengths:
        found.append(whole(parts[start : start + (length or 0)]))
        start += length or 0
    return found


def _valid(column: pa.Array) -> list[bool]:
    return column.is_valid().to_pylist()


def _finite(text: str) -> bool:
    return math.isfinite(float(text))


def _plain_type(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        return _plain_type(kind.value_type)
    return kind


def _unwrapped(column: pa.Array) -> pa.Array:
    """The values themselves: dictionaries and runs written out, extensions as what they are stored as."""
    kind = column.type
    if isinstance(kind, pa.UuidType):
        return pa.array([None if value is None else str(value) for value in column.to_pylist()], TEXT)
    if isinstance(kind, pa.BaseExtensionType):
        return _unwrapped(column.storage)
    if pa.types.is_dictionary(kind):
        return _unwrapped(column.dictionary_decode())
    if pa.types.is_run_end_encoded(kind):
        return _unwrapped(_COMPUTE.run_end_decode(column))
    return column


def _decimals(column: pa.Array) -> pa.Array:
    texts = pc.cast(column, TEXT)
    # Arrow writes very small and very large ones as 1E-7.
    if not _COMPUTE.any(_COMPUTE.match_substring(texts, "E")).as_py():
        return texts
    return pa.array([None if text is None else format(Decimal(text), "f") for text in texts.to_pylist()], TEXT)


def _doubles(column: pa.Array) -> pa.Array:
    """Arrow writes 1e+15 and more with an exponent, but what is exact in a double may be an account's number."""
    texts = pc.cast(column, TEXT)
    size = _COMPUTE.abs(column)
    plain = _COMPUTE.and_(_COMPUTE.greater_equal(size, 1e15), _COMPUTE.less_equal(size, _EXACT))
    if not _COMPUTE.any(plain).as_py():
        return texts
    pairs = zip(texts.to_pylist(), plain.to_pylist(), strict=True)
    return pa.array([format(Decimal(text), "f") if exact else text for text, exact in pairs], TEXT)


def _instants(column: pa.Array, *, as_date: bool) -> pa.Array:
    if column.type.tz is not None:
        column = pc.cast(column, pa.timestamp(column.type.unit, "UTC"))
    texts = pc.cast(column, TEXT)
    shorten = _COMPUTE.replace_substring_regex
    if column.type.unit == "ns":
        texts = shorten(texts, pattern=r"(\.[0-9]{6})000(Z?)$", replacement=r"\1\2")
    if as_date:
        texts = shorten(texts, pattern=r" 00:00:00(?:\.0+)?$", replacement="")
    return texts
