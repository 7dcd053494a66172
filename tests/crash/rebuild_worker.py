"""Rebuilds a table, or applies a changed contract to it; the test kills it by a fault point.

Arguments: project root, lake, `take`, `rebuild` or `apply`.
"""

from __future__ import annotations

import datetime as dt
import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

from lakehouse import storage
from lakehouse.contract.model import ColumnType, Logical, Rule
from lakehouse.ingest import migration
from lakehouse.model import TableId, Tier
from lakehouse.settings import load_settings

_place = Path(__file__).parents[1] / "integration" / "rebuild_domain.py"
_spec = importlib.util.spec_from_file_location("rebuild_domain", _place)
shop = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(shop)

NOW = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
LINES = [f"{n},{n % 5},2011-{1 + n % 3:02d}-01,{n % 90},{'x' * (n % 4)}\n" for n in range(60)]
FILES = (
    ("a.csv", shop.HEADER + "".join(LINES[:40]) + "bad,1,2011-01-01,1,x\ntorn\n"),
    ("b.csv", shop.HEADER + "".join(LINES[30:])),
)
OLD = shop.sale_table(shop.row_check(Rule.RANGE, "amount", maximum="40"))
LOOSE = shop.sale_table(shop.row_check(Rule.RANGE, "amount", maximum="80"))
#: Another name, another type, another key, and a column more.
NEW = replace(
    LOOSE,
    id=TableId(Tier.STAGED, "shop", "receipt"),
    columns=(
        *(
            replace(column, type=ColumnType(Logical.FLOAT)) if column.name == "amount" else column
            for column in LOOSE.columns
        ),
        shop.column("shade"),
    ),
)


def apply(lake) -> None:
    project = shop.project_of(NEW)
    migration.rename(lake, project)
    for step in migration.plan(lake, project):
        migration.apply(lake, project, step)


def main() -> None:
    root, place, what = sys.argv[1:]
    lake = storage.create_lake(load_settings(Path(root), lake=place))
    if what == "take":
        for file in FILES:
            shop.take(lake, OLD, NOW, file)
    elif what == "rebuild":
        migration.rebuild(lake, shop.project_of(LOOSE), LOOSE)
    else:
        apply(lake)


if __name__ == "__main__":
    main()
