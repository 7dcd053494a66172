"""Laws of the generator: for any seed, share and number, rows are counted, clean rows pass their checks, faults add up."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse.contract.load import load_project
from lakehouse.contract.model import Rule
from lakehouse.demo.faults import Fault
from lakehouse.demo.generate import blocks
from lakehouse.model import UNNAMED, TableId, Tier
from lakehouse.quality import compile_row_checks

pytestmark = pytest.mark.slow  # together half a minute of `make check`

LINES = TableId(Tier.STAGED, "retail", "invoice_line")
CUSTOMERS = TableId(Tier.STAGED, "retail", "customer")
tables = st.sampled_from([LINES, CUSTOMERS])


def rows_of(project, table, **arguments) -> tuple[pl.DataFrame, dict[Fault, int]]:
    frames, counts = [], dict.fromkeys(Fault, 0)
    for block in blocks(project, table, **arguments):
        frames.append(block.rows)
        for kind, count in block.faults.items():
            counts[kind] += count
    return pl.concat(frames), counts


@settings(max_examples=25)
@given(table=tables, rows=st.integers(1, 2000), seed=st.integers(0, 2**32))
def test_clean_rows_pass_every_row_check(project_root, table, rows, seed):
    project = load_project(project_root)
    made, counts = rows_of(project, table, rows=rows, seed=seed)
    judged = compile_row_checks(project.table(table)).judge(
        made.drop("_file").with_columns(pl.lit(value=False).alias(UNNAMED))
    )
    assert len(made) == rows
    assert (judged.failed == 0).all()
    assert sum(counts.values()) == 0


@settings(max_examples=25)
@given(table=tables, rows=st.integers(50, 2000), seed=st.integers(0, 2**32), faults=st.floats(0, 0.4))
def test_rows_that_fail_are_exactly_the_faulted_ones(project_root, table, rows, seed, faults):
    project = load_project(project_root)
    contract = project.table(table)
    made, counts = rows_of(project, table, rows=rows, seed=seed, faults=faults)
    judged = compile_row_checks(contract).judge(made.drop("_file").with_columns(pl.lit(value=False).alias(UNNAMED)))
    bad = sum(counts[kind] for kind in (Fault.MISSING_KEY, Fault.BAD_DATE, Fault.WRONG_TYPE))
    copies = len(made) - rows
    assert copies == counts[Fault.DUPLICATE]
    assert sum(counts.values()) <= round(rows * faults) + len(Fault)
    # A copy or a late row is of a clean row: no row has two faults.
    assert (judged.failed != 0).sum() == bad
    assert any(check.rule is Rule.REQUIRED for check in judged.checks)


@settings(max_examples=20)
@given(rows=st.integers(2, 3000), seed=st.integers(0, 2**32))
def test_profiles_are_of_different_entities(project_root, rows, seed):
    made, _ = rows_of(load_project(project_root), CUSTOMERS, rows=rows, seed=seed)
    assert made["CustomerID"].n_unique() == rows
