"""Under which contract the rows of a table stand, and what raw's columns are called.

A row of the control database's `applied_contract` says it per table. It changes together with the commit that makes it
true; where no commit is needed, by `put`. Raw is never rewritten: its columns keep the names they were first given, and
`raw` maps the ids of the contract's columns to them. A renamed table likewise keeps its home.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from lakehouse.contract.change import Effect, heaviest
from lakehouse.contract.difference import difference
from lakehouse.contract.imprint import fingerprint, imprint, table_of
from lakehouse.storage.control import applied_table
from lakehouse.storage.intents import Applied, put_applied
from lakehouse.storage.lake import read_homes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lakehouse.contract.model import Table
    from lakehouse.storage.lake import Lake


def applied_contracts(lake: Lake) -> tuple[Applied, ...]:
    """The contracts that the lake's tables stand under, by name."""
    with lake.control.read() as connection:
        rows = connection.execute(sa.select(applied_table).order_by(applied_table.c.table_id)).mappings().all()
    return tuple(_applied(dict(row)) for row in rows)


def under(lake: Lake, table: Table, raw: Mapping[str, Any] | None = None) -> Applied:
    """What is noted of a table whose rows stand under this contract."""
    return Applied(str(table.id), lake.key(table.id), table.odcs_id, imprint(table), fingerprint(table), raw or {})


def needs_refresh(lake: Lake, table: Table) -> bool:
    """Whether a table that a model makes stands under a contract that asks for other files than today's."""
    row = next((each for each in applied_contracts(lake) if each.home == lake.key(table.id)), None)
    if row is None or row.fingerprint == fingerprint(table):
        return False
    return heaviest(difference(table_of(row.contract), table)) is Effect.REFRESH


def put(lake: Lake, applied: Sequence[Applied]) -> None:
    """Note contracts that tables stand under from now on, in one transaction.

    A row of the same home is the same table, so this is how a table is renamed.
    """
    with lake.control.write("applied.put") as connection:
        at = lake.control.micros(connection)
        homes = [each.home for each in applied]
        connection.execute(applied_table.delete().where(applied_table.c.home.in_(homes)))
        for each in applied:
            put_applied(connection, each, at=at)
    read_homes(lake)


def _applied(row: dict[str, Any]) -> Applied:
    return Applied(
        table=row["table_id"],
        home=row["home"],
        odcs_id=row["odcs_id"],
        contract=row["contract"],
        fingerprint=row["fingerprint"],
        raw=row["raw"],
    )
