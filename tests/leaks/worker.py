"""What runs below a `Home`: stages of a lake's life, each in a process of its own. Arguments: the stage, and its words."""
# ruff: noqa: T201 - what it prints is scanned too

from __future__ import annotations

import os
import sys
import traceback
from typing import Any
from unittest import mock

import polars as pl
from sqlalchemy import Engine, event

from lakehouse import storage
from lakehouse.contract.load import load_project
from lakehouse.ingest import gate, gateway, landing
from lakehouse.model import TableId, Tier
from lakehouse.settings import load_settings

VISITOR = TableId(Tier.STAGED, "leak", "visitor")


def _everything() -> list[TableId]:
    tables = load_project(load_settings().project).tables
    return [*(table.id.at(Tier.RAW) for table in tables if table.sources), *(table.id for table in tables)]


def job(*names: str) -> None:
    """The real Dagster job, in process, of everything or of some tables."""
    from lakehouse.orchestration.runs import materialize

    wanted = [TableId(Tier(tier), *rest) for tier, *rest in (name.split(".") for name in names)]
    report = materialize(load_settings(), wanted or _everything())
    print(report)


def take(name: str = "leak.visitor") -> None:
    """An ingest without Dagster; the test may kill it at a fault point."""
    settings = load_settings()
    lake, project = storage.open_lake(settings), load_project(settings.project)
    table = project.table(TableId(Tier.STAGED, *name.split(".")))
    report = gateway.ingest(lake, project, table, landing.complete_files(lake, table, lake.now()), now=lake.now())
    print(report)
    storage.flush_outbox(lake)


def command(*arguments: str) -> None:
    """A command of the command line."""
    from lakehouse.cli import main

    sys.argv = ["lakehouse", *arguments]
    main()


def commands(*lines: str) -> None:
    """Several commands one after another."""
    for line in lines:
        print(f"$ lakehouse {line}", flush=True)
        _said(*line.split())


def _said(*arguments: str) -> None:
    """A command whose end is not the process's; an error that it does not know is shown as Python would."""
    try:
        command(*arguments)
    except SystemExit as ended:
        print(f"exit {ended.code}", flush=True)
    except Exception:  # noqa: BLE001 - shown as Python would
        traceback.print_exc()


def tick() -> None:
    """The landing sensor, once."""
    import dagster as dg

    from lakehouse.orchestration.build import build_definitions
    from lakehouse.orchestration.runs import open_instance

    settings = load_settings()
    definitions = build_definitions(settings)
    (sensor,) = [each for each in definitions.sensors or () if each.name == "landed_files"]
    with (
        open_instance(settings) as instance,
        dg.build_sensor_context(instance, resources=dict(definitions.resources or {})) as context,
    ):
        print(sensor.evaluate_tick(context))


def stumble(*ways: str) -> None:
    """Errors that quote a cell, an engine's and our own code's, through Dagster and the command line, or one of them."""
    from lakehouse.orchestration.runs import materialize

    def fail(_: object, raw: pl.DataFrame, **__: object) -> None:
        raw.select(pl.col("name").cast(pl.Int64))

    def value_error(_: object, frame: pl.DataFrame) -> pl.DataFrame:
        message = f"could not understand {frame['name'][0]}"
        raise ValueError(message)

    if "dagster" in ways:
        for place in (
            mock.patch.object(gate.Gate, "take", fail),
            mock.patch.object(gateway.Sealer, "seal", value_error),
        ):
            with place:
                print(materialize(load_settings(), [VISITOR]))
    if "command" in ways:
        with mock.patch.object(gate.Gate, "take", fail):
            _said("rebuild", "leak.visitor", "--yes", "--json")


def _hurry(connection: Any, _record: object) -> None:
    """Let Dagster's thousands of small commits not wait for the disk; the bytes are the same."""
    if hasattr(connection, "execute") and type(connection).__module__ == "sqlite3":
        connection.execute("PRAGMA synchronous = OFF")


def main() -> None:
    """Do the stage that the arguments name."""
    stage, *words = sys.argv[1:]
    event.listen(Engine, "connect", _hurry)
    if without := os.environ.get("LEAK_WITHOUT"):
        import pytest

        from tests.leaks.guards import GUARDS

        GUARDS[without].off(pytest.MonkeyPatch())
    stages = {"job": job, "take": take, "command": command, "commands": commands, "stumble": stumble, "tick": tick}
    stages[stage](*words)


if __name__ == "__main__":
    main()
