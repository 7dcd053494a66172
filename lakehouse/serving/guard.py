"""From a reader's SQL to text that may be run: one select over the views of one purpose, and nothing else.

The text is read by sqlglot and judged by lists of what may be (`grammar`, `functions`); names are resolved and rewritten, so
that nothing but a view or a `with` query can be meant; then text is made from the tree, and DuckDB's reading of that text is
judged once more (`second_opinion`). What the views show, and how they are run, is `session`.
"""

# ruff: noqa: PLR0402 - `from lakehouse.serving import x` would go through the package's re-export, an import cycle.

from __future__ import annotations

import difflib
import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlglot import ErrorLevel, Tokenizer, exp, parse
from sqlglot.errors import ParseError, SqlglotError, TokenError
from sqlglot.tokenizer_core import TokenType

import lakehouse.serving.functions as functions
import lakehouse.serving.grammar as grammar
import lakehouse.serving.growth as growth
import lakehouse.serving.second_opinion as second_opinion
from lakehouse.errors import RefusedError, UsageError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

CATALOG = "serve"
LONGEST_TEXT = 50_000
MOST_TOKENS = 10_000
DEEPEST = 100
_WITH = "_with{}"
_TELLABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_STARTS = {TokenType.SELECT, TokenType.WITH, TokenType.L_PAREN}
_OPENING = {TokenType.L_PAREN: 1, TokenType.R_PAREN: -1}
_WORD = re.compile(r"(?<=[a-z])(?=[A-Z])")


@dataclass(frozen=True)
class Checked:
    """A query that may be run: its text for DuckDB, the views that it reads, and what is odd about its names, if anything."""

    text: str
    views: tuple[str, ...]
    doubt: str | None = None


@dataclass(frozen=True)
class _Reader:
    """What one query may name."""

    sql: str
    purpose: str
    views: Mapping[str, Collection[str]]

    def place(self, node: exp.Expr | None) -> str:
        """`line:column` of the first name in a part of the query."""
        found = (part.meta.get("start") for part in (node.walk() if node is not None else ()))
        start = min((each for each in found if each is not None), default=None)
        return _place(self.sql, start) if start is not None else "the query"

    def refused(self, node: exp.Expr | None, message: str, hint: str) -> RefusedError:
        return RefusedError(message, where=self.place(node), hint=hint)


def check(sql: str, *, purpose: str, views: Mapping[str, Collection[str]]) -> Checked:
    """The query as it may be run.

    Args:
        sql: what the reader wrote.
        purpose: the purpose that he reads for.
        views: the views of that purpose that he may read, with their columns.

    Raises:
        UsageError: it cannot be understood as SQL.
        RefusedError: it does what queries may not do, or names what is no view.
    """
    reader = _Reader(sql, purpose, views)
    try:
        tree = _parsed(sql)
        _check_shapes(reader, tree)
        used = _resolve(reader, tree)
        text = tree.sql(dialect="duckdb", identify=True, comments=False, unsupported_level=ErrorLevel.RAISE)
    except RecursionError:
        raise _too_deep() from None
    except SqlglotError:
        raise _unclear(None) from None
    tables = {*used, *(_WITH.format(number) for number, _ in enumerate(tree.find_all(exp.CTE)))}
    objection = second_opinion.objection(text, tables)
    if objection is not None:
        raise RefusedError(
            f"the engine reads this query in another way: {objection}", where="the query", hint="write it more plainly"
        )
    return Checked(text, tuple(sorted(used)), _doubt(reader, tree, used))


def _parsed(sql: str) -> exp.Query:
    """The one select that the text is."""
    _check_text(sql)
    _check_tokens(sql)
    statements = [tree for tree in _trees(sql) if tree is not None]
    if len(statements) != 1:
        raise RefusedError("a request is one statement", where="the query", hint="send one `select` at a time")
    if not isinstance(statements[0], exp.Query):
        raise RefusedError(
            "only queries are answered", where="the query", hint="write one `select`, or `with … select`"
        )
    return statements[0]


def _check_tokens(sql: str) -> None:
    """Refuse what a parser that calls itself must not see, and what starts like no query."""
    try:
        tokens = Tokenizer(dialect="duckdb").tokenize(sql)
    except TokenError:
        raise _unclear(None) from None
    if not tokens:
        raise UsageError("there is no query", hint="write one `select`")
    deepest = depth = 0
    for token in tokens:
        depth += _OPENING.get(token.token_type, 0)
        deepest = max(deepest, depth)
    if deepest > DEEPEST:
        raise _too_deep()
    if len(tokens) > MOST_TOKENS:
        raise RefusedError("the query is too long", hint=f"at most {MOST_TOKENS:,} words and signs")
    if tokens[0].token_type is TokenType.VAR:
        raise _unclear(_place(sql, tokens[0].start))
    if tokens[0].token_type not in _STARTS:
        raise RefusedError(
            "only queries are answered",
            where=_place(sql, tokens[0].start),
            hint="write one `select`, or `with … select`",
        )


