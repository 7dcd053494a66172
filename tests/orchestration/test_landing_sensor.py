"""Landed files become runs once: complete files only, no file name outside the landing folder."""

from __future__ import annotations

import dagster as dg
import pytest

from lakehouse import storage
from lakehouse.model import TableId, Tier
from lakehouse.orchestration.build import build_definitions
from lakehouse.orchestration.requests import ATTEMPTS
from lakehouse.orchestration.runs import materialize
from lakehouse.settings import load_settings

SALE = TableId(Tier.STAGED, "shop", "sale")


class Sensor:
    """Ticks the landing sensor on an in-memory instance, cursor kept."""

    def __init__(self, settings):
        self.settings = settings
        self.instance = dg.DagsterInstance.ephemeral()
        self.cursor = None

    def tick(self) -> list[dg.RunRequest]:
        definitions = build_definitions(self.settings)
        (sensor,) = [each for each in definitions.sensors if each.name == "landed_files"]
        resources = dict(definitions.resources)
        with dg.build_sensor_context(self.instance, cursor=self.cursor, resources=resources) as context:
            found = sensor.evaluate_tick(context)
        self.cursor = found.cursor or self.cursor
        return list(found.run_requests or [])

    def add_run(self, request: dg.RunRequest, status: dg.DagsterRunStatus) -> None:
        self.instance.add_run(dg.DagsterRun(job_name="__ASSET_JOB", tags=dict(request.tags), status=status))


@pytest.fixture
def sensor(shop) -> Sensor:
    return Sensor(shop.settings)


def sale(shop, name="1.csv", *, age=60):
    return shop.drop("sale", name, "number,article,pieces", "1,a,5", "2,b,6", age=age)


def test_complete_file_asks_for_raw_and_staged_of_its_table(shop, sensor):
    sale(shop)
    (request,) = sensor.tick()
    assert {key.to_user_string() for key in request.asset_selection} == {"raw/shop/sale", "staged/shop/sale"}


def test_no_file_name_leaves_the_landing_folder(shop, sensor):
    sale(shop, "Jane-Doe.csv")
    (request,) = sensor.tick()
    assert "Jane" not in f"{request} {sensor.cursor}"
    assert "Jane" not in str(storage.get_request(shop.lake, request.run_key))


def test_same_files_are_asked_for_once(shop, sensor):
    sale(shop)
    assert len(sensor.tick()) == 1
    assert sensor.tick() == []


def test_another_file_is_another_request(shop, sensor):
    sale(shop)
    (first,) = sensor.tick()
    sale(shop, "2.csv")
    (second,) = sensor.tick()
    assert first.run_key != second.run_key


@pytest.mark.parametrize("name", ["1.csv.part", "1.csv.tmp", ".1.csv"])
def test_incomplete_files_wait(shop, sensor, name):
    sale(shop, name)
    assert sensor.tick() == []


def test_file_that_still_settles_waits(shop, sensor):
    sale(shop, age=0)
    assert sensor.tick() == []


def test_table_with_an_unfinished_run_waits(shop, sensor):
    sale(shop)
    (request,) = sensor.tick()
    sensor.add_run(request, dg.DagsterRunStatus.STARTED)
    sale(shop, "2.csv")
    assert sensor.tick() == []


def test_failed_run_is_asked_for_a_few_times_again(shop, sensor):
    sale(shop)
    asked = 0
    while requests := sensor.tick():
        asked += 1
        sensor.add_run(requests[0], dg.DagsterRunStatus.FAILURE)
    assert asked == ATTEMPTS


def test_request_is_what_the_run_takes(shop, sensor):
    shop.drop("article", "a.csv", "code", "a", "b")
    sale(shop)
    requests = {request.tags["lakehouse/table"]: request for request in sensor.tick()}
    materialize(shop.settings, [SALE.at(Tier.RAW), TableId(Tier.STAGED, "shop", "article")])
    left = sale(shop, "2.csv")
    report = materialize(shop.settings, [SALE], request=requests[str(SALE)].run_key)
    assert report.success, report.problems
    assert left.exists()


def test_without_a_lake_the_sensor_waits(tmp_path, shop):
    settings = load_settings(shop.settings.project, lake=str(tmp_path / "elsewhere"))
    assert Sensor(settings).tick() == []
