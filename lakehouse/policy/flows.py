"""How values flow through one SQL expression: which columns they come from, and what was done to them on the way.

A `Trace` is one way from a column of an input to a value. It remembers the first and the last thing done to it, because
that decides whether a declared coarsening holds: the year of a date stays a year whatever is made of it later, and a CASE
into words only hides what it looked at while nothing else is put to them. Where names lead is `lineage`'s.
INVARIANT: what is not understood raises. A dropped input would be a leak.
"""

# The parts of sqlglot's expressions are untyped.
# pyright: reportUnknownVariableType=false

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from sqlglot import exp

from lakehouse.policy.coarsening import CHANGED, aggregates, coarsened

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from lakehouse.model import TableId
    from lakehouse.policy.coarsening import Step


class LineageError(ValueError):
    """A query that cannot be followed to its inputs; the message says which part."""


@dataclass(frozen=True, order=True)
class Leaf:
    """A column of an input, by its name in the contract (or a platform column)."""

    table: TableId
    column: str

    def __str__(self) -> str:
        return f"{self.table}.{self.column}"


@dataclass(frozen=True)
class Guard:
    """A promise of HAVING: no group with fewer different values of a column of `source`.

    `counted` are the ways into that column, each of them passed on row by row, so that rows of the same origin are counted.
    """

    at_least: int
    source: str
    counted: frozenset[Trace]


@dataclass(frozen=True)
class Trace:
    """One way from an input's column to a value.

    Attributes:
        leaf: where it begins.
        origin: which mention of the input's table; two mentions are two sets of rows.
        first: the first thing that was done to the value; None while it is passed on whole.
        last: the last one.
        picked: whether something chose between rows or values on the way, so that one row may decide.
        guard: the strongest guard over groups of its own rows that it was aggregated under.
        via: the named queries in between, `name.column`; one example of possibly several.
    """

    leaf: Leaf
    origin: int = 0
    first: Step | None = None
    last: Step | None = None
    picked: bool = False
    guard: Guard | None = None
    via: tuple[str, ...] = field(default=(), compare=False)

    def after(self, step: Step) -> Trace:
        """The same way, one step further."""
        return replace(self, first=self.first or step, last=step)

    def through(self, name: str) -> Trace:
        """The same way, noting the name that it passes."""
        return replace(self, via=(*self.via, name))


Traces = frozenset[Trace]
NOTHING: Traces = frozenset()


class Place(Protocol):
    """What an expression can name where it stands."""

    @property
    def guard(self) -> Guard | None:
        """What HAVING promises of the groups that aggregates here are over."""
        ...

    def column(self, source: str, name: str) -> Traces:
        """The ways into a column of a source."""
        ...

    def row(self, source: str) -> Traces:
        """The ways into all columns of a source."""
        ...

    def window(self, name: str) -> exp.Expr:
        """The definition of a named window."""
        ...

    def query(self, query: exp.Expr) -> tuple[Traces, Traces]:
        """The ways into what a query inside the expression gives, and into what decides which rows it gives."""
        ...


#: Passes a value on as it is: the value is one of its inputs'.
_WHOLE = (
    exp.Alias,
    exp.Paren,
    exp.Cast,
    exp.TryCast,
    exp.Coalesce,
    exp.Greatest,
    exp.Least,
    exp.Max,
    exp.Min,
    exp.AnyValue,
    exp.First,
    exp.Last,
    exp.FirstValue,
    exp.LastValue,
    exp.IgnoreNulls,
    exp.RespectNulls,
)
#: Those that have one operand and no choice.
_SAME = (exp.Alias, exp.Paren, exp.Cast, exp.TryCast)
#: Passes its first operand on, and lets the others decide which.
_CHOOSING = (exp.ArgMax, exp.ArgMin, exp.Lag, exp.Lead, exp.NthValue, exp.Nullif, exp.Window, exp.Filter, exp.Collate)
#: Says nothing of any row.
_CONSTANT = (exp.Literal, exp.Null, exp.Boolean, exp.DataType, exp.Var, exp.Interval)
_QUERIES = (exp.Select, exp.SetOperation, exp.Subquery)
_REFUSED: dict[type[exp.Expr], str] = {
    exp.Columns: "`COLUMNS(…)` names columns by a pattern",
    exp.PositionalColumn: "`#n` names a column by its place",
    exp.Star: "`*` stands where its columns are not known",
    exp.Parameter: "a parameter stands for something unknown",
    exp.Placeholder: "a placeholder stands for something unknown",
    exp.SessionParameter: "a session parameter stands for something unknown",
}


