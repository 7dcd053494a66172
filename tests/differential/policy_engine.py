"""A world's tables in DuckDB, and what compiled views say of them, in a form that compares with the interpreter's."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from decimal import Decimal
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa

from lakehouse.contract.arrow import TIMESTAMP, arrow_type
from lakehouse.model import RESTRICTED_UNTIL
from lakehouse.policy import compile as compiler
from lakehouse.policy import decide, printing

if TYPE_CHECKING:
    from tests.differential.policy_corpus import Request, World

_PLATFORM = {"_row": pa.int64(), "_entity": pa.string(), RESTRICTED_UNTIL: pa.date32(), "_valid_to": TIMESTAMP}
PRESENT = frozenset({RESTRICTED_UNTIL})


def interpreted(world: World, request: Request) -> Counter[tuple[str, ...]] | None:
    """What `decide` says; None: denied."""
    table = world.project.table(request.table)
    seen = decide.answer(
        world.policy,
        table,
        world.rows[request.table],
        request.groups,
        request.purpose,
        day=request.day,
        consents=world.consents,
    )
    return None if isinstance(seen, str) else Counter(tuple(map(told, row)) for row in seen)


class Engine:
    """DuckDB with a world's tables; a session far from UTC."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.connection = duckdb.connect(config={"threads": 1})
        self.connection.execute("SET TimeZone = 'America/New_York'; CREATE SCHEMA base")
        for table in world.project.tables:
            kinds = {**_PLATFORM, **{each.name: arrow_type(each.type) for each in table.columns}}
            rows = world.rows[table.id]
            data = pa.table(
                {name: pa.array([row[name] for row in rows], kinds.get(name, pa.string())) for name in rows[0]}
            )
            self._store(str(table.id), data)
        said = world.consents
        self._store("consent_current", pa.table({
            "entity": pa.array([one.entity for one in said], pa.string()),
            "purpose": pa.array([one.purpose for one in said], pa.string()),
            "given": pa.array([one.given for one in said], pa.bool_()),
            "expires_on": pa.array([one.expires_on for one in said], pa.date32()),
        }))  # fmt: skip

    def _store(self, name: str, data: pa.Table) -> None:
        self.connection.register("arrived", data)
        self.connection.execute(f'CREATE TABLE base."{name}" AS FROM arrived')
        self.connection.unregister("arrived")

    def answer(self, request: Request) -> Counter[tuple[str, ...]] | None:
        """What the compiled view says; None: denied."""
        view = compiler.duckdb_view(
            self.world.policy,
            self.world.project,
            request.purpose,
            request.table,
            groups=request.groups,
            day=request.day,
            present=PRESENT,
        )
        return None if view is None else self.ask(printing.sql(view))

    def ask(self, sql: str) -> Counter[tuple[str, ...]]:
        """The rows of a query, in any order."""
        found = self.connection.sql(sql).to_arrow_table()
        columns = [
            column.cast(pa.timestamp("us", "UTC")) if pa.types.is_timestamp(column.type) else column
            for column in found.columns
        ]
        return Counter(zip(*([told(value) for value in column.to_pylist()] for column in columns), strict=True))

    def close(self) -> None:
        self.connection.close()


def told(value: object) -> str:
    """A value so that equal ones are equal text, of its type: 0.0 and -0.0 are one, 1 and 1.0 are two."""
    if isinstance(value, dt.datetime):
        return f"instant {value.astimezone(dt.UTC).isoformat()}"
    if isinstance(value, Decimal):
        return f"decimal {value.normalize() + 0}"
    if isinstance(value, float):
        return f"float {value + 0.0!r}"
    return f"{type(value).__name__} {value!r}"
