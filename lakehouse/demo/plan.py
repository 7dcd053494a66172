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
from lakehouse.demo.people import Entities, People, Reference, child
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
            given, there = _found_ids(project, profiles_for)
            wanted = {
                table.id: len(given[key])
                for table in project.tables
                if (key := _profile_of(table)) in given and table.id not in there
            }
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
        return Entities(
            count, spec.first_id, spec.last_id, people, spec.skew, given, spec.prefix, spec.digits, attributes
        )

    def _references(self, table: Table) -> Mapping[str, Reference]:
        """Foreign keys of one column: what they can name is what their targets have."""
        found: dict[str, Reference] = {}
        for check in table.checks:
            if check.rule is not Rule.FOREIGN_KEY or check.target is None or len(check.columns) != 1:
                continue
            own = table.entity is not None and table.entity.key == check.columns[0]
            named = None if own else self._named(self.project.table(check.target), check.target_columns[0])
            if named is not None:
                found[check.columns[0]] = named
        return found

    def _named(self, target: Table, name: str) -> Reference | None:
        """The keys of a target: of its entities, or the running numbers of a plain table."""
        if target.entity is not None:
            known = self.entities(target) if target.entity.key == name else None
            return None if known is None else Reference(known.count, known.ids, known.drawn)
        count = self.rows.get(target.id, 0)
        if not count or name not in target.key or target.column(name).type.logical is Logical.DATE:
            return None
        spec = self.recipe(target.id.domain).table(target.id.table).columns.get(name, Spec())
        first = 1 if spec.serial is None else spec.serial
        return Reference(
            count, lambda indices: values.serial(first, indices), lambda rng, rows: rng.integers(0, count, rows)
        )


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
    """As many rows of each domain, in all exactly `rows`."""
    domains = [each for each in project.contracts if any(table.sources for table in each.tables)]
    edges = np.rint(np.arange(len(domains) + 1) / max(len(domains), 1) * rows).astype(np.int64)
    wanted: dict[TableId, int] = {}
    for domain, count in zip(domains, np.diff(edges), strict=True):
        recipe = load_recipe(project.root, domain.domain)
        wanted |= _shared_in([table for table in domain.tables if table.sources], recipe, int(count))
    return wanted


def _shared_in(sourced: Sequence[Table], recipe: Recipe, rows: int) -> dict[TableId, int]:
    """One domain: profiles as many as the entities need, what there is only so much of, the rest by shares."""
    wanted: dict[TableId, int] = {}
    room = rows // len(sourced)
    plain = [table for table in sourced if not is_profile(table)]
    for table in sourced:
        key, most = _profile_of(table), recipe.table(table.id.table).most
        if key is not None:
            wanted[table.id] = min(_entity_count(rows, recipe, key[1]) if plain else room, room)
        elif most is not None and len(plain) > 1:
            wanted[table.id] = min(most, room)
            plain = [each for each in plain if each is not table]
    left = rows - sum(wanted.values())
    shares = np.array([recipe.table(table.id.table).share for table in plain], dtype=np.float64)
    edges = np.rint(np.cumsum(shares) / shares.sum() * left).astype(np.int64) if plain else np.zeros(0, np.int64)
    for table, count in zip(plain, np.diff(edges, prepend=0), strict=True):
        wanted[table.id] = int(count)
    return {table.id: wanted[table.id] for table in sourced}


def _found_ids(project: Project, files: Sequence[Path]) -> tuple[dict[tuple[str, str], pl.Series], frozenset[TableId]]:
    """The ids in the files, canonical and once each, by the entity whose key column a file has, and whose files they are."""
    found: dict[tuple[str, str], set[str]] = {}
    there: set[TableId] = set()
    for file in files:
        read: dict[str, pl.DataFrame] = {}
        for table in project.tables:
            entity = table.entity
            if entity is None or entity.key is None or not table.sources:
                continue
            delimiter = table.sources[0].delimiter
            columns = read.setdefault(delimiter, _text(file, delimiter)) if delimiter not in read else read[delimiter]
            name = table.column(entity.key).source_name or entity.key
            if name in columns.columns:
                ids = {canonical(entity.canonical, each) for each in columns[name].drop_nulls().unique()}
                found.setdefault((table.id.domain, entity.type), set()).update(each for each in ids if each)
                there.add(table.id)
                break
        else:
            raise ProjectError("no column of this file names an entity of the project", where=str(file))
    return {key: pl.Series(sorted(ids), dtype=pl.String) for key, ids in found.items()}, frozenset(there)


def _text(file: Path, delimiter: str) -> pl.DataFrame:
    try:
        return pl.read_csv(file, infer_schema=False, separator=delimiter, truncate_ragged_lines=True)
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
