"""What SQL does to a value that leaves less of it: the shapes that a contract's `declassified` may name.

Only shapes whose effect is plain from the SQL alone: a year, a month, the first characters, a bucket of numbers, whether
it is there, words chosen by CASE, a guarded aggregate. Everything else is just a change, and declares nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from sqlglot import exp

if TYPE_CHECKING:
    from collections.abc import Sequence

Shape = Literal["changed", "year", "month", "prefix", "bucket", "presence", "words"]


@dataclass(frozen=True)
class Step:
    """One thing done to a value; `n` is the length of a prefix and the width of a bucket."""

    kind: Shape
    n: int = 0

    def __str__(self) -> str:
        return f"{self.kind}({self.n})" if self.n else self.kind


CHANGED = Step("changed")
_UNITS: dict[str, Step] = {
    **dict.fromkeys(("YEAR", "DECADE", "CENTURY", "MILLENNIUM"), Step("year")),
    **dict.fromkeys(("MONTH", "QUARTER"), Step("month")),
}
#: Aggregates that say nothing of any single row of a large group. `min`, `max`, `median`, lists and the like do.
_MIXING = (
    exp.Count,
    exp.CountIf,
    exp.Sum,
    exp.Avg,
    exp.Stddev,
    exp.StddevPop,
    exp.StddevSamp,
    exp.Variance,
    exp.VariancePop,
    exp.ApproxDistinct,
)
#: Inside such an aggregate these could leave one row of the group.
_SELECTING = (exp.Case, exp.If, exp.Nullif, exp.Filter, exp.Subquery, exp.Exists, exp.Select)
_NARROWING = (exp.Filter, exp.Window, exp.WithinGroup, exp.IgnoreNulls, exp.RespectNulls)


def coarsened(expression: exp.Expr) -> tuple[Step, list[exp.Expr]] | None:
    """The step that an expression is, and what it looks at; None when it is none of the plain shapes."""
    if isinstance(expression, (exp.Case, exp.If)):
        return _words(expression)
    if isinstance(expression, exp.Is) and isinstance(expression.expression, exp.Null):
        return Step("presence"), [expression.this]
    found = _time(expression) or _prefix(expression) or _bucket(expression)
    return None if found is None else (found[0], [found[1]])


def aggregates(expression: exp.Expr, *, of: str) -> bool:
    """Whether every row of the group has a say in the aggregate and none alone, and all columns are of one source."""
    if not isinstance(expression, _MIXING) or isinstance(expression.parent, _NARROWING):
        return False
    columns = expression.find_all(exp.Column)
    return not any(expression.find_all(*_SELECTING)) and all(column.table == of for column in columns)


def least_count(condition: exp.Expr) -> tuple[int, exp.Column] | None:
    """The column whose different values a HAVING condition counts, and how many it wants; None when it does not."""
    left, right = condition.args.get("this"), condition.args.get("expression")
    found = next((kind for kind in _COUNTING if isinstance(condition, kind)), None)
    if found is None or left is None or right is None:
        return None
    if isinstance(left, exp.Literal):
        left, right, found = right, left, _TURNED[found]
    more = _COUNTING[found]
    number = _whole_number(right)
    column = _counted(left)
    return (number + more, column) if more is not None and number is not None and column is not None else None


#: How much more than the number the count then is; None: it is no lower bound.
_COUNTING: dict[type[exp.Expr], int | None] = {exp.GTE: 0, exp.GT: 1, exp.EQ: 0, exp.LTE: None, exp.LT: None}
_TURNED: dict[type[exp.Expr], type[exp.Expr]] = {
    exp.GTE: exp.LTE,
    exp.GT: exp.LT,
    exp.EQ: exp.EQ,
    exp.LTE: exp.GTE,
    exp.LT: exp.GT,
}


def _counted(count: exp.Expr) -> exp.Column | None:
    if not isinstance(count, exp.Count) or not isinstance(count.this, exp.Distinct):
        return None
    columns = count.this.expressions
    return columns[0] if len(columns) == 1 and isinstance(columns[0], exp.Column) else None


def _words(expression: exp.Case | exp.If) -> tuple[Step, list[exp.Expr]] | None:
    branches: Sequence[exp.Expr] = expression.args.get("ifs") or [expression]
    default = expression.args.get("default") or expression.args.get("false")
    results = [branch.args["true"] for branch in branches] + ([default] if default is not None else [])
    if not all(isinstance(_bare(each), (exp.Literal, exp.Null, exp.Boolean)) for each in results):
        return None
    subject = [expression.this] if isinstance(expression, exp.Case) and expression.this is not None else []
    return Step("words"), [*subject, *(branch.this for branch in branches)]


def _time(expression: exp.Expr) -> tuple[Step, exp.Expr] | None:
    if isinstance(expression, exp.Year):
        return Step("year"), expression.this
    if isinstance(expression, exp.Extract):
        # the month alone is no coarser form of the date in the order of treatments, the year is
        return (Step("year"), expression.expression) if expression.this.name.upper() == "YEAR" else None
    if isinstance(expression, exp.Anonymous) and expression.name.casefold() in {"date_part", "datepart"}:
        what = expression.expressions[0]
        is_year = len(expression.expressions) == 2 and what.is_string and what.name.upper() == "YEAR"  # noqa: PLR2004
        return (Step("year"), expression.expressions[1]) if is_year else None
    if isinstance(expression, (exp.TimestampTrunc, exp.DateTrunc)):
        unit = expression.args.get("unit")
        step = _UNITS.get(unit.name.upper()) if isinstance(unit, exp.Expr) else None
        return (step, expression.this) if step is not None else None
    return None


def _prefix(expression: exp.Expr) -> tuple[Step, exp.Expr] | None:
    length: object = None
    if isinstance(expression, exp.Left):
        length = expression.expression
    elif isinstance(expression, exp.Substring) and _whole_number(expression.args.get("start")) == 1:
        length = expression.args.get("length")
    elif isinstance(expression, exp.Bracket) and isinstance(expression.expressions[0], exp.Slice):
        piece = expression.expressions[0]
        if _whole_number(piece.this) == 1 and piece.args.get("step") is None and len(expression.expressions) == 1:
            length = piece.expression
    number = _whole_number(length)
    return (Step("prefix", number), expression.this) if number else None


def _bucket(expression: exp.Expr) -> tuple[Step, exp.Expr] | None:
    """`v - v % w`, `v // w`, `floor(v / w)`, and the last two times `w`."""
    if isinstance(expression, exp.Sub):
        rest = _bare(expression.expression)
        if isinstance(rest, exp.Mod) and _bare(rest.this) == _bare(expression.this):
            width = _whole_number(rest.expression)
            return (Step("bucket", width), expression.this) if width else None
    if isinstance(expression, exp.IntDiv):
        width = _whole_number(expression.expression)
        return (Step("bucket", width), expression.this) if width else None
    if isinstance(expression, exp.Floor) and expression.args.get("decimals") is None:
        divided = _bare(expression.this)
        width = _whole_number(divided.expression) if isinstance(divided, exp.Div) else None
        return (Step("bucket", width), divided.this) if width else None
    return None


def _bare(expression: exp.Expr) -> exp.Expr:
    while isinstance(expression, (exp.Paren, exp.Cast)):
        expression = expression.this
    return (
        expression.this if isinstance(expression, exp.Neg) and isinstance(expression.this, exp.Literal) else expression
    )


def _whole_number(expression: object) -> int | None:
    if isinstance(expression, exp.Literal) and not expression.is_string and expression.name.isdigit():
        return int(expression.name)
    return None
