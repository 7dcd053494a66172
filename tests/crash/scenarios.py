"""What the crash matrix disturbs: one scenario for each kind of work on a lake, small enough to be killed some hundred times.

`prepare` makes what stands before, `act` is what is killed and then run again. A scenario lists the writes that its act
passes, and the matrix holds it to that, so a new write is killed from the day it is there.
"""

from __future__ import annotations

import importlib
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from lakehouse import storage
from lakehouse.contract.model import EntityKey, Table
from lakehouse.ingest import gateway, ingest, landing, merged, migration, quarantine, reseal
from lakehouse.privacy import rotation, vault
from lakehouse.settings import Settings, load_settings
from lakehouse.storage import merging, migrations
from tests.crash import mode_worker as modes
from tests.crash import rebuild_worker as sales
from tests.integration import rebuild_domain as shop

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[2]
OLD, LOOSE, NEW, NOW = sales.OLD, sales.LOOSE, sales.NEW, sales.NOW
#: Two files of 40 and 30 rows, ten of them the same, with rows that fail a check and one that is torn.
FILES = sales.FILES
#: `05` and `5` are one person by the one spelling and two by the other.
PEOPLE = ("p.csv", shop.HEADER + "1,05,2011-01-01,1,x\n2,5,2011-01-02,2,y\n3,6,2011-02-01,3,z\n")
RESPELT = replace(OLD, entity=EntityKey("person", "person", canonical=("trim",), optional=True))
SHOWN = replace(OLD, columns=tuple(replace(c, raw_clear="a test" if c.name == "note" else None) for c in OLD.columns))
CHANGES = modes.table_of("changes", "history")

LEASE = ("lease.take", "lease.release")
COMMIT = ("file.put", "commit.intent", "commit.delta", "commit.done")
RAW = ("file.protect", "chain.flush")  # of a commit to raw
GENERATION = ("lake.marker", "lake.ready", "file.replace")


@dataclass(frozen=True)
class Scenario:
    """One kind of work; `table` is the contract that the rows are looked at by afterwards."""

    act: Callable[[Settings], None]
    writes: tuple[str, ...]
    table: Table = OLD
    prepare: Callable[[Settings], None] | None = None
    dying_at: str = ""  # where the preparation is killed
    beside: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()


def deliver(lake: storage.Lake, table: Table, *files: tuple[str, str]) -> list[Path]:
    """Put files where sources would have them, and into the landing folder."""
    place = Path(lake.root).with_name(f"{Path(lake.root).name}-delivered")
    place.mkdir(exist_ok=True)
    for name, content in files:
        (place / name).write_text(content, encoding="utf-8")
    return [landing.deliver(lake, table, place / name) for name, _ in files]


def take(settings: Settings, table: Table = OLD, files: tuple[tuple[str, str], ...] = FILES) -> None:
    lake = storage.create_lake(settings)
    try:
        ingest(lake, shop.project_of(table), table, deliver(lake, table, *files), now=NOW)
        storage.flush_outbox(lake)
    finally:
        lake.control.dispose()


def sold(number: int) -> tuple[str, str]:
    """The n-th file of a long row: half of its rows came with the one before, one is bad."""
    first = 1000 + 30 * number
    lines = [f"{n},{n % 7},2011-{1 + n % 4:02d}-01,{n % 60},{'x' * (n % 4)}\n" for n in range(first - 30, first + 30)]
    return f"{number:03d}.csv", shop.HEADER + "".join(lines) + "bad,1,2011-01-01,1,x\n"


def take_many(settings: Settings) -> None:
    """The first so many files, as `bench/kills.py` says."""
    take(settings, files=tuple(sold(number) for number in range(int(os.environ[MANY]))))


def rebuild_old(settings: Settings) -> None:
    lake = storage.open_lake(settings)
    migration.rebuild(lake, shop.project_of(OLD), OLD)


def resume(settings: Settings) -> None:
    lake = storage.open_lake(settings)
    gateway.resume(lake, shop.project_of(OLD), OLD)
    storage.flush_outbox(lake)


def take_unmerged(settings: Settings) -> None:
    merging.TAIL_SHARE, merging.TAIL_FILES = 9.0, 1_000
    for file in (*FILES, ("c.csv", FILES[0][1].replace("bad", "worse"))):
        take(settings, files=(file,))


def merge(settings: Settings) -> None:
    merging.TAIL_FILES = 2
    lake = storage.open_lake(settings)
    storage.merge_tail(lake, OLD)
    storage.merge(lake, quarantine.place(OLD.id), quarantine.PLACEMENT)
    for place in (OLD.id, quarantine.place(OLD.id)):  # a merge that died after its commit is due no more
        storage.recover_if_dirty(lake, place)


def rebuild(settings: Settings) -> None:
    migration.rebuild(storage.open_lake(settings), shop.project_of(LOOSE), LOOSE)


def rebuild_months(settings: Settings) -> None:
    lake = storage.open_lake(settings)
    migration.rebuild(lake, shop.project_of(OLD), OLD, months=["2011-02"])


def apply(settings: Settings) -> None:
    sales.apply(storage.open_lake(settings))


