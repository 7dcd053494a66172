"""The polars twin of `contract.canonical`: the same answers over whole columns, held to the same known answers."""

from __future__ import annotations

import polars as pl

from lakehouse.contract.canonical import (
    GAPS,
    INTEGER,
    PHONE,
    PHONE_GAPS,
    PHONE_MARKS,
    PHONE_TRUNK,
    canonical,
    in_order,
)

#: Forms that change nothing but small letters in ASCII text; other text goes through `contract.canonical`.
_OF_UNICODE = frozenset({"nfc", "casefold"})


def canonical_form(value: pl.Expr, forms: tuple[str, ...]) -> pl.Expr:
    """The canonical form of text as an expression; null where the value is null or names nothing."""
    ordered = in_order(forms)
    spelled = _spelled(value, ordered)
    if _OF_UNICODE.isdisjoint(ordered):
        return spelled
    plain = value.str.len_bytes() == value.str.len_chars()
    other = pl.when(~plain).then(value)
    told = other.map_elements(lambda text: canonical(ordered, text), return_dtype=pl.String)
    return pl.when(plain).then(spelled).otherwise(told)


def _spelled(value: pl.Expr, forms: tuple[str, ...]) -> pl.Expr:
    """The canonical form of ASCII text; of any text if no form is of Unicode."""
    if "trim" in forms or "integer" in forms:
        value = value.str.strip_chars()
    if "compact" in forms:
        value = value.str.replace_all(GAPS, "")
    if "casefold" in forms:
        value = value.str.to_lowercase()
    if "integer" in forms:
        value = _integer(value)
    if "e164" in forms:
        value = _e164(value)
    return pl.when(value != "").then(value)


def _integer(value: pl.Expr) -> pl.Expr:
    # Most numbers are written plainly, and asking that takes a tenth of the regular expression.
    plain = (value.cast(pl.Int64, strict=False).cast(pl.String) == value).fill_null(value=False)
    parts = pl.when(~plain).then(value).str.extract_groups(_whole(INTEGER))
    sign, digits = parts.struct.field("1"), parts.struct.field("2")
    signed = pl.when((sign == "-") & (digits != "0")).then(pl.concat_str(pl.lit("-"), digits)).otherwise(digits)
    return pl.when(plain).then(value).otherwise(signed)


def _e164(value: pl.Expr) -> pl.Expr:
    value = value.str.replace_all(PHONE_GAPS, "").str.replace(PHONE_TRUNK, "${1}")
    # One more `(0)` is none of a telephone number: `x` keeps the rest from being read as one.
    marked = value.str.replace_all("(0)", "x", literal=True).str.replace_all(PHONE_MARKS, "")
    return "+" + marked.str.extract(_whole(PHONE))


def _whole(pattern: str) -> str:
    return pattern.replace("$", r"\z")
