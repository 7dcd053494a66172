"""What a row does that differs from the contract, as polars expressions over raw's `_extra`; and what staged keeps of it.

`_extra` (see `ingest.unknown`) starts with the contract's columns that were not delivered, as null, and then holds what
the contract does not know. It is taken apart from its start: a delivered name may look like anything.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import polars as pl

from lakehouse.model import EXTRA

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lakehouse.contract.model import Table

_ABSENT: Final = r'"(?:[^"\\]|\\.)*":null'
#: Columns that stand beside the typed ones while rows are judged.
UNKNOWN, MISSING, VALUES = "__unknown", "__missing", "__values"


def marks() -> list[pl.Expr]:
    """Whether something was delivered that the contract does not know, and whether a column was not delivered."""
    extra = pl.col(EXTRA)
    only_absent = extra.str.contains(rf"\A\{{{_ABSENT}(?:,{_ABSENT})*\}}\z")
    return [
        (extra.is_not_null() & ~only_absent).fill_null(value=False).alias(UNKNOWN),
        extra.str.contains(rf"\A\{{{_ABSENT}").fill_null(value=False).alias(MISSING),
    ]


def staged_extra(table: Table, refused: Mapping[str, pl.Expr]) -> pl.Expr:
    """`_extra` of staged: unknown columns, and text that was not of its column's type, as far as the contract keeps them.

    Args:
        table: its drift says what is kept.
        refused: delivered name -> the text that was refused, null where none was.
    """
    pieces: list[pl.Expr] = []
    if table.drift.unknown == "evolve":
        inner = pl.col(EXTRA).str.replace(rf"\A\{{(?:{_ABSENT},?)*", "").str.strip_suffix("}")
        pieces.append(pl.when(inner.str.len_bytes() > 0).then(inner))
    for name, text in refused.items():
        key = pl.lit(f"{json.dumps(name, ensure_ascii=False)}:")
        quoted = pl.struct(text.alias("k")).struct.json_encode().str.strip_prefix('{"k":').str.strip_suffix("}")
        pieces.append(pl.when(text.is_not_null()).then(pl.concat_str(key, quoted)))
    if not pieces:
        return pl.lit(None, pl.String).alias(EXTRA)
    joined = pl.concat_str(pieces, separator=",", ignore_nulls=True)
    return pl.when(joined.str.len_bytes() > 0).then(pl.concat_str(pl.lit("{"), joined, pl.lit("}"))).alias(EXTRA)


def told(table: Table, counts: Mapping[str, int]) -> str | None:
    """What was decided about a batch, `2 rows with unknown columns kept; …`; None when nothing differed.

    Counts come first, so that those of several batches can be added up.
    """
    drift = table.drift
    kept = {"evolve": "kept", "discard_value": "left in raw", "discard_row": "quarantined", "freeze": "unheeded"}
    absent = {"evolve": "taken as empty", "discard_value": "taken as empty", "discard_row": "quarantined"}
    typed = {"evolve": "kept as text", "discard_value": "left out"}
    parts: Sequence[tuple[int, str, str]] = (
        (counts.get(UNKNOWN, 0), "rows with unknown columns", kept[drift.unknown]),
        (counts.get(MISSING, 0), "rows with missing columns", absent.get(drift.missing, "unheeded")),
        (counts.get(VALUES, 0), "values of another type", typed.get(drift.type, "quarantined")),
    )
    return "; ".join(f"{count} {what} {done}" for count, what, done in parts if count) or None
