"""Column lineage of one query: from which columns of which inputs each of its columns comes.

sqlglot's `qualify` resolves names, stars, USING, aliases and ordinals against the inputs' columns; here the qualified tree
is followed source by source. Its own `lineage` module is not enough: it takes UNION BY NAME by place, and drops whole rows
(`to_json(t)`), named windows, `COLUMNS(…)` and `x.upper()`. WHERE, JOIN, GROUP BY, PARTITION BY and HAVING decide which rows there are
and are no inputs of a value, but in a query that is itself a value they are. What cannot be followed raises.
"""

# The parts of sqlglot's expressions are untyped.
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.qualify import qualify

from lakehouse.policy.coarsening import CHANGED, least_count
from lakehouse.policy.flows import NOTHING, Flow, Guard, Leaf, LineageError, Trace, Traces

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from lakehouse.model import TableId

_DIALECT = "duckdb"
#: Table functions that read nothing.
_COUNTING = (exp.GenerateSeries, exp.GenerateDateArray, exp.GenerateTimestampArray)


@dataclass(frozen=True)
class Input:
    """A table that a query may read: its columns as the contract writes them."""

    table: TableId
    columns: tuple[str, ...]


def lineage(sql: str, inputs: Mapping[str, Input]) -> dict[str, Traces]:
    """Each column of a query, and every way into it from a column of its inputs.

    Args:
        sql: one query in DuckDB's dialect.
        inputs: by `schema.table`, as the query names them.

    Returns:
        Column (in small letters) -> ways into it; a name that stands twice has the ways of both.

    Raises:
        LineageError: the query cannot be followed to its inputs.
    """
    tree = _qualified(sql, inputs)
    relation = _Follower(inputs).relation(tree, _Names())
    found: dict[str, Traces] = {}
    for name, traces in relation.columns:
        found[name] = found.get(name, NOTHING) | traces
    return found


def _qualified(sql: str, inputs: Mapping[str, Input]) -> exp.Expr:
    schema: dict[str, Any] = {}
    for name, given in inputs.items():
        database, _, table = name.partition(".")
        schema.setdefault(database, {})[table] = dict.fromkeys(given.columns, "unknown")
    try:
        trees = [tree for tree in sqlglot.parse(sql, read=_DIALECT) if tree is not None]
        if len(trees) != 1 or not isinstance(trees[0], (exp.Query, exp.Subquery)):
            raise LineageError("it is not one query")
        _refuse_strange_sources(trees[0], inputs)
        return qualify(trees[0], dialect=_DIALECT, schema=schema, quote_identifiers=False)
    except SqlglotError as problem:
        lines = str(problem).strip().splitlines() or ["it cannot be read"]
        raise LineageError(_lower(lines[0])) from None


def _lower(text: str) -> str:
    """What sqlglot says, as our errors are written."""
    return (text[:1].lower() + text[1:]).rstrip(".").replace("'", "`")


def _refuse_strange_sources(tree: exp.Expr, inputs: Mapping[str, Input]) -> None:
    """Say which table is not an input, before names fail because of it."""
    named = {cte.alias.casefold() for cte in tree.find_all(exp.CTE)}
    for table in tree.find_all(exp.Table):
        if isinstance(table.this, exp.Identifier) and not (not table.db and table.name.casefold() in named):
            key = f"{table.db}.{table.name}".casefold()
            if key not in {name.casefold() for name in inputs}:
                raise LineageError(f"`{table.db + '.' if table.db else ''}{table.name}` is not among its inputs")


@dataclass(frozen=True)
class _Relation:
    """What a source gives. `open`: its columns have any names (a list that was unnested), and each may be all of them."""

    columns: tuple[tuple[str, Traces], ...]
    deciding: Traces = NOTHING
    open: bool = False

    def column(self, name: str) -> Traces:
        if self.open:
            return self.row()
        found = [traces for column, traces in self.columns if column == name]
        if not found:
            raise LineageError(f"`{name}` cannot be resolved")
        return NOTHING.union(*found)

    def row(self) -> Traces:
        return NOTHING.union(*(traces for _, traces in self.columns))

    def named(self, names: Sequence[str]) -> _Relation:
        """With other names for the first columns, as an alias may give them."""
        if self.open or not names:
            return self
        rest = self.columns[len(names) :]
        renamed = zip(names, (traces for _, traces in self.columns), strict=False)
        return _Relation((*renamed, *rest), self.deciding)

    def joined(self, other: _Relation) -> _Relation:
        """With the ways of another relation of the same columns, by place."""
        pairs = zip(self.columns, other.columns, strict=True)
        columns = tuple((name, traces | more) for (name, traces), (_, more) in pairs)
        return _Relation(columns, self.deciding | other.deciding, self.open)

    def through(self, name: str) -> _Relation:
        """Noting the name of the query in every way."""
        columns = tuple(
            (column, frozenset(trace.through(f"{name}.{column}") for trace in traces))
            for column, traces in self.columns
        )
        return _Relation(columns, self.deciding, self.open)