def _trees(sql: str) -> list[exp.Expr | None]:
    try:
        return parse(sql, dialect="duckdb", error_level=ErrorLevel.IMMEDIATE)
    except ParseError as error:
        known = error.errors[0] if error.errors else {}
        where = f"{known.get('line')}:{known.get('col')}" if known.get("line") else None
    raise _unclear(where)


def _check_text(sql: str) -> None:
    if len(sql) > LONGEST_TEXT:
        raise RefusedError("the query is too long", hint=f"at most {LONGEST_TEXT:,} characters")
    for at, character in enumerate(sql):
        # Cc control, Cf invisible (zero width, changes of direction), Co and Cs nobody's and half characters.
        if not character.isascii() or not character.isprintable():
            kind = unicodedata.category(character)
            if kind in {"Cc", "Cf", "Co", "Cs", "Zl", "Zp"} and character not in "\n\r\t":
                raise RefusedError(
                    f"there is an invisible character (U+{ord(character):04X})",
                    where=_place(sql, at),
                    hint="write the query with visible characters",
                )


def _check_shapes(reader: _Reader, tree: exp.Query) -> None:
    for node in tree.walk():
        name = type(node).__name__
        if isinstance(node, exp.Anonymous):
            called = str(node.this)
            if called.lower() not in functions.CALLABLE:
                raise _no_function(reader, node, called)
        elif name not in grammar.STATEMENT and name not in grammar.CALLS:
            raise _no_function(reader, node, node.sql_name()) if isinstance(node, exp.Func) else _no_shape(reader, node)
        _check_detail(reader, node)
    grown = growth.too_long(tree)
    if grown is not None:
        raise reader.refused(
            grown, "texts would become too long", "write lengths, replacements and separators out, and keep them short"
        )


def _check_detail(reader: _Reader, node: exp.Expr) -> None:
    """What a listed class may still not hold."""
    if isinstance(node, exp.Join) and str(node.args.get("method") or "").upper() not in {"", "ASOF", "NATURAL"}:
        raise reader.refused(node, "this join is not available", "join with `on` or `using`")
    if isinstance(node, exp.With) and node.args.get("recursive"):
        raise reader.refused(node, "recursive queries are not available", "leave `recursive` out")
    if isinstance(node, exp.DataType) and (
        not isinstance(node.this, exp.DType) or node.this.value not in grammar.CASTS or node.args.get("nested")
    ):
        raise reader.refused(
            node.parent, "this type is not available", "cast to numbers, text, dates, times or booleans"
        )
    if isinstance(node, exp.Var) and not _TELLABLE.fullmatch(node.name.replace(" ", "")):
        raise reader.refused(node.parent, "this word is not available", "write the query more plainly")
    if isinstance(node, exp.Window) and isinstance(_inner(node), exp.GroupConcat):
        raise reader.refused(node, "texts cannot be joined over a window", "use `group by`")
    if isinstance(node, exp.Table) and not isinstance(node.this, exp.Identifier):
        raise reader.refused(node, "table functions are not available", "read from the views of the purpose")
    if isinstance(node, (exp.Like, exp.ILike, exp.Glob, exp.SimilarTo)) and isinstance(node.this, exp.Star):
        raise reader.refused(node, "columns cannot be chosen by a pattern", "name the columns")


def _inner(node: exp.Expr) -> exp.Expr:
    """What a window is over, past its filter and its treatment of nulls."""
    while isinstance(node, (exp.Window, exp.Filter, exp.IgnoreNulls, exp.RespectNulls)):
        node = node.this
    return node


def _resolve(reader: _Reader, tree: exp.Query) -> frozenset[str]:
    """Rewrite every name so that it can mean one thing only; returns the views read.

    INVARIANT: afterwards a table is named by a view's name or by `_withN`, so that neither a file, a system view nor a
    variable can be meant, wherever it stands and whatever is in scope there.
    """
    renamed: dict[str, str] = {}
    for number, cte in enumerate(tree.find_all(exp.CTE)):
        name = cte.alias.lower()
        if name in renamed or name in reader.views:
            what = "twice" if name in renamed else "but is a view"
            raise reader.refused(
                cte.args["alias"], f"`{_told(name)}` is defined {what}", "give each `with` its own name"
            )
        renamed[name] = _WITH.format(number)
        cte.args["alias"].set("this", exp.to_identifier(renamed[name], quoted=True))
    used = {_resolve_table(reader, table, renamed) for table in tree.find_all(exp.Table)}
    known = {column.lower() for view in used & reader.views.keys() for column in reader.views[view]}
    for column in tree.find_all(exp.Column):
        _resolve_column(reader, column, known)
    return frozenset(used & reader.views.keys())


