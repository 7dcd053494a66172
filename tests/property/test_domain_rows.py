"""Laws of the generated rows of every delivered table: clean ones pass all row checks, faulted ones are the ones that fail."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse.contract.load import load_project
from lakehouse.demo.faults import Fault
from lakehouse.demo.generate import blocks
from lakehouse.model import UNNAMED
from lakehouse.quality import compile_row_checks

pytestmark = pytest.mark.slow  # together half a minute of `make check`

PROJECT = load_project(Path(__file__).resolve().parents[2])
TABLES = {str(table.id): table for table in PROJECT.tables}
delivered = st.sampled_from([name for name, table in TABLES.items() if table.sources])
made = st.sampled_from([name for name, table in TABLES.items() if not table.sources])
seeds = st.integers(0, 2**32)


def rows_of(name, **arguments) -> tuple[pl.DataFrame, Counter[Fault]]:
    found = list(blocks(PROJECT, TABLES[name].id, **arguments))
    return pl.concat([block.rows for block in found]).drop("_file"), sum((block.faults for block in found), Counter())


@settings(max_examples=60)
@given(name=delivered, rows=st.integers(1, 1500), seed=seeds)
def test_clean_rows_of_any_table_pass_every_row_check(name, rows, seed):
    frame, faults = rows_of(name, rows=rows, seed=seed)
    judged = compile_row_checks(TABLES[name]).judge(frame.with_columns(pl.lit(value=False).alias(UNNAMED)))
    assert {check: count for check, count in judged.counts().items() if count} == {}
    assert (len(frame), faults) == (rows, Counter())


@settings(max_examples=40)
@given(name=delivered, rows=st.integers(50, 1500), seed=seeds, faults=st.floats(0, 0.4))
def test_rows_of_any_table_that_fail_are_the_faulted_ones(name, rows, seed, faults):
    frame, counts = rows_of(name, rows=rows, seed=seed, faults=faults)
    judged = compile_row_checks(TABLES[name]).judge(frame.with_columns(pl.lit(value=False).alias(UNNAMED)))
    bad = sum(counts[kind] for kind in (Fault.MISSING_KEY, Fault.BAD_DATE, Fault.WRONG_TYPE))
    assert (judged.failed != 0).sum() == bad
    assert len(frame) - rows == counts[Fault.DUPLICATE]


@settings(max_examples=30)
@given(name=delivered, rows=st.integers(2, 70), seed=seeds)
def test_keys_of_clean_rows_are_keys(name, rows, seed):
    table, (frame, _) = TABLES[name], rows_of(name, rows=rows, seed=seed)
    key = [column for column in table.key if column in frame.columns]
    if key == list(table.key):
        assert frame.select(key).n_unique() == rows


@settings(max_examples=20)
@given(name=made, rows=st.integers(1, 200), seed=seeds)
def test_tables_that_are_made_can_be_generated_too(name, rows, seed):
    table, (frame, _) = TABLES[name], rows_of(name, rows=rows, seed=seed)
    assert frame.columns == [column.name for column in table.delivered]
    assert frame.select(table.key).n_unique() == rows
