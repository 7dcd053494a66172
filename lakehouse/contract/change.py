"""The words of contract changes: what kind of difference there is, and what it means for the rows in the lake.

Values only; `difference` finds them, `compatibility` classes them, `plan` and `apply` act on them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class Effect(StrEnum):
    """What a difference means for the lake, the lightest first."""

    NOTHING = "nothing"  # later deliveries and checks only
    METADATA = "metadata"  # columns or names, no row is touched
    REPLAY = "replay"  # rows that were set aside may come in: a rebuild if there are any
    REBUILD = "rebuild"  # every row is made anew from raw and swapped in one commit
    REFRESH = "refresh"  # the table's model makes it anew


class Kind(StrEnum):
    """What kind of difference it is."""

    NEW_TABLE = "new table"
    REMOVED_TABLE = "removed table"
    RENAMED_TABLE = "renamed table"
    NEW_COLUMN = "new column"
    NEW_REQUIRED_COLUMN = "new required column"
    REMOVED_COLUMN = "removed column"
    RENAMED_COLUMN = "renamed column"
    RETYPE = "other type"
    NARROWER_TYPE = "narrower type"
    WIDER_TYPE = "wider type"
    READING = "other reading"
    CATEGORY = "other category"
    KEY = "other key"
    ENTITY = "other entity"
    TOKEN = "other tokens"  # noqa: S105 - a word, no secret
    LAYOUT = "other layout"
    LOAD_MODE = "other load mode"
    DRIFT = "other drift mode"
    NARROWER_CHECK = "stricter check"
    WIDER_CHECK = "looser check"
    OTHER_CHECK = "other check"
    OTHER = "other"


@dataclass(frozen=True)
class Change:
    """One difference: `subject` is the column or check, empty for the table itself."""

    kind: Kind
    effect: Effect
    text: str
    subject: str = ""


def heaviest(changes: Iterable[Change]) -> Effect:
    """What all changes together mean."""
    order = list(Effect)
    return max((change.effect for change in changes), key=order.index, default=Effect.NOTHING)
