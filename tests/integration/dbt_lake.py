"""Invoice lines for tests of curated tables: staged by storage alone, so that nothing but transform is under test."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import polars as pl

from lakehouse import storage
from lakehouse.contract.arrow import schema
from lakehouse.model import TableId, Tier

if TYPE_CHECKING:
    from lakehouse.contract.model import Project

LINES = TableId(Tier.STAGED, "retail", "invoice_line")
DEMAND = TableId(Tier.CURATED, "retail", "daily_demand")
ACTIVITY = TableId(Tier.CURATED, "retail", "customer_activity")

#: Stands in every line; must never be found in `dbt/target`.
MARKER = "MARKER-7f3a91"


def line(day: str, **values: object) -> dict[str, object]:
    """One invoice line at that UTC time, sold to customer `a…`."""
    at = dt.datetime.fromisoformat(day).replace(tzinfo=dt.UTC)
    known = {
        "_batch": 1,
        "_row": 0,
        "_landed_at": dt.datetime(2012, 1, 1, tzinfo=dt.UTC),
        "_entity": "a" * 32,
        "InvoiceNo": "536365",
        "StockCode": "85123A",
        "line": 1,
        "Description": MARKER,
        "Quantity": 2,
        "InvoiceDate": at,
        "UnitPrice": "2.550",
        "CustomerID": MARKER,
        "Country": "France",
    }
    return {**known, **values}


def stage(lake: storage.Lake, project: Project, rows: list[dict[str, object]], *, judged: bool = True) -> int:
    """Append lines to the staged table in one commit, and say that they passed."""
    table = project.table(LINES)
    wanted = schema(table, Tier.STAGED)
    numbered = [{**row, "_row": number} for number, row in enumerate(rows)]
    text = {name: pl.String if name == "UnitPrice" else dtype for name, dtype in pl.Schema(wanted).items()}
    frame = pl.DataFrame(numbered, schema=text).with_columns(pl.col("UnitPrice").cast(pl.Decimal(12, 3)))
    with storage.lease(lake, LINES, holder="test") as held:
        tx = storage.begin(lake, LINES, held, wanted, storage.Placement.of(table, Tier.STAGED))
        tx.write(frame)
        version = tx.commit("append")
    if judged:
        storage.record_verdict(lake, LINES, version, [])
    return version
