"""How much longer than its columns a query can make a text: a bound, so that no query asks for gigabytes in one cell.

DuckDB does not count what these functions build against its memory limit, and looks at the clock only between vectors of
2,048 rows: one `replace` of a letter by 40,000 took 5.7 GB and ran 12 s past its time (measured, 2.0.0). What it does count,
such as `||`, is not bounded here.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from sqlglot import exp

from lakehouse.serving.functions import LONGEST

if TYPE_CHECKING:
    from collections.abc import Callable

_SEPARATOR = 100  # characters between the values that an aggregate joins
_WIDTH = 32


def too_long(tree: exp.Expr) -> exp.Expr | None:
    """The call that makes texts too long, or says how long in no number or text that is written out."""
    most: dict[int, int] = {}
    for node in tree.walk():
        if type(node) not in _RULES:
            continue
        growth, select = _growth_to_select(node)
        most[select] = max(most.get(select, 1), growth)
        # Calls nested in each other multiply, and so do those of a query and of the queries that it reads from.
        if math.prod(most.values()) > LONGEST:
            return node
    return None


def _growth_to_select(node: exp.Expr) -> tuple[int, int]:
    """How much this call and those that take its result multiply, and the select they stand in."""
    growth, at = 1, node
    while at.parent is not None and not isinstance(at, exp.Select):
        rule = _RULES.get(type(at))
        if rule is not None:
            growth *= rule(at) or LONGEST + 1
        at = at.parent
    return growth, id(at)


def _text(node: exp.Expr | None) -> int | None:
    """The length of a text that is written out."""
    return max(1, len(node.name)) if isinstance(node, exp.Literal) and node.is_string else None


def _padded(node: exp.Expr) -> int | None:
    length = node.args.get("expression")
    if not isinstance(length, exp.Literal) or length.is_string or not length.name.isdecimal():
        return None
    # A padded text is as long as said, however long it was before: padding to a usual width counts as nothing.
    return max(1, int(length.name) // _WIDTH) if len(length.name) <= len(str(LONGEST)) else None


def _replaced(node: exp.Expr) -> int | None:
    return _text(node.args.get("replacement"))


def _joined(node: exp.Expr) -> int | None:
    separator, *values = node.expressions
    longest = _text(separator)
    return None if longest is None else len(values) + longest // 10


def _gathered(node: exp.Expr) -> int | None:
    separator = node.args.get("separator")
    length = 1 if separator is None else _text(separator)
    return 1 if length is not None and length <= _SEPARATOR else None


_RULES: dict[type[exp.Expr], Callable[[exp.Expr], int | None]] = {
    exp.Pad: _padded,
    exp.Replace: _replaced,
    exp.RegexpReplace: _replaced,
    exp.ConcatWs: _joined,
    exp.GroupConcat: _gathered,
}
