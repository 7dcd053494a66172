"""A run's failed checks as a person sees them: everything that blocks, and the warnings that matter most."""

from __future__ import annotations

import io

from rich.console import Console

from lakehouse.cli import ingest
from lakehouse.model import TableId, Tier
from lakehouse.orchestration.runs import CheckLine, RunReport

TRIP = TableId(Tier.STAGED, "fleet", "trip")


def shown(*lines: CheckLine) -> list[str]:
    console = Console(width=200, file=io.StringIO())
    ingest.show_problems(console, RunReport(success=True, run_id="r", tables={}, figures={}, checks=lines))
    return console.file.getvalue().splitlines()


def line(name: str, rows: int, *, blocking: bool = False) -> CheckLine:
    return CheckLine(TRIP, name, passed=False, blocking=blocking, failed_rows=rows, rows=1000)


def test_all_that_blocks_and_the_largest_warnings_are_shown():
    warnings = [line(f"type_c{number}", number) for number in range(1, 40)]
    seen = shown(
        *warnings,
        line("unique_key", 1, blocking=True),
        CheckLine(TRIP, "fine", passed=True, blocking=False, failed_rows=0, rows=1000),
    )
    assert any("unique_key failed for 1 of 1,000 (blocks downstream)" in text for text in seen)
    assert any("type_c39" in text for text in seen)
    assert not any("type_c1 " in text or "fine" in text for text in seen)
    assert seen[-1].strip() == f"✗ and {40 - ingest.MOST_WARNINGS} more warnings, of fewer rows each"


def test_few_warnings_are_all_shown():
    assert len(shown(line("a", 1), line("b", 2))) == 2
