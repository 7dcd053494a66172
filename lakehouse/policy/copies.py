"""What the copies of a purpose with `isolation: copy` hold: what may be shown of a table, and whose rows they are.

A copy is the same for everybody who may read it (`overlaps` refuses a policy where it would not be), so it is compiled for
somebody with the groups of its grants. Its last columns are the platform's: the entity, for consent and erasure, the
event's UTC day for `max_age` whatever the purpose shows of it, and the restriction. The view on it is in `compile`.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlglot import exp

from lakehouse.contract.model import Logical
from lakehouse.model import ENTITY, RESTRICTED_UNTIL
from lakehouse.policy import reach, rows
from lakehouse.policy.columns import projection
from lakehouse.policy.frame import ALIAS, Frame, every, relation
from lakehouse.policy.views import EVENT_DAY, Relation, base_relation, consent_relation, view_name

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from lakehouse.contract.model import Table
    from lakehouse.policy.model import Grant, Policy, Purpose
    from lakehouse.policy.views import ViewName

_ANY_DAY = dt.date(2000, 1, 1)


@dataclass(frozen=True)
class Copy:
    """A copy that must exist, and what makes it.

    Attributes:
        name: the view that stands on it.
        table: the contracted table that it is made of.
        tree: its rows, for the embedded engine; none on a day on which no grant is in force.
        reads: the relations that these are made of.
        rules: changes when policy or contract make another copy of the same rows; who reads a copy compares it.
        ended: no grant is in force on the day.
    """

    name: ViewName
    table: Table
    tree: exp.Select = field(repr=False)
    reads: tuple[Relation, ...]
    rules: int
    ended: bool


def copies(policy: Policy, tables: Sequence[Table], purpose: str) -> list[Table]:
    """The tables that the purpose shows from copies, in order; none where it shows them from views."""
    if policy.purposes[purpose].isolation != "copy":
        return []
    return [table for table in tables if reach.grants(policy, purpose, table)]


def has_ended(policy: Policy, purpose: str, table: Table, *, day: dt.date) -> bool:
    """Whether no grant of the purpose shows the table any more on the day: its copy must hold nothing then."""
    return not _in_force(reach.grants(policy, purpose, table), day)


def _in_force(grants: Sequence[Grant], day: dt.date) -> list[Grant]:
    return [grant for grant in grants if grant.until is None or day <= grant.until]


def copy_of(policy: Policy, purpose: str, table: Table, *, day: dt.date, present: Collection[str]) -> Copy:
    """What the purpose's copy of the table holds on the day (UTC); some grant of the purpose must reach the table.

    `present`: which of the platform's later columns the table has.
    """
    why = policy.purposes[purpose]
    grants = reach.grants(policy, purpose, table)
    in_force = _in_force(grants, day)
    reads = [base_relation(table, trino=False)]
    if why.consent is not None and rows.personal(table):
        reads.append(consent_relation(trino=False))
    tree = _select(policy, why, in_force or grants, Frame(table, "duckdb", day), present)
    if not in_force:
        tree.set("where", exp.Where(this=exp.false()))
    lasting = _select(policy, why, grants, Frame(table, "duckdb", _ANY_DAY), present)
    rules = hashlib.sha256(f"{lasting.sql('duckdb')}\n{_meaning(table)}".encode())
    return Copy(
        name=view_name(policy, purpose, table),
        table=table,
        tree=tree,
        reads=tuple(reads),
        rules=int.from_bytes(rules.digest()[:6]),
        ended=not in_force,
    )


def _meaning(table: Table) -> str:
    """What a contract says of cells that the same words of SQL show: types, what tokens stand for, and whose rows they are."""
    columns = [(str(column.type), column.pseudonym_domain, column.canonical) for column in table.columns]
    return repr((columns, table.entity and (table.entity.type, table.entity.canonical)))


def _select(
    policy: Policy, purpose: Purpose, grants: Sequence[Grant], frame: Frame, present: Collection[str]
) -> exp.Select:
    groups = frozenset(grants[0].groups)
    shown = [projection(policy, column, frame, grants=grants, groups=groups) for column in frame.table.columns]
    tests = [
        *rows.granted(grants, purpose, frame, copied=False),
        *rows.under_ceilings(policy, purpose.name, frame, groups=groups),
        *rows.standing(purpose, frame, present=present, copied=False),
    ]
    source = relation(base_relation(frame.table, trino=False))
    source.set("alias", exp.TableAlias(this=exp.to_identifier(ALIAS, quoted=True)))
    select = exp.Select(expressions=[*shown, *_platform(purpose, frame, present)], from_=exp.From(this=source))
    if tests:
        select.set("where", exp.Where(this=every(tests)))
    return select


def _platform(purpose: Purpose, frame: Frame, present: Collection[str]) -> list[exp.Expr]:
    """The columns that the view and an erasure need beside those that are shown."""
    table, found = frame.table, list[exp.Expr]()
    if table.entity is not None:
        found.append(exp.alias_(frame.column(ENTITY), ENTITY, quoted=True, copy=False))
    if purpose.max_age is not None and table.event_time is not None and rows.personal(table):
        happened: exp.Expr = frame.column(table.event_time)
        if frame.types[table.event_time].logical is Logical.TIMESTAMP:
            happened = exp.AtTimeZone(this=happened, zone=exp.Literal.string("UTC"))
        found.append(exp.alias_(exp.cast(happened, exp.DType.DATE, copy=False), EVENT_DAY, quoted=True, copy=False))
    if RESTRICTED_UNTIL in present and not purpose.legal:
        found.append(exp.alias_(frame.column(RESTRICTED_UNTIL), RESTRICTED_UNTIL, quoted=True, copy=False))
    return found