@dataclass(frozen=True)
class Flow:
    """Follows expressions at one place. `bound` are the names that enclosing lambdas give to elements of lists."""

    place: Place
    bound: frozenset[str] = frozenset()

    def into(self, expression: exp.Expr) -> Traces:
        """Every way from an input's column into the expression's value.

        Raises:
            LineageError: a part of it cannot be followed.
        """
        for refused, why in _REFUSED.items():
            if isinstance(expression, refused):
                raise LineageError(why)
        if isinstance(expression, exp.Column):
            return self._column(expression)
        if isinstance(expression, exp.TableColumn):
            return _after(self.place.row(expression.name))
        if isinstance(expression, (*_QUERIES, exp.Exists)):
            return self._query(expression)
        if isinstance(expression, exp.Identifier):
            return self._bound(expression)
        if isinstance(expression, _CONSTANT):
            return NOTHING
        return self._shaped(expression)

    def all_into(self, expressions: Iterable[exp.Expr]) -> Traces:
        """Every way into any of them."""
        return frozenset(trace for each in expressions for trace in self.into(each))

    def _shaped(self, expression: exp.Expr) -> Traces:
        if (found := coarsened(expression)) is not None:
            step, seen = found
            return _after(self.all_into(seen), step)
        if isinstance(expression, exp.Count) and isinstance(expression.this, exp.Star):
            return NOTHING
        for kinds, follow in (
            ((exp.Case, exp.If), self._case),
            (_WHOLE, self._whole),
            (_CHOOSING, self._chosen),
            (exp.AggFunc, self._aggregate),
            ((exp.Lambda, exp.Comprehension), self._lambda),
        ):
            if isinstance(expression, kinds):
                return follow(expression)
        return _after(self.all_into(_operands(expression)))

    def _column(self, column: exp.Column) -> Traces:
        if not column.table:
            raise LineageError(f"`{column.name}` cannot be resolved")
        return self.place.column(column.table, column.name)

    def _bound(self, name: exp.Identifier) -> Traces:
        if name.name in self.bound:
            return NOTHING  # an element of a list that stands beside the lambda, and counts there
        raise LineageError(f"`{name.name}` cannot be resolved")

    def _query(self, query: exp.Expr) -> Traces:
        """A query as a value: which rows it gives is part of what it says, unlike in FROM."""
        inner = query.this if isinstance(query, exp.Exists) else query
        values, deciding = self.place.query(inner)
        return _picked(_after(values) if isinstance(query, exp.Exists) else values) | _after(deciding)

    def _whole(self, expression: exp.Expr) -> Traces:
        found = self.all_into(_operands(expression))
        return found if isinstance(expression, _SAME) else _picked(found)

    def _aggregate(self, expression: exp.Expr) -> Traces:
        found = self.all_into(_operands(expression))
        guard = self.place.guard
        if guard is not None and aggregates(expression, of=guard.source):
            found = frozenset(_guarded(trace, guard) for trace in found)
        return _after(found)

    def _case(self, expression: exp.Expr) -> Traces:
        """The results pass on, what decides between them has its say (words alone are `coarsening`'s)."""
        branches: Sequence[exp.Expr] = expression.args.get("ifs") or [expression]
        results = [branch.args["true"] for branch in branches]
        default = expression.args.get("default") or expression.args.get("false")
        deciding = [branch.this for branch in branches]
        if isinstance(expression, exp.Case) and expression.this is not None:
            deciding.append(expression.this)
        chosen = self.all_into([*results, *([default] if default is not None else [])])
        return _picked(chosen) | _after(self.all_into(deciding))

    def _chosen(self, expression: exp.Expr) -> Traces:
        parts = [part for part in _operands(expression) if part not in (expression.args.get("partition_by") or [])]
        chosen, *deciding = parts
        found = self.into(chosen) | _after(self.all_into(deciding))
        named = expression.args.get("alias") if isinstance(expression, exp.Window) else None
        if named is not None:
            # a window may be built on another named one, which then stands in its own `alias`
            window = self.place.window(named.name)
            found |= _after(self.all_into(_window_parts(window)))
        return _picked(found)

    def _lambda(self, expression: exp.Expr) -> Traces:
        if isinstance(expression, exp.Lambda):
            names, bodies = expression.expressions, [expression.this]
        else:
            names = [expression.expression]
            bodies = [expression.this, *filter(None, [expression.args.get("condition")])]
        inside = replace(self, bound=self.bound | {each.name for each in names})
        beside = [expression.args["iterator"]] if isinstance(expression, exp.Comprehension) else []
        return _after(inside.all_into(bodies) | self.all_into(beside))


def _window_parts(window: exp.Expr) -> list[exp.Expr]:
    if window.args.get("alias") is not None:
        raise LineageError("a named window is made of another one")
    order = window.args.get("order")
    return [] if order is None else [order]


def _operands(expression: exp.Expr) -> Iterator[exp.Expr]:
    """The parts of an expression that are expressions themselves, without names of fields, aliases and arguments."""
    for key, value in expression.args.items():
        if _is_name(expression, key):
            continue
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, exp.Expr):
                yield part


def _is_name(expression: exp.Expr, key: str) -> bool:
    """Whether an argument only names something: no value flows through it."""
    if key == "alias":
        return True
    if isinstance(expression, (exp.PropertyEQ, exp.Kwarg)):
        return key == "this"
    if isinstance(expression, exp.Dot):
        return key == "expression" and isinstance(expression.expression, exp.Identifier)
    if isinstance(expression, exp.Collate):
        return key == "expression"
    return False


def _after(traces: Traces, step: Step = CHANGED) -> Traces:
    return frozenset(trace.after(step) for trace in traces)


def _picked(traces: Traces) -> Traces:
    return frozenset(replace(trace, picked=True) for trace in traces)


def _guarded(trace: Trace, guard: Guard) -> Trace:
    """Under the guard, where it counts the rows that the value is of and none was chosen."""
    if trace.picked or trace.origin not in {counted.origin for counted in guard.counted}:
        return trace
    if trace.guard is not None and trace.guard.at_least >= guard.at_least:
        return trace
    return replace(trace, guard=guard)
