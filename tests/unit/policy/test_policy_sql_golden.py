"""The SQL of treatments and predicates, word for word, in both dialects; `REWRITE_GOLDEN=1` writes the files anew."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from sqlglot import exp

from lakehouse.contract.model import ColumnType, Logical
from lakehouse.policy import predicates
from lakehouse.policy.expressions import shown
from lakehouse.policy.treatments import fits, parse

GOLDEN = Path(__file__).parents[2] / "golden" / "policy"
DIALECTS = pytest.mark.parametrize("dialect", ["duckdb", "trino"])
TYPES = {
    "text": ColumnType(Logical.STRING),
    "whole": ColumnType(Logical.INTEGER),
    "money": ColumnType(Logical.DECIMAL, 12, 2),
    "ratio": ColumnType(Logical.FLOAT),
    "open": ColumnType(Logical.BOOLEAN),
    "born": ColumnType(Logical.DATE),
    "seen": ColumnType(Logical.TIMESTAMP),
}
TREATMENTS = ("hide", "redact", "year", "month", "prefix(2)", "bucket(10)", "partial(4)", "token", "clear")
PREDICATES = (
    "text IN ('EU', 'it''s') AND text NOT LIKE 'a\\_%'",
    "text BETWEEN 'a' AND 'b' OR text IS NULL",
    "whole >= 1.5 AND whole <> 1.5 AND whole IN (1, 2.5)",
    "money < 0.005 AND money = whole",
    "ratio > -1.5e0 AND ratio < 5e-324 OR ratio IS NOT NULL",
    "open AND NOT open = FALSE",
    "born <= current_date AND born > DATE '0001-01-01'",
    "seen >= TIMESTAMP '2024-02-29 00:00:00' AND seen < TIMESTAMP '2024-02-29 00:00:00.000001'",
)


def same(name: str, lines: list[str]) -> None:
    file = GOLDEN / name
    text = "\n".join(lines) + "\n"
    if os.environ.get("REWRITE_GOLDEN"):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8")


@DIALECTS
def test_treatments_per_type(dialect):
    lines: list[str] = []
    for name, column_type in TYPES.items():
        for treatment in map(parse, TREATMENTS):
            if fits(treatment, column_type.logical):
                column, token = exp.column(name, quoted=True), exp.column(f"{name}__token", quoted=True)
                tree = shown(treatment, column, column_type, dialect=dialect, token=token)
                lines.append(f"-- {treatment} of {column_type}\n{tree.sql(dialect)}")
    same(f"treatments.{dialect}.sql", lines)


@DIALECTS
def test_predicates(dialect):
    day = exp.column("the_day", quoted=True)
    lines: list[str] = []
    for predicate in map(predicates.parse, PREDICATES):
        assert predicates.mistakes(predicate, TYPES) == []
        tree = predicates.tree(predicate, TYPES, dialect=dialect, day=day, table="t")
        lines.append(f"-- {predicate.text}\n{tree.sql(dialect)}")
    same(f"predicates.{dialect}.sql", lines)


@DIALECTS
def test_trees_are_new_ones(dialect):
    """A caller may put its column into many expressions."""
    column = exp.column("text", quoted=True)
    for treatment in map(parse, TREATMENTS):
        shown(treatment, column, TYPES["text"], dialect=dialect, token=column)
        assert column.parent is None
    day = exp.column("the_day")
    predicates.tree(
        predicates.parse("born = current_date OR born < current_date"), TYPES, dialect=dialect, day=day, table="t"
    )
    assert day.parent is None
