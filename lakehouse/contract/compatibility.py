"""Whether readers of a table survive a change of its contract: backward, forward, both (full) or neither, and why.

*Backward*: whoever reads by the new contract can use rows written under the old one. *Forward*: whoever reads by the old
contract can use rows written under the new one. A reader is a query that names columns and relies on types and promises.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lakehouse.contract.change import Change, Effect, Kind
from lakehouse.contract.difference import difference

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lakehouse.contract.model import Compatibility, Table

_BOTH, _BACKWARD, _FORWARD, _NEITHER = (True, True), (True, False), (False, True), (False, False)
#: By kind of change: whether it is backward and forward compatible, and the reason.
_CLASSES: Mapping[Kind, tuple[tuple[bool, bool], str]] = {
    Kind.NEW_TABLE: (_BOTH, "nobody reads it yet"),
    Kind.REMOVED_TABLE: (_NEITHER, "whoever reads it finds nothing"),
    Kind.RENAMED_TABLE: (_NEITHER, "readers know it by its name"),
    Kind.NEW_COLUMN: (_BOTH, "old rows have no value, old readers do not name it"),
    Kind.NEW_REQUIRED_COLUMN: (_FORWARD, "old rows lack what new readers rely on"),
    Kind.REMOVED_COLUMN: (_BACKWARD, "old readers name a column that is gone"),
    Kind.RENAMED_COLUMN: (_NEITHER, "readers know it by its name"),
    Kind.RETYPE: (_NEITHER, "values of the one type are not values of the other"),
    Kind.WIDER_TYPE: (_BACKWARD, "old readers may meet values that their type cannot hold"),
    Kind.NARROWER_TYPE: (_FORWARD, "old rows may hold values that the new type cannot"),
    Kind.READING: (_BOTH, "only how delivered text is read"),
    Kind.CATEGORY: (_BOTH, "names and types stay; who may read the column may not"),
    Kind.KEY: (_NEITHER, "what one row is has changed"),
    Kind.ENTITY: (_BOTH, "no column of the contract changes"),
    Kind.TOKEN: (_NEITHER, "tokens of old and new rows do not join"),
    Kind.LAYOUT: (_BOTH, "only how files are cut"),
    Kind.LOAD_MODE: (_NEITHER, "what one row is has changed"),
    Kind.DRIFT: (_BOTH, "only how other deliveries are treated"),
    Kind.NARROWER_CHECK: (_FORWARD, "old rows may break what new readers rely on"),
    Kind.WIDER_CHECK: (_BACKWARD, "new rows may break what old readers rely on"),
    Kind.OTHER_CHECK: (_NEITHER, "neither promise follows from the other"),
    Kind.OTHER: (_BOTH, "readers do not see it"),
}


@dataclass(frozen=True)
class Verdict:
    """One table's class between two versions of its contract.

    Attributes:
        table: its name now, or the one it had.
        changes: each difference with its own class and the reason for it.
        found: the class of all of them together.
        declared: what the contract demands, the stricter one of both versions.
    """

    table: str
    changes: tuple[tuple[Change, Compatibility, str], ...]
    found: Compatibility
    declared: Compatibility

    @property
    def broken(self) -> bool:
        """Whether the change is not what the contract demands."""
        wanted, given = _SIDES[self.declared], _SIDES[self.found]
        return any(need and not has for need, has in zip(wanted, given, strict=True))


_SIDES: Mapping[Compatibility, tuple[bool, bool]] = {
    "full": _BOTH,
    "backward": _BACKWARD,
    "forward": _FORWARD,
    "none": _NEITHER,
}
_NAMES: Mapping[tuple[bool, bool], Compatibility] = {sides: name for name, sides in _SIDES.items()}


def class_of(change: Change) -> tuple[Compatibility, str]:
    """The class of one difference, and why."""
    sides, reason = _CLASSES[change.kind]
    return _NAMES[sides], reason


def verdict(before: Table | None, after: Table | None) -> Verdict:
    """The class of a table's change; one of the two is None when the table is new or gone."""
    one = after or before
    assert one is not None  # noqa: S101 - for the type checker: a table that neither has is no table
    changes = _changes(before, after)
    classed = tuple((change, *class_of(change)) for change in changes)
    demands: list[Compatibility] = [table.compatibility for table in (before, after) if table is not None]
    return Verdict(str(one.id), classed, _together(name for _, name, _ in classed), _strictest(demands))


def verdicts(before: Iterable[Table], after: Iterable[Table]) -> tuple[Verdict, ...]:
    """The class of every table that differs, by ODCS id."""
    old = {table.odcs_id: table for table in before}
    new = {table.odcs_id: table for table in after}
    found = [verdict(old.get(each), new.get(each)) for each in dict.fromkeys((*new, *old))]
    return tuple(each for each in found if each.changes)


def _changes(before: Table | None, after: Table | None) -> tuple[Change, ...]:
    if before is None:
        return (Change(Kind.NEW_TABLE, Effect.NOTHING, "is new"),)
    if after is None:
        return (Change(Kind.REMOVED_TABLE, Effect.NOTHING, "is gone"),)
    return difference(before, after)


def _together(names: Iterable[Compatibility]) -> Compatibility:
    backward = forward = True
    for name in names:
        sides = _SIDES[name]
        backward, forward = backward and sides[0], forward and sides[1]
    return _NAMES[backward, forward]


def _strictest(names: Iterable[Compatibility]) -> Compatibility:
    backward = forward = False
    for name in names:
        sides = _SIDES[name]
        backward, forward = backward or sides[0], forward or sides[1]
    return _NAMES[backward, forward]
