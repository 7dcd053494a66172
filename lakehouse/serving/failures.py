"""What a reader is told of a query that failed: the kind of failure in our words, never the engine's.

DuckDB's messages quote cells ("could not convert string 'x' to INT32") and statements, and those that pass through Arrow come
as an OSError with the same text; so the kind is read from how the text begins, and the text is dropped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lakehouse.errors import QueryError, RefusedError, StorageError, UsageError, of_system

if TYPE_CHECKING:
    from lakehouse.errors import LakehouseError

_QUERY = "the query"
_FIT = ("Binder Error", "Catalog Error", "Parser Error", "Syntax Error")
_VALUES = {
    "Conversion Error": ("a value cannot be converted to the type asked for", "use `try_cast`, which gives null there"),
    "Out of Range Error": ("a number is out of its type's range", "cast to `double` or `decimal` first"),
    "Invalid Input Error": (
        "a function was given what it cannot take",
        "check patterns, formats and subqueries of one row",
    ),
    "Mismatch Type Error": ("types do not fit each other", "cast one of them"),
}
#: Of what the engine looks at before it reads any row; the words are its own, never a cell's.
_MISFITS = {
    "must appear in the GROUP BY": "name every column that stands outside an aggregate in `group by`",
    "Cannot mix aggregates": "name every column that stands outside an aggregate in `group by`",
    "cannot contain aggregates": "filter on aggregates in `having`, not in `where`",
    "Ambiguous reference": "a column is in two of the views: write `view.column`",
    "does not have a column": "a column is named of a view that lacks it; `select * from VIEW limit 1` shows what a view has",
    "No function matches": "a function is given a type that it does not take: cast it",
    "Could not choose a best": "a function is given a type that it does not take: cast it",
}
_FILES = ("IO Error", "HTTP Error", "Permission Error")


def told(error: Exception, *, seconds: float, memory: int, doubt: str | None = None) -> LakehouseError:
    """The failure in our words; `doubt` is what looked odd about the query's names."""
    begin = str(error)[:40]
    if begin.startswith("INTERRUPT"):
        return RefusedError(
            f"the query ran for more than {seconds:g} s",
            where=_QUERY,
            hint="ask for less: filter first, join on equal columns",
        )
    if begin.startswith("Out of Memory") or isinstance(error, MemoryError):
        return RefusedError(
            f"the query needs more than {memory // 1024**2:,} MiB",
            where=_QUERY,
            hint="filter first, or sum up in steps",
        )
    if begin.startswith(_FIT):
        return UsageError(
            "names or types of the query do not fit the views", where=_QUERY, hint=doubt or _fitting(str(error))
        )
    if begin.startswith(_FILES):
        return StorageError(
            "a file of a table cannot be read",
            where=_QUERY,
            hint="run it again: the table may have been rewritten meanwhile",
        )
    for start, (message, hint) in _VALUES.items():
        if begin.startswith(start):
            return QueryError(message, where=_QUERY, hint=hint)
    system = of_system(error, where=_QUERY)
    return system or QueryError("the query cannot be computed", where=_QUERY, hint="write it in simpler steps")


def _fitting(text: str) -> str:
    """What to do about a query that does not fit the views."""
    return next((hint for words, hint in _MISFITS.items() if words in text), _SELECT_STAR)


_SELECT_STAR = "`select * from VIEW limit 1` shows the columns of a view; compare only values of one type"
