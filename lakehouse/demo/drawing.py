"""Values of a recipe's spec that need nothing but chance.

What needs to know the rows (serial numbers, attributes of an entity, people) is in `demo.rows`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from lakehouse.demo import patterns, values

if TYPE_CHECKING:
    import numpy as np

    from lakehouse.demo.recipe import Spec


def by_spec(rng: np.random.Generator, rows: int, spec: Spec) -> pl.Series | None:
    """Values of a spec that needs nothing but chance; None when it needs to know the rows."""
    drawn: pl.Series | None = None
    if spec.constant is not None:
        drawn = pl.Series([spec.constant or None] * rows, dtype=pl.String)
    elif spec.choice is not None:
        drawn = values.choice(rng, rows, spec.choice)
    elif spec.pattern is not None:
        drawn = patterns.matching(rng, rows, spec.pattern)
    elif spec.words is not None:
        drawn = values.words(rng, rows, spec.words)
    elif spec.amount is not None:
        drawn = values.amounts(rng, rows, spec.amount)
    elif spec.uniform is not None:
        drawn = values.uniform(rng, rows, spec.uniform)
    return drawn
