"""The smallest runs in which each guard is needed. Each takes a home with some rows in it and gives what the scan finds.

What happens in a process of its own is told by `LEAK_WITHOUT` which guard to switch off there.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from lakehouse import storage
from lakehouse.ingest import gateway, landing, migration, reseal
from lakehouse.storage.control import data_key_table
from tests.forgetting import destroy_keys
from tests.leaks import formats
from tests.leaks.home import KILLED
from tests.leaks.life import GUEST, MANY, MODEL_FILE, OVERVIEW, TEST_FILE, TOO_LITTLE, VISITOR, many
from tests.leaks.project import FAILING_MODEL, FAILING_TEST, contract
from tests.leaks.scan import Leak

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.leaks.home import Home

    Scenario = Callable[[Home, str], list[Leak]]


def prepare(home: Home, made: Path) -> None:
    """Some rows in staged that passed their checks, and everything that the scenarios deliver waits beside."""
    for name, endings in ((VISITOR, (".csv", ".jsonl")), (GUEST, (".csv",))):
        table = home.project.table(name)
        formats.bad_files(table, home.markers, made / "bad" / name.table, formats=endings)
        formats.good_files(table, home.markers, made / "good" / name.table, formats=(".csv", ".jsonl"))
        home.land(table, formats.good_files(table, home.markers, made / "first" / name.table, formats=(".csv",)))
        _take(home, name)
    _judged(home)


def _judged(home: Home) -> None:
    with home.lake() as lake:
        storage.record_verdict(lake, VISITOR, storage.snapshot(lake, VISITOR).version, [])


def _take(home: Home, name=VISITOR) -> None:
    project = home.project
    table = project.table(name)
    with home.lake() as lake:
        gateway.ingest(lake, project, table, landing.complete_files(lake, table, lake.now()), now=lake.now())
        storage.flush_outbox(lake)


def _land(home: Home, kind: str, name=VISITOR) -> list[Path]:
    files = sorted((made_for(home) / kind / name.table).iterdir())
    home.land(home.project.table(name), files)
    return files


def made_for(home: Home) -> Path:
    """Where what is to be delivered waits."""
    return home.root.parent / "made"


def taken(home: Home, _without: str) -> list[Leak]:
    """Good, failing, unreadable, rejected and held files are taken into a lake of their own."""
    home.begin_anew()
    for name in (VISITOR, GUEST):
        _land(home, "good", name)
        _land(home, "bad", name)
        _take(home, name)
    return home.leaks()


def asked(home: Home, _without: str) -> list[Leak]:
    """A run is asked to take files."""
    from lakehouse.orchestration import runs

    files = _land(home, "good")
    runs.ingest_request(home.settings(), {VISITOR: files})
    return home.leaks()


def recovered(home: Home, _without: str) -> list[Leak]:
    """A process is killed when it has written staged rows, and the next one cleans up."""
    _land(home, "good")
    assert home.run("take", LAKEHOUSE_FAULT="file.put.after:2") == KILLED
    _take(home)
    return home.leaks()


def resealed(home: Home, _without: str) -> list[Leak]:
    """A column that was wrongly clear is sealed."""
    (home.project_root / "policies/domains/leak/contract.odcs.yaml").write_text(contract(mended=True))
    project = home.project
    with home.lake() as lake:
        for step in migration.plan(lake, project):
            migration.apply(lake, project, step)
        reseal.reseal(lake, project, project.table(VISITOR))
    return home.leaks()


def destroyed(home: Home, _without: str) -> list[Leak]:
    """Keys are destroyed; their wrapped bytes are what is looked for, in the database's file and beside it."""
    with home.lake() as lake:
        file = Path(lake.control.engine.url.database or "")
        with lake.control.read() as connection:
            wrapped = [bytes(blob) for blob in connection.execute(sa.select(data_key_table.c.wrapped)).scalars()]
        surrogates = storage.scan(lake, VISITOR).select("_entity").collect().to_series()
        with closing(sqlite3.connect(file)) as somebody:  # who has the database open, as a long-lived process does
            somebody.execute("select 1 from lake").fetchall()
            destroy_keys(lake, surrogates)
            content = {path.name: path.read_bytes() for path in file.parent.iterdir()}
        with lake.control.read() as connection:
            left = {bytes(blob) for blob in connection.execute(sa.select(data_key_table.c.wrapped)).scalars()}
    gone = [blob for blob in wrapped if blob not in left]
    assert gone
    return [Leak(name, "a destroyed key", "bytes") for name, said in content.items() for blob in gone if blob in said]


def stumbled(way: str) -> Scenario:
    """An error quotes a cell while a file is taken, or while the table is made anew."""

    def run(home: Home, without: str) -> list[Leak]:
        _land(home, "good")
        home.run("stumble", way, LEAK_WITHOUT=without)
        return home.leaks()

    return run


def model_failed(home: Home, without: str) -> list[Leak]:
    """A model stumbles on a value."""
    (home.project_root / MODEL_FILE).write_text(FAILING_MODEL)
    home.run("job", str(OVERVIEW), LEAK_WITHOUT=without)
    return home.leaks()


def dbts_test_failed(home: Home, without: str) -> list[Leak]:
    """A test of dbt cannot run because of a value."""
    (home.project_root / TEST_FILE).parent.mkdir()
    (home.project_root / TEST_FILE).write_text(FAILING_TEST)
    home.run("job", str(OVERVIEW), LEAK_WITHOUT=without)
    return home.leaks()


def gate_overflowed(home: Home, without: str) -> list[Leak]:
    """More rows are delivered than the gate has memory for; only what the watch saw counts, the tree is `taken`'s."""
    table = home.project.table(VISITOR)
    file = home.root.parent / "many.csv"
    many(table, MANY).write_csv(file)
    home.land(table, [file])
    home.run("take", LEAK_WITHOUT=without, POLARS_OOC_MEMORY_BUDGET_MB="4")
    return list(home.temporary)


def model_overflowed(home: Home, without: str) -> list[Leak]:
    """A model sorts more rows than it has memory for."""
    table = home.project.table(VISITOR)
    file = home.root.parent / "many.csv"
    many(table, MANY).write_csv(file)
    home.land(table, [file])
    _take(home)
    _judged(home)
    home.run("job", str(OVERVIEW), LEAK_WITHOUT=without, LAKEHOUSE_DUCKDB_MEMORY=TOO_LITTLE)
    return list(home.temporary)


SCENARIOS: dict[str, Scenario] = {
    "taken": taken,
    "asked": asked,
    "recovered": recovered,
    "resealed": resealed,
    "destroyed": destroyed,
    "stumbled in dagster": stumbled("dagster"),
    "stumbled in command": stumbled("command"),
    "model failed": model_failed,
    "dbt's test failed": dbts_test_failed,
    "gate overflowed": gate_overflowed,
    "model overflowed": model_overflowed,
}
