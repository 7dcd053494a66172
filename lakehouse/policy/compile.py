"""Compiles a policy: for a request on the embedded engine one SELECT per table, for Trino every view that must exist.

Both are built from the same parts: `rows` has the WHERE, `columns` what is shown, `frame` the words. For a request groups
and day are constants, so nothing of the policy but row predicates is left in the SQL; Trino's views test them, since one
view serves all readers. Views of a purpose with `isolation: copy` stand on its copies; `copies` compiles those. Who may read a view at all is in `trino`; the meaning of it all is in `decide`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlglot import exp

from lakehouse.errors import PolicyError
from lakehouse.model import Finding, Level
from lakehouse.policy import reach, rows
from lakehouse.policy.columns import projection
from lakehouse.policy.combinations import TooManyCombinationsError
from lakehouse.policy.frame import ALIAS, Frame, Memory, every, relation
from lakehouse.policy.views import (
    SERVE,
    Relation,
    ViewName,
    base_relation,
    consent_relation,
    copy_relation,
    view_name,
)

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Collection, Sequence

    from lakehouse.contract.model import Project, Table
    from lakehouse.model import TableId
    from lakehouse.policy.model import Grant, Policy, Purpose

#: So many groups have at most 64 combinations.
_ALWAYS_FEW = 6
#: Columns of the platform that every staged table has not had from its first day on; none is there yet.
NOTHING: frozenset[str] = frozenset()


@dataclass(frozen=True)
class View:
    """A compiled view.

    Attributes:
        name: `serve.<schema>.<name>`.
        table: the contracted table that it shows.
        tree: for the embedded engine the SELECT, for Trino CREATE OR REPLACE VIEW.
        reads: the relations it stands on: first the table or its copy, then the consent in force where it asks for it.
    """

    name: ViewName
    table: Table
    tree: exp.Expr
    reads: tuple[Relation, ...]


def duckdb_view(
    policy: Policy,
    project: Project,
    purpose: str,
    table: TableId,
    *,
    groups: Collection[str],
    day: dt.date,
    present: Collection[str] = NOTHING,
) -> View | None:
    """What people of these groups see of the table for the purpose on the day (UTC); None: denied.

    `present`: which of the platform's later columns (`_restricted_until`) the table has.
    """
    why, contracted = policy.purposes.get(purpose), _contracted(project, table)
    if why is None or contracted is None:
        return None
    known = frozenset(groups).intersection(policy.groups)
    readers = known.intersection(why.groups)
    grants = [
        grant
        for grant in reach.grants(policy, purpose, contracted)
        if readers.intersection(grant.groups) and (grant.until is None or day <= grant.until)
    ]
    if not grants:
        return None
    frame = Frame(contracted, "duckdb", day)
    select, reads = _select(policy, grants, why, frame, groups=known, present=present)
    return View(view_name(policy, purpose, contracted), contracted, select, reads)


def trino_view(
    policy: Policy, project: Project, purpose: str, table: TableId, *, present: Collection[str] = NOTHING
) -> View | None:
    """The view of the table that serves all readers of the purpose; None when no grant reaches the table.

    Raises:
        TooManyCombinationsError: a column tells too many combinations of groups apart.
    """
    contracted = _contracted(project, table)
    if contracted is None or purpose not in reach.purposes(policy, contracted):
        return None
    return _for_all(policy, Frame(contracted, "trino", None), policy.purposes[purpose], present=present)


def trino_views(
    policy: Policy, project: Project, *, present: Callable[[Table], Collection[str]] = lambda _: NOTHING
) -> tuple[View, ...]:
    """Every view that must exist on Trino, in order of name. Views that must not: `views.obsolete`.

    The trees share nodes, so they are for printing only (`printing.trino_sql`). `present`: as for a request, by table.

    Raises:
        PolicyError: a column tells too many combinations of groups apart.
    """
    findings: list[Finding] = []
    views: list[View] = []
    decisions, nodes = Memory(), Memory()
    for purpose, table in reach.pairs(policy, project):
        frame = Frame(table, "trino", None, decisions, nodes)
        try:
            views.append(_for_all(policy, frame, policy.purposes[purpose], present=present(table)))
        except TooManyCombinationsError as problem:
            findings.append(_too_many(policy, table, purpose, problem))
    if findings:
        raise PolicyError(findings)
    return tuple(sorted(views, key=lambda view: view.name))


def crowded(policy: Policy, project: Project) -> list[Finding]:
    """Columns that tell more combinations of groups apart than a view may: a static error of a policy."""
    findings: list[Finding] = []
    decisions, nodes = Memory(), Memory()
    for purpose, table in reach.pairs(policy, project):
        if len(_groups_of(policy, table, purpose)) <= _ALWAYS_FEW:
            continue
        try:
            for_all_readers(policy, Frame(table, "trino", None, decisions, nodes), purpose)
        except TooManyCombinationsError as problem:
            findings.append(_too_many(policy, table, purpose, problem))
    return findings


def _groups_of(policy: Policy, table: Table, purpose: str) -> set[str]:
    """Every group that may make a difference in the table's view."""
    groups = {group for grant in reach.grants(policy, purpose, table) for group in grant.groups}
    for column in table.columns:
        for ceiling in reach.ceilings(policy, table, column):
            groups |= reach.escaping(policy, ceiling.unless, purpose) or frozenset()
    return groups


