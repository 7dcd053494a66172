"""The hot path: delivered text in, typed columns and one bit mask of failed checks per row out, in one query.

Bit `i` of the mask is the i-th row check of the contract; 0 means that the row may enter staged. The query has four
steps (null words, parse, narrow, judge), so that each cast is computed once and every check shares it: left to polars'
elimination of common subexpressions, one select took four times as long (1M lineitem rows: 2.0 s of CPU, now 0.5 s).
A row that fails the type of a column has null there and is judged no further on that column, see `rules`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Final

import polars as pl

from lakehouse.contract.model import CheckKind, Drift, Logical, Rule
from lakehouse.errors import ContractError, SchemaMismatchError
from lakehouse.model import EXTRA, UNNAMED, Finding, Level, Tier
from lakehouse.quality.convert import delivered, kept, parsed, polars_type, transformed, try_type
from lakehouse.quality.drift import MISSING, UNKNOWN, VALUES, marks, staged_extra
from lakehouse.quality.result import Judged
from lakehouse.quality.rules import broken, subject, values_of

if TYPE_CHECKING:
    from lakehouse.contract.model import Check, Column, Table

#: The width of the mask, hence the most row checks that a table can have.
MOST_CHECKS: Final = 128
_NARROW: Final = 64
_MASK: Final = "__failed_checks"


@dataclass(frozen=True)
class RowPass:
    """The compiled row checks of one table; holds expressions only, so it may be kept and shared."""

    table: Table
    checks: tuple[Check, ...]
    columns: tuple[Column, ...]
    texts: tuple[pl.Expr, ...]
    parsed: tuple[pl.Expr, ...]
    kept: tuple[pl.Expr, ...]
    drift: tuple[pl.Expr, ...]
    on_text: pl.Expr
    on_typed: pl.Expr

    def judge(self, text_frame: pl.DataFrame) -> Judged:
        """Types and judges rows whose delivered columns are text.

        Where rows must say whose they are, the frame tells in UNNAMED which do not; that column goes no further.

        Raises:
            SchemaMismatchError: a delivered column is missing or not text, or UNNAMED is missing.
            ContractError: the table is not a staged one, and a typed column has no type check.
        """
        _need_type_checks(self.table)
        names = [column.name for column in self.columns]
        _require(text_frame.schema, dict.fromkeys(names, pl.String()), self.table)
        if any(check.rule is Rule.ENTITY for check in self.checks):
            _require(text_frame.schema, {UNNAMED: pl.Boolean()}, self.table)
        made = [column.name for column in self.table.columns if column.transform]
        others = [name for name in text_frame.columns if name not in names and name not in made]
        rows = text_frame.lazy()
        if self.drift:
            if EXTRA not in others:
                rows, others = rows.with_columns(pl.lit(None, pl.String).alias(EXTRA)), [*others, EXTRA]
            rows, others = rows.with_columns(marks()), [*others, UNKNOWN, MISSING]
        steps = rows.select(*self.texts, *others).select(*self.parsed, *others).with_columns(*self.kept)
        if self.drift:
            # In its own step: what was refused shows only once values are narrowed.
            steps, others = steps.with_columns(*self.drift), [*others, VALUES]
        kept = [name for name in others if name != UNNAMED]
        return self._judged(steps.select(*names, *made, *kept, self.on_text).collect())

    def judge_typed(self, frame: pl.DataFrame) -> Judged:
        """Judges rows that already have the contract's types.

        Raises:
            SchemaMismatchError: a column of the contract is missing or has another type.
        """
        require_types(frame.schema, self.table)
        return self._judged(frame.lazy().with_columns(self.on_typed).collect())

    def _judged(self, result: pl.DataFrame) -> Judged:
        return Judged(result.drop(_MASK), result[_MASK].alias("failed"), self.checks)


def compile_row_checks(table: Table) -> RowPass:
    """Compiles a table's row checks into one pass.

    Raises:
        ContractError: more than 128 row checks, a typed column without its type check, or a check that cannot be judged.
    """
    checks = table.checks_of(CheckKind.ROW)
    _need_room(table, checks)
    if table.id.tier is Tier.STAGED:
        _need_type_checks(table)
    columns = table.delivered
    for column in columns:
        try_type(column)
    made = [column for column in table.columns if column.transform]
    converted = [column for column in table.columns if _converts(column)]
    present = [pl.col(_text_of(one)).is_not_null().alias(_present(one)) for one in converted]
    native = any(source.format in {"parquet", "arrow"} for source in table.sources)
    values = [*(parsed(one, native=native) for one in columns), *(transformed(one) for one in made)]
    refusable = [one for one in converted if one.transform is None and table.drift.type == "evolve"]
    values += [pl.col(one.name).alias(_refused(one)) for one in refusable]
    text_values = {column.name: pl.col(column.name) for column in table.columns}
    typed_values = values_of(table)
    return RowPass(
        table=table,
        checks=checks,
        columns=columns,
        texts=tuple(delivered(column) for column in columns),
        parsed=(*values, *present),
        kept=tuple(kept(column.name, column.type) for column in [*columns, *made]),
        drift=_drift(table, converted, refusable) if table.drift != Drift() else (),
        on_text=_mask([_broken_text(check, table, text_values) for check in checks]),
        on_typed=_mask([broken(check, table, typed_values) for check in checks]),
    )


def _converts(column: Column) -> bool:
    """Whether the column's text can be no value of it."""
    plain = column.derived is None and column.type.logical is not Logical.STRING
    return plain or column.transform is not None


