"""Treatments: what a column shows of its value, as a lattice with a reference meaning.

The order is inclusion of what is revealed: `below(a, b)` when what `a` shows can be computed from what `b` shows. `typed`
says what a treatment counts as for a column's type; `below`, `meet` and `join` compare typed treatments. `apply` is the
meaning on one Python value, small and slow; the same as SQL is in `policy.expressions`, the table in docs/policy.md.
Which treatment a column gets, and where tokens come from, is not known here.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING

from lakehouse.contract.model import Logical

if TYPE_CHECKING:
    from lakehouse.contract.model import ColumnType

#: What stands for hidden text.
MASK = "***"
#: From here on floating numbers skip whole numbers, so that a bucket of them would be a guess.
FLOAT_EXACT = 2**53
INTEGER_LEAST, INTEGER_GREATEST = -(2**63), 2**63 - 1


class Kind(StrEnum):
    """The kinds of treatments; `prefix`, `bucket` and `partial` have a parameter."""

    HIDE = "hide"
    REDACT = "redact"
    YEAR = "year"
    MONTH = "month"
    PREFIX = "prefix"
    BUCKET = "bucket"
    PARTIAL = "partial"
    TOKEN = "token"  # noqa: S105 - the name of a treatment
    CLEAR = "clear"


_WITH_PARAMETER = {Kind.PREFIX: "n", Kind.BUCKET: "w", Kind.PARTIAL: "n"}
_TEXT = frozenset({Logical.STRING})
_TIME = frozenset({Logical.DATE, Logical.TIMESTAMP})
_NUMBERS = frozenset({Logical.INTEGER, Logical.DECIMAL, Logical.FLOAT})
_TYPES: dict[Kind, frozenset[Logical]] = {
    Kind.HIDE: frozenset(Logical),
    Kind.REDACT: _TEXT,
    Kind.YEAR: _TIME,
    Kind.MONTH: _TIME,
    Kind.PREFIX: _TEXT,
    Kind.BUCKET: _NUMBERS,
    Kind.PARTIAL: _TEXT,
    Kind.TOKEN: frozenset(Logical),
    Kind.CLEAR: frozenset(Logical),
}
_WRITTEN = re.compile(r"(?P<kind>[a-z]+)(?:\((?P<n>[^()]*)\))?")


@dataclass(frozen=True)
class Treatment:
    """What a column shows; `n` is the parameter of `prefix`, `bucket` and `partial`, 0 for the others."""

    kind: Kind
    n: int = 0

    def __post_init__(self) -> None:
        if self.kind in _WITH_PARAMETER:
            if self.n < 1:
                raise ValueError(
                    f"`{_WITH_PARAMETER[self.kind]}` in `{self.kind}` must be a whole number of at least 1"
                )
        elif self.n:
            raise ValueError(f"treatment `{self.kind}` takes no number")

    def __str__(self) -> str:
        return f"{self.kind}({self.n})" if self.n else self.kind.value


HIDE = Treatment(Kind.HIDE)
REDACT = Treatment(Kind.REDACT)
YEAR = Treatment(Kind.YEAR)
MONTH = Treatment(Kind.MONTH)
TOKEN = Treatment(Kind.TOKEN)
CLEAR = Treatment(Kind.CLEAR)


def parse(text: str) -> Treatment:
    """A treatment as policies write it: `clear`, `token`, `partial(4)`.

    Raises:
        ValueError: it is no treatment; the message is for people.
    """
    found = _WRITTEN.fullmatch(text)
    if found is None or found["kind"] not in Kind.__members__.values():
        raise ValueError(f"`{text}` is no treatment: use one of {_forms()}")
    kind = Kind(found["kind"])
    if kind not in _WITH_PARAMETER:
        if found["n"] is not None:
            raise ValueError(f"treatment `{kind}` takes no number: write `{kind}`")
        return Treatment(kind)
    letter = _WITH_PARAMETER[kind]
    if found["n"] is None:
        raise ValueError(f"treatment `{kind}` needs a number: write `{kind}({letter})`")
    if not re.fullmatch(r"0|[1-9][0-9]{0,17}", found["n"]) or found["n"] == "0":
        raise ValueError(f"`{letter}` in `{text}` must be a whole number of at least 1, of at most 18 digits")
    return Treatment(kind, int(found["n"]))


def _forms() -> str:
    return ", ".join(f"`{kind}({_WITH_PARAMETER[kind]})`" if kind in _WITH_PARAMETER else f"`{kind}`" for kind in Kind)


def fits(treatment: Treatment, logical: Logical) -> bool:
    """Whether columns of the type have the treatment."""
    return logical in _TYPES[treatment.kind]


def typed(treatment: Treatment, logical: Logical) -> Treatment:
    """What a treatment counts as for a column of the type: what it lacks is `redact`, which without text is `hide`."""
    if fits(treatment, logical):
        return treatment
    return REDACT if fits(REDACT, logical) else HIDE


def below(a: Treatment, b: Treatment) -> bool:
    """Whether `a` reveals no more than `b` does."""
    if a == b or a.kind is Kind.HIDE or b.kind is Kind.CLEAR:
        return True
    if a.kind is Kind.REDACT:
        return b.kind is not Kind.HIDE
    if a.kind is not b.kind:
        return (a.kind, b.kind) == (Kind.YEAR, Kind.MONTH)
    return a.n % b.n == 0 if a.kind is Kind.BUCKET else a.n <= b.n


def meet(a: Treatment, b: Treatment) -> Treatment:
    """The greatest treatment below both. For a column it is typed again: `redact` of what is no text is `hide`."""
    if below(a, b):
        return a
    if below(b, a):
        return b
    if a.kind is b.kind is Kind.BUCKET:
        return Treatment(Kind.BUCKET, math.lcm(a.n, b.n))
    return REDACT


def join(a: Treatment, b: Treatment) -> Treatment | None:
    """The greater of two comparable treatments, None when neither is below the other."""
    if below(a, b):
        return b
    return a if below(b, a) else None


def apply(treatment: Treatment, value: object, column_type: ColumnType, *, token: str | None = None) -> object:
    """What a column of the type shows of one value, None for NULL.

    Instants are aware datetimes in any zone and shown in UTC. `token` is the value's own, for treatment `token`.
    """
    shown = typed(treatment, column_type.logical)
    if shown.kind is Kind.HIDE or not _usable(value):
        return None
    if shown.kind is Kind.TOKEN:
        return token
    if isinstance(value, dt.datetime):
        value = value.astimezone(dt.UTC)
    if isinstance(value, str):
        return _text(shown, value)
    if isinstance(value, dt.date):
        return _time(shown, value)
    if shown.kind is Kind.BUCKET and isinstance(value, int | float | Decimal):
        return _bucket(value, shown.n, column_type)
    return value


def _usable(value: object) -> bool:
    if isinstance(value, Decimal):
        return value.is_finite()
    return value is not None and not (isinstance(value, float) and not math.isfinite(value))


def _text(treatment: Treatment, value: str) -> str:
    match treatment.kind:
        case Kind.REDACT:
            return MASK
        case Kind.PREFIX:
            return value[: treatment.n]
        case Kind.PARTIAL:
            count = max(0, min(treatment.n, (len(value) - 1) // 2))
            return MASK + value[len(value) - count :]
        case _:
            return value


def _time(treatment: Treatment, value: dt.date) -> dt.date:
    """The first day of a date's, or of an instant's, year or month; an instant is in UTC by now."""
    if treatment.kind is Kind.CLEAR:
        return value
    first = value.replace(day=1) if treatment.kind is Kind.MONTH else value.replace(month=1, day=1)
    return first.replace(hour=0, minute=0, second=0, microsecond=0) if isinstance(first, dt.datetime) else first


def _bucket(value: float | Decimal, width: int, column_type: ColumnType) -> object:
    """The greatest multiple of the width that is not above the value, None when the type cannot hold it."""
    if column_type.logical is Logical.FLOAT:
        # A result of 2^53 and beyond may have been rounded: it is outside of what the type counts exactly.
        whole = math.floor(value) // width * width
        return float(whole) if abs(value) < FLOAT_EXACT and abs(whole) < FLOAT_EXACT else None
    if column_type.logical is Logical.INTEGER:
        whole = math.floor(value) // width * width
        return whole if INTEGER_LEAST <= whole <= INTEGER_GREATEST else None
    precision, scale = column_type.precision or 38, column_type.scale or 0
    whole = math.floor(value) // width * width
    # Spelled, because Decimal arithmetic rounds to the context's 28 digits.
    return Decimal(f"{whole * 10**scale}e-{scale}") if abs(whole) < 10 ** (precision - scale) else None
