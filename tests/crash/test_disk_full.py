"""No space left, at every size of a small disk: a clear error, and once there is room one run makes everything whole."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from lakehouse import storage
from lakehouse.errors import LakehouseError, of_system
from lakehouse.model import TableId, Tier
from lakehouse.storage import files
from tests.crash import aftermath, scenarios
from tests.crash.forked import in_memory
from tests.crash.mounts import small_disk

if TYPE_CHECKING:
    from pathlib import Path

INVOICES = TableId(Tier.STAGED, "retail", "invoice_line")
ROOM = 8 * 1024
#: In no message: what the files hold, and their names, which may be personal.
VALUES = ("xxx", "till", "a.csv", "b.csv")


@pytest.fixture(scope="module")
def wanted():
    """What an undisturbed run gives."""
    with in_memory() as place:
        settings = scenarios.settings_of(place / "lake")
        scenarios.take(settings)
        lake = storage.open_lake(settings)
        yield aftermath.picture(lake, scenarios.OLD)
        lake.control.dispose()


def required(settings, wanted) -> None:
    """One more run, and everything is as it would have been."""
    scenarios.take(settings)
    lake = storage.open_lake(settings)
    aftermath.require_clean(lake, scenarios.OLD)
    aftermath.require_same(aftermath.picture(lake, scenarios.OLD), wanted)
    lake.control.dispose()


def refusal(settings) -> LakehouseError | None:
    """How the ingest ends, as the command line tells it; None when there was room."""
    try:
        scenarios.take(settings)
    except LakehouseError as error:
        return error
    except OSError as error:
        told = of_system(error, where="staged.shop.sale")
        if told is None:
            raise
        return told
    return None


def require_clear(error: LakehouseError, *words: str) -> None:
    assert error.exit_code == 1
    assert error.where
    assert "room" in str(error.hint), error
    assert any(word in error.message for word in words), error
    assert not any(value in str(error) for value in VALUES), error


def fitting(tmp_path: Path, wanted, *, step: int, settings_on, words: tuple[str, ...], start: int) -> int:
    """Try larger and larger disks until the ingest fits; how many were too small."""
    for tried in range(200):
        with small_disk(tmp_path / str(tried) / "disk", start + step * tried) as disk:
            settings = settings_on(disk.place, tmp_path / str(tried))
            error = refusal(settings)
            if error is None:
                return tried
            require_clear(error, *words)
            disk.resize(ROOM)
            required(settings, wanted)
    raise AssertionError("no disk was large enough")


@pytest.mark.slow
def test_the_lakes_disk_is_full_at_any_size(tmp_path, wanted):
    def settings_on(disk: Path, beside: Path):
        settings = scenarios.settings_of(disk / "lake")
        control = f"sqlite:///{beside}/control/control.db"
        return replace(settings, control_url=control, key_file=beside / "control/kek.key")

    words = ("no space is left", "could not be committed")
    assert fitting(tmp_path, wanted, step=8, start=12, settings_on=settings_on, words=words) > 4


@pytest.mark.slow
def test_the_control_databases_disk_is_full_at_any_size(tmp_path, wanted):
    def settings_on(disk: Path, beside: Path):
        settings = scenarios.settings_of(beside / "lake")
        return replace(settings, control_url=f"sqlite:///{disk}/control.db", key_file=disk / "kek.key")

    words = ("the disk of the control database is full", "no space is left", "could not be committed")
    assert fitting(tmp_path, wanted, step=32, start=32, settings_on=settings_on, words=words) > 4


def test_half_a_file_does_not_stay(tmp_path):
    with small_disk(tmp_path / "disk", 64) as disk:
        for write in (files.put, files.put_once, files.replace):
            with pytest.raises(OSError, match="No space left"):
                write(str(disk.place / "some.json"), b"x" * 100_000)
        assert list(disk.place.iterdir()) == []


def ingest(lake: Path, file: Path, **more: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "LAKEHOUSE_LAKE": str(lake), "DAGSTER_HOME": str(file.parent / "dagster"), **more}
    command = [sys.executable, "-m", "lakehouse.cli", "ingest", "retail.invoice_line", str(file), "--json"]
    return subprocess.run(command, env=environment, cwd=scenarios.ROOT, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.parametrize("kilobytes", [300, 420], ids=["while-it-is-made", "in-the-run"])
def test_the_command_says_what_where_and_how_to_mend(tmp_path, kilobytes):
    header = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
    line = "{},S{},SECRET-THING-{},1,2011-01-01 08:26:00,2.55,{}.0,France\n"
    file = tmp_path / "secret-person.csv"
    file.write_text(header + "".join(line.format(536365 + n, n, n * 7919, 12346 + n % 9) for n in range(1500)))
    with small_disk(tmp_path / "disk", kilobytes) as disk:
        full = ingest(disk.place / "lake", file)
        assert full.returncode == 1, full.stderr + full.stdout
        assert "Traceback" not in full.stderr
        said = json.loads(full.stdout)
        text = said["error"]["message"] + str(said["error"]["hint"]) if "error" in said else str(said["problems"])
        assert "room" in text, said
        assert "SECRET" not in full.stdout + full.stderr
        disk.resize(ROOM)
        again = ingest(disk.place / "lake", file)
        assert again.returncode == 0, again.stderr + again.stdout
        lake = storage.open_lake(scenarios.settings_of(disk.place / "lake"))
        aftermath.require_clean(lake)
        assert storage.scan(lake, INVOICES).collect().height == 1500
        lake.control.dispose()
