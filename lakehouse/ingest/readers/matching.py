"""Which delivered column is which of the contract's, and what to do about the others: drift of columns.

Names only; what becomes of the values is in `unknown`. Delivered names are never shown: without a header they may be the
first row's values. Imports nothing heavy, because the reading child of `columnar` uses it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lakehouse.errors import FileRejectedError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lakehouse.contract.model import Column, Drift

#: Wider than any feed, and still quick to take apart.
MOST_COLUMNS = 20_000


@dataclass(frozen=True)
class Match:
    """How a file's columns stand to the contract's.

    Attributes:
        places: per column of the contract its place in the file, None when it is not delivered.
        unknown: place in the file and name of every other column, names made unique.
        missing: delivered names of the contract's columns that are not there.
    """

    places: tuple[int | None, ...]
    unknown: Mapping[int, str]
    missing: tuple[str, ...]


def match(header: Sequence[str], columns: Sequence[Column], drift: Drift) -> Match:
    """Find each column's place by the names in a header.

    Raises:
        FileRejectedError: it differs from the contract in a way that the contract freezes, or in all names.
    """
    if len(header) > MOST_COLUMNS:
        raise FileRejectedError(f"the file has more than {MOST_COLUMNS:,} columns", hint="is this the right feed?")
    wanted = [column.path for column in columns]
    place = {name: at for at, name in reversed(list(enumerate(header)))}
    missing = [name for name in wanted if name not in place]
    if len(missing) == len(wanted):
        raise FileRejectedError(
            "the file has no header, or another table's", hint="the first line must name the columns"
        )
    known = set(wanted)
    unknown = {at: name for at, name in enumerate(header) if name not in known}
    doubled = len([name for name in header if name in known]) - (len(wanted) - len(missing))
    require(missing=missing, unknown=len(unknown), doubled=doubled, drift=drift)
    return Match(tuple(place.get(name) for name in wanted), _unique(unknown, known), tuple(missing))


def require(*, missing: Sequence[str], unknown: int, doubled: int, drift: Drift) -> None:
    """Reject a file whose columns differ in a way that the contract freezes.

    Raises:
        FileRejectedError: says in which way.
    """
    problems = [
        f"missing {', '.join(f'`{name}`' for name in missing)}" if missing and drift.missing == "freeze" else "",
        f"{unknown} that the contract does not know" if unknown and drift.unknown == "freeze" else "",
        f"{doubled} twice" if doubled else "",
    ]
    if any(problems):
        raise FileRejectedError(
            f"columns differ from the contract: {'; '.join(problem for problem in problems if problem)}",
            hint="mend the file, or say in the contract's `drift` what shall become of it",
        )


def _unique(names: Mapping[int, str], known: set[str]) -> dict[int, str]:
    """Names that stand once each; a nameless column gets its number."""
    found: dict[int, str] = {}
    taken = set(known)
    for at, name in names.items():
        plain = name or f"column {at + 1}"
        free, number = plain, 2
        while free in taken:
            free, number = f"{plain} {number}", number + 1
        taken.add(free)
        found[at] = free
    return found
