"""Whose consent speaks for whom: entities of one type and the one entity that decides for them, over one link.

A link with `decides: true` leads from an entity to the one whose consent counts for its rows. There are no chains, and where
no entity decides, or several do, or one that is not known, nobody has consented.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from lakehouse import storage
from lakehouse.contract.model import Rule
from lakehouse.errors import RefusedError
from lakehouse.model import ENTITY, VALID_TO, entity_of
from lakehouse.privacy.forms import canonical_form

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lakehouse.contract.model import Link, Project, Table
    from lakehouse.model import TableId
    from lakehouse.storage import Lake

_PAIRS = {"entity": pl.String, "type": pl.String, "decider": pl.String, "decider_type": pl.String}


def links_that_decide(project: Project) -> tuple[Link, ...]:
    """The links over which consent goes, in a fixed order."""
    links = (link for contract in project.contracts for link in contract.links if link.decides)
    return tuple(sorted(links, key=lambda link: (link.source, link.target, link.via, link.when)))


def tables_of(project: Project) -> tuple[TableId, ...]:
    """The tables whose rows say who decides for whom."""
    found = {link.via for link in links_that_decide(project)}
    for link in links_that_decide(project):
        for type_ in (link.source, link.target):
            place = _place(project, project.table(link.via), type_)
            if not isinstance(place, str):
                found.add(place[1].id)
    return tuple(sorted(found))


def deciding(lake: Lake, project: Project, *, versions: Mapping[str, int]) -> pl.DataFrame:
    """Each entity for which exactly one known entity of another type decides: `entity`, `type`, `decider`, `decider_type`.

    Args:
        lake: the lake.
        project: every contract.
        versions: the versions of the tables to read; one that is not named is not there.
    """
    parts = [_pairs(lake, project, link, versions) for link in links_that_decide(project) if str(link.via) in versions]
    pairs = pl.concat([pl.DataFrame(schema=_PAIRS), *parts]).unique().filter(pl.col("entity").is_not_null())
    # one that is not known is one more: null counts as a value here
    alone = pl.len().over("entity", "decider_type") == 1
    return pairs.filter(alone).filter(pl.col("decider").is_not_null())


def _pairs(lake: Lake, project: Project, link: Link, versions: Mapping[str, int]) -> pl.DataFrame:
    via = project.table(link.via)
    rows = storage.scan(lake, via.id, version=versions[str(via.id)])
    if via.versioned:
        rows = rows.filter(pl.col(VALID_TO).is_null())
    for column, value in link.when:
        rows = rows.filter(pl.col(column).cast(pl.String) == value)
    rows = _with_surrogates(lake, project, rows, via, link.source, name="entity", versions=versions)
    rows = _with_surrogates(lake, project, rows, via, link.target, name="decider", versions=versions)
    named = rows.select(
        "entity", pl.lit(link.source).alias("type"), "decider", pl.lit(link.target).alias("decider_type")
    )
    return named.unique().collect(engine="streaming")


def _with_surrogates(
    lake: Lake, project: Project, rows: pl.LazyFrame, via: Table, type_: str, *, name: str, versions: Mapping[str, int]
) -> pl.LazyFrame:
    """With the surrogates of a type's entities: those of the row itself, or those of the rows that its key refers to."""
    place = _place(project, via, type_)
    if isinstance(place, str):
        return rows.with_columns(pl.col(place).alias(name))
    column, target, key = place
    if str(target.id) not in versions or target.entity is None:
        return rows.with_columns(pl.lit(None, pl.String).alias(name))
    forms = target.entity.canonical
    known = storage.scan(lake, target.id, version=versions[str(target.id)]).select(
        canonical_form(pl.col(key).cast(pl.String), forms).alias("__id"), pl.col(ENTITY).alias(name)
    )
    own = rows.with_columns(canonical_form(pl.col(column).cast(pl.String), forms).alias("__id"))
    return own.join(known.drop_nulls().unique(), on="__id", how="left").drop("__id")


def _place(project: Project, via: Table, type_: str) -> str | tuple[str, Table, str]:
    """Where rows of `via` name entities of a type: a column of surrogates, or one that refers to a table with such a key.

    Raises:
        RefusedError: nowhere.
    """
    if via.entity is not None and via.entity.type == type_:
        return ENTITY
    for role in via.roles:
        if role.type == type_:
            return entity_of(role.name)
    for check in via.checks:
        if check.rule is not Rule.FOREIGN_KEY or check.target is None or len(check.columns) != 1:
            continue
        target = project.table(check.target)
        if target.entity is not None and (target.entity.type, target.entity.key) == (type_, check.target_columns[0]):
            return check.columns[0], target, check.target_columns[0]
    hint = "name it as its entity, as a role, or by a relationship to the table whose key it is"
    raise RefusedError(f"a link decides over `{type_}`, and its rows name none", where=str(via.id), hint=hint)
