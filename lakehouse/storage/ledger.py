"""The ledger: append-only events of what became of every row, and the balance they must give (invariant 3).

Events are recorded in the control database's outbox in the same transaction as the commit they belong to, then flushed to
the Delta table `system/ledger`. Each has an id, so one that is found in both places, or twice, counts once.
"""

# pyarrow and deltalake ship no or partial types: what they give back is unknown to the checker in every line of this file.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa
import sqlalchemy as sa

from lakehouse.errors import LeaseTakenError
from lakehouse.model import BATCH, EventKind, TableId, Tier
from lakehouse.storage.commits import begin
from lakehouse.storage.control import from_micros, outbox_table
from lakehouse.storage.delta import polars_schema
from lakehouse.storage.lake import SystemTable
from lakehouse.storage.layout import Placement
from lakehouse.storage.leases import is_held
from lakehouse.storage.read import is_there, scan, snapshot
from lakehouse.storage.recovery import lease

if TYPE_CHECKING:
    from lakehouse.storage.lake import Lake, Target

LEDGER = SystemTable("ledger")
#: So many events are worth a file of their own.
WORTH_A_FILE = 250
SCHEMA = pa.schema(
    [
        ("event_id", pa.string()),
        ("batch", pa.int64()),
        ("table", pa.string()),
        ("kind", pa.string()),
        ("count", pa.int64()),
        ("cause", pa.string()),
        ("at", pa.timestamp("us", "UTC")),
    ]
)
_OUTBOX = {name: "table_id" if name == "table" else name for name in SCHEMA.names}
_PLACEMENT = Placement("none", statistics_columns=("batch", "table", "at"))
_AWAY = tuple(kind.value for kind in EventKind if kind not in {EventKind.READ, EventKind.STAGED})


@dataclass(frozen=True)
class Balance:
    """Where a table's rows are, batch by batch.

    Attributes:
        rows: one line per batch: `batch`, every kind, `pending`, and `told` (staged as the gate said).
        unbalanced: batches whose rows are not accounted for.
    """

    rows: pl.DataFrame
    unbalanced: tuple[int, ...]


def read_ledger(lake: Lake, table: Target | None = None) -> pl.DataFrame:
    """All ledger events, of one table when given; each once, whether flushed or not."""
    wanted = pl.lit(value=True) if table is None else pl.col("table") == lake.key(table)
    # the outbox first: an event that is flushed in between is then found twice, not never
    waiting = _waiting(lake).filter(wanted)
    if is_there(lake, LEDGER):
        waiting = pl.concat([scan(lake, LEDGER).filter(wanted).collect(), waiting])
    return waiting.unique("event_id", keep="first", maintain_order=True)


def written_ids(lake: Lake) -> set[str]:
    """The ids of all events that the ledger's table has."""
    if not is_there(lake, LEDGER):
        return set()
    return set(scan(lake, LEDGER).select("event_id").collect()["event_id"].to_list())


def flush_outbox(lake: Lake, *, at_least: int = 1) -> int:
    """Write waiting events to the ledger table, if there are so many; returns how many were written.

    The table is append-only, so its small files stay: an ingest waits until events are worth one (`WORTH_A_FILE`).
    Nothing is lost meanwhile, `read_ledger` reads both places. Another process that is at it does it for us.
    """
    if _waiting(lake).height < max(at_least, 1):
        return 0
    try:
        with lease(lake, LEDGER, holder="ledger") as held:
            events = _waiting(lake)
            if not events.height:
                return 0
            tx = begin(lake, LEDGER, held, SCHEMA, _PLACEMENT, append_only=True)
            tx.write(events)
            tx.commit("ledger", flushed=events["event_id"].to_list())
            return events.height
    except LeaseTakenError:
        return 0


def balance(lake: Lake, table: TableId) -> Balance:
    """Account for every row of a staged table: read = staged + everything that became of the rest + pending.

    `staged` is counted from the table. Pending rows are unbalanced once nobody holds the table's lease any more.
    """
    staged = table.at(Tier.STAGED)
    names = [lake.key(staged), lake.key(table.at(Tier.RAW))]
    events = read_ledger(lake).filter(pl.col("table").is_in(names))
    kinds = [kind.value for kind in EventKind]
    told = events.group_by("batch").agg(
        pl.col("count").filter(pl.col("kind") == kind).sum().alias("told" if kind == "staged" else kind)
        for kind in kinds
    )
    rows = (
        told.join(_counted(lake, staged), on="batch", how="full", coalesce=True)
        .with_columns(pl.exclude("batch").fill_null(0))
        .with_columns(pending=pl.col("read") - pl.col("staged") - pl.sum_horizontal(_AWAY))
        .select("batch", *kinds, "pending", "told")
        .sort("batch")
    )
    busy = is_held(lake, staged) or is_held(lake, table.at(Tier.RAW))
    odd = (pl.col("pending") < 0) | (pl.col("told") != pl.col("staged"))
    if not busy:
        odd |= pl.col("pending") > 0
    return Balance(rows, tuple(rows.filter(odd)["batch"].to_list()))


def _counted(lake: Lake, staged: TableId) -> pl.DataFrame:
    if not is_there(lake, staged):
        return pl.DataFrame(schema={"batch": pl.Int64, "staged": pl.Int64})
    rows = snapshot(lake, staged).scan()
    counted = rows.group_by(pl.col(BATCH).alias("batch")).agg(pl.len().cast(pl.Int64).alias("staged"))
    return counted.collect(engine="streaming")


def _waiting(lake: Lake) -> pl.DataFrame:
    query = sa.select(outbox_table).order_by(outbox_table.c.at, outbox_table.c.event_id)
    with lake.control.read() as connection:
        rows = connection.execute(query).mappings().all()
    columns: dict[str, list[Any]] = {name: [row[column] for row in rows] for name, column in _OUTBOX.items()}
    columns["at"] = [from_micros(at) for at in columns["at"]]
    return pl.DataFrame(columns, schema=polars_schema(SCHEMA))
