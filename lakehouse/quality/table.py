"""Checks of whole tables: unique keys, foreign keys, and all rules of curated and feature tables over what they hold.

Exact, not approximate (`approx_n_unique` was 11 % off); everything is counted in one streaming pass per check. As with
rows, null is never wrong here: SQL's unique and foreign keys pass it too, `required` is what forbids it.
`row_ledger_balances` is not here: the ledger is storage's, and its verdict is `storage.balance`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from lakehouse.contract.canonical import canonical
from lakehouse.contract.model import Check, CheckKind, Logical, Rule
from lakehouse.errors import SchemaMismatchError
from lakehouse.model import VALID_TO
from lakehouse.quality.batch import row_count
from lakehouse.quality.result import CheckResult, verdict
from lakehouse.quality.rowpass import require_types
from lakehouse.quality.rules import broken, mistake, subject, values_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lakehouse.contract.model import Column, Table
    from lakehouse.model import TableId


def check_table(table: Table, scan: Callable[[TableId], pl.LazyFrame]) -> list[CheckResult]:
    """The verdicts of the table's unique and foreign key checks, in contract order.

    Args:
        table: the contract.
        scan: a table's rows as they are now, such as `storage.scan` of one lake.

    Raises:
        SchemaMismatchError: the two sides of a foreign key cannot be compared.
    """
    results: list[CheckResult] = []
    for check in table.checks_of(CheckKind.TABLE):
        if check.rule is Rule.UNIQUE:
            results.append(_unique(check, _true_now(table, scan(table.id))))
        elif check.rule is Rule.FOREIGN_KEY:
            results.append(_foreign_key(check, table, scan))
        elif check.rule is not Rule.CONSERVED:
            raise mistake(check, f"rule `{check.rule}` does not judge a table")
    return results


def check_rows(table: Table, frame: pl.DataFrame | pl.LazyFrame) -> list[CheckResult]:
    """The verdicts of row and batch checks over all rows of a typed table, in contract order.

    Curated and feature tables are judged so, since no gate stands before them; memory stays bounded for lazy frames.

    Raises:
        SchemaMismatchError: a column of the contract is missing or has another type.
    """
    lazy = frame.lazy()
    require_types(lazy.collect_schema(), table)
    checks = [check for check in table.checks if check.kind is not CheckKind.TABLE]
    values = values_of(table)
    counts = [_count(check, table, values).alias(check.name) for check in checks if check.rule is not Rule.ROW_COUNT]
    (found,) = lazy.select(pl.len().alias("__rows"), *counts).collect(engine="streaming").iter_rows(named=True)
    rows = found["__rows"]
    return [
        row_count(check, rows)
        if check.rule is Rule.ROW_COUNT
        else verdict(check, failed=found[check.name] or 0, rows=rows)
        for check in checks
    ]


def _count(check: Check, table: Table, values: dict[str, pl.Expr]) -> pl.Expr:
    if check.rule is Rule.NULL_SHARE:
        return values[subject(check, table).name].is_null().sum()
    condition = broken(check, table, values)
    return pl.lit(0) if condition is None else condition.sum()


def _true_now(table: Table, rows: pl.LazyFrame) -> pl.LazyFrame:
    """The rows but those that have ended: with history a key has many versions, of which one is true."""
    return rows.filter(pl.col(VALID_TO).is_null()) if table.versioned else rows


def _unique(check: Check, rows: pl.LazyFrame) -> CheckResult:
    keys = rows.select(check.columns).drop_nulls().group_by(check.columns).len("rows")
    counted = keys.select(pl.col("rows").sum(), repeats=(pl.col("rows") - 1).sum()).collect(engine="streaming")
    total = rows.select(pl.len()).collect(engine="streaming").item()
    return verdict(check, failed=counted["repeats"].item(), rows=total)


def _foreign_key(check: Check, table: Table, scan: Callable[[TableId], pl.LazyFrame]) -> CheckResult:
    if check.target is None or not check.columns or len(check.columns) != len(check.target_columns):
        raise mistake(check, "needs a target and as many columns there")
    names = [f"key_{place}" for place in range(len(check.columns))]
    rows, target = scan(table.id), scan(check.target)
    total = rows.select(pl.len()).collect(engine="streaming").item()
    here, there = (
        side.select(pl.col(name).alias(key) for name, key in zip(columns, names, strict=True))
        .drop_nulls()
        .group_by(names)
        .len("rows")
        .collect(engine="streaming")
        for side, columns in ((rows, check.columns), (target, check.target_columns))
    )
    for key, name in zip(names, check.columns, strict=True):
        forms = _forms(table, table.column(name))
        here, there = _alike(here, there, key, forms=forms, where=f"{check.where}: check `{check.name}`")
    orphans = here.join(there, on=names, how="anti", nulls_equal=False)
    return verdict(check, failed=int(orphans["rows"].sum()), rows=total)


def _forms(table: Table, column: Column) -> tuple[str, ...]:
    """The canonical forms in which an id is the same id: `17850.0` refers to `17850`."""
    if column.type.logical is not Logical.STRING:
        return ()
    if table.entity is not None and table.entity.key == column.name:
        return table.entity.canonical
    if (role := next((role for role in table.roles if role.key == column.name), None)) is not None:
        return role.canonical
    return column.canonical


def _alike(
    here: pl.DataFrame, there: pl.DataFrame, key: str, *, forms: Sequence[str], where: str
) -> tuple[pl.DataFrame, pl.DataFrame]:
    left, right = here.schema[key], there.schema[key]
    if left == right == pl.String():
        spelled = tuple(forms)
        return (_spelled(here, key, spelled), _spelled(there, key, spelled)) if spelled else (here, there)
    if left == right:
        return here, there
    if not (left.is_numeric() and right.is_numeric()):
        raise SchemaMismatchError(f"{left} cannot refer to {right}", where=where)
    common = pl.Float64() if left.is_float() or right.is_float() else _decimal(left, right)
    cast = pl.col(key).cast(common, strict=False)
    return here.with_columns(cast), there.with_columns(cast)


def _spelled(frame: pl.DataFrame, key: str, forms: tuple[str, ...]) -> pl.DataFrame:
    texts: list[str] = frame[key].to_list()
    return frame.with_columns(pl.Series(key, [canonical(forms, text) for text in texts], dtype=pl.String))


def _decimal(*types: pl.DataType) -> pl.Decimal:
    return pl.Decimal(38, max(one.scale if isinstance(one, pl.Decimal) else 0 for one in types))
