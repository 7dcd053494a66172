"""The polars twin of the canonical forms answers as Python does, on any text and any list of forms."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.contract.canonical import FORMS, KNOWN_ANSWERS, WHITE_SPACE, canonical
from lakehouse.privacy.forms import canonical_form

forms = st.lists(st.sampled_from(FORMS), min_size=1, max_size=len(FORMS)).map(tuple)
marks = st.sampled_from(
    [*WHITE_SPACE, *"aA0178+-./()eE\u2010\u2011\u2013\u00df\u0130\u0301\u0661\x00\n", "(0)", "00", "+49"]
)
texts = st.text() | st.lists(marks, max_size=24).map("".join)


@pytest.mark.parametrize(("given_forms", "delivered", "answer"), KNOWN_ANSWERS)
def test_known_answers(given_forms: tuple[str, ...], delivered: str, answer: str | None) -> None:
    assert pl.DataFrame({"x": [delivered]}).select(canonical_form(pl.col("x"), given_forms)).item() == answer


@given(forms, st.lists(texts | st.none(), max_size=8))
def test_both_give_the_same(given_forms: tuple[str, ...], values: list[str | None]) -> None:
    frame = pl.DataFrame({"x": values}, schema={"x": pl.String})
    expected = [None if value is None else canonical(given_forms, value) for value in values]
    assert frame.select(canonical_form(pl.col("x"), given_forms)).to_series().to_list() == expected
