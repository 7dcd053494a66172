"""What the database says about a model is passed on only when it cannot quote a value."""

from __future__ import annotations

import pytest

from lakehouse.transform.dbt_run import model_error

SECRET = "ada@example.org"


@pytest.mark.parametrize(
    "message",
    [
        f"Runtime Error in model m (m.sql)\n  Conversion Error: Could not convert string '{SECRET}' to INT32",
        f"Invalid Input Error: {SECRET}",
        f"Constraint Error: duplicate key {SECRET}",
        f"Out of Range Error: {SECRET}",
        f"Unbekannter Fehler: {SECRET}",
    ],
)
def test_no_value_gets_into_an_error(message):
    assert SECRET not in str(model_error(message, where="m.sql"))


def test_names_of_columns_are_told():
    message = 'Runtime Error in model m (m.sql)\n  Binder Error: Referenced column "colour" not found'
    assert 'Referenced column "colour" not found' in str(model_error(message, where="m.sql"))


def test_out_of_memory_says_what_to_do():
    error = model_error("Out of Memory Error: failed to allocate", where="m.sql")
    assert "LAKEHOUSE_DUCKDB_MEMORY" in str(error)
