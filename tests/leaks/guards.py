"""The table of guards: what keeps values in, where that stands, and how a test switches it off to see the scan fail.

Each names the scenario in which it is needed (`scenarios`). `off` works in the process that meets the guard; a guard that
is a line of a file of the project is switched off by `edit`.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

import polars as pl

from lakehouse.model import BATCH, BYTES, EXTRA, ROW, Tier

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from tests.leaks.home import Home

    Switch = Callable[[pytest.MonkeyPatch], None]


@dataclass(frozen=True)
class Guard:
    """One guard.

    Attributes:
        what: what it does.
        where: module and name.
        scenario: what has to run for a value to escape without it.
        off: switches it off.
        edit: the same for a file of the project.
        of_sqlite: whether a value escapes into SQLite's file only: deleted keys, text with a zero byte.
    """

    what: str
    where: str
    scenario: str
    off: Switch = lambda patch: None
    edit: Callable[[Home], None] = lambda home: None
    of_sqlite: bool = False


def _module(name: str) -> Any:
    return import_module(f"lakehouse.{name}")


def _set(module: str, path: str, value: Any) -> Switch:
    """Put something else in the place of a module's name, or of a name below it."""

    def off(patch: pytest.MonkeyPatch) -> None:
        target = _module(module)
        *way, name = path.split(".")
        for step in way:
            target = getattr(target, step)
        patch.setattr(target, name, value)

    return off


def _extra_and_bytes_beside(patch: pytest.MonkeyPatch) -> None:
    """Unknown columns and unreadable records stand in columns of their own, as in a table without an entity."""
    rawform = _module("ingest.rawform")
    wanted, first = rawform._wanted, rawform.first

    def without(*of: Any, **more: Any) -> Any:
        found = wanted(*of, **more)
        return {
            role: dataclasses.replace(layout, columns=tuple(c for c in layout.columns if c not in {EXTRA, BYTES}))
            for role, layout in found.items()
        }

    def with_both(table: Any) -> Any:
        said = first(table)
        return {**said, "order": [*said["order"], EXTRA, BYTES]}

    patch.setattr(rawform, "_wanted", without)
    patch.setattr(rawform, "first", with_both)


def _cells_beside(patch: pytest.MonkeyPatch) -> None:
    """Every delivered column stands in raw as well."""
    rawform = _module("ingest.rawform")
    first = rawform.first

    def with_cells(table: Any) -> Any:
        said = first(table)
        return {**said, "order": [*said["order"], *(c.name for c in table.delivered if c.name not in said["order"])]}

    patch.setattr(rawform, "first", with_cells)
    patch.setattr(rawform.RawForm, "sealed", ())


def _all_statistics(patch: pytest.MonkeyPatch) -> None:
    _placement(patch, lambda table: {"statistics_columns": tuple(column.name for column in table.columns)})


def _exact_times(patch: pytest.MonkeyPatch) -> None:
    _placement(patch, lambda table: {"personal_time": False, "statistics_columns": (table.event_time,)})


def _placement(patch: pytest.MonkeyPatch, changes: Callable[[Any], dict[str, Any]]) -> None:
    placement = _module("storage.layout").Placement
    of = placement.of

    def other(table: Any, tier: Tier) -> Any:
        return of(table, tier) if tier is Tier.RAW else dataclasses.replace(of(table, tier), **changes(table))

    patch.setattr(placement, "of", staticmethod(other))


def _cells_in_quarantine(self: Any, rows: pl.DataFrame, failed: pl.Series) -> None:
    cells = pl.concat_str(pl.all().cast(pl.String), separator=" ", ignore_nulls=True)
    self._write(rows.select(BATCH, ROW, pl.concat_list(cells).alias("failed")))


def _records_in_quarantine(self: Any, rows: pl.DataFrame) -> None:
    shown = pl.col(BYTES).bin.encode("hex")
    self._write(rows.select(BATCH, ROW, pl.concat_list(shown).alias("failed")))


def _headers_told(patch: pytest.MonkeyPatch) -> None:
    delimited = _module("ingest.readers.delimited")
    match = delimited.match

    def telling(header: Any, *rest: Any) -> Any:
        try:
            return match(header, *rest)
        except delimited.FileRejectedError as error:
            raise delimited.FileRejectedError(f"{error.message}: {', '.join(header)}") from None

    patch.setattr(delimited, "match", telling)


def _errors_as_they_are(module: str) -> Switch:
    def off(patch: pytest.MonkeyPatch) -> None:
        storage_error = _module("errors").StorageError
        patch.setattr(_module(module), "withheld", lambda error, **more: storage_error(str(error), **more))

    return off


def _talkative_dbt(patch: pytest.MonkeyPatch) -> None:
    runner = import_module("dbt.cli.main").dbtRunner
    invoke = runner.invoke
    loud = ["--log-level-file", "debug", "--write-json"]

    def invoked(self: Any, arguments: list[str], **more: Any) -> Any:
        return invoke(self, [*loud, *arguments[arguments.index("build") :]], **more)

    patch.setattr(runner, "invoke", invoked)


def _pragma(before: str, after: str) -> Switch:
    def off(patch: pytest.MonkeyPatch) -> None:
        control = _module("storage.control")
        patch.setattr(control, "_PRAGMAS", tuple(after if each == before else each for each in control._PRAGMAS))

    return off