@dataclass(frozen=True)
class _Names:
    """What queries can name where they stand: common table expressions, and the sources around them."""

    queries: dict[str, _Relation] = field(default_factory=dict[str, _Relation])
    sources: dict[str, _Relation] = field(default_factory=dict[str, _Relation])


@dataclass(frozen=True)
class _Place:
    """Where an expression of a SELECT stands; what `flows.Flow` asks."""

    follower: _Follower
    names: _Names
    select: exp.Expr
    guard: Guard | None = None

    def column(self, source: str, name: str) -> Traces:
        return self._source(source).column(name)

    def row(self, source: str) -> Traces:
        return self._source(source).row()

    def window(self, name: str) -> exp.Expr:
        for window in self.select.args.get("windows") or []:
            if window.name == name:
                return window
        raise LineageError(f"window `{name}` cannot be resolved")

    def query(self, query: exp.Expr) -> tuple[Traces, Traces]:
        relation = self.follower.relation(query, self.names)
        return relation.row(), relation.deciding

    def _source(self, name: str) -> _Relation:
        if name not in self.names.sources:
            raise LineageError(f"`{name}` cannot be resolved")
        return self.names.sources[name]


class _Follower:
    """Follows queries to their inputs, and numbers each mention of an input."""

    def __init__(self, inputs: Mapping[str, Input]) -> None:
        self._inputs = {name.casefold(): given for name, given in inputs.items()}
        self._origin = itertools.count()

    def relation(self, query: exp.Expr, names: _Names) -> _Relation:
        """What a query gives."""
        names = self._with(query, names)
        if isinstance(query, exp.Subquery):
            if query.args.get("pivots"):
                raise LineageError("PIVOT and UNPIVOT make columns of values; write them with CASE")
            return self.relation(query.this, names).named(query.alias_column_names)
        if isinstance(query, exp.SetOperation):
            return self._set_operation(query, names)
        if isinstance(query, exp.Select):
            return self._select(query, names)
        raise LineageError(f"{query.key.upper()} is no query that can be followed")

    def _with(self, query: exp.Expr, names: _Names) -> _Names:
        within = query.args.get("with_") or query.args.get("with")
        if within is None:
            return names
        queries = dict(names.queries)
        for cte in within.expressions:
            inside = _Names(queries, names.sources)
            found = self._recursive(cte, inside) if within.args.get("recursive") else self.relation(cte.this, inside)
            queries[cte.alias] = found.named(cte.alias_column_names).through(cte.alias)
        return _Names(queries, names.sources)

    def _recursive(self, cte: Any, names: _Names) -> _Relation:
        """A query that may name itself: what it gives is followed until nothing new comes in."""
        itself = any(table.name == cte.alias and not table.db for table in cte.this.find_all(exp.Table))
        if not itself:
            return self.relation(cte.this, names)
        if not isinstance(cte.this, exp.SetOperation):
            raise LineageError(f"`{cte.alias}` is made of itself in a way that cannot be followed")
        origin = next(self._origin)
        found = self.relation(cte.this.left, names)
        while True:
            # each round mentions the same inputs: the same numbers, so that a round can bring nothing new
            self._origin = itertools.count(origin)
            queries = {**names.queries, cte.alias: found.named(cte.alias_column_names)}
            following = found.joined(self.relation(cte.this, _Names(queries, names.sources)))
            if following == found:
                return found
            found = following

    def _set_operation(self, query: exp.SetOperation, names: _Names) -> _Relation:
        left, right = self.relation(query.left, names), self.relation(query.right, names)
        deciding = left.deciding | right.deciding
        if not isinstance(query, exp.Union):
            deciding |= left.row() | right.row()  # what the other side has decides which rows stay
        if query.args.get("by_name"):
            columns = dict(left.columns)
            for name, traces in right.columns:
                columns[name] = columns.get(name, NOTHING) | traces
            return _Relation(tuple(columns.items()), deciding)
        if len(left.columns) != len(right.columns):
            raise LineageError(f"the sides of {query.key.upper()} have different numbers of columns")
        return _Relation(left.joined(right).columns, deciding)

    def _select(self, select: exp.Select, names: _Names) -> _Relation:
        sources, deciding = self._sources(select, names)
        inside = _Names(names.queries, {**names.sources, **sources})
        plain = Flow(_Place(self, inside, select))
        flow = Flow(_Place(self, inside, select, _guard(select, plain)))
        columns = tuple((each.alias_or_name, flow.into(each)) for each in select.selects)
        return _Relation(columns, deciding | plain.all_into(_conditions(select)))

    def _sources(self, select: exp.Select, names: _Names) -> tuple[dict[str, _Relation], Traces]:
        """The sources of a SELECT by alias, later ones able to name earlier ones (LATERAL), and what decides on rows."""
        sources: dict[str, _Relation] = {}
        deciding: Traces = NOTHING
        for source in _mentioned(select):
            inside = _Names(names.queries, {**names.sources, **sources})
            relation = self._source(source, inside)
            deciding |= relation.deciding
            sources[source.alias_or_name] = relation
        return sources, deciding

    def _source(self, source: exp.Expr, names: _Names) -> _Relation:
        if source.args.get("pivots"):
            raise LineageError("PIVOT and UNPIVOT make columns of values; write them with CASE")
        if isinstance(source, exp.Table):
            return self._table(source, names)
        if isinstance(source, exp.Subquery):
            return self.relation(source, names).through(source.alias)
        if isinstance(source, exp.Lateral) and isinstance(source.this, exp.Subquery):
            return self.relation(source.this, names).named(source.alias_column_names)
        if isinstance(source, (exp.Unnest, exp.Values, exp.Lateral)):
            parts = [source.this] if isinstance(source, exp.Lateral) else source.expressions
            traces = Flow(_Place(self, names, source)).all_into(parts)
            return _Relation((("", frozenset(trace.after(CHANGED) for trace in traces)),), open=True)
        raise LineageError(f"{source.key.upper()} is no source that can be followed")

    def _table(self, table: exp.Table, names: _Names) -> _Relation:
        if isinstance(table.this, _COUNTING):
            traces = Flow(_Place(self, names, table)).into(table.this)
            return _Relation((("", traces),), open=True)
        if not isinstance(table.this, exp.Identifier):
            raise LineageError(
                f"`{table.this.name or table.this.key}` is a table function; models read their inputs only"
            )
        aliases = table.alias_column_names
        if not table.db and table.name in names.queries:
            return names.queries[table.name].named(aliases)
        given = self._inputs.get(f"{table.db}.{table.name}".casefold())
        if given is None:
            raise LineageError(f"`{table.name}` is not among its inputs")
        origin = next(self._origin)
        columns = tuple(
            (name.casefold(), frozenset({Trace(Leaf(given.table, name), origin)})) for name in given.columns
        )
        return _Relation(columns).named(aliases)


