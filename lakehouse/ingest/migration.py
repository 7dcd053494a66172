"""From the contracts that tables stand under to those of the project: one list of steps, printed or done.

`plan` says per table what differs and what that means; `apply` does a step: names first, then raw's new columns, then the
staged rows in one commit that also notes the new contract. Each part is found done by whoever runs it again.
"""

# pyarrow ships without types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportMissingTypeStubs=false

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pyarrow as pa

from lakehouse import storage
from lakehouse.contract import arrow
from lakehouse.contract.change import Change, Effect, Kind, heaviest
from lakehouse.contract.imprint import table_of
from lakehouse.errors import RefusedError
from lakehouse.ingest import landing, rawform
from lakehouse.ingest.applied import changes_since, match, renamed, standing_contract
from lakehouse.ingest.gate import ROWS_AT_ONCE
from lakehouse.ingest.gateway import leases
from lakehouse.ingest.opener import Opener
from lakehouse.ingest.rawread import portions
from lakehouse.ingest.rebuild import columns_of_raw, rebuild, set_aside
from lakehouse.ingest.tokenising import renewed as renewed_tokens
from lakehouse.ingest.tokenising import with_versions
from lakehouse.model import TableId, Tier
from lakehouse.storage.applied import put, under
from lakehouse.storage.intents import Effects
from lakehouse.storage.protocol import add_columns

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lakehouse.contract.model import Project, Table
    from lakehouse.storage import Applied, Lake


@dataclass(frozen=True)
class Step:
    """What a table's contract change means.

    Attributes:
        table: the table under today's contract, or the one that no contract has any more.
        changes: what differs, in contract order.
        effect: what all of it together means for the rows that are there.
        rows: how many rows are made anew, looked at again, or stay.
    """

    table: Table
    changes: tuple[Change, ...]
    effect: Effect
    rows: int

    @property
    def removed(self) -> bool:
        """Whether no contract has the table any more."""
        return any(change.kind is Kind.REMOVED_TABLE for change in self.changes)


def plan(lake: Lake, project: Project) -> tuple[Step, ...]:
    """What the project's contracts mean for the lake: one step per table that differs, in contract order."""
    rows = storage.applied_contracts(lake)
    known = match(rows, project.tables)
    steps = [_step(lake, known[str(table.id)], table) for table in project.tables if str(table.id) in known]
    kept = {row.home for row in known.values()}
    gone = [table_of(row.contract) for row in rows if row.home not in kept]
    text = "no contract has it any more; its rows stay in the lake"
    removed = [
        Step(table, (Change(Kind.REMOVED_TABLE, Effect.NOTHING, text),), Effect.NOTHING, _rows(lake, table))
        for table in gone
    ]
    return tuple(step for step in (*steps, *removed) if step.changes)


def drift(steps: Sequence[Step]) -> bool:
    """Whether something is to be applied."""
    return any(step.effect is not Effect.NOTHING for step in steps)


def rename(lake: Lake, project: Project) -> tuple[str, ...]:
    """Let tables have the names that their contracts give them now, all at once; the names they had.

    What a dead run left of any table is recovered first: there may be nothing else to do for it.

    Raises:
        LeaseTakenError: somebody works on one of them.
    """
    known = match(storage.applied_contracts(lake), project.tables)
    for row in known.values():
        for name in _written(table_of(row.contract)):
            storage.recover_if_dirty(lake, name)
    tables = {str(table.id): table for table in project.tables}
    moved = [(row, tables[name]) for name, row in known.items() if row.table != name]
    with ExitStack() as held:
        for row, _ in moved:
            for name in _written(table_of(row.contract)):
                held.enter_context(storage.lease(lake, name, holder="apply"))
        if moved:
            put(lake, [renamed(row, table) for row, table in moved])
    for name, row in known.items():
        _move_landing(lake, {row.table, row.home} - tables.keys(), tables[name])
    return tuple(row.table for row, _ in moved)


