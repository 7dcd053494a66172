"""How many rows of which table, and which entities they share: what tables of one project must agree on.

Entities are made per domain and type, so that the invoice lines of one table and the profiles of another name the same
customers. Ids may also come from real files; then only the tables that have one row per entity are made.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from lakehouse.contract.canonical import canonical
from lakehouse.contract.model import Logical, Rule
from lakehouse.demo import values
from lakehouse.demo.faults import orphan_columns
from lakehouse.demo.people import Entities, People, child
from lakehouse.demo.recipe import Recipe, Spec, load_recipe
from lakehouse.demo.rows import RowMaker
from lakehouse.errors import ProjectError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from lakehouse.contract.model import Column, Project, Table
    from lakehouse.model import TableId

_LEAST_ENTITIES = 3
_UNKNOWN = 10**9


@dataclass(frozen=True)
class Plan:
    """Rows by table, and makers that agree on entities."""

    project: Project
    seed: int
    rows: Mapping[TableId, int]
    given: Mapping[tuple[str, str], pl.Series]

    @classmethod
    def of(
        cls, project: Project, rows: int | Mapping[TableId, int], *, seed: int, profiles_for: Sequence[Path] = ()
    ) -> Plan:
        """Share the rows out; with `profiles_for`, one profile for each id found there."""
        if isinstance(rows, Mapping):
            _refuse_negative(rows.values())
            return cls(project, seed, dict(rows), {})
        _refuse_negative([rows])
        if profiles_for:
            given = _found_ids(project, profiles_for)
            wanted = {table.id: len(given[key]) for table in project.tables if (key := _profile_of(table)) in given}
            if not wanted:
                raise ProjectError(
                    "no table of the project has profiles for the ids in these files",
                    hint="a profile table has its entity's key as its only key column",
                )
            return cls(project, seed, wanted, given)
        return cls(project, seed, _shared_out(project, rows), {})

    def recipe(self, domain: str) -> Recipe:
        """The domain's recipe, read once."""
        if domain not in self._recipes:
            self._recipes[domain] = load_recipe(self.project.root, domain)
        return self._recipes[domain]

    def maker(self, table: Table) -> RowMaker:
        """The maker of a planned table's rows."""
        maker = RowMaker(
            table,
            self.recipe(table.id.domain),
            self.rows[table.id],
            self.seed,
            self.entities(table),
            self._references(table),
        )
        maker.check_recipe()
        return maker

    def entities(self, table: Table) -> Entities | None:
        """The entities that the table's rows are about."""
        if table.entity is None:
            return None
        key = (table.id.domain, table.entity.type)
        if key not in self._entities:
            self._entities[key] = self._made_entities(*key)
        return self._entities[key]

    def strangers(self, maker: RowMaker) -> Mapping[str, Callable[[np.random.Generator, int], pl.Series]]:
        """For each column that must be known elsewhere: how to make an id that is not."""
        made: dict[str, Callable[[np.random.Generator, int], pl.Series]] = {}
        delivered = {column.name: column for column in maker.table.delivered}
        for name in orphan_columns(maker.table):
            if name in delivered:
                made[name] = _stranger_maker(maker, delivered[name])
        return made

    @cached_property
    def _recipes(self) -> dict[str, Recipe]:
        return {}

    @cached_property
    def _entities(self) -> dict[tuple[str, str], Entities]:
        return {}

    def _made_entities(self, domain: str, kind: str) -> Entities:
        recipe = self.recipe(domain)
        spec = recipe.entity(kind)
        given = self.given.get((domain, kind))
        room = spec.last_id - spec.first_id + 1
        tables = [table for table in self.project.tables if _entity_of(table) == (domain, kind)]
        profiles = max((self.rows.get(table.id, 0) for table in tables if _profile_of(table)), default=0)
        others = sum(self.rows.get(table.id, 0) for table in tables if not _profile_of(table))
        if given is None and profiles > room:
            raise UsageError(
                f"{profiles:,} profiles asked for, and ids of `{kind}` end after {room:,}",
                hint=f"ask for fewer rows, or raise `entities.{kind}.last_id` in the domain's demo.yaml",
            )
        count = len(given) if given is not None else profiles or _entity_count(others, recipe, kind)
        people = People(int(child(self.seed, domain, kind).integers(0, 2**31)), count, recipe.period.last)
        attributes = {
            name: _attribute(child(self.seed, domain, kind, "attribute", name), count, each)
            for name, each in spec.attributes.items()
        }
        return Entities(count, spec.first_id, spec.last_id, people, spec.skew, given, attributes)

    def _references(self, table: Table) -> Mapping[str, tuple[Spec, int]]:
        """Foreign keys on plain numbered tables: values are drawn from the numbers that the target has."""
        found: dict[str, tuple[Spec, int]] = {}
        for check in table.checks:
            if check.rule is not Rule.FOREIGN_KEY or check.target is None or len(check.columns) != 1:
                continue
            target, name = self.project.table(check.target), check.target_columns[0]
            column = target.column(name)
            count = self.rows.get(target.id, 0)
            if count and name in target.key and target.entity is None and column.type.logical is not Logical.DATE:
                spec = self.recipe(target.id.domain).table(target.id.table).columns.get(name, Spec())
                found[check.columns[0]] = (spec if spec.serial is not None else Spec(serial=1), count)
        return found


