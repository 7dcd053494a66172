"""Unique keys, foreign keys, and all rules over a whole typed table."""

from __future__ import annotations

from decimal import Decimal

import polars as pl
import pytest

from lakehouse.contract.model import ColumnType, Logical, Rule
from lakehouse.errors import SchemaMismatchError
from lakehouse.model import TableId, Tier
from lakehouse.quality import check_rows, check_table

STRING = ColumnType(Logical.STRING)
INTEGER = ColumnType(Logical.INTEGER)
FLOAT = ColumnType(Logical.FLOAT)
HERE = TableId(Tier.STAGED, "demo", "sample")
THERE = TableId(Tier.STAGED, "demo", "customer")


def judged(table, **frames):
    found = {HERE: frames["here"], THERE: frames.get("there")}
    return check_table(table, lambda name: found[name].lazy())


def test_every_row_after_the_first_of_its_key_fails_unique(table, check):
    sample = table({"a": INTEGER, "b": STRING}, check(Rule.UNIQUE, "a", "b", name="unique_key"))
    frame = pl.DataFrame({"a": [1, 1, 1, 2, 2], "b": ["x", "x", "x", "x", "y"]})
    (result,) = judged(sample, here=frame)
    assert (result.failed_rows, result.rows, result.passed) == (2, 5, False)


def test_null_in_a_key_is_no_repeat(table, check):
    sample = table({"a": INTEGER}, check(Rule.UNIQUE, "a"))
    (result,) = judged(sample, here=pl.DataFrame({"a": [None, None, 1]}, schema={"a": pl.Int64}))
    assert (result.failed_rows, result.rows, result.passed) == (0, 3, True)


@pytest.mark.parametrize(("tolerance", "passed"), [(0.25, True), (0.2, False)])
def test_orphans_are_counted_by_row_within_tolerance(table, check, tolerance, passed):
    orphan = check(Rule.FOREIGN_KEY, "a", target=THERE, target_columns=("id",), tolerance=tolerance)
    here = pl.DataFrame({"a": [1, 1, 2, None]}, schema={"a": pl.Int64})
    (result,) = judged(table({"a": INTEGER}, orphan), here=here, there=pl.DataFrame({"id": [1, 1, 5]}))
    assert (result.failed_rows, result.rows, result.share, result.passed) == (1, 4, 0.25, passed)


def test_ids_refer_in_their_canonical_form(table, check):
    refers = check(Rule.FOREIGN_KEY, "a", target=THERE, target_columns=("id",))
    here = pl.DataFrame({"a": ["17850.0", " 17850", "17851", "abc"]})
    there = pl.DataFrame({"id": ["17850"]})
    (as_entity,) = judged(table({"a": STRING}, refers, entity_key="a"), here=here, there=there)
    (as_text,) = judged(table({"a": STRING}, refers), here=here, there=there)
    assert (as_entity.failed_rows, as_text.failed_rows) == (2, 4)


def test_keys_of_several_columns_and_number_types_refer(table, check):
    refers = check(Rule.FOREIGN_KEY, "a", "b", target=THERE, target_columns=("x", "y"))
    here = pl.DataFrame({"a": [1, 2], "b": ["k", "k"]})
    there = pl.DataFrame({"x": [Decimal("1.00"), Decimal("2.50")], "y": ["k", "k"]})
    (result,) = judged(table({"a": INTEGER, "b": STRING}, refers), here=here, there=there)
    assert result.failed_rows == 1


def test_keys_that_cannot_be_compared_are_refused(table, check):
    refers = check(Rule.FOREIGN_KEY, "a", target=THERE, target_columns=("id",))
    with pytest.raises(SchemaMismatchError, match="cannot refer to"):
        judged(table({"a": INTEGER}, refers), here=pl.DataFrame({"a": [1]}), there=pl.DataFrame({"id": ["1"]}))


def test_conservation_is_left_to_the_ledger(table, check):
    assert judged(table({"a": INTEGER}, check(Rule.CONSERVED)), here=pl.DataFrame({"a": [1]})) == []


@pytest.mark.parametrize("lazy", [True, False])
def test_a_feature_table_is_judged_by_all_its_rules(table, check, lazy):
    sample = table(
        {"a": INTEGER, "f": FLOAT},
        check(Rule.REQUIRED, "a"),
        check(Rule.REQUIRED, "f", tolerance=0.5),
        check(Rule.RANGE, "f", maximum="1"),
        check(Rule.COMPARE, "a", "f", name="order", operator="<=", other="f"),
        check(Rule.NULL_SHARE, "f", tolerance=0.5),
        check(Rule.ROW_COUNT, minimum="5"),
        check(Rule.UNIQUE, "a"),
        tier=Tier.FEATURES,
    )
    frame = pl.DataFrame({"a": [1, 2, None, 1], "f": [1.0, float("nan"), None, float("inf")], "_entity": ["e"] * 4})
    results = check_rows(sample, frame.lazy() if lazy else frame)
    assert [(one.name, one.failed_rows, one.passed) for one in results] == [
        ("required_a", 1, False),
        ("required_f", 2, True),
        ("range_f", 1, False),
        ("order", 0, True),
        ("null_share_f", 2, True),
        ("row_count", 1, False),
    ]


def test_an_empty_table_passes_its_row_rules(table, check):
    sample = table({"a": INTEGER}, check(Rule.REQUIRED, "a"), check(Rule.TYPE, "a", name="t"), tier=Tier.CURATED)
    assert [one.passed for one in check_rows(sample, pl.DataFrame(schema={"a": pl.Int64}))] == [True, True]


def test_a_table_of_another_type_is_refused(table):
    with pytest.raises(SchemaMismatchError, match="column `a` is Float64, not Int64"):
        check_rows(table({"a": INTEGER}, tier=Tier.CURATED), pl.DataFrame({"a": [1.5]}))
