"""What a delivered column probably is: type, missing words, category, whether it may be part of the key.

Guesses for a person to review, from names and values of one file. Nothing of a value gets out: only types, formats and
categories do.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

#: Java's letters and strptime's, timestamps first; the first that fits every value is taken.
_TIMES: tuple[tuple[str, str], ...] = (
    ("yyyy-MM-dd HH:mm:ss", "%Y-%m-%d %H:%M:%S"),
    ("yyyy-MM-dd'T'HH:mm:ss", "%Y-%m-%dT%H:%M:%S"),
    ("yyyy-MM-dd HH:mm:ssXXX", "%Y-%m-%d %H:%M:%S%z"),
    ("yyyy-MM-dd'T'HH:mm:ssXXX", "%Y-%m-%dT%H:%M:%S%z"),
    ("yyyy-MM-dd HH:mm:ss.SSSSSS", "%Y-%m-%d %H:%M:%S.%f"),
    ("yyyy-MM-dd'T'HH:mm:ss.SSSSSSXXX", "%Y-%m-%dT%H:%M:%S.%f%z"),
    ("yyyy-MM-dd HH:mm", "%Y-%m-%d %H:%M"),
    ("dd/MM/yyyy HH:mm", "%d/%m/%Y %H:%M"),
    ("MM/dd/yyyy HH:mm", "%m/%d/%Y %H:%M"),
    ("dd.MM.yyyy HH:mm", "%d.%m.%Y %H:%M"),
)
_DAYS: tuple[tuple[str, str], ...] = (
    ("yyyy-MM-dd", "%Y-%m-%d"),
    ("yyyy/MM/dd", "%Y/%m/%d"),
    ("dd/MM/yyyy", "%d/%m/%Y"),
    ("MM/dd/yyyy", "%m/%d/%Y"),
    ("dd.MM.yyyy", "%d.%m.%Y"),
)
_INTEGER = re.compile(r"[+-]?(?:0|[1-9][0-9]{0,17})")
_DECIMAL = re.compile(r"[+-]?[0-9]{1,20}\.[0-9]{1,12}|[+-]?(?:0|[1-9][0-9]{0,19})")
_FLOAT = re.compile(r"[+-]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_WHOLE_FLOAT = re.compile(r"[0-9]+\.0")
_NULLS = frozenset({"NA", "N/A", "n/a", "null", "NULL", "None", "nan", "NaN", "?", "-"})
_MOST_TRIED = 20_000

#: Name parts (whole words of the name) and the category they suggest; the first that fits is taken.
_NAMES: tuple[tuple[str, str], ...] = (
    (r"e?mail", "user.contact.email"),
    (r"(tele)?phone|mobile|fax|msisdn|tel", "user.contact.phone_number"),
    (r"birth\w*|dob|born", "user.demographic.date_of_birth"),
    (r"ssn|national|passport|taxid|taxnumber|taxno|nino|government", "user.government_id"),
    (r"iban|bic|account", "user.financial.bank_account"),
    (r"card|creditcard", "user.financial.credit_card"),
    (r"ip|ipv4|ipv6", "user.device.ip_address"),
    (r"street|address|addr", "user.contact.address.street"),
    (r"zip\w*|postcode|postal", "user.contact.address.postal_code"),
    (r"city|town", "user.contact.address.city"),
    (r"gender|sex", "user.demographic.gender"),
    (r"age", "user.demographic.age_range"),
    (r"marital", "user.demographic.marital_status"),
    (r"religion\w*", "user.demographic.religious_belief"),
    (r"diagnosis|disease|medical|bmi|smoker", "user.health_and_medical"),
    (r"password|passwd|pin", "user.authorization.password"),
    (r"username|login|nickname", "user.account.username"),
    (r"surname|lastname|forename|firstname|fullname|givenname|middlename", "user.name"),
    (r"latitude|longitude|lat|lon|lng", "user.location.precise"),
    (r"salary|income|balance|credit", "user.financial"),
    (r"occupation|job", "user.job_title"),
)
_PEOPLE = r"customer|client|person|patient|user|member|employee|insured|policyholder|buyer|cust|guest|student"
_ID = r"id|no|nr|number|num|key|code|ref|uuid"
_VALUES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"[^@\s]+@[^@\s]+\.[A-Za-z]{2,}"), "user.contact.email"),
    (re.compile(r"(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)"), "user.device.ip_address"),
    (re.compile(r"[A-Z]{2}\d{2}[A-Z0-9]{11,30}"), "user.financial.bank_account"),
    (re.compile(r"\d{3}-\d{2}-\d{4}"), "user.government_id"),
    (re.compile(r"\+\d[\d ()-]{7,18}\d"), "user.contact.phone_number"),
)
_CLEARLY = 0.8


@dataclass(frozen=True)
class Guess:
    """A column as guessed; `reasons` are words for the reviewer."""

    delivered: str
    name: str
    logical: str
    physical: str | None = None
    format: str | None = None
    offset: bool = False
    nullable: bool = False
    distinct: int = 0
    null_words: tuple[str, ...] = ()
    category: str = "system.operations"
    canonical: str | None = None
    entity: str | None = None
    identifying: bool = False
    reasons: tuple[str, ...] = ()

    @property
    def personal(self) -> bool:
        """Whether the category is about people."""
        return self.category.startswith("user")


def words_of(name: str) -> list[str]:
    """The words of a column name: `CustomerID`, `customer_id` and `Customer Id` are `customer`, `id`."""
    spaced = re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", name)
    return [word.lower() for word in re.split(r"[^A-Za-z0-9]+", spaced) if word]


def guess(delivered: str, name: str, values: Sequence[str]) -> Guess:
    """What the column `delivered` probably is.

    Args:
        delivered: its name in the file.
        name: its name in the contract.
        values: what was delivered, every row.
    """
    distinct = set(values)
    filled = distinct - {""}
    nulls, logical, physical, form = _type(filled)
    filled -= set(nulls)
    words = words_of(delivered)
    category, reason = _category(words, filled)
    identifying = _has(words, _ID) or words[-1:] == ["id"]
    reasons = [reason] if reason else []
    canonical: str | None = None
    if category == "user.unique_id":
        canonical = (
            "integer" if filled and all(_INTEGER.fullmatch(v) or _WHOLE_FLOAT.fullmatch(v) for v in filled) else "trim"
        )
        logical, physical = "string", None
    reasons += ["words that stand for missing were found"] if nulls else []
    reasons += ["day and month could be the other way round"] if form and _other_order(form, filled) else []
    return Guess(
        delivered=delivered,
        name=name,
        logical=logical,
        physical=physical,
        format=form,
        offset=bool(form and form.endswith("XXX")),
        nullable="" in distinct or bool(nulls) or not filled,
        distinct=len(distinct),
        null_words=nulls,
        category=category,
        canonical=canonical,
        entity=_entity(words) if category == "user.unique_id" else None,
        identifying=identifying,
        reasons=tuple(reasons),
    )


def _type(filled: set[str]) -> tuple[tuple[str, ...], str, str | None, str | None]:
    """Missing words, logical type, physical type, Java format."""
    for nulls in ((), tuple(sorted(filled & _NULLS))):
        rest = filled - set(nulls)
        if not rest:
            continue
        found = _typed(rest)
        if found is not None:
            return nulls, *found
    return (), "string", None, None


def _typed(filled: set[str]) -> tuple[str, str | None, str | None] | None:
    if all(_INTEGER.fullmatch(value) for value in filled):
        return "integer", None, None
    if all(_DECIMAL.fullmatch(value) for value in filled):
        parts = [value.lstrip("+-").partition(".") for value in filled]
        scale = max(len(part[2]) for part in parts)
        # Two digits of head-room: the next file brings a larger amount than this one.
        precision = min(38, max(len(part[0]) for part in parts) + scale + 2)
        return "number", f"decimal({max(precision, 12)},{scale})", None
    if all(_FLOAT.fullmatch(value) for value in filled):
        return "number", "double", None
    if filled <= {"true", "false"}:
        return "boolean", None, None
    for logical, formats in (("timestamp", _TIMES), ("date", _DAYS)):
        for java, pattern in formats:
            if _fits(filled, pattern):
                return logical, None, java
    return None


def _fits(filled: Iterable[str], pattern: str) -> bool:
    try:
        for count, value in enumerate(filled):
            datetime.strptime(value, pattern)  # noqa: DTZ007 - only whether it can be read
            if count > _MOST_TRIED:
                break
    except ValueError:
        return False
    return True


def _other_order(form: str, filled: set[str]) -> bool:
    other = form.replace("dd/MM", "MM/dd") if "dd/MM" in form else form.replace("MM/dd", "dd/MM")
    pattern = next((pattern for java, pattern in (*_TIMES, *_DAYS) if java == other), None)
    return other != form and pattern is not None and _fits(filled, pattern)


def _has(words: Sequence[str], pattern: str) -> bool:
    return any(re.fullmatch(pattern, word) for word in words)


def _category(words: list[str], filled: set[str]) -> tuple[str, str | None]:
    joined = ["".join(words), *words]
    if _has(words, _PEOPLE) and (_has(words[-1:], _ID) or len(words) == 1):
        return "user.unique_id", "named like the id of a person"
    for pattern, category in _NAMES:
        if _has(joined, pattern):
            return category, "named like personal data"
    if "name" in words and (len(words) == 1 or _has(words, rf"{_PEOPLE}|first|last|full|given|family|middle|holder")):
        return "user.name", "named like a person's name"
    for pattern, category in _VALUES:
        if filled and sum(pattern.fullmatch(value) is not None for value in filled) >= _CLEARLY * len(filled):
            return category, "values look like personal data"
    return "system.operations", None


def _entity(words: Sequence[str]) -> str:
    found = next((word for word in words if re.fullmatch(_PEOPLE, word)), "person")
    return "customer" if found == "cust" else found
