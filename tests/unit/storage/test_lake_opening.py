"""A lake opens only when marker file and control database agree."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import sqlalchemy as sa

from lakehouse import storage
from lakehouse.errors import FormatVersionError, LakeMismatchError, LakeMissingError, StorageError
from lakehouse.model import TableId, Tier
from lakehouse.storage import files
from lakehouse.storage.control import lake_table, to_micros


def change_marker(settings, **values):
    place = Path(settings.lake, "lake.json")
    place.write_text(json.dumps({**json.loads(place.read_text()), **values}))


def test_a_lake_is_made_once(lake_settings):
    first = storage.create_lake(lake_settings)
    again = storage.create_lake(lake_settings)
    assert (first.id, first.root) == (again.id, lake_settings.lake)
    assert storage.open_lake(lake_settings).environment == "dev"


def test_the_clock_is_the_control_databases(lake):
    now = lake.now()
    assert now.tzinfo is not None
    assert lake.now() >= now


def test_places(lake):
    table = TableId(Tier.RAW, "clinic", "visit")
    assert lake.uri(table) == f"{lake.root}/raw/clinic/visit"
    assert lake.uri(storage.SystemTable("quarantine/clinic/visit")) == f"{lake.root}/system/quarantine/clinic/visit"
    assert lake.landing("clinic", "visit") == Path(lake.root, "landing/clinic/visit")
    assert str(storage.SystemTable("quarantine/clinic/visit")) == "system.quarantine.clinic.visit"
    apart = dataclasses.replace(lake, root="s3://bucket/lake", raw="s3://locked/raw")
    assert apart.uri(table) == "s3://locked/raw/clinic/visit"
    assert apart.uri(table.at(Tier.STAGED)) == "s3://bucket/lake/staged/clinic/visit"
    assert apart.landing("clinic", "visit") == lake.landing("clinic", "visit")  # stays a folder


def test_settings_that_place_raw_elsewhere_than_the_lake_are_refused(lake_settings, lake, tmp_path):
    with pytest.raises(LakeMismatchError, match="made with `None` as `raw`"):
        storage.open_lake(dataclasses.replace(lake_settings, raw=str(tmp_path / "elsewhere")))


def test_a_lake_keeps_the_place_of_raw(lake_settings, tmp_path):
    apart = dataclasses.replace(lake_settings, raw=str(tmp_path / "elsewhere"))
    storage.create_lake(apart)
    opened = storage.open_lake(lake_settings)  # who leaves it out gets the lake's
    assert opened.uri(TableId(Tier.RAW, "clinic", "visit")) == str(tmp_path / "elsewhere/clinic/visit")
    change_marker(lake_settings, raw=str(tmp_path / "forged"))
    with pytest.raises(LakeMismatchError, match="`raw`"):
        storage.open_lake(lake_settings)


def test_a_lock_that_cannot_be_had_is_refused(lake_settings):
    with pytest.raises(StorageError, match="only an S3 store can lock raw"):
        storage.create_lake(dataclasses.replace(lake_settings, raw_lock_days=7))


def test_no_lake(lake_settings):
    with pytest.raises(LakeMissingError):
        storage.open_lake(lake_settings)


@pytest.mark.parametrize("change", [{"id": "other"}, {"generation": 2}, {"environment": "prod"}])
def test_a_marker_of_another_lake_is_refused(lake_settings, lake, change):
    change_marker(lake_settings, **change)
    with pytest.raises(LakeMismatchError, match=f"`{next(iter(change))}`"):
        storage.open_lake(lake_settings)


def test_another_environment_is_refused(lake_settings, lake):
    with pytest.raises(LakeMismatchError, match="the settings say `prod`"):
        storage.open_lake(dataclasses.replace(lake_settings, environment="prod"))


def test_another_format_version_is_refused(lake_settings, lake):
    change_marker(lake_settings, format_version=99)
    with pytest.raises(FormatVersionError):
        storage.open_lake(lake_settings)


def test_a_broken_marker_is_refused(lake_settings, lake):
    Path(lake_settings.lake, "lake.json").write_text("{")
    with pytest.raises(LakeMismatchError, match="not readable"):
        storage.open_lake(lake_settings)


def test_a_lost_control_database_is_noticed_and_not_replaced(lake_settings, lake, tmp_path):
    lost = dataclasses.replace(lake_settings, control_url=f"sqlite:///{tmp_path / 'other.db'}")
    for use in (storage.open_lake, storage.create_lake, storage.open_lake):
        with pytest.raises(LakeMismatchError, match="no control database"):
            use(lost)
    sa.create_engine(lost.control_url, poolclass=sa.NullPool).connect().close()
    with pytest.raises(LakeMismatchError):
        storage.open_lake(dataclasses.replace(lost, control_url=f"sqlite:///{tmp_path / 'empty.db'}"))


def test_a_lost_marker_is_noticed(lake_settings, lake):
    Path(lake_settings.lake, "lake.json").unlink()
    with pytest.raises(LakeMismatchError, match="belongs to a lake"):
        storage.create_lake(lake_settings)


def test_an_interrupted_creation_is_finished(lake_settings, lake):
    with lake.control.engine.begin() as connection:
        connection.execute(lake_table.update().values(ready=False))
    Path(lake_settings.lake, "lake.json").write_text('{"id": "ha')
    assert storage.create_lake(lake_settings).id == lake.id


def test_the_control_database_is_safe(lake):
    with lake.control.read() as connection:
        found = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "secure_delete")
        }
    assert found == {"journal_mode": "delete", "synchronous": 2, "foreign_keys": 1, "secure_delete": 1}


def test_an_instant_without_zone_is_refused(clock):
    with pytest.raises(StorageError):
        to_micros(clock.replace(tzinfo=None))
    assert storage.from_micros(storage.to_micros(clock)) == clock


def test_files_are_put_once_whole(tmp_path):
    place = str(tmp_path / "folder" / "x")
    files.put(place, b"abc")
    with pytest.raises(FileExistsError):
        files.put(place, b"abcd")
    assert files.read(place) == b"abc"
    assert files.sizes([place, place + "y"]) == {place: 3, place + "y": None}
    assert files.names(str(tmp_path / "folder")) == ["x"]
    assert files.names(str(tmp_path / "nowhere")) == []
    files.delete(place)
    files.delete(place)
    assert files.read(place) is None


def test_a_place_that_is_none_is_refused():
    with pytest.raises(StorageError, match="not a place that can be written"):
        files.put("nowhere://x/y", b"")
