"""Columns made of other columns of the same row: a date some days away, parts joined, amounts added up.

They come last, when variants have changed what they change, in the contract's order; so one may look at another that
stands before it. Text goes in and out, in the formats of the contract.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from lakehouse.demo import values

if TYPE_CHECKING:
    import numpy.typing as npt

    from lakehouse.contract.model import Table
    from lakehouse.demo.recipe import Away, Months, Running, Spec

_ISO = "%Y-%m-%d"
_MONTHS = 12


@dataclass
class Beside:
    """Makes the columns of one table that look at others; knows what amounts add up to so far.

    Args:
        table: the table's contract.
        entities: how many entities the rows are about; 1 where they are about none.
    """

    table: Table
    entities: int
    _totals: dict[str, npt.NDArray[np.float64]] = field(default_factory=dict[str, "npt.NDArray[np.float64]"])

    def made(
        self, rng: np.random.Generator, name: str, spec: Spec, *, frame: pl.DataFrame, entities: npt.NDArray[np.int64]
    ) -> pl.Series:
        """The column `name` by a spec that looks at columns of `frame`, whose rows are about `entities`."""
        if spec.away is not None:
            return self._away(rng, name, spec.away, frame)
        if spec.months is not None:
            return self._months(spec.months, frame)
        if spec.joined is not None:
            return values.joined([frame[each] for each in spec.joined.columns], separator=spec.joined.separator)
        if spec.running is not None:
            return self._running(name, spec.running, frame, entities)
        added = sum((frame[each].cast(pl.Decimal(18, 2)) for each in spec.total or ()), pl.Series([0] * len(frame)))
        return added.cast(self._exact(name)).cast(pl.String)

    def _away(self, rng: np.random.Generator, name: str, spec: Away, frame: pl.DataFrame) -> pl.Series:
        drawn = spec.median * np.exp(spec.spread * rng.standard_normal(len(frame)))
        days = np.clip(drawn, spec.minimum, spec.maximum).astype(np.int64)
        moved = pl.Series(-days if spec.before else days) * 86_400_000_000
        instants = self._days(spec.column, frame).cast(pl.Datetime("us")) + moved.cast(pl.Duration("us"))
        return instants.dt.strftime(self._format(name))

    def _months(self, spec: Months, frame: pl.DataFrame) -> pl.Series:
        days = self._days(spec.column, frame)
        since = spec.since.year * _MONTHS + spec.since.month
        return (days.dt.year().cast(pl.Int64) * _MONTHS + days.dt.month().cast(pl.Int64) - since).cast(pl.String)

    def _running(self, name: str, spec: Running, frame: pl.DataFrame, entities: npt.NDArray[np.int64]) -> pl.Series:
        totals = self._totals.setdefault(name, np.zeros(self.entities))
        amount = frame[spec.amount].cast(pl.Float64).to_numpy()
        moved = np.where(frame[spec.sign].is_in(spec.plus).to_numpy(), amount, -amount)
        added = pl.DataFrame({"entity": entities, "moved": moved}).select(pl.col("moved").cum_sum().over("entity"))
        reached = added.to_series().to_numpy() + totals[entities]
        np.add.at(totals, entities, moved)
        return values.number_text(reached, spec.decimals)

    def _days(self, name: str, frame: pl.DataFrame) -> pl.Series:
        return frame[name].str.to_date(self._format(name))

    def _format(self, name: str) -> str:
        return self.table.column(name).type.format or _ISO

    def _exact(self, name: str) -> pl.DataType:
        kind = self.table.column(name).type
        return pl.Decimal(kind.precision or 38, kind.scale or 0) if kind.scale else pl.Int64()
