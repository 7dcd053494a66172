"""Runs one ingest of a table of some load mode; the test kills it by a fault point.

Arguments: lake, load mode, `history` or `latest`, a word for the delivery.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from lakehouse import storage
from lakehouse.settings import load_settings

_spec = importlib.util.spec_from_file_location("mode_models", Path(__file__).parents[1] / "property" / "mode_models.py")
models = importlib.util.module_from_spec(_spec)
sys.modules["mode_models"] = models
_spec.loader.exec_module(models)


def table_of(mode: str, history: str):
    as_of = models.PATH if mode == "snapshot" else "at"
    return models.table_of(mode, history=history == "history", as_of=as_of)


def deliveries(mode: str, word: str) -> list:
    """`before`: what stands; `now`: a pass with updates, deletes, late rows, repeats, a bad row (and a late dump)."""
    if word == "before":
        rows = tuple((key, 2, "U", 1) for key in range(20))
        return [models.Delivery(1, rows), models.Delivery(6, rows[:15])]
    changed = tuple((key, 4, "D" if key % 4 == 0 else "U", 2) for key in range(5, 25))
    late = tuple((key, 1 if key % 2 else 3, "D" if key % 3 == 0 else "U", 3) for key in range(12))
    bad = "30,2024-01-09T00:00:00+00:00,U,nonsense"
    return [models.Delivery(4 if mode == "snapshot" else 7, changed, text=bad), models.Delivery(8, late)]


def main() -> None:
    place, mode, history, word = sys.argv[1:]
    lake = storage.create_lake(load_settings(models.ROOT, lake=place))
    models.take(lake, table_of(mode, history), deliveries(mode, word), copy=word)


if __name__ == "__main__":
    main()