def _contracted(project: Project, table: TableId) -> Table | None:
    """The contract of a table that can be granted at all: raw has its table's in staged."""
    return next((known for known in project.tables if known.id == table), None)


def for_all_readers(policy: Policy, frame: Frame, purpose: str, *, present: Collection[str] = NOTHING) -> exp.Select:
    """The query of a view that serves all readers, in the frame's words; some grant must reach the table."""
    grants = reach.grants(policy, purpose, frame.table)
    return _select(policy, grants, policy.purposes[purpose], frame, groups=None, present=present)[0]


def _for_all(policy: Policy, frame: Frame, purpose: Purpose, *, present: Collection[str]) -> View:
    grants = reach.grants(policy, purpose.name, frame.table)
    select, reads = _select(policy, grants, purpose, frame, groups=None, present=present)
    name = view_name(policy, purpose.name, frame.table)
    tree = exp.Create(
        this=relation(Relation(SERVE, name.schema, name.name)),
        kind="VIEW",
        replace=True,
        properties=exp.Properties(expressions=[exp.SqlSecurityProperty(this="DEFINER")]),
        expression=select,
    )
    return View(name, frame.table, tree, reads)


def _select(
    policy: Policy,
    grants: Sequence[Grant],
    purpose: Purpose,
    frame: Frame,
    *,
    groups: Collection[str] | None,
    present: Collection[str],
) -> tuple[exp.Select, tuple[Relation, ...]]:
    table, trino, copied = frame.table, frame.dialect == "trino", purpose.isolation == "copy"
    if copied:
        base = copy_relation(view_name(policy, purpose.name, table), trino=trino)
        shown: list[exp.Expr] = [
            exp.alias_(frame.column(column.name), column.name, quoted=True, copy=False) for column in table.columns
        ]
        ceilings: list[exp.Expr] = []
    else:
        base = base_relation(table, trino=trino)
        shown = [projection(policy, column, frame, grants=grants, groups=groups) for column in table.columns]
        ceilings = rows.under_ceilings(policy, purpose.name, frame, groups=groups)
    tests = [
        *rows.granted(grants, purpose, frame, copied=copied),
        *ceilings,
        *rows.standing(purpose, frame, present=present, copied=copied),
    ]
    source = relation(base)
    source.set("alias", exp.TableAlias(this=exp.to_identifier(ALIAS, quoted=True)))
    select = exp.Select(expressions=shown, from_=exp.From(this=source))
    if tests:
        select.set("where", exp.Where(this=every(tests)))
    asks = purpose.consent is not None and rows.personal(table)
    return select, (base, consent_relation(trino=trino)) if asks else (base,)


def _too_many(policy: Policy, table: Table, purpose: str, problem: TooManyCombinationsError) -> Finding:
    where = reach.grants(policy, purpose, table)[0].where
    message = f"a column of `{table.id}` shows different things to {problem} in purpose `{purpose}`"
    return Finding("combinations", Level.ERROR, where, message, "split the purpose, or give its groups equal grants")
