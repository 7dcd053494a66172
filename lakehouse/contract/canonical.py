"""Canonical forms: the one spelling of an id before it is hashed, so that `17850.0` and `17850` are one customer.

A closed, versioned list. A changed answer would give every person a second surrogate, so an answer never changes: a
better form is a new name. `KNOWN_ANSWERS` pins them; the polars twin in `privacy` is held to the same list.
Forms are applied in the order of `FORMS` whatever order a contract lists them in.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

#: Rises when a form is added. Stored with surrogates, so that a lake knows which list its hashes speak.
VERSION = 1

#: The 25 code points of Unicode's White_Space property: what Rust (polars) strips, and not what `str.strip` strips.
WHITE_SPACE = (
    "\t\n\x0b\x0c\r \x85\xa0\u1680"
    "\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
)

#: ASCII digits only; a fraction may be there if it is nothing but zeros. Same in Rust's regex syntax.
INTEGER = r"^([+-]?)0*([0-9]+?)(?:\.0*)?$"
_INTEGER = re.compile(INTEGER.replace("$", r"\Z"))
#: Case folding can undo composition and the reverse; two rounds reach the fixed point, four is out of caution.
_ROUNDS = 4


def _trim(value: str) -> str | None:
    return value.strip(WHITE_SPACE)


def _nfc(value: str) -> str | None:
    return unicodedata.normalize("NFC", value)


def _casefold(value: str) -> str | None:
    for _ in range(_ROUNDS):
        folded = unicodedata.normalize("NFC", value.casefold())
        if folded == value:
            break
        value = folded
    return value


def _integer(value: str) -> str | None:
    match = _INTEGER.match(value.strip(WHITE_SPACE))
    if match is None:
        return None
    sign, digits = match.groups()
    return f"-{digits}" if sign == "-" and digits != "0" else digits


_FORMS: dict[str, Callable[[str], str | None]] = {
    "trim": _trim,
    "nfc": _nfc,
    "casefold": _casefold,
    "integer": _integer,
}

#: The names a contract may use, in the order they are applied.
FORMS: tuple[str, ...] = tuple(_FORMS)

#: (forms, delivered, canonical). `None`: the value is not readable in this form, so it names no entity.
KNOWN_ANSWERS: tuple[tuple[tuple[str, ...], str, str | None], ...] = (
    (("trim",), "  A 1\t", "A 1"),
    (("trim",), "\u3000A\u00a0", "A"),
    (("trim",), "\u200bA", "\u200bA"),
    (("trim",), "\x1cA", "\x1cA"),
    (("trim",), " \t ", None),
    (("trim",), "", None),
    (("nfc",), "e\u0301", "\u00e9"),
    (("nfc",), "\u212b", "\u00c5"),
    (("nfc",), " a", " a"),
    (("casefold",), "Stra\u00dfe@Example.COM", "strasse@example.com"),
    (("casefold",), "\u0130", "i\u0307"),
    (("casefold",), "\u0390", "\u0390"),
    (("trim", "nfc", "casefold"), " E\u0301VA ", "\u00e9va"),
    (("integer",), "17850", "17850"),
    (("integer",), "17850.0", "17850"),
    (("integer",), "17850.", "17850"),
    (("integer",), " 017850", "17850"),
    (("integer",), "+5", "5"),
    (("integer",), "-007.00", "-7"),
    (("integer",), "-0.0", "0"),
    (("integer",), "000", "0"),
    (("integer",), "123456789012345678901234567890", "123456789012345678901234567890"),
    (("integer",), "17850.5", None),
    (("integer",), "1.785e4", None),
    (("integer",), "17,850", None),
    (("integer",), "0x45BA", None),
    (("integer",), "\u0661\u0662", None),
    (("integer",), "17850\n", "17850"),
    (("integer",), "1 7850", None),
    (("integer",), "abc", None),
    (("integer",), "nan", None),
    (("integer",), "-", None),
    (("integer",), ".0", None),
    (("trim", "integer"), " 17850.0 ", "17850"),
)


def in_order(forms: Iterable[str]) -> tuple[str, ...]:
    """The forms in the order they are applied, each once."""
    wanted = set(forms)
    return tuple(form for form in FORMS if form in wanted)


def canonical(forms: tuple[str, ...], value: str) -> str | None:
    """The one spelling of `value`, or None when it names nothing (unreadable in a form, or empty).

    Args:
        forms: names out of `FORMS`.
        value: text as delivered.

    Raises:
        KeyError: a form is not in the list (the loader refuses such contracts).
    """
    unknown = set(forms) - set(FORMS)
    if unknown:
        raise KeyError(", ".join(sorted(unknown)))
    current: str | None = value
    for form in in_order(forms):
        current = _FORMS[form](current)
        if current is None:
            return None
    return current or None
