"""The contract's row checks as a plain pandera schema, for anyone who has pandera and no lakehouse.

The same verdicts as `RowPass.judge_typed`, told in pandera's own checks where it has them: a property test holds the
two to each other. Mind pandera: a `LazyFrame` is checked for its schema only unless `validation_depth` says otherwise,
NaN counts as null, and `failure_cases` carries values, so it must not leave the caller.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pandera.polars as pa
import polars as pl

from lakehouse.contract.model import Check, CheckKind, Logical, Rule
from lakehouse.quality.convert import holds, polars_type
from lakehouse.quality.rules import (
    anchored,
    bounds,
    comparison,
    lengths,
    literals,
    mistake,
    operation,
    subject,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from pandera.api.polars.types import PolarsData

    from lakehouse.contract.model import Column, Table

#: pandera's built-in checks, whose parameters it leaves without types.
_BUILT_IN: Final[Any] = pa.Check


def pandera_schema(table: Table) -> pa.DataFrameSchema:
    """A pandera schema for typed frames of the table; extra columns are let through.

    A check carries the contract's name. `required` is `nullable=False`, which pandera reports as `not_nullable`.

    Raises:
        ContractError: a check cannot be judged on these columns.
    """
    checks = table.checks_of(CheckKind.ROW)
    own: dict[str, list[pa.Check]] = {column.name: [] for column in table.columns}
    across: list[pa.Check] = []
    required: set[str] = set()
    for check in checks:
        if not check.columns or check.rule is Rule.ENTITY:
            continue  # drift, and whose a row is, show in delivered rows only
        column = subject(check, table)
        if check.rule is Rule.REQUIRED:
            required.add(column.name)
        elif check.rule is Rule.COMPARE:
            across.append(_comparison(check, table))
        else:
            own[column.name] += _of_column(check, column)
    columns = {
        column.name: pa.Column(
            polars_type(column.type),
            checks=own[column.name],
            nullable=column.name not in required,
            description=column.description or None,
        )
        for column in table.columns
    }
    return pa.DataFrameSchema(columns, checks=across, strict=False, name=str(table.id))


def _of_column(check: Check, column: Column) -> list[pa.Check]:
    said = _said(check)
    floating = column.type.logical is Logical.FLOAT
    match check.rule:
        case Rule.TYPE:
            held = holds(column.name, column.type)
            return [] if held is None else [_expression(held, said)]
        case Rule.ENUM:
            allowed = literals(check, column, check.values).to_list()
            return [
                _not_nan(column, lambda value: value.is_in(allowed), said)
                if floating
                else _BUILT_IN.isin(allowed, **said)
            ]
        case Rule.RANGE:
            return [_range(check, column, said)]
        case Rule.PATTERN:
            # Not `str_matches`: it compiles by Python's `re`, anchors the start only, and lets `(?m)` move the end.
            return [_expression(_value(column).str.contains(anchored(check)), said)]
        case Rule.LENGTH:
            least, most = lengths(check)
            return [_BUILT_IN.str_length(least, most, **said)]
        case _:
            raise mistake(check, f"rule `{check.rule}` does not judge a row by itself")


def _range(check: Check, column: Column, said: dict[str, Any]) -> pa.Check:
    lower, upper = bounds(check, column)
    if column.type.logical is Logical.FLOAT:
        least, most = float("-inf") if lower is None else lower, float("inf") if upper is None else upper
        return _not_nan(column, lambda value: value.is_between(least, most), said)
    if lower is None:
        return _BUILT_IN.less_than_or_equal_to(upper, **said)
    if upper is None:
        return _BUILT_IN.greater_than_or_equal_to(lower, **said)
    return _BUILT_IN.in_range(lower, upper, **said)


def _comparison(check: Check, table: Table) -> pa.Check:
    column, other = comparison(check, table)
    right = pl.lit(other.item(), dtype=other.dtype) if isinstance(other, pl.Series) else _value(other)
    return _expression(operation(check)(_value(column), right), _said(check))


def _said(check: Check) -> dict[str, Any]:
    # pandera reports `error` where there is one, and its built-in checks have one that lists their literals.
    return {"name": check.name, "error": check.name, "description": check.description or None}


def _value(column: Column) -> pl.Expr:
    name = pl.col(column.name)
    return name.fill_nan(None) if column.type.logical is Logical.FLOAT else name


def _not_nan(column: Column, judge: Callable[[pl.Expr], pl.Expr], said: dict[str, Any]) -> pa.Check:
    return _expression(judge(_value(column)), said)


def _expression(passes: pl.Expr, said: dict[str, Any]) -> pa.Check:
    def judge(data: PolarsData) -> pl.LazyFrame:
        return data.lazyframe.select(passes.alias("passes"))

    return pa.Check(judge, **said)