def _text_of(column: Column) -> str:
    return column.name if column.transform is None else column.transform.source


def _present(column: Column) -> str:
    return f"__present_{column.name}"


def _refused(column: Column) -> str:
    return f"__text_{column.name}"


def _unread(column: Column) -> pl.Expr:
    """Whether there was text that is no value."""
    return pl.col(_present(column)) & pl.col(column.name).is_null()


def _drift(table: Table, converted: list[Column], refusable: list[Column]) -> tuple[pl.Expr, ...]:
    """What staged keeps of what differs, and how many values of a row were left out."""
    left_out = [_unread(one).cast(pl.UInt16) for one in converted] if _forgives_types(table) else []
    refused = {one.path: pl.when(_unread(one)).then(pl.col(_refused(one))) for one in refusable}
    count = pl.sum_horizontal(left_out) if left_out else pl.lit(0, pl.UInt16)
    return staged_extra(table, refused), count.alias(VALUES)


def _forgives_types(table: Table) -> bool:
    """Whether a value of another type costs itself and not its row."""
    return table.drift.type in {"discard_value", "evolve"}


def _broken_text(check: Check, table: Table, values: dict[str, pl.Expr]) -> pl.Expr | None:
    if check.rule is Rule.UNKNOWN:
        return pl.col(UNKNOWN)
    if check.rule is Rule.MISSING:
        return pl.col(MISSING)
    if check.rule is Rule.ENTITY:
        return pl.col(UNNAMED)
    column = subject(check, table)
    if _converts(column) and check.rule is Rule.TYPE:
        return None if _forgives_types(table) else _unread(column)
    if _converts(column) and check.rule is Rule.REQUIRED and not _forgives_types(table):
        return ~pl.col(_present(column))
    return broken(check, table, values)


def _mask(conditions: list[pl.Expr | None]) -> pl.Expr:
    # Bits are put together 16 wide before they are widened: half the time of adding up 64-bit products. Sums of 128 bits
    # take twice as long, so that only tables with so many checks (a notice of 39 columns has 98) have them.
    width = pl.UInt64 if len(conditions) <= _NARROW else pl.UInt128
    words: list[pl.Expr] = [pl.lit(0, width)]
    for start in range(0, len(conditions), 16):
        bits = [
            pl.when(one).then(pl.lit(1 << place, pl.UInt16)).otherwise(pl.lit(0, pl.UInt16))
            for place, one in enumerate(conditions[start : start + 16])
            if one is not None
        ]
        if bits:
            words.append(reduce(_either, bits).cast(width) * pl.lit(1 << start, width))
    return reduce(_either, words).alias(_MASK)


def _either(left: pl.Expr, right: pl.Expr) -> pl.Expr:
    return left | right


def _need_room(table: Table, checks: tuple[Check, ...]) -> None:
    if len(checks) > MOST_CHECKS:
        message = f"`{table.id}` has {len(checks)} row checks, a row's mask holds {MOST_CHECKS}"
        hint = "merge checks or split the table"
        raise ContractError([Finding("quality-many-checks", Level.ERROR, table.where, message, hint)])


def _need_type_checks(table: Table) -> None:
    # INVARIANT: text that does not convert is a failed row; without its check it would be a silent null.
    typed = {check.columns for check in table.checks_of(CheckKind.ROW) if check.rule is Rule.TYPE}
    findings = [
        Finding(
            "quality-no-type-check",
            Level.ERROR,
            column.where,
            f"column `{column.name}` is {column.type} and has no type check",
            f"add row check `type_{column.name}`",
        )
        for column in table.columns
        if _converts(column) and (column.name,) not in typed
    ]
    if findings:
        raise ContractError(findings)


def require_types(schema: pl.Schema, table: Table) -> None:
    """Refuses a typed frame that lacks a contract's column or has it in another type.

    Raises:
        SchemaMismatchError: names the first such column.
    """
    _require(schema, {column.name: polars_type(column.type) for column in table.columns}, table)


def _require(schema: pl.Schema, wanted: dict[str, pl.DataType], table: Table) -> None:
    for name, dtype in wanted.items():
        found = schema.get(name)
        if found is None:
            raise SchemaMismatchError(f"column `{name}` is missing", where=str(table.id))
        if found != dtype:
            raise SchemaMismatchError(f"column `{name}` is {found}, not {dtype}", where=str(table.id))
