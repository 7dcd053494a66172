"""Each load mode as a few lines of plain Python, and a lake that takes the same deliveries; for tests of load modes.

A delivery is a file: source, day (its delivery time) and rows `(key, at, operation, value)`, all small integers but the
operation.
"""

from __future__ import annotations

import datetime as dt
import tempfile
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from lakehouse import storage
from lakehouse.contract.model import (
    PATH,
    Changes,
    Check,
    CheckKind,
    Column,
    ColumnType,
    Contract,
    Logical,
    Project,
    Rule,
    Source,
    Table,
)
from lakehouse.ingest import ingest
from lakehouse.model import TableId, Tier
from lakehouse.settings import load_settings

ROOT = Path(__file__).resolve().parents[2]
EPOCH = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
NOW = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
NAME = "%Y%m%dT%H%M%S"


@dataclass(frozen=True)
class Delivery:
    day: int
    rows: tuple[tuple[int | None, int, str, int | None], ...]
    source: str = "a"
    text: str = ""  # more lines, as they stand in the file
    name: str = field(default="", compare=False)


def table_of(mode: str, *, history: bool, as_of: str = "at", layout: str = "none", tolerance: float = 1.0) -> Table:
    kind = {"id": Logical.INTEGER, "at": Logical.TIMESTAMP, "op": Logical.STRING, "value": Logical.INTEGER}
    columns = tuple(Column(n, n, ColumnType(k), "system.operations", required=n == "id") for n, k in kind.items())
    checks = [Check(f"type_{n}", CheckKind.ROW, Rule.TYPE, (n,)) for n in ("id", "at", "value")]
    checks += [Check(f"required_{n}", CheckKind.ROW, Rule.REQUIRED, (n,)) for n in ("id", "at", "value")]
    return Table(
        id=TableId(Tier.STAGED, "shop", "thing"),
        odcs_id="thing",
        columns=columns,
        key=("id",),
        event_time="at",
        sources=tuple(Source(name, f"*_{name}.csv", delivered_at=f"{NAME}_{name}.csv") for name in "ab"),
        load_mode=mode,
        history=history,
        as_of=None if mode == "append" else as_of,
        vanish_tolerance=tolerance,
        changes=Changes("op", ("D",)) if mode == "changes" else None,
        layout=layout,
        checks=tuple(checks),
    )


def project_of(table: Table) -> Project:
    return Project(ROOT, (Contract("shop", "shop", "1.0.0", (table,)),))


@contextmanager
def fresh_lake():
    memory = Path("/dev/shm")  # many small lakes: a disk would spend the time on fsync
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as place:
        lake = storage.create_lake(load_settings(ROOT, lake=f"{place}/lake"))
        yield lake
        lake.control.dispose()


def moment(at: int) -> dt.datetime:
    return EPOCH + dt.timedelta(days=at)


def take(lake, table: Table, deliveries, *, copy: str = ""):
    """One ingest of some deliveries; the same delivery under another `copy` is another file of the same name."""
    folder = Path(lake.root) / "delivered" / copy
    folder.mkdir(parents=True, exist_ok=True)
    paths: list[Path] = []
    for number, one in enumerate(deliveries):
        place = folder / str(number)
        place.mkdir(exist_ok=True)
        path = place / (one.name or f"{moment(one.day):{NAME}}_{one.source}.csv")
        lines = [
            f"{k if k is not None else ''},{moment(at).isoformat()},{op},{'' if v is None else v}"
            for k, at, op, v in one.rows
        ]
        path.write_text("\n".join(["id,at,op,value", *lines, *([one.text] if one.text else [])]) + "\n")
        paths.append(path)
    return ingest(lake, project_of(table), table, paths, now=NOW)


def content(lake, table: Table) -> list[tuple]:
    """What is staged: key, at, value, and with history from and to, all as days."""
    if not storage.exists(lake, table.id):
        return []
    names = ["id", "at", "value", *(["_valid_from", "_valid_to"] if table.versioned else [])]
    rows = storage.scan(lake, table.id).select(names).collect().rows()
    days = [tuple((v - EPOCH).days if isinstance(v, dt.datetime) else v for v in row) for row in rows]
    return sorted(days, key=repr)


def require_balance(lake, table: Table) -> None:
    balance = storage.balance(lake, table.id)
    assert balance.unbalanced == (), balance.rows
    assert balance.rows["pending"].sum() == 0


def first_stays(deliveries) -> list[tuple]:
    """`append`."""
    state: dict = {}
    for one in deliveries:
        for key, at, _, value in one.rows:
            state.setdefault(key, (key, at, value))
    return sorted(state.values(), key=repr)


def last_stays(deliveries, *, history: bool, deletes: str = "", path: bool = False) -> list[tuple]:
    """`upsert` and `changes`."""
    words: dict = defaultdict(dict)
    for one in deliveries:
        for key, at, op, value in one.rows:
            words[key][one.day if path else at] = None if op and op in deletes else (key, at, value)
    state: list[tuple] = []
    for said in words.values():
        line = sorted(said.items())
        for (order, word), (until, _) in zip(line, [*line[1:], (None, None)], strict=True):
            if word is not None and (history or until is None):
                state.append((*word, order, until) if history else word)
    return sorted(state, key=repr)


def newest_dump(deliveries, *, history: bool) -> list[tuple]:
    """`snapshot`; deliveries in the order of their batches."""
    state: dict = {}
    past: list[tuple] = []
    for one in sorted(deliveries, key=lambda one: one.day):
        dump = {key: (key, at, value) for key, at, _, value in one.rows}
        for key in [key for key, (_, source, _) in state.items() if key not in dump and source == one.source]:
            past.append((*state[key][0], state[key][2], one.day))
            del state[key]
        for key, row in dump.items():
            if key in state and state[key][:2] == (row, one.source):
                continue
            if key in state:
                past.append((*state[key][0], state[key][2], one.day))
            state[key] = (row, one.source, one.day)
    if not history:
        return sorted((row for row, _, _ in state.values()), key=repr)
    ended = [row for row in past if row[-2] != row[-1]]
    return sorted([*ended, *((*row, day, None) for row, _, day in state.values())], key=repr)


def with_words(deliveries):
    """The same deliveries with one value and one operation for each key and moment, so that nothing ties."""
    return [
        replace(
            one, rows=tuple((k, at, "D" if (k * 7 + at) % 5 == 0 else "U", 100 * k + at) for k, at, _, _ in one.rows)
        )
        for one in deliveries
    ]


__all__ = [
    "PATH",
    "Delivery",
    "content",
    "first_stays",
    "fresh_lake",
    "last_stays",
    "newest_dump",
    "project_of",
    "require_balance",
    "table_of",
    "take",
    "with_words",
]
