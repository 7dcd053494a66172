"""Columns of text out of random numbers: choices, patterns, amounts, words, serial numbers, times.

Each function makes a whole column at once. Randomness is an argument, so equal seeds give equal columns; a value is
text as a file delivers it, null where the file has nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from lakehouse.demo.recipe import Amount, Uniform


def skewed(rng: np.random.Generator, rows: int, *, size: int, skew: float) -> npt.NDArray[np.int64]:
    """Indices below `size`; a skew above 1 makes the low ones frequent."""
    return np.minimum((size * np.power(rng.random(rows), skew)).astype(np.int64), size - 1)


def pick(values: Sequence[str | None], indices: npt.NDArray[np.int64]) -> pl.Series:
    """The values at the indices."""
    return pl.Series(values, dtype=pl.String).gather(pl.Series(indices))


def choice(rng: np.random.Generator, rows: int, weights: Mapping[str, float]) -> pl.Series:
    """Weighted choices; an empty word is an empty cell."""
    return pick([word or None for word in weights], weighted(rng, rows, tuple(weights.values())))


def weighted(rng: np.random.Generator, rows: int, weights: Sequence[float]) -> npt.NDArray[np.int64]:
    """Indices drawn by weight."""
    shares = np.asarray(weights, dtype=np.float64)
    return rng.choice(len(weights), rows, p=shares / shares.sum())


def serial(first: int, positions: npt.NDArray[np.int64]) -> pl.Series:
    """Running numbers."""
    return pl.Series(positions + first).cast(pl.String)


def amounts(rng: np.random.Generator, rows: int, spec: Amount) -> pl.Series:
    """Lognormal amounts as text, `2.1` and not `2.10`, as spreadsheets export them."""
    drawn = spec.median * np.exp(spec.spread * rng.standard_normal(rows))
    return number_text(np.clip(drawn, spec.minimum, spec.maximum), spec.decimals)


def uniform(rng: np.random.Generator, rows: int, spec: Uniform) -> pl.Series:
    """Even amounts as text."""
    scale = 10**spec.decimals
    low, high = round(spec.minimum * scale), round(spec.maximum * scale)
    drawn = rng.integers(low, max(low, high) + 1, rows)
    return number_text(drawn / scale, spec.decimals)


def number_text(numbers: npt.NDArray[np.float64], decimals: int) -> pl.Series:
    """Numbers as text with at most that many decimals."""
    scale = 10**decimals
    whole = np.rint(numbers * scale).astype(np.int64)
    return pl.Series(whole).cast(pl.String) if decimals == 0 else pl.Series(whole / scale).cast(pl.String)


def words(rng: np.random.Generator, rows: int, lists: Sequence[Sequence[str]]) -> pl.Series:
    """One word of each list, joined by spaces; an empty word leaves its place out."""
    parts = [pick([word or None for word in each], rng.integers(0, len(each), rows)) for each in lists]
    return joined(parts, separator=" ")


def joined(parts: Sequence[pl.Series], *, separator: str = "") -> pl.Series:
    """The parts side by side; null parts are left out."""
    frame = pl.DataFrame([part.alias(str(number)) for number, part in enumerate(parts)])
    return frame.select(pl.concat_str(pl.all(), separator=separator, ignore_nulls=True).alias("joined")).to_series()


def emptied(rng: np.random.Generator, column: pl.Series, share: float) -> pl.Series:
    """The column with a share of its cells empty."""
    if share <= 0:
        return column
    gone = pl.Series(rng.random(len(column)) < share)
    return column.zip_with(~gone, pl.Series([None], dtype=pl.String))


def negated(column: pl.Series) -> pl.Series:
    """Numbers as text with the other sign."""
    frame = column.to_frame("value")
    text = pl.col("value")
    turned = (
        pl.when(text.str.starts_with("-")).then(text.str.strip_prefix("-")).otherwise(pl.concat_str(pl.lit("-"), text))
    )
    return frame.select(turned).to_series()


def instants(seconds: npt.NDArray[np.int64], format: str | None, *, date_only: bool) -> pl.Series:  # noqa: A002 - the contract's word
    """Seconds since 1970 as text in strptime's format (default ISO)."""
    moments = pl.Series(seconds * 1_000_000).cast(pl.Datetime("us"))
    wanted = format or ("%Y-%m-%d" if date_only else "%Y-%m-%d %H:%M:%S")
    return moments.dt.strftime(wanted)


def replaced(column: pl.Series, rows: npt.NDArray[np.int64], values: pl.Series) -> pl.Series:
    """The column with other values at some rows."""
    return column.clone().scatter(pl.Series(rows), values) if len(rows) else column
