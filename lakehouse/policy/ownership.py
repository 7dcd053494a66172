"""Whether a model passes on whose its rows are: `_entity`, `_entity_<role>`, and the tokens that its contract declares.

Erasing somebody finds his rows by these columns. One that is missing, or holds the surrogates of another entity type or the
tokens of another domain, makes rows that nobody can be forgotten from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lakehouse.contract.derivation import is_token
from lakehouse.model import ENTITY, LANDED_AT, TOKEN_SUFFIX, Finding, Level, entity_of, token_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lakehouse.contract.model import Column, Project, Table
    from lakehouse.policy.flows import Leaf, Trace, Traces


def find_foreign_owners(project: Project, table: Table, ways: Mapping[str, Traces], *, where: str) -> Iterator[Finding]:
    """What is missing of a model's contract, and what comes from somebody else's columns."""
    surrogates = dict(_surrogates(table))
    tokens = dict(_tokens(table))
    for name in (LANDED_AT, *surrogates, *tokens, *(column.name for column in table.columns)):
        if name not in ways and name.casefold() not in ways:
            hint = "select every column of the contract, and what it says of whose the rows are"
            message = f"`{table.id}` has no column `{name}`"
            yield Finding("model-column-missing", Level.ERROR, where, message, hint)
    for name, type_ in surrogates.items():
        foreign = [trace for trace in _ways(ways, name) or () if _type_of(project, trace) != type_]
        what = f"the surrogates of `{type_}`"
        yield from _told(table, name, foreign, what, where=where, ways=_ways(ways, name), needed=True)
    for name, domain in tokens.items():
        foreign = [trace for trace in _ways(ways, name) or () if _domain_of(project, trace) != domain]
        what = f"tokens of domain `{domain}`"
        yield from _told(table, name, foreign, what, where=where, ways=_ways(ways, name), needed=False)


def _told(
    table: Table, name: str, foreign: list[Trace], what: str, *, where: str, ways: Traces | None, needed: bool
) -> Iterator[Finding]:
    if not foreign and ways is None:
        return  # the column is missing, which is told by itself
    hint = "pass them on as they are, from the input whose entity it is"
    if foreign:
        way = min(foreign, key=lambda trace: (str(trace.leaf), trace.via))
        path = " -> ".join((str(way.leaf), *way.via, name))
        yield Finding("owner", Level.ERROR, where, f"`{table.id}.{name}` must be {what}: {path}", hint)
    elif needed and not ways:
        # a literal, or nothing at all, is nobody's surrogate; a missing column is told above
        yield Finding("owner", Level.ERROR, where, f"`{table.id}.{name}` must be {what}, and comes from no input", hint)


def _ways(ways: Mapping[str, Traces], name: str) -> Traces | None:
    return ways.get(name, ways.get(name.casefold()))


def _surrogates(table: Table) -> Iterator[tuple[str, str]]:
    """The columns of surrogates that a table must have, and of which entity type."""
    if table.entity is not None:
        yield ENTITY, table.entity.type
        if table.entity.surrogate is not None:
            yield table.entity.surrogate, table.entity.type
    for role in table.roles:
        yield entity_of(role.name), role.type


def _tokens(table: Table) -> Iterator[tuple[str, str]]:
    """The columns of tokens that a table must have, and of which domain."""
    for column in table.columns:
        if column.pseudonym_domain is not None:
            yield (column.name if column.token_of is not None else token_of(column.name)), column.pseudonym_domain


def _type_of(project: Project, trace: Trace) -> str | None:
    """Of which entity type the surrogates are that a way passes on; None when it passes on something else."""
    table = project.table(trace.leaf.table)
    return None if trace.first is not None else dict(_surrogates(table)).get(trace.leaf.column)


def _domain_of(project: Project, trace: Trace) -> str | None:
    """Of which domain the tokens are that a way passes on; None when it passes on something else."""
    if trace.first is not None:
        return None
    column = _column(project.table(trace.leaf.table), trace.leaf)
    return None if column is None else column.pseudonym_domain


def _column(table: Table, leaf: Leaf) -> Column | None:
    """The column whose tokens a leaf holds."""
    name = leaf.column.removesuffix(TOKEN_SUFFIX) if is_token(leaf.column) else leaf.column
    found = next((column for column in table.columns if column.name == name), None)
    return found if found is not None and (is_token(leaf.column) or found.token_of is not None) else None
