"""A lake that may only be read, by its mount or by the rights of who asks: reading works, writing ends in a clear error."""

from __future__ import annotations

import os
import pwd
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from lakehouse import storage
from lakehouse.errors import LakehouseError, of_system
from lakehouse.model import Tier
from lakehouse.storage import worm
from tests.crash import aftermath, scenarios
from tests.crash.mounts import small_disk

OLD = scenarios.OLD
LATER = (("c.csv", scenarios.FILES[0][1].replace("bad", "worse")),)


def tree(place: Path) -> dict[str, tuple[int, int]]:
    return {
        str(path.relative_to(place)): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in sorted(place.rglob("*"))
        if path.is_file()
    }


def refused(settings) -> LakehouseError:
    """The error of a run that may not write, as the command line tells it."""
    with pytest.raises((LakehouseError, OSError)) as caught:
        scenarios.take(settings, files=LATER)
    error = caught.value
    told = error if isinstance(error, LakehouseError) else of_system(error, where="staged.shop.sale")
    assert told is not None, error
    return told


def test_a_disk_that_is_mounted_read_only(tmp_path):
    undisturbed = scenarios.settings_of(tmp_path / "undisturbed")
    for files in (scenarios.FILES, LATER):
        scenarios.take(undisturbed, files=files)
    with small_disk(tmp_path / "disk", 8 * 1024) as disk:
        settings = scenarios.settings_of(disk.place / "lake")
        scenarios.take(settings)
        scenarios.deliver(storage.open_lake(settings), OLD, *LATER)
        disk.read_only()
        lake = storage.open_lake(settings)
        assert storage.scan(lake, OLD.id).collect().height == 41
        assert worm.verify(lake).findings == ()
        assert storage.balance(lake, OLD.id).unbalanced == ()
        before = tree(disk.place)
        error = refused(settings)
        assert error.exit_code == 1
        assert ("read-only" in error.message) or ("cannot be written" in error.message), error
        assert error.where
        assert error.hint
        assert tree(disk.place) == before
        disk.writable()
        scenarios.take(settings, files=LATER)
        lake = storage.open_lake(settings)
        aftermath.require_clean(lake, OLD)
        other = storage.open_lake(undisturbed)
        aftermath.require_same(aftermath.picture(lake, OLD), aftermath.picture(other, OLD))
        lake.control.dispose()


@pytest.mark.slow
def test_commands_on_a_disk_that_is_mounted_read_only(tmp_path):
    with small_disk(tmp_path / "disk", 8 * 1024) as disk:
        settings = scenarios.settings_of(disk.place / "lake")
        scenarios.take(settings)
        disk.read_only()
        environment = {**os.environ, "LAKEHOUSE_LAKE": settings.lake, "DAGSTER_HOME": str(tmp_path / "dagster")}
        file = tmp_path / "more.csv"
        file.write_text("InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n")
        commands = {("status",): 0, ("verify", "worm"): 0, ("ingest", "retail.invoice_line", str(file)): 1}
        for words, code in commands.items():
            ran = subprocess.run(
                [sys.executable, "-m", "lakehouse.cli", *words],
                env=environment,
                cwd=scenarios.ROOT,
                capture_output=True,
                text=True,
                check=False,
            )
            assert ran.returncode == code, (words, ran.stdout, ran.stderr)
            assert "Traceback" not in ran.stderr
            if code:
                assert "hint:" in ran.stderr + ran.stdout, ran.stderr


def test_raw_is_written_so_that_nobody_can_write_it_again(tmp_path):
    settings = scenarios.settings_of(tmp_path / "lake")
    scenarios.take(settings)
    lake = storage.open_lake(settings)
    place = Path(lake.uri(OLD.id.at(Tier.RAW)))
    kept = [*place.glob("*.parquet"), *place.glob("_delta_log/*.json")]
    assert len(kept) >= 2
    assert {stat.S_IMODE(path.stat().st_mode) for path in kept} == {0o444}
    assert aftermath.writable_raw(lake) == []


def as_nobody(place: Path, wanted: str) -> str:
    """What a child of another user says of a lake, by `read_only_child`."""
    if os.getuid() != 0:
        pytest.skip("only root can become another user; as another user this test's own process has no rights to lose")
    if "nobody" not in {entry.pw_name for entry in pwd.getpwall()}:
        pytest.skip("there is no user `nobody`")
    ran = subprocess.run(
        [sys.executable, "-m", "tests.crash.read_only_child", str(place), wanted],
        cwd=scenarios.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.fixture
def readable(tmp_path):
    """A lake that everybody may read and nobody else may write; its folders can be reached by all."""
    place = tmp_path / "lake"
    scenarios.take(scenarios.settings_of(place))
    scenarios.deliver(storage.open_lake(scenarios.settings_of(place)), OLD, *LATER)
    for folder in (place, *place.parents):
        if folder.stat().st_mode & 0o005 != 0o005:
            folder.chmod(folder.stat().st_mode | 0o055)
    for path in place.rglob("*"):
        path.chmod(path.stat().st_mode | (0o055 if path.is_dir() else 0o044))
    return place


def test_another_user_may_read_the_lake_and_not_write_it(readable):
    before = tree(readable)
    assert as_nobody(readable, "read") == "41 rows\n"
    said = as_nobody(readable, "write")
    assert said.startswith("1 ")
    assert ("may not do that here" in said) or ("cannot be written" in said) or ("cannot be opened" in said), said
    assert "hint:" in said
    assert tree(readable) == before
    scenarios.take(scenarios.settings_of(readable), files=LATER)
    aftermath.require_clean(storage.open_lake(scenarios.settings_of(readable)), OLD)


def test_another_user_may_not_change_a_file_of_raw_even_where_he_may_write_its_folder(readable):
    lake = storage.open_lake(scenarios.settings_of(readable))
    raw = Path(lake.uri(OLD.id.at(Tier.RAW)))
    for path in (raw, *raw.rglob("*")):
        os.chown(path, 65534, 65534)
    before = tree(raw)
    assert as_nobody(readable, "overwrite") == "1 this user may not do that here\n"
    assert tree(raw) == before
