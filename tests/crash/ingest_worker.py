"""Runs one ingest of the real project's `retail.invoice_line`; the test kills it by a fault point.

Arguments: project root, lake, files.
"""

from __future__ import annotations

import sys
from pathlib import Path

from lakehouse import storage
from lakehouse.contract.load import load_project
from lakehouse.ingest import ingest
from lakehouse.model import TableId, Tier
from lakehouse.settings import load_settings


def main() -> None:
    root, place, *files = sys.argv[1:]
    lake = storage.create_lake(load_settings(Path(root), lake=place))
    project = load_project(Path(root))
    table = project.table(TableId(Tier.STAGED, "retail", "invoice_line"))
    ingest(lake, project, table, [Path(file) for file in files], now=lake.now())
    storage.flush_outbox(lake)  # too few events for ingest itself to write a ledger file


if __name__ == "__main__":
    main()
