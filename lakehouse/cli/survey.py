"""The state of a lake in figures, as `status` and the end of `demo` show it.

Collected from the tables, the ledger, the manifest and the landing folders; nothing is written, nothing is locked, and
no value of a row is read.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lakehouse.errors import RefusedError
from lakehouse.model import TableId, Tier

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping

    from lakehouse.contract.model import Project, Table
    from lakehouse.storage import Lake

#: Where rows of a landed table are; the words of the ledger.
PLACES = ("read", "staged", "quarantined", "duplicate", "conflict", "superseded", "deleted", "held", "lost", "pending")


@dataclass(frozen=True)
class TableState:
    """One table of one tier; figures are None when it does not exist yet.

    `blocked` says why nothing may be made from its present version, None when it passed its blocking checks.
    """

    table: TableId
    rows: int | None
    files: int
    bytes: int
    version: int | None
    committed_at: dt.datetime | None
    age_seconds: float | None
    blocked: str | None

    def document(self) -> dict[str, Any]:
        """Stable keys for `--json`."""
        return {
            "table": str(self.table),
            "tier": self.table.tier.value,
            "rows": self.rows,
            "files": self.files,
            "bytes": self.bytes,
            "version": self.version,
            "committed_at": self.committed_at,
            "age_seconds": None if self.age_seconds is None else round(self.age_seconds),
            "blocked": self.blocked,
        }


@dataclass(frozen=True)
class LandingState:
    """What became of the files and rows that landed for a table."""

    table: TableId
    batches: int
    rejected: int
    held: int
    lost: int
    waiting_files: int
    places: Mapping[str, int]
    unbalanced: tuple[int, ...]
    quarantine: Mapping[str, int]
    reasons: Mapping[str, int]
    drift: Mapping[str, int]

    def document(self) -> dict[str, Any]:
        """Stable keys for `--json`."""
        return {
            "table": str(self.table),
            "batches": self.batches,
            "rejected_files": self.rejected,
            "held_batches": self.held,
            "lost_batches": self.lost,
            "waiting_files": self.waiting_files,
            "rows": dict(self.places),
            "balanced": not self.unbalanced,
            "unbalanced_batches": list(self.unbalanced),
            "quarantine": dict(self.quarantine),
            "reasons": dict(self.reasons),
            "drift": dict(self.drift),
        }


@dataclass(frozen=True)
class Survey:
    """A lake at one moment; `empty_domains` are those of the project that nothing has landed for yet."""

    root: str
    lake: str
    environment: str
    at: dt.datetime
    tables: tuple[TableState, ...]
    landings: tuple[LandingState, ...]
    empty_domains: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        """Stable keys for `--json`; `raw` says how raw keeps personal values in this version."""
        return {
            "lake": {"root": self.root, "id": self.lake, "environment": self.environment, "raw": "clear"},
            "at": self.at,
            "tables": [state.document() for state in self.tables],
            "landings": [state.document() for state in self.landings],
            "empty_domains": list(self.empty_domains),
        }


def survey(lake: Lake, project: Project) -> Survey:
    """Look at every table that the project has a contract for.

    Domains that nothing has landed for are only named, as long as there is another one to show.
    """
    now = lake.now()
    ids = [identity for table in project.tables for identity in _tiers(table)]
    order = list(Tier)
    ids.sort(key=lambda identity: (order.index(identity.tier), identity.domain))
    states = tuple(_table_state(lake, identity, now) for identity in ids)
    landings = tuple(_landing_state(lake, table) for table in project.tables if table.sources)
    begun = {state.table.domain for state in states if state.rows is not None}
    begun |= {state.table.domain for state in landings if state.batches or state.waiting_files}
    empty = tuple(each.domain for each in project.contracts if begun and each.domain not in begun)
    return Survey(
        lake.root,
        lake.id,
        lake.environment,
        now,
        tuple(state for state in states if state.table.domain not in empty),
        tuple(state for state in landings if state.table.domain not in empty),
        empty,
    )


def _tiers(table: Table) -> tuple[TableId, ...]:
    return (table.id.at(Tier.RAW), table.id) if table.sources else (table.id,)


def _table_state(lake: Lake, table: TableId, now: dt.datetime) -> TableState:
    from lakehouse import storage

    figures = storage.table_figures(lake, table)
    if figures is None:
        return TableState(table, None, 0, 0, None, None, None, None)
    at = figures.last_commit_at
    return TableState(
        table,
        figures.rows,
        figures.files,
        figures.bytes,
        figures.version,
        at,
        (now - at).total_seconds() if at else None,
        None if table.tier is Tier.RAW else _blocked(lake, table),
    )


def _blocked(lake: Lake, table: TableId) -> str | None:
    from lakehouse import storage

    try:
        storage.require_passed(lake, table)
    except RefusedError as error:
        return error.message
    return None


def _landing_state(lake: Lake, table: Table) -> LandingState:
    from lakehouse import storage
    from lakehouse.ingest import quarantine

    balance = storage.balance(lake, table.id)
    told = ("state", "reason", "drift")
    batches = [row for name in _tiers(table) for row in storage.batches(lake, name).select(told).rows()]
    states: list[str] = [state for state, _, _ in batches]
    reasons = Counter(str(reason) for state, reason, _ in batches if state in {"rejected", "held"} and reason)
    drift: Counter[str] = Counter()
    for decided in (part for _, _, words in batches if words for part in str(words).split("; ")):
        count, _, words = decided.partition(" ")
        drift[words] += int(count)
    failed: dict[str, int] = {}
    for check, rows in quarantine.counts(lake, table.id).select("check", "rows").iter_rows():
        failed[check] = failed.get(check, 0) + rows
    return LandingState(
        table.id,
        batches=len(states),
        rejected=states.count("rejected"),
        held=states.count("held"),
        lost=states.count("lost"),
        waiting_files=len(waiting_files(lake, table)),
        places={place: int(balance.rows[place].sum()) for place in PLACES},
        unbalanced=balance.unbalanced,
        quarantine=dict(sorted(failed.items(), key=lambda item: -item[1])),
        reasons=reasons,
        drift=drift,
    )


def waiting_files(lake: Lake, table: Table) -> list[float]:
    """When each file that still lies in the table's landing folder was last changed (seconds since 1970)."""
    folder = lake.landing(table.id.domain, table.id.table)
    if not folder.is_dir():
        return []
    return [each.stat().st_mtime for each in folder.iterdir() if each.is_file() and not each.name.startswith(".")]
