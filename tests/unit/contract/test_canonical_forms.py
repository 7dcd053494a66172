"""Canonical forms: known answers, and laws on any text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.contract.canonical import FORMS, KNOWN_ANSWERS, WHITE_SPACE, canonical, in_order

forms = st.lists(st.sampled_from(FORMS), min_size=1, max_size=4).map(tuple)
#: Text where spellings differ: spaces, marks, special casing, digits, signs.
spellings = st.text(
    st.sampled_from(
        [
            *WHITE_SPACE,
            *"aA017850.+-eE",
            *"\u00df\u0130\u0131\u017f\u0390\u03b0\u03a3\u03c3\u03c2",
            "\u0301",
            "\u0345",
            "\u212b",
            "\u1f80",
        ]
    )
)


@pytest.mark.parametrize(("given_forms", "delivered", "answer"), KNOWN_ANSWERS)
def test_known_answers(given_forms: tuple[str, ...], delivered: str, answer: str | None) -> None:
    assert canonical(given_forms, delivered) == answer


@given(forms, st.text() | spellings)
def test_a_canonical_value_is_its_own_canonical_form(given_forms: tuple[str, ...], value: str) -> None:
    once = canonical(given_forms, value)
    assert once is None or canonical(given_forms, once) == once


@given(forms, spellings)
def test_the_order_of_listing_does_not_count(given_forms: tuple[str, ...], value: str) -> None:
    assert canonical(given_forms, value) == canonical(tuple(reversed(given_forms)), value)


@given(st.integers(), st.sampled_from(["", " ", "\u00a0"]), st.sampled_from(["", ".", ".0", ".000"]))
def test_every_spelling_of_a_whole_number_is_one(number: int, space: str, fraction: str) -> None:
    sign = "-" if number < 0 else "+"
    for text in (f"{number}", f"{sign}00{abs(number)}"):
        assert canonical(("integer",), f"{space}{text}{fraction}{space}") == str(number)


@given(st.text())
def test_integer_never_gives_anything_but_a_plain_whole_number(value: str) -> None:
    found = canonical(("integer",), value)
    assert found is None or str(int(found)) == found


@given(st.text(min_size=1), st.text(min_size=1))
def test_casefold_agrees_on_case(first: str, second: str) -> None:
    if first.casefold() == second.casefold():
        assert canonical(("casefold",), first) == canonical(("casefold",), second)


def test_white_space_is_what_unicode_says() -> None:
    assert len(set(WHITE_SPACE)) == 25
    assert all(character.isspace() for character in WHITE_SPACE)


def test_an_unknown_form_is_no_form() -> None:
    with pytest.raises(KeyError, match="upper"):
        canonical(("upper",), "a")


def test_forms_have_one_order() -> None:
    assert in_order(["integer", "trim", "trim"]) == ("trim", "integer")


phones = st.lists(st.sampled_from([*"0123456789+-./() ", "(0)", "00", "+49", "+1"]), max_size=20).map("".join)


@given(phones)
def test_a_phone_number_is_international_or_none(value: str) -> None:
    found = canonical(("e164",), value)
    assert found is None or (found[0] == "+" and found[1] in "123456789" and 7 <= len(found[1:]) <= 15)
    assert canonical(("e164",), found or "") == found


@given(st.integers(10**7, 10**12), st.sampled_from(["+", "00"]), st.sampled_from(["", " ", "-", "/", ".", " - "]))
def test_every_spelling_of_a_phone_number_is_one(number: int, start: str, gap: str) -> None:
    digits = str(number)
    spelled = f"{start}{digits[:2]}{gap}(0){gap}{digits[2:4]}{gap}({digits[4:]})"
    assert canonical(("e164",), spelled) == f"+{digits}"


@given(st.text(), st.sampled_from([*WHITE_SPACE, "-", "\u2010", "\u2011"]))
def test_compact_does_not_see_gaps(value: str, gap: str) -> None:
    assert canonical(("compact",), gap.join(value)) == canonical(("compact",), value)
