"""Whether a derived column is at least as sensitive as what it is made of.

An input's column weighs on an output's when a way leads from it into the output's value (`lineage`; for a feature function
what its contract says with `made_of`, else every column it is given). Then the output
- has a class at least as high, and is personal when the input is;
- stays under every category that the input is under and that the policy singles out: a ceiling's, and direct identifiers;
- stands, with a class that is not higher, below the class prefix of one of its most sensitive inputs.
Surrogates and tokens weigh with class and being personal alone. `declassified` lifts this where `softening` finds it true.
Pure: SQL and contracts in, findings out; dbt is asked in `transform.dbt_compile`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lakehouse.contract import derivation
from lakehouse.model import (
    BATCH,
    ENTITY,
    EXTRA,
    LANDED_AT,
    RESTRICTED_UNTIL,
    ROW,
    VALID_FROM,
    VALID_TO,
    Finding,
    Level,
    Tier,
)
from lakehouse.policy import softening
from lakehouse.policy.coarsening import CHANGED
from lakehouse.policy.flows import Leaf, LineageError, Trace
from lakehouse.policy.lineage import Input, lineage
from lakehouse.policy.ownership import find_foreign_owners
from lakehouse.policy.weights import Weights

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from lakehouse.contract.model import Column, Project, Table
    from lakehouse.model import TableId
    from lakehouse.policy.flows import Traces
    from lakehouse.policy.model import Policy


def judge_model(
    project: Project, table: Table, sql: str, *, policy: Policy | None, relation: Callable[[TableId], str], where: str
) -> list[Finding]:
    """What is wrong with a model's columns against its contract.

    Args:
        project: every contract.
        table: the curated table that the model makes.
        sql: the compiled model.
        policy: the policy; without one a column is confidential when it is personal.
        relation: `schema.table` of a table, as compiled models name it.
        where: the model's file.
    """
    try:
        found = ways_of_model(project, table, sql, relation=relation)
    except LineageError as problem:
        hint = "write it so that every column can be followed to the model's inputs"
        message = f"where the columns of `{table.id}` come from cannot be told: {problem}"
        return [Finding("lineage-unknown", Level.ERROR, where, message, hint)]
    names = {column.name.casefold(): column.name for column in table.columns}
    ways = {names.get(name, name): traces for name, traces in found.items()}
    return [
        *find_foreign_owners(project, table, ways, where=where),
        *_judge(project, table, ways, policy=policy, where=where),
    ]


def judge_feature(project: Project, table: Table, *, policy: Policy | None) -> list[Finding]:
    """What is wrong with a feature table's columns against what they are made of."""
    return [*_judge(project, table, ways_of_feature(project, table), policy=policy, where="")]


def ways_of_model(project: Project, table: Table, sql: str, *, relation: Callable[[TableId], str]) -> dict[str, Traces]:
    """Each column of a compiled model (in small letters) and the ways into it.

    Raises:
        LineageError: it cannot be followed.
    """
    tables = [project.table(given) for given in table.inputs]
    return lineage(sql, {relation(each.id): Input(each.id, readable_columns(each)) for each in tables})


def ways_of_feature(project: Project, table: Table) -> dict[str, Traces]:
    """Each column of a feature table and the ways into it, as its contract says them."""
    known = {each.id: each for each in project.tables}
    given = table.made_of or tuple(
        f"{name}.{column}" for name in table.inputs if name in known for column in derivation.readable(known[name])
    )
    ways: dict[str, Traces] = {}
    for column in table.columns:
        found = derivation.named_columns(column.made_of or given, table.inputs, known)
        leaves = {Leaf(*each) for named in found.values() for each in named}
        ways[column.name] = frozenset(Trace(leaf).after(CHANGED) for leaf in leaves)
    return ways


def used_columns(project: Project, table: Table) -> frozenset[tuple[TableId, str]] | None:
    """The inputs' columns that a feature function may see; None where the contract does not say it."""
    if not table.made_of and not all(column.made_of for column in table.columns):
        return None
    known = {each.id: each for each in project.tables}
    names = {*table.made_of, *(name for column in table.columns for name in column.made_of)}
    found = derivation.named_columns(sorted(names), table.inputs, known)
    return frozenset(each for named in found.values() for each in named)


def columns_of_ways(ways: Mapping[str, Traces]) -> dict[str, list[Leaf]]:
    """Each column and the inputs' columns that it comes from, in order."""
    return {name: sorted({trace.leaf for trace in traces}) for name, traces in ways.items()}


def readable_columns(table: Table) -> tuple[str, ...]:
    """Every column of a staged or derived table, the platform's own too."""
    if table.id.tier is not Tier.STAGED:
        return (LANDED_AT, *derivation.readable(table))
    valid = (VALID_FROM, VALID_TO) if table.versioned else ()
    extra = (EXTRA,) if table.keeps_extra else ()
    own = (name for name in derivation.readable(table) if name != ENTITY)
    return (BATCH, ROW, LANDED_AT, RESTRICTED_UNTIL, *valid, *extra, ENTITY, *own)


def _judge(
    project: Project, table: Table, ways: Mapping[str, Traces], *, policy: Policy | None, where: str
) -> Iterator[Finding]:
    weights = Weights(project, policy, table.id)
    for column in table.columns:
        if column.name in ways:
            yield from _judge_column(table, column, ways[column.name], weights=weights, where=where)


def _judge_column(table: Table, column: Column, traces: Traces, *, weights: Weights, where: str) -> Iterator[Finding]:
    """At most one finding: the heaviest way, or a declaration that is not true or not needed."""
    declared = column.declassified
    weight = weights.of_column(column)
    heavy = {trace for trace in traces if weights.complaint(weight, [weights.of_leaf(trace.leaf)]) is not None}
    lifted = {trace for trace in heavy if declared is not None and softening.holds(declared, trace, table, column)}
    left = sorted(traces - lifted, key=_order)
    complaint = weights.complaint(weight, [weights.of_leaf(trace.leaf) for trace in left])
    if complaint is not None:
        way = left[complaint.input]
        path = " -> ".join((str(way.leaf), *way.via, column.name))
        reason = complaint.text
        if declared is not None:
            reason += f"; and `declassified` does not hold: {softening.wanted(declared, table)}"
        message = f"`{table.id}.{column.name}` is less sensitive than what it is made of: {path}: {reason}"
        hint = f"give `{column.name}` the category `{weights.of_leaf(way.leaf).category}`, or say `declassified`"
        if table.id.tier is Tier.FEATURES and not column.made_of:
            hint += "; `made_of` says which columns it is made of"
        yield Finding("taint", Level.ERROR, where or column.where, message, hint)
    elif declared is not None and not lifted:
        message = f"`{table.id}.{column.name}` is declassified, but as sensitive as what it is made of anyway"
        yield Finding("declassified-unneeded", Level.WARNING, column.where, message, "leave `declassified` out")


def _order(trace: Trace) -> tuple[str, tuple[str, ...], str, str]:
    return (str(trace.leaf), trace.via, str(trace.first), str(trace.last))
