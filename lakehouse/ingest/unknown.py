"""`_extra`: what was delivered beside the contract, and which of its columns were not, as a JSON object of text.

Columns that were not delivered come first, as null, then every other value that was. So whatever the contract decides
about them, now or later, can be seen from raw alone. It counts as personal, because nobody has said what it is.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import polars as pl

from lakehouse.model import EXTRA

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def extra(values: Mapping[str, pl.Expr], missing: Sequence[str]) -> pl.Expr:
    """`_extra` of a frame of text.

    Args:
        values: delivered name -> text, null where there is no value.
        missing: delivered names of what is missing.
    """
    pieces = [pl.lit(f"{json.dumps(name, ensure_ascii=False)}:null") for name in missing]
    for name, text in values.items():
        key = pl.lit(f"{json.dumps(name, ensure_ascii=False)}:")
        pieces.append(pl.when(text.is_not_null()).then(pl.concat_str(key, as_json(text))))
    if not pieces:
        return pl.lit(None, pl.String).alias(EXTRA)
    inner = pl.concat_str(pieces, separator=",", ignore_nulls=True)
    return pl.when(inner.str.len_bytes() > 0).then(pl.concat_str(pl.lit("{"), inner, pl.lit("}"))).alias(EXTRA)


def as_json(text: pl.Expr) -> pl.Expr:
    """A text column as JSON strings."""
    return pl.struct(text.alias("k")).struct.json_encode().str.strip_prefix('{"k":').str.strip_suffix("}")
