"""What the SQL of one view is written in: the table under its alias, the engine's dialect, and what day it is there.

For a request nodes are made anew at every use, so that serving may change the tree. When all views of a project are
compiled, `Memory` lets them share what is alike: building and printing each column of each view takes most of the time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar, cast

from sqlglot import exp

from lakehouse.contract.model import ColumnType, Logical
from lakehouse.policy import predicates

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence

    from lakehouse.contract.model import Table
    from lakehouse.policy.combinations import Condition
    from lakehouse.policy.expressions import Dialect
    from lakehouse.policy.predicates import Predicate
    from lakehouse.policy.views import Relation

#: The alias of the base relation in every view; columns are always written with it.
ALIAS = "t"
TEXT = ColumnType(Logical.STRING)


_Kept = TypeVar("_Kept")


class Memory:
    """What was found before under a key, for one policy and one engine."""

    def __init__(self) -> None:
        self._kept: dict[Hashable, object] = {}

    def once(self, key: Hashable, make: Callable[[], _Kept]) -> _Kept:
        """What `make` gave for the key the first time."""
        found = self._kept.get(key)
        if found is None:
            found = self._kept[key] = make()
        return cast("_Kept", found)


@dataclass(frozen=True)
class Frame:
    """A table in a view. `today` is the constant day of a request, None where the engine computes it.

    `decisions` are kept for all columns; `nodes` only where views may share trees.
    """

    table: Table
    dialect: Dialect
    today: dt.date | None
    decisions: Memory = field(default_factory=Memory)
    nodes: Memory | None = None

    def node(self, key: Hashable, make: Callable[[], exp.Expr]) -> exp.Expr:
        """A tree that depends on the key alone."""
        return make() if self.nodes is None else self.nodes.once(key, make)

    @cached_property
    def types(self) -> Mapping[str, ColumnType]:
        """The types of the contract's columns."""
        return {column.name: column.type for column in self.table.columns}

    def column(self, name: str) -> exp.Column:
        """A column of the base relation."""
        return exp.column(name, table=ALIAS, quoted=True)

    def day(self) -> exp.Expr:
        """The UTC day: of the request, or computed in the view, never from the session's time zone."""
        if self.today is not None:
            return date(self.today)
        now = exp.AtTimeZone(this=exp.CurrentTimestamp(), zone=exp.Literal.string("UTC"))
        return exp.cast(now, exp.DType.DATE, copy=False)

    def predicate(self, written: Predicate) -> exp.Expr:
        """A row predicate of the policy."""

        def make() -> exp.Expr:
            return predicates.tree(written, self.types, dialect=self.dialect, day=self.day(), table=ALIAS)

        return self.node((written, *(self.types[name] for name in written.columns)), make)

    def condition(self, condition: Condition) -> exp.Expr:
        """A grant's predicate and last day; the caller leaves out a condition without a test."""
        parts: list[exp.Expr] = []
        if condition.until is not None:
            parts.append(exp.LTE(this=self.day(), expression=date(condition.until)))
        if condition.rows is not None:
            parts.append(self.predicate(condition.rows))
        return every(parts)


def relation(name: Relation) -> exp.Table:
    """A relation by its full name."""
    return exp.Table(
        this=exp.to_identifier(name.name, quoted=True),
        db=exp.to_identifier(name.schema, quoted=True),
        catalog=exp.to_identifier(name.catalog, quoted=True) if name.catalog else None,
    )


def date(day: dt.date) -> exp.Expr:
    """A constant day."""
    return exp.cast(exp.Literal.string(day.isoformat()), exp.DType.DATE, copy=False)


def in_groups(groups: Iterable[str]) -> exp.Expr:
    """Whether the reader is in one of the groups, as Trino says it."""
    mine = [
        exp.ArrayContains(this=exp.Anonymous(this="current_groups"), expression=exp.Literal.string(group))
        for group in sorted(groups)
    ]
    return some(mine)


def every(parts: Sequence[exp.Expr]) -> exp.Expr:
    """All of the conditions."""
    return _joined(exp.And, parts) if parts else exp.true()


def some(parts: Sequence[exp.Expr]) -> exp.Expr:
    """One of the conditions."""
    return _joined(exp.Or, parts) if parts else exp.false()


def _joined(connector: type[exp.Connector], parts: Sequence[exp.Expr]) -> exp.Expr:
    if len(parts) == 1:
        return parts[0]
    joined, *others = [_wrapped(part, connector) for part in parts]
    for other in others:
        joined = connector(this=joined, expression=other)
    return joined


def _wrapped(part: exp.Expr, connector: type[exp.Connector]) -> exp.Expr:
    """Another connector within a connector stands in parentheses: sqlglot prints none of its own."""
    return exp.Paren(this=part) if isinstance(part, exp.Connector) and not isinstance(part, connector) else part
