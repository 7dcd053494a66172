"""Landed consent becomes a run that takes it; consent by command becomes one that lets copies follow."""

from __future__ import annotations

import os
import traceback

import dagster as dg
import pytest

from lakehouse.contract.load import load_project
from lakehouse.errors import StorageError
from lakehouse.ingest.consent_files import HEADER
from lakehouse.model import TableId, Tier
from lakehouse.orchestration import consent as graph
from lakehouse.orchestration import consenting
from lakehouse.orchestration.build import build_definitions
from lakehouse.orchestration.runs import materialize, open_instance
from lakehouse.orchestration.serving import purpose_key
from lakehouse.privacy import consent
from lakehouse.serving import connect
from tests.orchestration.policies_of_a_shop import PLATFORM, write_policies

ANNA, BERT, CLEO = "70001", "70002", "70003"
CONTRACT = """\
apiVersion: v3.1.0
kind: DataContract
id: 33333333-3333-4333-8333-333333333333
version: 1.0.0
status: active
domain: shop
schema:
  - id: trip
    name: trip
    customProperties:
      - property: lakehouse
        value: {tier: staged, layout: none, sources: [{name: box, pattern: "*.csv"}], entity: {type: driver, key: driver, canonical: [trim, integer]}}
    properties:
      - {id: trip_id, name: trip_id, logicalType: integer, primaryKey: true, primaryKeyPosition: 1, customProperties: [{property: lakehouse, value: {category: system.operations}}]}
      - {id: driver, name: driver, logicalType: string, customProperties: [{property: lakehouse, value: {category: user.unique_id, canonical: integer, pseudonym_domain: shop.driver}}]}
"""
PURPOSES = """\
version: 1
purposes:
  coaching: {description: better driving, groups: [buyers], legal_basis: consent, consent: {of: driver}}
  copying: {description: the same, groups: [buyers], legal_basis: consent, consent: {of: driver}, isolation: copy}
"""
ACCESS = """\
version: 1
grants:
  - {id: coach, groups: [buyers], purpose: coaching, tables: [staged.shop.trip], columns: {system: clear}, why: they coach}
  - {id: copy, groups: [buyers], purpose: copying, tables: [staged.shop.trip], columns: {system: clear}, why: they coach}
"""
TRIP = TableId(Tier.STAGED, "shop", "trip")


@pytest.fixture
def trips(shop):
    policies = shop.settings.project / "policies"
    write_policies(shop.settings.project, access=ACCESS)
    (policies / "domains/shop/contract.odcs.yaml").write_text(CONTRACT)
    (policies / "purposes.yaml").write_text(PURPOSES)
    platform = PLATFORM.partition("ceilings:")[0].replace("{system:", "{user: confidential, system:")
    (policies / "platform.yaml").write_text(platform + "identifying: [user.unique_id]\n")
    shop.drop("trip", "1.csv", "trip_id,driver", f"1,{ANNA}", f"2,{BERT}", f"3,{CLEO}")
    assert materialize(shop.settings, [TRIP]).success
    return shop


def land(shop, *lines: str, name: str = f"of-{ANNA}.csv"):
    folder = shop.lake.landing_root / "consent"
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / name
    file.write_text("".join(f"{line}\n" for line in (",".join(HEADER), *lines)))
    then = file.stat().st_mtime - 60
    os.utime(file, (then, then))
    return file


def given(who: str) -> str:
    return f"driver,{who},coaching,given,,app,"


def record(shop, who: str, said: str, purpose: str = "coaching") -> None:
    """As the command does."""
    statement = consent.Statement("driver", who, purpose, said, "phone")
    asks = {"coaching": "driver", "copying": "driver"}
    assert consent.record(shop.lake, load_project(shop.settings.project), [statement], asks=asks) == 1


def seen(shop, purpose: str) -> list[int]:
    with connect("bea", purpose, lake=shop.settings.lake, project=shop.settings.project) as connection:
        return [trip for (trip,) in connection.pl("select trip_id from shop_trip order by 1").rows()]


class Graph:
    """The sensor and runs, on one instance."""

    def __init__(self, shop, instance):
        self.shop = shop
        self.instance = instance

    def tick(self) -> dg.RunRequest | None:
        definitions = build_definitions(self.shop.settings)
        (sensor,) = [each for each in definitions.sensors if each.name == graph.SENSOR]
        with dg.build_sensor_context(self.instance, resources=dict(definitions.resources)) as context:
            found = sensor.evaluate_tick(context)
        return next(iter(found.run_requests or ()), None)

    def run(self, *keys: dg.AssetKey) -> dg.ExecuteInProcessResult:
        job = build_definitions(self.shop.settings).resolve_implicit_global_asset_job_def()
        return job.execute_in_process(instance=self.instance, asset_selection=list(keys or [graph.KEY]))


@pytest.fixture
def dagster(trips):
    with open_instance(trips.settings) as instance:
        yield Graph(trips, instance)


def told(result: dg.ExecuteInProcessResult) -> tuple[dict[str, object], dg.AssetCheckEvaluation]:
    (event,) = result.asset_materializations_for_node("take_consent")
    (check,) = result.get_asset_check_evaluations()
    return {name: entry.value for name, entry in event.metadata.items()}, check