def respell(settings: Settings) -> None:
    lake, project = storage.open_lake(settings), shop.project_of(RESPELT)
    migration.rename(lake, project)
    for step in migration.plan(lake, project):
        migration.apply(lake, project, step)


def rotate(settings: Settings) -> None:
    rotation.PORTION = 3
    lake = replace(storage.open_lake(settings), backup_days=0)
    vault.batch_key(lake, 99, table=OLD.id, destroy_after=NOW)
    rotation.rotate(lake)
    rotation.destroy_due(lake)
    vault.destroy_due(lake, NOW)


def seal_anew(settings: Settings) -> None:
    reseal.reseal(storage.open_lake(settings), shop.project_of(OLD), OLD)


def merge_people(settings: Settings) -> None:
    lake, project = storage.open_lake(settings), shop.project_of(OLD)
    merged.apply(lake, project, merged.plan(lake, project, "person", ("1", "2")))


def changes(settings: Settings, word: str = "now") -> None:
    lake = storage.create_lake(settings)
    modes.models.take(lake, CHANGES, modes.deliveries("changes", word), copy=word)


def migrate(settings: Settings) -> None:
    """To a revision that this program does not have yet, see `revisions`."""
    from alembic.script import ScriptDirectory

    known = Path(migrations.__file__).parent
    places = [str(known / "versions"), str(Path(__file__).with_name("revisions"))]
    migrations.HEAD = "9998"
    migrations.scripts = lambda: ScriptDirectory(str(known), version_locations=places)
    storage.migrate_lake(settings)


SCENARIOS = {
    "gateway": Scenario(
        take,
        (
            *("lake.control", *GENERATION, "manifest.reserve", "entity.add", "key.make", "epoch.open"),
            *(*LEASE, *COMMIT, *RAW),
        ),
    ),
    "gate": Scenario(
        resume,
        (*LEASE, *COMMIT, "chain.flush", "file.delete"),
        prepare=take,
        dying_at="commit.done.after",
        waiting=tuple(name for name, _ in FILES),  # they leave with the next ingest
    ),
    "changes": Scenario(
        changes,
        ("lake.control", "lake.ready", "manifest.reserve", "key.make", *LEASE, *COMMIT, *RAW, "file.delete"),
        table=CHANGES,
        prepare=lambda settings: changes(settings, "before"),
        beside=("delivered",),
    ),
    "compaction": Scenario(merge, (*LEASE, *COMMIT), prepare=take_unmerged),
    "rebuild": Scenario(rebuild, (*LEASE, *COMMIT), table=LOOSE, prepare=take),
    "rebuild-months": Scenario(rebuild_months, (*LEASE, *COMMIT, "file.delete"), prepare=take),
    "migration": Scenario(apply, (*LEASE, *COMMIT, "lease.renew", "applied.put"), table=NEW, prepare=take),
    "respelling": Scenario(
        respell,
        (*LEASE, *COMMIT, "entity.add", "entity.reformed"),
        table=RESPELT,
        prepare=lambda settings: take(settings, files=(PEOPLE,)),
    ),
    "rotation": Scenario(
        rotate,
        (
            *("key.make", "key.destroy", "epoch.open", "epoch.rewrap", "epoch.schedule", "epoch.destroy"),
            *("lake.generation", *GENERATION),
        ),
        prepare=take,
    ),
    "reseal": Scenario(
        seal_anew, (*LEASE, *COMMIT, *RAW, "file.delete"), prepare=lambda settings: take(settings, SHOWN)
    ),
    "entity-merge": Scenario(merge_people, (*LEASE, *COMMIT, "entity.merge"), prepare=take),
}
#: Writes that no scenario passes, and the test that kills there.
ELSEWHERE = {
    "manifest.update": "test_storage_crash",
    "verdict.record": "test_storage_crash",
    "request.put": "test_storage_crash",
    "recover.settle": "test_storage_crash",
    "recover.give_up": "test_stores",  # only a store keeps what is to be deleted
    "file.put_back": "test_stores",  # only a store has older versions
    "lake.recover": "test_recover_crash",
    "erasure.record": "test_recover_crash",
    "erasure.replay": "test_recover_crash",
}


#: What `bench/kills.py` kills: steps on one lake, none of which changes what its tables say in the end.
MANY = "TEST_MANY"
STEPS = {"ingest": take_many, "gate": resume, "merge": merge, "rebuild": rebuild_old, "rotate": rotate}


def settings_of(place: str | Path) -> Settings:
    return load_settings(ROOT, lake=str(place))


def run(name: str, step: str, place: str) -> None:
    """One step of a scenario, in whatever process calls it."""
    if name == "migrate":
        migrate(settings_of(place))
        return
    if name == "bench":
        STEPS[step](settings_of(place))
        return
    scenario = SCENARIOS[name]
    work = scenario.act if step == "act" else scenario.prepare
    assert work is not None
    work(settings_of(place))


def warm() -> None:
    """Import what is imported late, so that no child has to."""
    for name in storage.__all__:
        getattr(storage, name)
    for module in ("alembic.operations", "alembic.runtime.migration", "alembic.script", "psycopg"):
        importlib.import_module(module)
