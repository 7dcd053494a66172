"""`recover`: what it says of a restored backup, what it mends, and that the account is right afterwards."""

from __future__ import annotations

import json
import shutil

import pytest

pytestmark = pytest.mark.slow  # a few ingests


@pytest.fixture
def place(fleet, monkeypatch):
    """A project whose control database is beside the lake."""
    monkeypatch.setenv("LAKEHOUSE_CONTROL_URL", f"sqlite:///{fleet / 'db' / 'control.db'}")
    monkeypatch.setenv("LAKEHOUSE_KEY_FILE", str(fleet / "kek.key"))
    for number in range(3):
        (fleet / f"{number}.csv").write_text(f"trip_id,kilometres\n{number}1,10\n{number}2,far\n{number}3,7\n")
    return fleet


@pytest.fixture
def drivers(place):
    """The same with trips that belong to drivers."""
    path = place / "policies/domains/fleet/contract.odcs.yaml"
    text = path.read_text().replace("tier: staged,", "tier: staged, entity: {type: driver, key: driver},")
    column = "{id: driver, name: driver, logicalType: string, customProperties: [{property: lakehouse, value: {category: user.unique_id}}]}"
    path.write_text(text.rstrip("\n") + f"\n      - {column}\n")
    for number in range(3):
        lines = [f"{number}{row},1{row},d{number + row}" for row in range(3)]
        (place / f"{number}.csv").write_text("\n".join(["trip_id,kilometres,driver", *lines]) + "\n")
    return place


def document(ran):
    return json.loads(ran.out)


def landing(lakehouse):
    ran = lakehouse("status", "--json")
    assert ran.code == 0
    return next(each for each in document(ran)["landings"] if each["table"] == "staged.fleet.trip")


def test_nothing_to_recover(lakehouse, place):
    lakehouse("ingest", "trip", "0.csv")
    ran = lakehouse("recover", "--yes", "--json")
    assert (ran.code, document(ran)["older"], document(ran)["done"]) == (0, None, False)
    assert "nothing to recover" in lakehouse("recover").out


def test_an_older_database(lakehouse, place):
    lakehouse("ingest", "trip", "0.csv")
    shutil.copytree(place / "db", place / "backup")
    assert lakehouse("ingest", "trip", "1.csv").code == 0
    shutil.rmtree(place / "db")
    shutil.copytree(place / "backup", place / "db")
    for command in ("status", "ingest trip 2.csv", "rebuild trip --yes", "plan", "quarantine list trip"):
        ran = lakehouse(*command.split())
        assert ran.code == 3, command
        assert "control database is older" in ran.err
    plan = lakehouse("recover")
    assert (plan.code, "--yes" in plan.out, "Files to be delivered again" in plan.out) == (0, True, True)
    assert lakehouse("status").code == 3  # the plan changed nothing
    ran = lakehouse("recover", "--yes", "--json")
    assert ran.code == 0
    told = document(ran)
    assert told["batches"] == [{"table": "staged.fleet.trip", "batch": 2, "rows": 3}]
    assert told["done"]
    found = landing(lakehouse)
    assert (found["balanced"], found["lost_batches"], found["rows"]["read"]) == (True, 1, 6)
    assert "1 batch lost with a restored database: deliver their files again" in lakehouse("status").out
    assert lakehouse("ingest", "trip", "1.csv", "2.csv").code == 0
    found = landing(lakehouse)
    assert (found["balanced"], found["rows"]["staged"]) == (True, 6)
    assert lakehouse("rebuild", "trip", "--drop-lost", "--yes").code == 0
    found = landing(lakehouse)
    assert (found["balanced"], found["rows"]["staged"], found["rows"]["lost"]) == (True, 6, 3)


def test_an_older_lake(lakehouse, place):
    lakehouse("ingest", "trip", "0.csv")
    shutil.copytree(place / ".lake", place / "backup")
    assert lakehouse("ingest", "trip", "1.csv").code == 0
    shutil.rmtree(place / ".lake")
    shutil.copytree(place / "backup", place / ".lake")
    assert "the lake is older" in lakehouse("status").err
    assert "Files to be delivered again" in lakehouse("recover", "--yes").out
    found = landing(lakehouse)
    assert (found["balanced"], found["rows"]["read"], found["rows"]["staged"]) == (True, 3, 2)
    assert lakehouse("ingest", "trip", "0.csv", "1.csv").code == 0
    found = landing(lakehouse)
    assert (found["balanced"], found["rows"]["read"], found["rows"]["staged"]) == (True, 6, 4)


def test_rows_whose_keys_were_made_after_the_backup_are_listed(lakehouse, drivers):
    assert lakehouse("ingest", "trip", "0.csv").code == 0
    shutil.copytree(drivers / "db", drivers / "backup")
    assert lakehouse("ingest", "trip", "1.csv").code == 0
    shutil.rmtree(drivers / "db")
    shutil.copytree(drivers / "backup", drivers / "db")
    ran = lakehouse("recover", "--yes", "--json")
    assert ran.code == 0, ran.err
    # of d1, d2 and d3 only the last one's key was made after the backup
    assert document(ran)["keyless"] == [{"table": "staged.fleet.trip", "batch": 2, "rows": 1}]
    assert lakehouse("ingest", "trip", "1.csv").code == 0
    assert lakehouse("rebuild", "trip", "--drop-lost", "--yes").code == 0
    found = landing(lakehouse)
    assert (found["balanced"], found["rows"]["staged"], found["rows"]["lost"]) == (True, 6, 3)


def test_rows_of_the_erased_that_an_older_lake_brings_back_are_removed(lakehouse, drivers):
    import polars as pl

    from lakehouse import storage
    from lakehouse.model import TableId, Tier
    from lakehouse.privacy import vault
    from lakehouse.privacy.erasures import Erasure, record
    from lakehouse.settings import load_settings

    assert lakehouse("ingest", "trip", "0.csv", "1.csv").code == 0
    shutil.copytree(drivers / ".lake", drivers / "backup")
    lake = storage.open_lake(load_settings())
    who = storage.scan(lake, TableId(Tier.STAGED, "fleet", "trip")).filter(pl.col("driver") == "d1")
    surrogate = who.select("_entity").unique().collect()["_entity"]
    mark = vault.marks(lake, surrogate).to_list()
    record(lake, [Erasure("driver", b"\1" * 32, tuple(mark), None, 5)])
    shutil.rmtree(drivers / ".lake")
    shutil.copytree(drivers / "backup", drivers / ".lake")
    assert "the lake is older" in lakehouse("status").err
    ran = lakehouse("recover", "--yes", "--json")
    assert (ran.code, document(ran)["erased"]) == (0, [])
    lake = storage.open_lake(load_settings())
    left = storage.scan(lake, TableId(Tier.STAGED, "fleet", "trip")).collect()
    assert (left.height, "d1" in left["driver"].to_list()) == (4, False)
    assert storage.balance(lake, TableId(Tier.STAGED, "fleet", "trip")).unbalanced == ()
