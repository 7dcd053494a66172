"""What an engine says of a failure is never passed on: it may quote a cell."""

from __future__ import annotations

import pytest

from lakehouse.errors import QueryError, RefusedError, StorageError, UsageError
from lakehouse.serving import failures

SECRET = "'Jana 1980' 4711"


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (f"Conversion Error: Could not convert string {SECRET} to INT32", QueryError),
        (f"Out of Range Error: Overflow {SECRET}", QueryError),
        (f"Invalid Input Error: {SECRET}", QueryError),
        (f"Mismatch Type Error: {SECRET}", QueryError),
        (f"INTERRUPT Error: Interrupted! {SECRET}", RefusedError),
        (f"Out of Memory Error: {SECRET}", RefusedError),
        (f"Binder Error: {SECRET}", UsageError),
        (f"Catalog Error: {SECRET}", UsageError),
        (f"IO Error: {SECRET}", StorageError),
        (f"INTERNAL Error: {SECRET}", QueryError),
        (f"something new: {SECRET}", QueryError),
        ("", QueryError),
    ],
)
@pytest.mark.parametrize("wrapper", [RuntimeError, OSError])
def test_only_the_kind_is_told(said, kind, wrapper):
    told = failures.told(wrapper(said), seconds=1, memory=1)
    assert type(told) is kind
    assert told.hint
    assert "Jana" not in str(told)
    assert "4711" not in str(told)


@pytest.mark.parametrize(
    ("said", "advice"),
    [
        ('column "city" must appear in the GROUP BY clause', "`group by`"),
        ("WHERE clause cannot contain aggregates!", "`having`"),
        ('Ambiguous reference to column name "city"', "`view.column`"),
        ("No function matches the given name and argument types 'sum(VARCHAR)'", "cast"),
        ('Table "c" does not have a column named "citi"', "lacks it"),
        ("something new", "`select * from VIEW limit 1`"),
    ],
)
def test_what_does_not_fit_comes_with_advice(said, advice):
    told = failures.told(RuntimeError(f"Binder Error: {said} {SECRET}"), seconds=1, memory=1)
    assert advice in str(told.hint)
    assert "Jana" not in f"{told} {told.hint}"
