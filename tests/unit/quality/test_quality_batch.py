"""Batches, judged from counts that blocks add up to."""

from __future__ import annotations

import polars as pl
import pytest

from lakehouse.contract.model import ColumnType, Logical, Rule
from lakehouse.quality import BatchCounts, check_batch, compile_row_checks, row_results

INTEGER = ColumnType(Logical.INTEGER)


def counted(table, *blocks):
    counts, passing = BatchCounts(table), compile_row_checks(table)
    for block in blocks:
        judged = passing.judge(pl.DataFrame({"x": block}, schema={"x": pl.String}))
        counts.add(judged.typed, judged.failed)
    return counts


def test_blocks_add_up_to_the_batch(table, check):
    sample = table({"x": INTEGER}, check(Rule.RANGE, "x", minimum="0", tolerance=0.2), check(Rule.NULL_SHARE, "x"))
    counts = counted(sample, ["1", "", "-1"], [], ["2", "abc"])
    assert (counts.rows, counts.good, counts.nulls) == (5, 3, {"x": 1})
    results = row_results(sample, counts)
    assert [(one.name, one.failed_rows, one.share, one.passed) for one in results] == [
        ("type_x", 1, 0.2, False),
        ("range_x", 1, 0.2, True),
    ]


@pytest.mark.parametrize("tolerance", [None, 0.0])
def test_without_a_tolerance_one_failed_row_fails_the_check(table, check, tolerance):
    sample = table({"x": INTEGER}, check(Rule.RANGE, "x", minimum="0", tolerance=tolerance))
    passed = {one.name: one.passed for one in row_results(sample, counted(sample, ["1", "-1"]))}
    assert passed == {"type_x": True, "range_x": False}


@pytest.mark.parametrize(("tolerance", "passed"), [(0.3, True), (0.29, False)])
def test_a_null_share_is_of_the_rows_that_staged_would_get(table, check, tolerance, passed):
    sample = table({"x": INTEGER}, check(Rule.NULL_SHARE, "x", tolerance=tolerance))
    (result,) = check_batch(sample, counted(sample, [""] * 3 + ["1"] * 7 + ["bad"] * 10))
    assert (result.failed_rows, result.rows, result.share, result.passed) == (3, 10, 0.3, passed)


@pytest.mark.parametrize(
    ("limits", "failed", "passed"),
    [({"minimum": "3"}, 1, False), ({"maximum": "1"}, 1, False), ({"minimum": "2", "maximum": "2"}, 0, True)],
)
def test_a_row_count_is_of_all_rows_read(table, check, *, limits, failed, passed):
    sample = table({"x": INTEGER}, check(Rule.ROW_COUNT, **limits))
    (result,) = check_batch(sample, counted(sample, ["1", "bad"]))
    assert (result.failed_rows, result.rows, result.passed) == (failed, 2, passed)


def test_a_batch_without_rows_is_short_but_has_no_nulls(table, check):
    sample = table({"x": INTEGER}, check(Rule.ROW_COUNT, minimum="1"), check(Rule.NULL_SHARE, "x"))
    results = check_batch(sample, counted(sample))
    assert [(one.name, one.passed) for one in results] == [
        ("row_count", False),
        ("null_share_x", True),
    ]


def test_a_warning_that_fails_does_not_block(table, check):
    sample = table({"x": INTEGER}, check(Rule.ROW_COUNT, minimum="9", severity="warning"))
    (result,) = check_batch(sample, counted(sample, ["1"]))
    assert not result.passed
    assert not result.blocking