def _mentioned(select: exp.Select) -> Iterator[exp.Expr]:
    """Every source of a SELECT in the order of writing; joins may stand within parentheses."""

    def unfold(source: exp.Expr) -> Iterator[exp.Expr]:
        joined = isinstance(source, exp.Subquery) and not isinstance(source.this, exp.Query)
        if joined or isinstance(source, exp.Paren):
            yield from unfold(source.this)
        else:
            yield source
        for join in source.args.get("joins") or []:
            yield from unfold(join.this)

    start = select.args.get("from_") or select.args.get("from")
    if start is not None:
        yield from unfold(start.this)
    for join in select.args.get("joins") or []:
        yield from unfold(join.this)
    for lateral in select.args.get("laterals") or []:
        yield from unfold(lateral)


def _conditions(select: exp.Select) -> Iterator[exp.Expr]:
    """What decides on rows and not on values."""
    for key in ("where", "having", "qualify"):
        if (clause := select.args.get(key)) is not None:
            yield clause.this
    for join in select.find_all(exp.Join):
        if join.parent_select is select and join.args.get("on") is not None:
            yield join.args["on"]
    for window in select.find_all(exp.Window):
        if window.parent_select is select:
            yield from window.args.get("partition_by") or []
    group = select.args.get("group")
    if group is not None:
        yield from (each for each in group.expressions if not isinstance(each, exp.Literal))
    yield from _order(select)


def _order(select: exp.Select) -> Iterator[exp.Expr]:
    """What decides on the first rows, with LIMIT and DISTINCT ON."""
    order, distinct = select.args.get("order"), select.args.get("distinct")
    # a name without a table is that of a column of this very SELECT
    for each in (ordered.this for ordered in order.expressions) if order is not None else ():
        named = [column for column in each.find_all(exp.Column) if column.table]
        yield from [each] if len(named) == len(list(each.find_all(exp.Column))) else named
    if distinct is not None and distinct.args.get("on") is not None:
        columns = {each.alias_or_name: each for each in select.selects}
        for each in distinct.args["on"].expressions:
            yield (
                columns[each.name] if isinstance(each, exp.Column) and not each.table and each.name in columns else each
            )


def _guard(select: exp.Select, flow: Flow) -> Guard | None:
    """The strongest `HAVING count(distinct column) >= n` that must hold, of a column that is passed on as it is."""
    having = select.args.get("having")
    found: Guard | None = None
    for condition in _conjuncts(having.this) if having is not None else ():
        wanted = least_count(condition)
        if wanted is None:
            continue
        at_least, column = wanted
        counted = flow.into(column)
        plain = all(trace.first is None and not trace.picked for trace in counted)
        if counted and plain and (found is None or at_least > found.at_least):
            found = Guard(at_least, column.table, counted)
    return found


def _conjuncts(condition: exp.Expr) -> Iterator[exp.Expr]:
    if isinstance(condition, exp.Paren):
        yield from _conjuncts(condition.this)
    elif isinstance(condition, exp.And):
        yield from _conjuncts(condition.left)
        yield from _conjuncts(condition.right)
    else:
        yield condition
