"""Files in, rows out: landing to raw to staged, exactly once, with an account of every row.

`ingest` takes delivered files through both commits, `resume` finishes what a dead run left. Names are loaded when they
are first used, so importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lakehouse.ingest.gateway import ingest, resume
    from lakehouse.ingest.report import BatchReport, IngestReport

__all__ = ["BatchReport", "IngestReport", "ingest", "resume"]

_HOME = {"ingest": "gateway", "resume": "gateway", "BatchReport": "report", "IngestReport": "report"}


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)
