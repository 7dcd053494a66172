"""Rows of one table, block by block: what the contract says a column is, and the recipe says it looks like.

A block is a frame of text columns named as in the contract plus `_file`, the number of the file (day) that a row is
delivered in. Positions are global, so any number of rows needs the memory of one block. Faults come afterwards
(`demo.faults`), files are written by `demo.generate`.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from lakehouse.contract.model import Logical, Rule
from lakehouse.demo import drawing, patterns, values
from lakehouse.demo.beside import Beside
from lakehouse.demo.people import People, child, shown_by
from lakehouse.demo.recipe import Amount, Period, Recipe, Spec, TableRecipe, Turn, Uniform
from lakehouse.errors import ProjectError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy.typing as npt

    from lakehouse.contract.model import Check, Column, Table
    from lakehouse.demo.people import Entities, Reference

FILE = "_file"
BLOCK_ROWS = 500_000
_DAY = 86_400
_EPOCH = dt.date(1970, 1, 1)
_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_FILLER = ("amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "haven", "inlet", "juniper", "knoll", "larch")


def open_days(period: Period) -> tuple[dt.date, ...]:
    """The days of a period on which anything happens."""
    span = (period.last - period.first).days + 1
    days = (period.first + dt.timedelta(days=number) for number in range(max(span, 1)))
    return tuple(day for day in days if _WEEKDAYS[day.weekday()] not in period.closed) or (period.first,)


@dataclass(frozen=True)
class _Units:
    """What columns are made for: the rows of a block, or the groups of it."""

    positions: npt.NDArray[np.int64]
    seconds: npt.NDArray[np.int64]
    entities: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.positions)


@dataclass(frozen=True)
class RowMaker:
    """Makes the rows of one table.

    Args:
        table: its contract.
        recipe: the domain's recipe.
        entities: the entities of the table's entity type, when it has one.
        references: foreign key column -> what it can name.
        rows: how many rows to make.
        seed: equal seeds make equal rows.
    """

    table: Table
    recipe: Recipe
    rows: int
    seed: int
    entities: Entities | None = None
    references: Mapping[str, Reference] | None = None

    @cached_property
    def days(self) -> tuple[dt.date, ...]:
        """The days that rows fall on, a file each when the table is delivered by day."""
        return open_days(self._period)

    @cached_property
    def profile(self) -> bool:
        """Whether each row is another entity: its key is the entity's key."""
        entity = self.table.entity
        return (
            entity is not None and self.entities is not None and self.table.key in {(entity.key,), (entity.surrogate,)}
        )

    def blocks(self) -> Iterator[pl.DataFrame]:
        """The rows, in order of delivery."""
        rng = child(self.seed, str(self.table.id))
        edges = self._day_edges(rng)
        beside = Beside(self.table, self.entities.count if self.entities else 1)
        groups = 0
        for start in range(0, self.rows, BLOCK_ROWS):
            rows = np.arange(start, min(start + BLOCK_ROWS, self.rows), dtype=np.int64)
            group = self._grouping(rng, len(rows))
            first = rows[np.flatnonzero(np.diff(group, prepend=-1))]
            days = np.minimum(np.searchsorted(edges, first, side="right"), len(self.days) - 1)
            by_group = _Units(
                np.arange(groups, groups + len(first), dtype=np.int64),
                self._seconds(rng, days),
                self._drawn(rng, first),
            )
            groups += len(first)
            block = self._block(rng, rows, group, by_group)
            whole = self._completed(rng, block, by_group.entities[group], beside)
            yield whole.with_columns(pl.Series(FILE, days[group].astype(np.int32)))

    def check_recipe(self) -> None:
        """Refuse a recipe that names a column, or an attribute, that is not there.

        Raises:
            ProjectError: with the name, and where it stands.
        """
        recipe = self._recipe
        known = {column.name for column in self.table.delivered}
        named = [*recipe.columns, *(recipe.groups.columns if recipe.groups else ())]
        named += [name for pool in recipe.pools for name in pool.columns]
        named += [name for variant in recipe.variants for name in variant.set]
        named += [name for spec in recipe.columns.values() for name in spec.looks_at]
        attributes = {spec.attribute for spec in recipe.columns.values() if spec.attribute}
        unknown = sorted({*named} - known) + sorted(attributes - set(self.entities.attributes if self.entities else ()))
        if unknown:
            raise ProjectError(
                f"`tables.{self.table.id.table}` names `{unknown[0]}`, which is no delivered column or attribute",
                where=f"policies/domains/{self.table.id.domain}/demo.yaml",
                hint=f"delivered columns: {', '.join(sorted(known))}",
            )

    def finished(self, rng: np.random.Generator, spec: Spec, column: pl.Series) -> pl.Series:
        """The column with the spec's finishing touches."""
        if spec.negate:
            column = values.negated(column)
        if spec.prefix or spec.suffix:
            ends = [pl.lit(spec.prefix), pl.col("value"), pl.lit(spec.suffix)]
            column = column.to_frame("value").select(pl.concat_str(ends)).to_series()
        if spec.month_start:
            column = column.str.replace(r"(\d{4}-\d{2}-)\d{2}", "${1}01")
        return values.emptied(rng, column, spec.empty)

    def spec(self, column: Column) -> Spec:
        """The recipe's spec of a column, else an empty one."""
        return self._recipe.columns.get(column.name, Spec())

    @property
    def _period(self) -> Period:
        return self._recipe.period or self.recipe.period

    @cached_property
    def _recipe(self) -> TableRecipe:
        return self.recipe.table(self.table.id.table)

    def _day_edges(self, rng: np.random.Generator) -> npt.NDArray[np.int64]:
        """Up to which position each day goes; busier towards the end of the period, no two days alike."""
        rise = np.linspace(0.8, 1.4, len(self.days))
        weights = rise * np.exp(0.25 * rng.standard_normal(len(self.days)))
        return np.rint(np.cumsum(weights) / weights.sum() * self.rows).astype(np.int64)

    def _grouping(self, rng: np.random.Generator, rows: int) -> npt.NDArray[np.int64]:
        """The group number of each row of a block."""
        groups = self._recipe.groups
        if groups is None:
            return np.arange(rows, dtype=np.int64)
        sizes = np.zeros(0, dtype=np.int64)
        while sizes.sum() < rows:
            drawn = groups.median * np.exp(groups.spread * rng.standard_normal(int(rows / groups.median) + 8))
            sizes = np.concatenate([sizes, np.clip(drawn, 1, groups.maximum).astype(np.int64)])
        return np.searchsorted(np.cumsum(sizes), np.arange(rows, dtype=np.int64), side="right").astype(np.int64)

    def _seconds(self, rng: np.random.Generator, days: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """When each group happened, rising: invoice numbers are given in order of time."""
        first, last = self._period.hours
        starts = np.array([(day - _EPOCH).days * _DAY for day in self.days], dtype=np.int64)
        share = rng.beta(2.5, 2.5, len(days)) if (first, last) != (0, 24) else rng.random(len(days))
        minutes = (first * 60 + share * (last - first) * 60).astype(np.int64)
        if self.profile:
            days = rng.integers(0, len(self.days), len(days))
            return starts[days] + minutes * 60
        return np.sort(starts[days] + minutes * 60)

    def _drawn(self, rng: np.random.Generator, first: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        if self.entities is None or self.profile:
            return first
        entity = self.table.entity
        keyed = entity is not None and {entity.key, entity.surrogate} & set(self.table.key)
        if entity is not None and (keyed or self._recipe.columns.get(entity.key or "", Spec()).turn):
            return first % self.entities.count  # in turn, so that entity and day together stay a key
        return self.entities.drawn(rng, len(first))

    def _block(
        self, rng: np.random.Generator, rows: npt.NDArray[np.int64], group: npt.NDArray[np.int64], by_group: _Units
    ) -> pl.DataFrame:
        shared = set(self._recipe.groups.columns) if self._recipe.groups else {c.name for c in self.table.delivered}
        by_row = _Units(rows, by_group.seconds[group], by_group.entities[group])
        pooled = self._pooled(rng, group)
        columns: dict[str, pl.Series] = {}
        for column in self.table.delivered:
            if column.name in pooled:
                made = pooled[column.name]
            elif column.name in shared and self._recipe.groups:
                made = self._column(rng, column, by_group).gather(pl.Series(group))
            else:
                made = self._column(rng, column, by_row)
            columns[column.name] = made
        columns |= self._varied(rng, columns, group)
        return pl.DataFrame([made.alias(name) for name, made in columns.items()])

    def _completed(
        self, rng: np.random.Generator, block: pl.DataFrame, entities: npt.NDArray[np.int64], beside: Beside
    ) -> pl.DataFrame:
        """The block with the columns that look at others."""
        for column in self.table.delivered:
            spec = self.spec(column)
            if spec.looks_at:
                made = beside.made(rng, column.name, spec, frame=block, entities=entities)
                block = block.with_columns(self.finished(rng, spec, made).alias(column.name))
        return block

    def _pooled(self, rng: np.random.Generator, group: npt.NDArray[np.int64]) -> dict[str, pl.Series]:
        """Columns that vary together; a repeat shows the item of the row before, in the same group."""
        found: dict[str, pl.Series] = {}
        for pool, items in zip(self._recipe.pools, self._pools, strict=True):
            drawn = values.skewed(rng, len(group), size=pool.size, skew=pool.skew)
            again = np.flatnonzero((rng.random(len(group)) < self._recipe.repeats)[1:] & (group[1:] == group[:-1])) + 1
            drawn[again] = drawn[again - 1]
            found |= {name: items[name].gather(pl.Series(drawn)) for name in pool.columns}
        return found

    @cached_property
    def _pools(self) -> tuple[pl.DataFrame, ...]:
        made: list[pl.DataFrame] = []
        for number, pool in enumerate(self._recipe.pools):
            rng = child(self.seed, str(self.table.id), "pool", str(number))
            every = np.arange(pool.size, dtype=np.int64)
            units = _Units(every, every * 0 + (self.days[0] - _EPOCH).days * _DAY, every)
            columns = [self._column(rng, self.table.column(name), units).alias(name) for name in pool.columns]
            made.append(pl.DataFrame(columns))
        return tuple(made)

    def _varied(
        self, rng: np.random.Generator, columns: Mapping[str, pl.Series], group: npt.NDArray[np.int64]
    ) -> dict[str, pl.Series]:
        """The columns that variants change; a row takes part in one variant at most."""
        changed: dict[str, pl.Series] = {}
        free = np.ones(len(group), dtype=np.bool_)
        for variant in self._recipe.variants:
            if variant.of == "groups":
                hit = (rng.random(int(group[-1]) + 1) < variant.share)[group] & free
            else:
                hit = (rng.random(len(group)) < variant.share) & free
            free &= ~hit
            rows = np.flatnonzero(hit)
            for name, spec in variant.set.items():
                column = changed.get(name, columns[name])
                made = self._made(rng, spec, len(rows)) if spec.makes_values else column.gather(pl.Series(rows))
                changed[name] = values.replaced(column, rows, self.finished(rng, spec, made))
        return changed

    def _column(self, rng: np.random.Generator, column: Column, units: _Units) -> pl.Series:
        spec = self.spec(column)
        if spec.looks_at:
            return pl.Series([None] * len(units), dtype=pl.String)  # made last, see `_completed`
        made = self._made(rng, spec, len(units), units) if spec.makes_values else self._by_contract(rng, column, units)
        return self.finished(rng, spec, made)

    def _made(self, rng: np.random.Generator, spec: Spec, rows: int, units: _Units | None = None) -> pl.Series:
        """Values by a spec; serials, attributes and people need to know the rows."""
        drawn = drawing.by_spec(rng, rows, spec)
        if drawn is not None:
            return drawn
        known = units or _Units(*(np.arange(rows, dtype=np.int64),) * 3)
        if spec.serial is not None:
            return values.serial(spec.serial, known.positions)
        if spec.in_turn is not None:
            return self._in_turn(spec.in_turn, known)
        if spec.attribute is not None and self.entities is not None:
            return self.entities.attributes[spec.attribute].gather(pl.Series(known.entities))
        return self._person(rng, spec.person or "name", known)

    def _in_turn(self, turn: Turn, units: _Units) -> pl.Series:
        entity = self.table.entity
        if turn.of is None:
            return values.pick(turn.words, units.positions % len(turn.words))
        if self.references and turn.of in self.references:
            count = self.references[turn.of].count
        else:
            count = self.entities.count if self.entities and entity and entity.key == turn.of else 1
        return values.pick(turn.words, np.minimum(units.positions // count, len(turn.words) - 1))

    def _person(self, rng: np.random.Generator, shown: str, units: _Units) -> pl.Series:
        if self.entities is not None:
            return self.entities.people.column(shown, units.entities)
        people = People(int(rng.integers(0, 2**31)), len(units), self.recipe.period.last)
        return people.column(shown, np.arange(len(units), dtype=np.int64))

    def _by_contract(self, rng: np.random.Generator, column: Column, units: _Units) -> pl.Series:
        """What the contract alone tells: entity, event time, references, category, checks, type."""
        entity = self.table.entity
        if entity is not None and self.entities is not None and column.name in {entity.key, entity.surrogate}:
            return self._entity_ids(column, units)
        if self.references and column.name in self.references:
            named = self.references[column.name]
            in_turn = self.spec(column).turn
            return named.keys(units.positions % named.count if in_turn else named.drawn(rng, len(units)))
        date_only = column.type.logical is Logical.DATE
        if column.name == self.table.event_time:
            return values.instants(units.seconds, column.type.format, date_only=date_only)
        listed = any(check.rule is Rule.ENUM and check.columns == (column.name,) for check in self.table.checks)
        shown = None if listed else shown_by(column.category)
        if shown is not None and column.type.logical in {Logical.STRING, Logical.DATE} and shown != "code":
            return self._person(rng, shown, units)
        if date_only or column.type.logical is Logical.TIMESTAMP:
            return values.instants(self._scattered(rng, len(units)), column.type.format, date_only=date_only)
        return self._by_checks(rng, column, units)

    def _entity_ids(self, column: Column, units: _Units) -> pl.Series:
        assert self.entities is not None  # noqa: S101 - the caller asked
        if self.table.entity is not None and column.name == self.table.entity.key:
            return self.entities.ids(units.entities)
        return pl.Series(units.entities).cast(pl.String).str.zfill(32)

    def _scattered(self, rng: np.random.Generator, rows: int) -> npt.NDArray[np.int64]:
        first, last = (self.days[0] - _EPOCH).days, (self.days[-1] - _EPOCH).days + 1
        return rng.integers(first * _DAY, last * _DAY, rows)

    def _by_checks(self, rng: np.random.Generator, column: Column, units: _Units) -> pl.Series:
        rules = {check.rule: check for check in self.table.checks if check.columns == (column.name,)}
        drawn: pl.Series
        if Rule.ENUM in rules:
            drawn = values.choice(rng, len(units), dict.fromkeys(rules[Rule.ENUM].values, 1.0))
        elif Rule.PATTERN in rules:
            drawn = patterns.matching(rng, len(units), rules[Rule.PATTERN].pattern or "")
        elif column.name in self.table.key:
            drawn = values.serial(1, units.positions)
        elif column.type.logical is Logical.BOOLEAN:
            drawn = values.choice(rng, len(units), {"true": 0.5, "false": 0.5})
        elif column.type.logical is Logical.STRING:
            drawn = values.words(rng, len(units), (_FILLER, _FILLER))
        else:
            drawn = self._number(rng, column, rules.get(Rule.RANGE), len(units))
        return drawn

    def _number(self, rng: np.random.Generator, column: Column, bounds: Check | None, rows: int) -> pl.Series:
        decimals = 0 if column.type.logical is Logical.INTEGER else min(column.type.scale or 2, 4)
        if bounds is None:
            return values.amounts(rng, rows, Amount(median=20, maximum=10_000, decimals=decimals))
        low = float(bounds.minimum) if bounds.minimum is not None else min(0.0, float(bounds.maximum or 0) - 1000)
        high = float(bounds.maximum) if bounds.maximum is not None else low + 1000
        return values.uniform(rng, rows, Uniform(minimum=low, maximum=high, decimals=decimals))