def _nothing_retired(patch: pytest.MonkeyPatch) -> None:
    for module in ("storage", "storage.recovery"):
        patch.setattr(_module(module), "delete_retired", lambda *_: 0)


def _temporary_folder(home: Home) -> None:
    profiles = home.project_root / "dbt" / "profiles.yml"
    text = profiles.read_text()
    assert 'temp_directory: ""' in text
    profiles.write_text(text.replace('temp_directory: ""', "temp_directory: \"{{ env_var('TMPDIR') }}/duckdb\""))


class _Plain:
    """A cipher that does nothing."""

    def __init__(self, _key: bytes) -> None: ...

    def encrypt(self, _nonce: bytes, cells: bytes, _data: bytes) -> bytes:
        return cells + bytes(16)

    def decrypt(self, _nonce: bytes, blob: bytes, _data: bytes) -> bytes:
        return blob[:-16]


GUARDS = {
    "sealing": Guard(
        "raw's cells are encrypted", "privacy.sealing.seal", "taken", _set("privacy.sealing", "AESGCM", _Plain)
    ),
    "nothing beside seals": Guard(
        "what is sealed stands in no column of its own",
        "ingest.sealer.Sealer.sealed",
        "taken",
        _cells_beside,
    ),
    "extra and bytes sealed": Guard(
        "unknown columns and unreadable records are sealed too",
        "ingest.rawform._wanted",
        "taken",
        _extra_and_bytes_beside,
    ),
    "file names hashed": Guard(
        "the manifest knows files by a keyed hash of their names",
        "privacy.entities.name_hash",
        "taken",
        _set("privacy.entities", "name_hash", lambda _, name: name),
    ),
    "requests name no file": Guard(
        "a request to take files knows them by the same hash",
        "ingest.landing.name_hashes",
        "asked",
        _set("ingest.landing", "name_hashes", lambda _, files: [file.name for file in files]),
    ),
    "no statistics": Guard(
        "Delta statistics stand on no personal column", "storage.layout.Placement.of", "taken", _all_statistics
    ),
    "months only": Guard(
        "of a personal event time statistics show the month",
        "storage.layout.Placement.personal_time",
        "taken",
        _exact_times,
    ),
    "pointers": Guard(
        "quarantine holds pointers and names of checks",
        "ingest.quarantine.Pointers.add",
        "taken",
        _set("ingest.quarantine", "Pointers.add", _cells_in_quarantine),
    ),
    "pointers to records": Guard(
        "also of records that cannot be read",
        "ingest.quarantine.Pointers.add_unreadable",
        "taken",
        _set("ingest.quarantine", "Pointers.add_unreadable", _records_in_quarantine),
    ),
    "readers are silent": Guard(
        "why a file is rejected names the contract's columns, never the file's",
        "ingest.readers.matching.require",
        "taken",
        _headers_told,
        of_sqlite=True,
    ),
    "abandoned files": Guard(
        "files of rows that are held, or of a run that failed, are deleted",
        "storage.commits.Transaction.abandon",
        "taken",
        _set("storage.commits", "Transaction.abandon", lambda _: None),
    ),
    "orphans": Guard(
        "files of a dead process that nobody committed are deleted",
        "storage.recovery._orphans",
        "recovered",
        _set("storage.recovery", "_orphans", lambda *_: []),
    ),
    "retired files": Guard(
        "files of raw that were sealed anew are deleted",
        "storage.recovery.delete_retired",
        "resealed",
        _nothing_retired,
    ),
    "deleted keys are overwritten": Guard(
        "SQLite overwrites what it deletes",
        "storage.control._PRAGMAS secure_delete",
        "destroyed",
        _pragma("secure_delete = ON", "secure_delete = OFF"),
        of_sqlite=True,
    ),
    "no write-ahead log": Guard(
        "SQLite keeps no copies of pages beside the file",
        "storage.control._PRAGMAS journal_mode",
        "destroyed",
        _pragma("journal_mode = DELETE", "journal_mode = WAL"),
        of_sqlite=True,
    ),
    "errors in Dagster": Guard(
        "errors leave a step without their text",
        "orchestration.guard.no_values_in_errors",
        "stumbled in dagster",
        _errors_as_they_are("orchestration.guard"),
    ),
    "errors of commands": Guard(
        "a command shows where it failed, not the text",
        "cli.app.run",
        "stumbled in command",
        _errors_as_they_are("cli.app"),
    ),
    "errors of models": Guard(
        "the database's complaint about a model is told by its kind",
        "transform.dbt_run.model_error",
        "model failed",
        _set(
            "transform.dbt_run", "model_error", lambda said, *, where: _module("errors").ProjectError(said, where=where)
        ),
    ),
    "silent dbt": Guard(
        "dbt writes no log and no artifacts", "transform.dbt_run.invoke_quietly", "dbt's test failed", _talkative_dbt
    ),
    "polars does not spill": Guard(
        "polars ends a query instead of writing rows to disk",
        "storage.lake._forbid_spilling",
        "gate overflowed",
        _set("storage.lake", "_forbid_spilling", lambda: None),
    ),
    "DuckDB does not spill": Guard(
        "DuckDB has no temporary directory",
        "dbt/profiles.yml temp_directory",
        "model overflowed",
        edit=_temporary_folder,
    ),
}