def is_profile(table: Table) -> bool:
    """Whether the table has one row per entity."""
    return _profile_of(table) is not None


def _entity_of(table: Table) -> tuple[str, str] | None:
    return (table.id.domain, table.entity.type) if table.entity else None


def _profile_of(table: Table) -> tuple[str, str] | None:
    """The entity whose profiles the table holds: its key is the entity's key, and it is delivered."""
    if table.entity is None or not table.sources or table.key != (table.entity.key,):
        return None
    return _entity_of(table)


def _entity_count(rows: int, recipe: Recipe, kind: str) -> int:
    spec = recipe.entity(kind)
    return min(max(round(rows / spec.rows_each), _LEAST_ENTITIES), spec.last_id - spec.first_id + 1)


def _attribute(rng: np.random.Generator, count: int, spec: Spec) -> pl.Series:
    return values.choice(rng, count, spec.choice) if spec.choice else values.pick([spec.constant], np.zeros(count, int))


def _shared_out(project: Project, rows: int) -> dict[TableId, int]:
    """Profiles as many as the entities need, the rest by the recipes' shares; in all exactly `rows`."""
    sourced = [table for table in project.tables if table.sources]
    recipes = {table.id.domain: load_recipe(project.root, table.id.domain) for table in sourced}
    wanted: dict[TableId, int] = {}
    plain = [table for table in sourced if not is_profile(table)]
    for table in sourced:
        key = _profile_of(table)
        if key is not None:
            recipe = recipes[key[0]]
            count = rows // len(sourced) if not plain else _entity_count(rows, recipe, key[1])
            wanted[table.id] = min(count, rows // len(sourced))
    left = rows - sum(wanted.values())
    shares = np.array([recipes[table.id.domain].table(table.id.table).share for table in plain], dtype=np.float64)
    edges = np.rint(np.cumsum(shares) / shares.sum() * left).astype(np.int64) if plain else np.zeros(0, np.int64)
    for table, count in zip(plain, np.diff(edges, prepend=0), strict=True):
        wanted[table.id] = int(count)
    return {table.id: wanted[table.id] for table in sourced}


def _found_ids(project: Project, files: Sequence[Path]) -> dict[tuple[str, str], pl.Series]:
    """The ids in the files, canonical and once each, by the entity whose key column the file has."""
    found: dict[tuple[str, str], set[str]] = {}
    for file in files:
        columns = _text(file)
        for table in project.tables:
            entity = table.entity
            if entity is None or entity.key is None or not table.sources:
                continue
            name = table.column(entity.key).source_name or entity.key
            if name in columns.columns:
                ids = {canonical(entity.canonical, each) for each in columns[name].drop_nulls().unique()}
                found.setdefault((table.id.domain, entity.type), set()).update(each for each in ids if each)
                break
        else:
            raise ProjectError("no column of this file names an entity of the project", where=str(file))
    return {key: pl.Series(sorted(ids), dtype=pl.String) for key, ids in found.items()}


def _text(file: Path) -> pl.DataFrame:
    try:
        return pl.read_csv(file, infer_schema=False)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise ProjectError("not readable as CSV", where=str(file), hint="give files with a header line") from error


def _stranger_maker(maker: RowMaker, column: Column) -> Callable[[np.random.Generator, int], pl.Series]:
    entity = maker.table.entity
    own = maker.entities if entity is not None and entity.key == column.name else None
    # An orphan is somebody: the share of empty cells does not apply.
    spec = maker.spec(column).model_copy(update={"empty": 0.0})

    def make(rng: np.random.Generator, rows: int) -> pl.Series:
        made = own.strangers(rng, rows) if own else values.serial(_UNKNOWN, rng.integers(0, _UNKNOWN, rows))
        return maker.finished(rng, spec, made)

    return make


def _refuse_negative(counts: Iterable[int]) -> None:
    if any(count < 0 for count in counts):
        raise UsageError("the number of rows must not be negative")