def _move_landing(lake: Lake, before: set[str], table: Table) -> None:
    """Move files that wait under a name that no table has any more; whoever died here finds the home at least."""
    for name in before if table.id.tier is Tier.STAGED else ():
        _, domain, place = name.split(".")
        landing.move_all(lake, replace(table, id=TableId(Tier.STAGED, domain, place)), table)


def _written(table: Table) -> tuple[TableId, ...]:
    return (table.id.at(Tier.RAW), table.id) if table.id.tier is Tier.STAGED else (table.id,)


def apply(lake: Lake, project: Project, step: Step, *, progress: Callable[[int, int], None] | None = None) -> Effect:
    """Do what a table's contract change means; run again it finds nothing to do.

    Tables that models make are only noted: their next build replaces them.

    Raises:
        RefusedError: the table's new name has not been given to it, see `rename`.
        LeaseTakenError: somebody else works on the table.
    """
    table = step.table
    row = standing_contract(lake, project, table)
    if row is None or step.removed:
        return Effect.NOTHING
    if row.table != str(table.id):
        raise RefusedError("the table has another name in the lake", where=str(table.id), hint="run `lakehouse apply`")
    now = _step(lake, row, table)
    if table.id.tier is not Tier.STAGED:
        if now.effect is not Effect.REFRESH and now.changes:
            put(lake, [under(lake, table, row.raw)])
        return now.effect
    if now.effect in {Effect.REBUILD, Effect.REPLAY}:
        rebuild(lake, project, table, progress=progress)
    elif now.changes:
        _metadata(lake, project, table)
    return now.effect


def _metadata(lake: Lake, project: Project, table: Table) -> None:
    """New columns, in raw first, or only what the lake knows of the contract."""
    with leases(lake, table, holder="apply") as (raw, staged):
        row = standing_contract(lake, project, table)
        said = columns_of_raw(raw, table, row)
        noted = under(lake, table, {**with_versions(lake, table, said), "replay": False})
        present = storage.snapshot(lake, table.id).schema if storage.exists(lake, table.id) else None
        wanted = arrow.schema(table, Tier.STAGED)
        new = [] if present is None else [item for item in wanted if item.name not in present.names]
        if present is None or not new:
            put(lake, [noted])
            return
        add_columns(staged, pa.schema([*present, *new]), effects=Effects(applied=[noted]))


def _step(lake: Lake, row: Applied, table: Table) -> Step:
    changes = changes_since(row, table) + renewed_tokens(lake, row, table)
    if row.table == str(table.id):
        changes = tuple(_weighed(lake, row, table, change) for change in changes)
    effect = heaviest(changes)
    if effect is Effect.REPLAY and not set_aside(lake, table):
        effect = Effect.NOTHING
    return Step(table, changes, effect, _rows(lake, table_of(row.contract)))


def _weighed(lake: Lake, row: Applied, table: Table, change: Change) -> Change:
    """A new column that older rows brought already is no empty one."""
    if change.kind is not Kind.NEW_COLUMN or change.effect is not Effect.METADATA:
        return change
    column, raw = table.column(change.subject), table.id.at(Tier.RAW)
    if not storage.exists(lake, raw):
        return change
    form = rawform.RawForm.of(table, rawform.extended(row.raw, table))
    opener = Opener(lake, table, form)
    parts = (opener.open(part.collect()) for part in portions(storage.snapshot(lake, raw), None, rows=ROWS_AT_ONCE))
    if not any(part[column.name].is_not_null().any() for part in parts):
        return change
    return replace(change, effect=Effect.REBUILD, text=f"`{column.name}` ({column.type}): rows so far brought it")


def _rows(lake: Lake, table: Table) -> int:
    """Rows of the table by the name that the lake knows it under; of raw where it is made from raw."""
    known = table.id.at(Tier.RAW) if table.id.tier is Tier.STAGED else table.id
    return storage.snapshot(lake, known).rows if storage.exists(lake, known) else 0