def test_it_is_run_once_though_nobody_has_said_anything_so_that_purposes_below_it_can_run(trips, dagster):
    assert dagster.tick() is not None
    dagster.run()
    assert dagster.tick() is None


def test_a_landed_file_is_asked_for_once_and_taken(trips, dagster):
    file = land(trips, given(ANNA), given(BERT))
    request = dagster.tick()
    assert request.asset_selection == [graph.KEY]
    assert dagster.tick().run_key == request.run_key
    metadata, check = told(dagster.run())
    assert (metadata["files"], metadata["statements"]) == (1, 2)
    assert check.passed
    assert not file.exists()
    assert seen(trips, "coaching") == [1, 2]
    assert dagster.tick() is None


def test_bad_lines_stay_in_the_folder_and_are_told_by_their_reasons(trips, dagster):
    land(trips, given(ANNA), "driver,70002,coaching,perhaps,,app,", "driver,x-y,coaching,given,,app,")
    metadata, check = told(dagster.run())
    assert metadata["statements"] == 1
    assert not check.passed
    assert check.severity == dg.AssetCheckSeverity.WARN
    assert check.metadata["bad_lines"].value == 2
    (kept,) = (trips.lake.landing_root / "consent").iterdir()
    assert kept.suffix == ".bad"
    assert not told(dagster.run())[1].passed  # as long as they wait
    assert dagster.tick() is None
    mended = kept.read_text().replace("perhaps", "given").replace("x-y", CLEO)
    kept.unlink()
    land(trips, *mended.splitlines()[1:], name="mended.csv")
    assert told(dagster.run())[1].passed
    assert seen(trips, "coaching") == [1, 2, 3]


def test_neither_an_id_nor_a_name_of_a_file_is_kept_by_dagster(trips, dagster):
    land(trips, given(ANNA), "driver,x-y,coaching,given,,app,")
    request = dagster.tick()
    result = dagster.run()
    said = f"{request} {[str(event) for event in result.all_events]}"
    assert not [each for each in (ANNA, "x-y", "of-7") if each in said]


def test_consent_by_command_lets_copies_follow(trips, dagster):
    record(trips, ANNA, "given", "copying")
    assert dagster.tick() is not None
    dagster.run(graph.KEY, purpose_key("copying"))
    assert seen(trips, "copying") == [1]
    assert dagster.tick() is None
    record(trips, BERT, "given", "copying")
    record(trips, ANNA, "withdrawn", "copying")
    assert seen(trips, "copying") == []  # a withdrawal is seen at once, somebody new with the next copy
    assert dagster.tick() is not None
    dagster.run(graph.KEY, purpose_key("copying"))
    assert seen(trips, "copying") == [2]


def test_purposes_that_ask_stand_below_it_and_copies_are_made_when_it_changed(trips, dagster):
    specs = {spec.key: spec for spec in build_definitions(trips.settings).resolve_all_asset_specs()}
    for purpose in ("coaching", "copying"):
        assert graph.KEY in {dep.asset_key for dep in specs[purpose_key(purpose)].deps}
    dagster.run(graph.KEY, purpose_key("copying"), purpose_key("coaching"))
    asked = dg.AssetSelection.assets(purpose_key("copying"))

    def tick(cursor=None):
        definitions = build_definitions(trips.settings)
        return dg.evaluate_automation_conditions(definitions, dagster.instance, asset_selection=asked, cursor=cursor)

    quiet = tick(tick().cursor)
    assert quiet.total_requested == 0
    record(trips, ANNA, "given", "copying")
    dagster.run()
    assert tick(quiet.cursor).total_requested == 1


def test_a_run_that_died_is_asked_for_again_a_few_times(trips, dagster):
    """Dagster runs a key once: files must not wait for ever because of a full disk."""
    land(trips, given(ANNA))
    asked: list[str] = []
    while (request := dagster.tick()) is not None:
        asked.append(request.run_key)
        run = dagster.instance.create_run_for_job(
            build_definitions(trips.settings).resolve_implicit_global_asset_job_def(), tags=request.tags
        )
        assert dagster.tick() is None  # it is at it
        dagster.instance.report_run_failed(run)
    assert len(set(asked)) == len(asked) == 3
    land(trips, given(ANNA), given(BERT), name="another.csv")
    assert dagster.tick() is not None


def test_a_file_that_somebody_else_takes_is_no_failure(trips, dagster, monkeypatch):
    dagster.run()
    file = land(trips, given(ANNA))
    hashes = consenting.landing.name_hashes

    def gone(*told):
        file.unlink()
        return hashes(*told)

    monkeypatch.setattr(consenting.landing, "name_hashes", gone)
    assert dagster.tick() is None


def test_a_tick_that_fails_names_no_file(trips, dagster, monkeypatch):
    def fails(lake, now):
        raise PermissionError(13, "Permission denied", f"/landing/consent/of-{ANNA}.csv")

    monkeypatch.setattr(consenting.consent_files, "waiting", fails)
    with pytest.raises(StorageError) as told:
        dagster.tick()
    assert ANNA not in "".join(traceback.format_exception(told.value))
