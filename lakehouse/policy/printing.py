"""Views as text: pretty, and the same for the same view to the byte.

Views of a project share trees (`compile.trino_views`), so a column or condition is printed once and its text used again.
sqlglot's rewriting of queries for an engine is left out: compiled views have nothing in them that an engine lacks, and it
walks every view several times.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from sqlglot import exp
from sqlglot.dialects.duckdb import DuckDB
from sqlglot.dialects.trino import Trino

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lakehouse.policy.compile import View
    from lakehouse.policy.views import ViewName

#: Nodes whose text depends on nothing around them, and which views share.
_KEPT = frozenset({exp.Alias, exp.Or, exp.In})


def sql(view: View) -> str:
    """The view as text of its engine."""
    dialect = Trino() if isinstance(view.tree, exp.Create) else DuckDB()
    return f"{dialect.generator(pretty=True).generate(view.tree)}\n"


def trino_sql(views: Iterable[View]) -> dict[ViewName, str]:
    """All views as text, in their order."""
    printer = _Printer(dialect=Trino(), pretty=True)
    return {view.name: f"{printer.generate(view.tree, copy=False)}\n" for view in views}


def _as_it_is(printer: _Printer, select: exp.Select) -> str:
    return printer.select_sql(select)


class _Printer(Trino.Generator):
    """Trino's printer with a memory; the printed trees must live as long as it does."""

    TRANSFORMS: ClassVar[dict[Any, Any]] = {**Trino.Generator.TRANSFORMS, exp.Select: _as_it_is}

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._texts: dict[int, str] = {}

    def sql(self, expression: Any, key: str | None = None, comment: bool = True) -> str:  # noqa: FBT001, FBT002 - theirs
        if key is not None or type(expression) not in _KEPT:
            return super().sql(expression, key, comment)
        text = self._texts.get(id(expression))
        if text is None:
            text = self._texts[id(expression)] = super().sql(expression, key, comment)
        return text
