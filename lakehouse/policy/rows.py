"""Which rows a view has: the WHERE of a compiled view, one part for each sentence of "a row is visible".

NULL is not TRUE: the parts are joined by AND and OR only, so that an unknown part hides the row and never shows it. For a
request groups and day are constants and leave no test behind; a view for all readers tests them on every row's behalf.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from lakehouse.contract.model import Logical
from lakehouse.model import ENTITY, RESTRICTED_UNTIL, VALID_TO
from lakehouse.policy import reach
from lakehouse.policy.combinations import Condition
from lakehouse.policy.frame import Frame, date, every, in_groups, relation, some
from lakehouse.policy.views import EVENT_DAY, consent_relation

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from lakehouse.contract.model import Table
    from lakehouse.policy.model import Age, Grant, Policy, Purpose

_CONSENT_ALIAS = "c"
_UNITS = {"Y": "year", "M": "month", "D": "day"}


def granted(grants: Sequence[Grant], purpose: Purpose, frame: Frame, *, copied: bool) -> list[exp.Expr]:
    """Some grant shows the row. For a request the grants are the reader's own and in force; a copy has applied rows."""
    by_condition: dict[Condition, set[str]] = {}
    for grant in grants:
        condition = Condition(None if copied else grant.rows, grant.until if frame.today is None else None)
        by_condition.setdefault(condition, set()).update(grant.groups)
    if frame.today is not None and Condition() in by_condition:
        return []
    parts: list[exp.Expr] = []
    for condition in sorted(by_condition, key=lambda condition: condition.order):
        tests = [in_groups(by_condition[condition].intersection(purpose.groups))] if frame.today is None else []
        parts.append(every([*tests, *([] if condition.always else [frame.condition(condition)])]))
    return [some(parts)]


def under_ceilings(policy: Policy, purpose: str, frame: Frame, *, groups: Collection[str] | None) -> list[exp.Expr]:
    """The row ceilings that hold for these groups; None: for all readers, with a test where groups escape."""
    parts: dict[tuple[str, tuple[str, ...]], exp.Expr] = {}
    for ceiling in reach.row_ceilings(policy, frame.table):
        free = reach.escaping(policy, ceiling.unless, purpose)
        if free is None or (groups is not None and free.intersection(groups)):
            continue
        tested = tuple(sorted(free)) if groups is None else ()
        rows = frame.predicate(ceiling.only_rows)
        parts[ceiling.only_rows.text, tested] = some([in_groups(tested), rows]) if tested else rows
    return [parts[key] for key in sorted(parts)]


def standing(purpose: Purpose, frame: Frame, *, present: Collection[str], copied: bool) -> list[exp.Expr]:
    """What hides a row from every reader: an ended version, age, restriction, consent. No copy has ended versions."""
    parts: list[exp.Expr] = []
    asks = personal(frame.table)
    if frame.table.versioned and not copied:
        parts.append(_is_null(frame.column(VALID_TO)))
    if purpose.max_age is not None and asks:
        parts.append(_young(frame, purpose.max_age, copied=copied))
    if RESTRICTED_UNTIL in present and not purpose.legal:
        parts.append(_is_null(frame.column(RESTRICTED_UNTIL)))
    if purpose.consent is not None and asks:
        parts.append(_consented(frame, purpose.name))
    return parts


def personal(table: Table) -> bool:
    """Whether consent and age concern the table at all."""
    return any(column.personal for column in table.columns)


def _is_null(column: exp.Expr) -> exp.Expr:
    return exp.Is(this=column, expression=exp.Null())


def _young(frame: Frame, age: Age, *, copied: bool) -> exp.Expr:
    """The event's UTC day is not before the oldest one allowed. An instant is compared as one, so that files are skipped."""
    name = EVENT_DAY if copied else frame.table.event_time
    if name is None:
        return exp.false()
    oldest = _oldest(frame, age)
    if not copied and frame.types[name].logical is Logical.TIMESTAMP:
        oldest = _midnight(frame, age)
    return exp.GTE(this=frame.column(name), expression=oldest)


def _oldest(frame: Frame, age: Age) -> exp.Expr:
    if frame.today is not None:
        return date(age.before(frame.today))
    back = exp.Neg(this=exp.Literal.number(age.count))
    return exp.Anonymous(this="date_add", expressions=[exp.Literal.string(_UNITS[age.unit]), back, frame.day()])


def _midnight(frame: Frame, age: Age) -> exp.Expr:
    """The first instant of the oldest day, in UTC whatever the session's time zone."""
    if frame.today is not None:
        text = exp.Literal.string(f"{age.before(frame.today).isoformat()} 00:00:00+00:00")
        return exp.cast(text, exp.DType.TIMESTAMPTZ, copy=False)
    plain = exp.cast(_oldest(frame, age), exp.DataType.build("timestamp(3)", dialect="trino"), copy=False)
    return exp.Anonymous(this="with_timezone", expressions=[plain, exp.Literal.string("UTC")])


def _consented(frame: Frame, purpose: str) -> exp.Expr:
    """A semi-join: the row's entity is among those whose consent is in force."""
    if frame.table.entity is None:
        return exp.false()

    def said(name: str) -> exp.Column:
        return exp.column(name, table=_CONSENT_ALIAS, quoted=True)

    lasting = exp.Or(
        this=_is_null(said("expires_on")), expression=exp.GTE(this=said("expires_on"), expression=frame.day())
    )
    for_purpose = exp.EQ(this=said("purpose"), expression=exp.Literal.string(purpose))
    stands_in = relation(consent_relation(trino=frame.dialect == "trino"))
    stands_in.set("alias", exp.TableAlias(this=exp.to_identifier(_CONSENT_ALIAS, quoted=True)))
    given = exp.Select(
        expressions=[said("entity")],
        from_=exp.From(this=stands_in),
        where=exp.Where(this=every([for_purpose, said("given"), lasting])),
    )
    return exp.In(this=frame.column(ENTITY), query=exp.Subquery(this=given))
