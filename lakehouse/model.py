"""The vocabulary: tiers, table ids, findings. Frozen, typed, and without any dependency.

Ledger kinds are here because the gateway, the gate and the ledger all speak them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Tier(StrEnum):
    """Where a table stands on the way of the data."""

    RAW = "raw"
    STAGED = "staged"
    CURATED = "curated"
    FEATURES = "features"


class Level(StrEnum):
    """How much a finding matters."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, order=True)
class TableId:
    """`tier.domain.table`, the name of a table everywhere."""

    tier: Tier
    domain: str
    table: str

    def __str__(self) -> str:
        return f"{self.tier}.{self.domain}.{self.table}"

    @property
    def key(self) -> tuple[str, str, str]:
        """The Dagster asset key's parts."""
        return (self.tier.value, self.domain, self.table)

    def at(self, tier: Tier) -> TableId:
        """The same table in another tier."""
        return TableId(tier, self.domain, self.table)


@dataclass(frozen=True, order=True)
class Finding:
    """One thing found wrong: `code` is stable for programs, the rest is for people."""

    code: str
    level: Level
    where: str
    message: str
    hint: str | None = None

    def __str__(self) -> str:
        text = f"{self.where}: {self.level}: {self.message} [{self.code}]"
        return f"{text}\n  hint: {self.hint}" if self.hint else text


class EventKind(StrEnum):
    """What happened to rows of a batch; the words of invariant 3 (conserved)."""

    READ = "read"
    STAGED = "staged"
    QUARANTINED = "quarantined"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"
    SUPERSEDED = "superseded"
    DELETED = "deleted"
    SUPPRESSED = "suppressed"
    HELD = "held"
    ERASED = "erased"
    EXPIRED = "expired"
    LOST = "lost"  # in raw, but a control database from a backup does not know the batch; its file is delivered again


@dataclass(frozen=True)
class LedgerEvent:
    """An append-only ledger line: `count` rows of `batch` in `table` became `kind` because of `cause`.

    `pending` is never written: it is what `read` leaves after all other kinds.
    """

    batch: int
    table: TableId
    kind: EventKind
    count: int
    cause: str


#: Columns the platform adds to staged tables, in this order, before the contract's own.
BATCH, ROW, LANDED_AT, ENTITY = "_batch", "_row", "_landed_at", "_entity"
#: Raw only: why a row could not be split (its bytes then stand in `_bytes`).
BAD, BYTES = "_bad", "_bytes"
#: JSON object of what was delivered beside the contract, name to text: all of it in raw, in staged where drift evolves.
EXTRA = "_extra"
#: Staged tables with history: since when a version is true, and until when (null: it still is).
VALID_FROM, VALID_TO = "_valid_from", "_valid_to"
#: Rows that are kept for a duty only, until that day: none but `legal` purposes see them.
RESTRICTED_UNTIL = "_restricted_until"
#: Between file and gate only: whether a row names nobody although it must.
UNNAMED = "__unnamed"
#: The ends of column names: sealed cells in raw, and from staged on the token that stands for a value.
SEALED, TOKEN_SUFFIX = "_sealed", "__token"


def entity_of(role: str) -> str:
    """The column with the surrogates of a row's further entity."""
    return f"{ENTITY}_{role}"


def sealed_of(role: str) -> str:
    """The column of raw with the sealed cells of a row's further entity."""
    return f"{SEALED}_{role}"


def token_of(column: str) -> str:
    """The column with the tokens of a column's values."""
    return f"{column}{TOKEN_SUFFIX}"
