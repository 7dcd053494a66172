"""Canonical forms: the one spelling of an id before it is hashed, so that `17850.0` and `17850` are one customer.

A closed, versioned list. A changed answer would give every person a second surrogate, so an answer never changes: a
better form is a new name. `KNOWN_ANSWERS` pins them; the polars twin in `privacy.forms` is held to the same list.
That is also why no phone library reads numbers here: its tables of countries change, and with them its answers.
Forms are applied in the order of `FORMS` whatever order a contract lists them in.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

#: Rises when a form is added.
VERSION = 2

#: The 25 code points of Unicode's White_Space property: what Rust (polars) strips, and not what `str.strip` strips.
WHITE_SPACE = (
    "\t\n\x0b\x0c\r \x85\xa0\u1680"
    "\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
)

#: ASCII digits only; a fraction may be there if it is nothing but zeros. Same in Rust's regex syntax.
INTEGER = r"^([+-]?)0*([0-9]+?)(?:\.0*)?$"
#: What `compact` removes wherever it stands: white space and hyphens. Same in Rust's regex syntax.
GAPS = f"[{WHITE_SPACE}\\-\u2010\u2011]"
#: `e164`, step by step: marks between digits go; so does one `(0)` after a country code, which is dialled at home only;
#: what is left is `+` or `00`, a country code and a number. Same in Rust's regex syntax.
PHONE_GAPS = f"[{WHITE_SPACE}\\-./]"
PHONE_TRUNK = r"([0-9]\)?)\(0\)"
PHONE_MARKS = r"[()]"
PHONE = r"^(?:\+|00)([1-9][0-9]{6,14})$"


def _whole(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern.replace("$", r"\Z"))


_INTEGER, _PHONE = _whole(INTEGER), _whole(PHONE)
_GAPS, _PHONE_GAPS, _PHONE_TRUNK = re.compile(GAPS), re.compile(PHONE_GAPS), re.compile(PHONE_TRUNK)
_PHONE_MARKS = re.compile(PHONE_MARKS)
#: Case folding can undo composition and the reverse; two rounds reach the fixed point, four is out of caution.
_ROUNDS = 4


def _trim(value: str) -> str | None:
    return value.strip(WHITE_SPACE)


def _compact(value: str) -> str | None:
    return _GAPS.sub("", value)


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


def _e164(value: str) -> str | None:
    value = _PHONE_TRUNK.sub(r"\1", _PHONE_GAPS.sub("", value), count=1)
    if "(0)" in value:
        return None
    match = _PHONE.match(_PHONE_MARKS.sub("", value))
    return None if match is None else f"+{match[1]}"


#: `compact` goes before composition: what it removes may have stood between a letter and its accent.
_FORMS: dict[str, Callable[[str], str | None]] = {
    "trim": _trim,
    "compact": _compact,
    "nfc": _nfc,
    "casefold": _casefold,
    "integer": _integer,
    "e164": _e164,
}

#: The names a contract may use, in the order they are applied.
FORMS: tuple[str, ...] = tuple(_FORMS)

#: Together they read nothing.
NEVER = frozenset({"integer", "e164"})
NEVER_BOTH = "nothing is both a plain whole number (`integer`) and a telephone number (`e164`)"

#: (forms, delivered, canonical). `None`: the value is not readable in this form, so it names no entity.
KNOWN_ANSWERS: tuple[tuple[tuple[str, ...], str, str | None], ...] = (
    (("trim",), "  A 1\t", "A 1"),
    (("trim",), "\u3000A\u00a0", "A"),
    (("trim",), "\u200bA", "\u200bA"),
    (("trim",), "\x1cA", "\x1cA"),
    (("trim",), "007", "007"),
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
    (("compact",), "DE89 3704 0044 0532 0130 00", "DE89370400440532013000"),
    (("compact",), "4111-1111\u20111111\u00a01111", "4111111111111111"),
    (("compact",), "de89", "de89"),
    (("compact",), " - ", None),
    (("compact", "casefold"), "DE89 3704", "de893704"),
    (("compact", "nfc"), "e \u0301", "\u00e9"),
    (("compact", "integer"), "0017 850", "17850"),
    (("e164",), "+49 30 1234567", "+49301234567"),
    (("e164",), "0049 (0)30/123-45.67", "+49301234567"),
    (("e164",), "+49(0)301234567", "+49301234567"),
    (("e164",), "(+49) (0) 30 1234567", "+49301234567"),
    (("e164",), "+39 06 1234567", "+39061234567"),
    (("e164",), "+1 (212) 555-0123\n", "+12125550123"),
    (("e164",), "+1234567", "+1234567"),
    (("e164",), "+123456789012345", "+123456789012345"),
    (("e164",), "+1234567890123456", None),
    (("e164",), "+123456", None),
    (("e164",), "030 1234567", None),
    (("e164",), "(0)30 1234567", None),
    (("e164",), "+49 (0)(0)30 1234567", None),
    (("e164",), "+049 30 1234567", None),
    (("e164",), "49301234567", None),
    (("e164",), "++49301234567", None),
    (("e164",), "+49 30 1234567 ext. 5", None),
    (("e164",), "+49 30 \u0661\u0662\u0663\u0664\u0665\u0666\u0667", None),
    (("e164",), "", None),
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
