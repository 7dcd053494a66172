"""The lake: paths, commits, layout, ledger, leases, control database. Governed tables change only through here.

The only package that imports deltalake. A change is `lease` -> `begin` -> `write` -> `commit`; reading is `snapshot` and
`scan`. Names are loaded when they are first used, so importing the package costs nothing.
"""

# pyarrow ships no types: schemas in signatures are unknown to the checker.
# pyright: reportUnknownVariableType=false

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lakehouse.storage import faults
    from lakehouse.storage.applied import applied_contracts, needs_refresh
    from lakehouse.storage.commits import DataFile, Transaction, begin
    from lakehouse.storage.control import (
        ControlDatabase,
        batch_table,
        entity_table,
        from_micros,
        intent_table,
        lease_table,
        outbox_table,
        request_table,
        to_micros,
        verdict_table,
    )
    from lakehouse.storage.intents import Applied, BatchUpdate
    from lakehouse.storage.lake import (
        Lake,
        SystemTable,
        Target,
        create_lake,
        migrate_lake,
        open_lake,
        read_homes,
        system_tables,
    )
    from lakehouse.storage.layout import Placement
    from lakehouse.storage.leases import Held, is_held
    from lakehouse.storage.ledger import LEDGER, WORTH_A_FILE, Balance, balance, flush_outbox, read_ledger
    from lakehouse.storage.manifest import Batch, Delivered, batches, get_batch, reject, reserve, reserve_all
    from lakehouse.storage.merging import merge, merge_tail
    from lakehouse.storage.read import (
        Figures,
        Snapshot,
        changed_months,
        exists,
        in_place,
        inputs_of,
        is_there,
        scan,
        snapshot,
        table_figures,
    )
    from lakehouse.storage.recovery import delete_retired, fence, lease, recover, recover_if_dirty
    from lakehouse.storage.replacing import replace, replace_all
    from lakehouse.storage.verdicts import (
        failed_checks,
        get_request,
        is_judged,
        put_request,
        record_verdict,
        require_passed,
    )
    from lakehouse.storage.views import duckdb_view

_PLACES = {
    "applied": ("applied_contracts", "needs_refresh"),
    "commits": ("DataFile", "Transaction", "begin"),
    "control": (
        "ControlDatabase",
        "batch_table",
        "entity_table",
        "from_micros",
        "intent_table",
        "lease_table",
        "outbox_table",
        "request_table",
        "to_micros",
        "verdict_table",
    ),
    "intents": ("Applied", "BatchUpdate"),
    "lake": (
        "Lake",
        "SystemTable",
        "Target",
        "create_lake",
        "migrate_lake",
        "open_lake",
        "read_homes",
        "system_tables",
    ),
    "layout": ("Placement",),
    "leases": ("Held", "is_held"),
    "ledger": ("LEDGER", "WORTH_A_FILE", "Balance", "balance", "flush_outbox", "read_ledger"),
    "manifest": ("Batch", "Delivered", "batches", "get_batch", "reject", "reserve", "reserve_all"),
    "merging": ("merge", "merge_tail"),
    "read": (
        "Figures",
        "Snapshot",
        "changed_months",
        "exists",
        "in_place",
        "inputs_of",
        "is_there",
        "scan",
        "snapshot",
        "table_figures",
    ),
    "recovery": ("delete_retired", "fence", "lease", "recover", "recover_if_dirty"),
    "replacing": ("replace", "replace_all"),
    "views": ("duckdb_view",),
    "verdicts": ("failed_checks", "get_request", "is_judged", "put_request", "record_verdict", "require_passed"),
}
_HOME = {name: module for module, names in _PLACES.items() for name in names}

__all__ = [
    "LEDGER",
    "WORTH_A_FILE",
    "Applied",
    "Balance",
    "Batch",
    "BatchUpdate",
    "ControlDatabase",
    "DataFile",
    "Delivered",
    "Figures",
    "Held",
    "Lake",
    "Placement",
    "Snapshot",
    "SystemTable",
    "Target",
    "Transaction",
    "applied_contracts",
    "balance",
    "batch_table",
    "batches",
    "begin",
    "changed_months",
    "create_lake",
    "delete_retired",
    "duckdb_view",
    "entity_table",
    "exists",
    "failed_checks",
    "faults",
    "fence",
    "flush_outbox",
    "from_micros",
    "get_batch",
    "get_request",
    "in_place",
    "inputs_of",
    "intent_table",
    "is_held",
    "is_judged",
    "is_there",
    "lease",
    "lease_table",
    "merge",
    "merge_tail",
    "migrate_lake",
    "needs_refresh",
    "open_lake",
    "outbox_table",
    "put_request",
    "read_homes",
    "read_ledger",
    "record_verdict",
    "recover",
    "recover_if_dirty",
    "reject",
    "replace",
    "replace_all",
    "request_table",
    "require_passed",
    "reserve",
    "reserve_all",
    "scan",
    "snapshot",
    "system_tables",
    "table_figures",
    "to_micros",
    "verdict_table",
]


def __getattr__(name: str) -> Any:
    if name == "faults":
        return import_module(f"{__name__}.faults")
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)
