"""Contract to verdict: text becomes typed values, rows, batches and tables are judged by the contract's checks.

Everything here takes values and returns values; results hold names and counts, never data. What happens to a failed
row or table (quarantine, hold, block) is for `ingest`, `storage` and `orchestration`. pandera is loaded when
`pandera_schema` is asked for, not before: it costs more to import than the rest.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from lakehouse.quality.batch import BatchCounts, check_batch, row_results
from lakehouse.quality.result import CheckResult, Judged, names_of
from lakehouse.quality.rowpass import MOST_CHECKS, RowPass, compile_row_checks
from lakehouse.quality.table import check_rows, check_table

if TYPE_CHECKING:
    from lakehouse.quality.schema import pandera_schema

__all__ = [
    "MOST_CHECKS",
    "BatchCounts",
    "CheckResult",
    "Judged",
    "RowPass",
    "check_batch",
    "check_rows",
    "check_table",
    "compile_row_checks",
    "names_of",
    "pandera_schema",
    "row_results",
]


def __getattr__(name: str) -> Any:
    if name == "pandera_schema":
        return import_module("lakehouse.quality.schema").pandera_schema
    raise AttributeError(f"module `{__name__}` has no attribute `{name}`")
