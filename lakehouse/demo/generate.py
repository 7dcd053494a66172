"""Synthetic files of a project's tables, shaped like the real ones: the same header, names, quirks and faults.

`generate` writes `<out>/<domain>/<table>/<file>`, the layout of a lake's landing folder; each file appears under its
name only when it is whole. Equal arguments give equal bytes. `blocks` gives the same rows as frames of text.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from lakehouse.demo.faults import Fault, Faulter
from lakehouse.demo.files import FileSet, file_names
from lakehouse.demo.people import child
from lakehouse.demo.plan import Plan
from lakehouse.demo.rows import FILE, RowMaker
from lakehouse.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from lakehouse.contract.model import Project
    from lakehouse.model import TableId


@dataclass(frozen=True)
class Generated:
    """What was written: files, and by table the rows and the faults in them."""

    files: tuple[Path, ...]
    rows: Mapping[TableId, int]
    faults: Mapping[TableId, Mapping[Fault, int]]


@dataclass(frozen=True)
class Block:
    """Some rows as text, columns as in the contract plus `_file`; `reached` is the file that later blocks go on with."""

    rows: pl.DataFrame
    reached: int
    faults: Counter[Fault]


def generate(
    project: Project,
    out: Path,
    *,
    rows: int | Mapping[TableId, int],
    seed: int = 1,
    faults: float = 0.0,
    profiles_for: Sequence[Path] = (),
    progress: Callable[[int], None] | None = None,
) -> Generated:
    """Write synthetic files.

    Args:
        project: the contracts (and, beside them, the recipes).
        out: the folder to write below.
        rows: how many in all, shared out among the tables that have sources; or how many of each table.
        seed: equal seeds give equal files.
        faults: share of the rows that get a realistic fault; copies come on top of the rows asked for.
        profiles_for: real files; profiles are made for the ids found in them, and nothing else is made.
        progress: called with the number of rows just made.

    Raises:
        ProjectError: a recipe is off, or a file of `profiles_for` names no entity.
        UsageError: a share or a number that makes no sense.
    """
    plan = Plan.of(project, rows, seed=seed, profiles_for=profiles_for)
    files: list[Path] = []
    written: dict[TableId, int] = {}
    found: dict[TableId, Mapping[Fault, int]] = {}
    for table in plan.rows:
        maker = plan.maker(project.table(table))
        names = _names(maker)
        target = FileSet(maker.table, out / table.domain / table.table, names, maker.recipe.table(table.table))
        found[table] = _write(_faulted(plan, maker, len(names), faults=faults), target, progress)
        files += target.files
        written[table] = target.rows
    return Generated(tuple(files), written, found)


def blocks(project: Project, table: TableId, *, rows: int, seed: int = 1, faults: float = 0.0) -> Iterator[Block]:
    """The rows of one table of any tier; nothing is written."""
    contract = project.table(table)
    plan = Plan.of(project, {contract.id: rows}, seed=seed)
    maker = plan.maker(contract)
    return _faulted(plan, maker, len(_names(maker)), faults=faults)


def _names(maker: RowMaker) -> tuple[str, ...]:
    table = maker.table.id
    return file_names(maker.table, maker.days, maker.recipe.table(table.table).file)


def _faulted(plan: Plan, maker: RowMaker, files: int, *, faults: float) -> Iterator[Block]:
    if not 0 <= faults < 1:
        raise UsageError("the share of faults must be at least 0 and below 1", hint="try 0.01")
    rng = child(plan.seed, str(maker.table.id), "faults")
    faulter = Faulter(maker.table, faults, files, plan.strangers(maker))
    for made in maker.blocks():
        block = made if files > 1 else made.with_columns(pl.lit(0, pl.Int32).alias(FILE))
        reached = int(block[FILE][-1])
        faulted, counts = faulter.apply(rng, block)
        yield Block(faulted, reached, counts)


def _write(blocks: Iterator[Block], target: FileSet, progress: Callable[[int], None] | None) -> Counter[Fault]:
    """Write block by block; rows that come late wait until their file's turn."""
    counts: Counter[Fault] = Counter()
    waiting: list[pl.DataFrame] = []
    for block in blocks:
        counts += block.faults
        rows = pl.concat([*waiting, block.rows])
        target.write(rows.filter(pl.col(FILE) <= block.reached), upto=block.reached)
        waiting = [rows.filter(pl.col(FILE) > block.reached)]
        if progress is not None:
            progress(len(block.rows))
    for rows in waiting:
        target.write(rows, upto=len(target.names))
    target.close()
    return counts
