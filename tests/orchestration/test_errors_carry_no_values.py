"""What a failing step leaves in Dagster: kind and place of an engine's error, never its text."""

from __future__ import annotations

import dagster as dg
import duckdb
import polars as pl
import pytest

from lakehouse.errors import LeaseTakenError, RefusedError, StorageError
from lakehouse.orchestration.guard import LEASE_RETRIES, no_values_in_errors

SECRET = "Zaphod"


def _in_polars() -> None:
    pl.DataFrame({"a": [SECRET]}).select(pl.col("a").cast(pl.Int64))


def _in_duckdb() -> None:
    duckdb.sql(f"select cast('{SECRET}' as integer)").fetchall()


@pytest.mark.parametrize("fail", [_in_polars, _in_duckdb])
def test_engine_errors_are_told_without_their_text(fail):
    with pytest.raises(StorageError) as told, no_values_in_errors("staged.shop.sale"):
        fail()
    assert SECRET not in str(told.value)
    assert told.value.__cause__ is None
    assert told.value.__suppress_context__
    assert "test_errors_carry_no_values.py" in str(told.value)


def test_our_own_errors_stay_as_they_are():
    with pytest.raises(RefusedError, match="why"), no_values_in_errors("staged.shop.sale"):
        raise RefusedError("why")


def test_taken_lease_is_tried_again():
    with pytest.raises(dg.RetryRequested) as asked, no_values_in_errors("staged.shop.sale"):
        raise LeaseTakenError("taken")
    assert asked.value.max_retries == LEASE_RETRIES


def test_run_stores_nothing_of_an_engines_error(shop, monkeypatch):
    from lakehouse.model import TableId, Tier
    from lakehouse.orchestration import steps
    from lakehouse.orchestration.runs import materialize

    monkeypatch.setattr(steps, "ingest", lambda *_, **__: _in_polars())
    report = materialize(shop.settings, [TableId(Tier.STAGED, "shop", "sale")])
    assert "withheld" in report.problems[0]
    kept = b"".join(file.read_bytes() for file in shop.home.rglob("*") if file.is_file())
    assert b"withheld" in kept
    assert SECRET.encode() not in kept
