"""No data value leaves in a result, a message or a printed verdict, and importing is cheap."""

from __future__ import annotations

import subprocess
import sys

import polars as pl
import pytest

from lakehouse.contract.model import ColumnType, Logical, Rule
from lakehouse.errors import LakehouseError
from lakehouse.model import TableId, Tier
from lakehouse.quality import BatchCounts, check_batch, check_rows, check_table, compile_row_checks, row_results

SECRET = "31415926535.ZEBRA"
STRING = ColumnType(Logical.STRING)


def test_results_hold_counts_and_no_value(table, check):
    types = {"a": ColumnType(Logical.INTEGER), "b": STRING}
    rules = [check(Rule.PATTERN, "b", pattern="x"), check(Rule.NULL_SHARE, "a"), check(Rule.UNIQUE, "b")]
    sample = table(types, *rules)
    judged = compile_row_checks(sample).judge(pl.DataFrame({"a": [SECRET, SECRET], "b": [SECRET, SECRET]}))
    counts = BatchCounts(sample)
    counts.add(judged.typed, judged.failed)
    results = [
        *check_batch(sample, counts),
        *row_results(sample, counts),
        *check_rows(sample, judged.typed),
        *check_table(sample, lambda _: judged.typed.lazy()),
    ]
    assert len(results) == 7
    assert SECRET not in repr(results)
    assert SECRET not in repr(judged.counts())


def test_refusals_hold_no_value(table, check):
    there = TableId(Tier.STAGED, "demo", "other")
    refers = check(Rule.FOREIGN_KEY, "a", target=there, target_columns=("id",))
    sample = table({"a": STRING}, refers)
    sides = {sample.id: pl.DataFrame({"a": [SECRET]}), there: pl.DataFrame({"id": [1]})}
    with pytest.raises(LakehouseError) as caught:
        check_table(sample, lambda name: sides[name].lazy())
    assert SECRET not in str(caught.value)


def test_pandera_is_loaded_only_when_asked_for():
    code = (
        "import sys, lakehouse.quality as q\n"
        "assert 'pandera' not in sys.modules and 'deltalake' not in sys.modules\n"
        "q.pandera_schema\nassert 'pandera' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_unknown_name_is_an_attribute_error():
    import lakehouse.quality

    with pytest.raises(AttributeError, match="no attribute `panda`"):
        _ = lakehouse.quality.panda
