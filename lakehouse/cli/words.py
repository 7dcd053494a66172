"""Figures in words: sizes, ages, counts.

For people only; JSON documents carry bytes, seconds and numbers.
"""

from __future__ import annotations

#: What to do about a batch that is held.
RELEASE = "change the contract's rule and ingest any file of the table: held batches are judged again"
#: What to do about a batch that is lost.
AGAIN = "deliver their files again"
_UNITS = ("B", "kB", "MB", "GB", "TB")
_STEP = 1000
_WHOLE = 100  # from here on decimals say nothing
_AGES = ((86_400, "d"), (3_600, "h"), (60, "min"))


def size(count: int) -> str:
    """`12.3 MB`."""
    amount, unit = float(count), 0
    while amount >= _STEP and unit < len(_UNITS) - 1:
        amount, unit = amount / _STEP, unit + 1
    return f"{amount:.0f} {_UNITS[unit]}" if unit == 0 or amount >= _WHOLE else f"{amount:.1f} {_UNITS[unit]}"


def age(seconds: float | None) -> str:
    """`3 min`, `2 d`; a dash when there is none."""
    if seconds is None:
        return "-"
    for span, unit in _AGES:
        if seconds >= span:
            return f"{seconds / span:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def plural(count: int, one: str, many: str | None = None) -> str:
    """`1 file`, `1,200 files`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