def _resolve_table(reader: _Reader, table: exp.Table, renamed: Mapping[str, str]) -> str:
    name, qualified = table.name.lower(), bool(table.args.get("db"))
    if not _is_own(reader, table):
        raise reader.refused(
            table,
            f"only views of `{reader.purpose}` can be read",
            _instead(table, reader.views),
        )
    if table.args.keys() - {"this", "db", "catalog", "alias", "joins"} and any(
        value for key, value in table.args.items() if key not in {"this", "db", "catalog", "alias", "joins"}
    ):
        raise reader.refused(table, "tables are read as they are", "write the view's name, and an alias at most")
    target = renamed.get(name) if not qualified else None
    if target is None and name not in reader.views:
        raise reader.refused(
            table, f"there is no view `{_told(table.name)}` to read here", _nearest(name, reader.views)
        )
    if not table.alias:
        alias = table.args.get("alias") or exp.TableAlias()
        alias.set("this", exp.to_identifier(table.name, quoted=True))
        table.set("alias", alias)
    table.set("db", None)
    table.set("catalog", None)
    table.set("this", exp.to_identifier(target or name, quoted=True))
    return target or name


def _resolve_column(reader: _Reader, column: exp.Column, known: Collection[str]) -> None:
    if not _is_own(reader, column):
        raise reader.refused(column, "this name has too many parts", "write `column`, or `view.column`")
    column.set("db", None)
    column.set("catalog", None)
    name = column.name.lower()
    if not column.table and name in functions.VALUE_NAMES and name not in known:
        raise _no_function(reader, column, name)


def _doubt(reader: _Reader, tree: exp.Query, used: Collection[str]) -> str | None:
    """A column that nothing in the query can have."""
    known = {column for view in used for column in reader.views[view]}
    named = {alias.alias for alias in tree.find_all(exp.Alias)}
    named |= {column.name for alias in tree.find_all(exp.TableAlias) for column in alias.columns}
    lowered = {name.lower() for name in known | named}
    for column in tree.find_all(exp.Column):
        if column.name.lower() not in lowered and not isinstance(column.this, exp.Star):
            near = difflib.get_close_matches(column.name.lower(), known, n=1)
            advice = f"; did you mean `{near[0]}`?" if near else f"; columns: {', '.join(sorted(known)[:20])}"
            return f"there is no column `{_told(column.name)}` ({reader.place(column)}){advice}"
    return None


def _is_own(reader: _Reader, node: exp.Table | exp.Column) -> bool:
    """Whether a name's schema and catalog are none, or those of the purpose."""
    schema, catalog = node.text("db").lower(), node.text("catalog").lower()
    return schema in {"", reader.purpose.lower()} and catalog in {"", CATALOG} and not (catalog and not schema)


def _no_function(reader: _Reader, node: exp.Expr, name: str) -> RefusedError:
    near = difflib.get_close_matches(name.lower(), functions.CALLABLE, n=1)
    hint = f"did you mean `{near[0]}`?" if near else "use plain functions of values, aggregates and window functions"
    return reader.refused(node, f"the function `{_told(name.lower())}` is not available", hint)


def _no_shape(reader: _Reader, node: exp.Expr) -> RefusedError:
    words = _WORD.sub(" ", type(node).__name__).lower()
    return reader.refused(node, f"`{words}` is not available in queries", "write a plain `select` over the views")


def _nearest(name: str, views: Collection[str]) -> str:
    near = difflib.get_close_matches(name, views, n=1)
    if near:
        return f"did you mean `{near[0]}`?"
    return f"views: {', '.join(f'`{view}`' for view in sorted(views)[:10])}"


def _instead(table: exp.Table, views: Collection[str]) -> str:
    """What somebody may have meant who wrote a table's name instead of a view's."""
    view = f"{table.text('db')}_{table.name}".lower()
    plain = "name them without schema, or with that of the purpose"
    return f"did you mean `{view}`?" if view in views else plain


def _told(name: str) -> str:
    """A name as it may be repeated; quoted names can be any text, a person's too."""
    return name if _TELLABLE.fullmatch(name) else "…"


def _place(sql: str, start: int) -> str:
    return f"{sql.count(chr(10), 0, start) + 1}:{start - sql.rfind(chr(10), 0, start)}"


def _unclear(where: str | None) -> UsageError:
    return UsageError("this is not SQL that is understood here", where=where or "the query", hint="write one `select`")


def _too_deep() -> RefusedError:
    return RefusedError("the query is nested too deep", where="the query", hint="split it into `with` queries")
