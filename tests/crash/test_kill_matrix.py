"""`kill -9` at every write of every kind of work on a lake: before its first passing, after its last; then the same work again.

What lies between the two is met at random in `bench/kills.py`.
"""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from lakehouse import storage
from lakehouse.storage import faults, migrations
from tests.crash import aftermath, scenarios
from tests.crash.forked import COUNTS, Forkers, in_memory
from tests.crash.scenarios import ELSEWHERE, SCENARIOS

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Stage:
    """A scenario before its act: the lake, how often each point is passed, and what an undisturbed act gives."""

    before: Path
    passed: dict[str, int]
    wanted: aftermath.Picture

    def kills(self, write: str) -> list[str]:
        """Before a write is passed for the first time, and after it was for the last."""
        return [f"{write}.before:1", f"{write}.after:{self.passed[f'{write}.after']}"]


@pytest.fixture(scope="module")
def forkers():
    both = Forkers()
    yield both
    both.close()


@pytest.fixture
def folder():
    with in_memory() as place:
        yield place


@pytest.fixture(scope="module")
def stage(forkers):
    """Each scenario's stage, made when it is first asked for."""
    made: dict[str, Stage] = {}

    def of(name: str) -> Stage:
        if name not in made:
            (place / name).mkdir()
            made[name] = _stage(forkers, name, place / name)
        return made[name]

    with in_memory() as place:
        yield of


def _stage(forkers: Forkers, name: str, folder: Path) -> Stage:
    scenario = SCENARIOS[name]
    (folder / "before").mkdir()
    if scenario.prepare is not None:
        ended = forkers.run(name, "prepare", folder / "before/lake", LAKEHOUSE_FAULT=scenario.dying_at)
        assert ended.code == (-signal.SIGKILL if scenario.dying_at else 0), ended.told
    shutil.copytree(folder / "before", folder / "after")
    ended = forkers.run(name, "act", folder / "after/lake", **{COUNTS: str(folder / "counts")})
    assert ended.code == 0, ended.told
    passed = json.loads((folder / "counts").read_text())
    return Stage(folder / "before", passed, looked_at(name, folder / "after/lake"))


def looked_at(name: str, place: Path) -> aftermath.Picture:
    """What the lake says, once it is known to be clean."""
    scenario = SCENARIOS[name]
    lake = storage.open_lake(scenarios.settings_of(place))
    try:
        aftermath.require_clean(lake, scenario.table, waiting=scenario.waiting, beside=scenario.beside)
        return aftermath.picture(lake, scenario.table)
    finally:
        lake.control.dispose()


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_scenario_passes_just_the_writes_that_it_is_killed_at(stage, name):
    assert {point.rpartition(".")[0] for point in stage(name).passed} == set(SCENARIOS[name].writes)


def test_every_write_is_killed_somewhere():
    killed = {write for scenario in SCENARIOS.values() for write in scenario.writes}
    assert killed | set(ELSEWHERE) == set(faults.WRITES)
    assert not killed & set(ELSEWHERE)


@pytest.mark.parametrize(("name", "write"), [(n, write) for n, s in SCENARIOS.items() for write in s.writes])
def test_killed_and_run_again_it_is_as_if_nobody_had(forkers, stage, folder, name, write):
    staged = stage(name)

    def kill(point: str) -> str:
        place = folder / point.replace(":", "-") / "lake"
        shutil.copytree(staged.before, place.parent)
        killed = forkers.run(name, "act", place, LAKEHOUSE_FAULT=point)
        if killed.code != -signal.SIGKILL:
            return f"`{point}` ended with {killed.code}: {killed.told}"
        again = forkers.run(name, "act", place)
        if again.code != 0:
            return f"after `{point}` the next run failed: {again.told}"
        try:
            aftermath.require_same(looked_at(name, place), staged.wanted)
        except AssertionError as error:
            return f"after `{point}`: {error}"
        shutil.rmtree(place.parent)
        return ""

    with ThreadPoolExecutor(2) as pool:
        odd = [told for told in pool.map(kill, staged.kills(write)) if told]
    assert odd == []


@pytest.mark.parametrize("variables", [{"LAKEHOUSE_FAULT": "lake.control.before"}, {"TEST_MIGRATION": "killed"}])
def test_a_migration_of_the_control_database_is_done_or_not_begun(forkers, tmp_path, variables):
    place, other = tmp_path / "lake", tmp_path / "killed" / "lake"
    assert forkers.run("gateway", "act", place).code == 0
    wanted = looked_at("gateway", place)
    shutil.copytree(place, other)
    assert forkers.run("migrate", "act", other, **variables).code == -signal.SIGKILL
    before = storage.open_lake(scenarios.settings_of(other))  # by the program that does not know the revision
    aftermath.require_same(aftermath.picture(before, SCENARIOS["gateway"].table), wanted)
    before.control.dispose()
    for _ in range(2):
        ended = forkers.run("migrate", "act", other)
        assert ended.code == 0, ended.told
    with closing(sqlite3.connect(other / "control/control.db")) as database:
        assert [row[1] for row in database.execute("pragma table_info(trial)")] == ["id", "more"]
        assert database.execute("select version_num from alembic_version").fetchall() == [("9998",)]
        database.execute("update alembic_version set version_num = ?", (migrations.HEAD,))
        database.commit()
    aftermath.require_same(looked_at("gateway", other), wanted)


def test_killed_right_after_a_migration_it_is_done(forkers, tmp_path):
    place = tmp_path / "lake"
    assert forkers.run("gateway", "act", place).code == 0
    assert forkers.run("migrate", "act", place, LAKEHOUSE_FAULT="lake.control.after").code == -signal.SIGKILL
    with closing(sqlite3.connect(place / "control/control.db")) as database:
        assert database.execute("select version_num from alembic_version").fetchall() == [("9998",)]
