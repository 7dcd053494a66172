"""docs/domains.md has a line for every table of the project, with its load mode."""

from __future__ import annotations

import re

from lakehouse.contract.load import load_project


def test_every_table_has_a_line_that_tells_its_load_mode(project_root) -> None:
    page = (project_root / "docs/domains.md").read_text(encoding="utf-8")
    lines = dict(re.findall(r"^\| `(\w+\.\w+\.\w+)` \|(.*)\|$", page, flags=re.MULTILINE))
    tables = load_project(project_root).tables
    assert sorted(lines) == sorted(str(table.id) for table in tables)
    for table in tables:
        if table.sources:
            assert f"`{table.load_mode}`" in lines[str(table.id)]
        if table.entity is not None:
            assert f"| {table.entity.type} " in lines[str(table.id)]
