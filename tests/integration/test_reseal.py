"""`raw reseal`: a column that was wrongly kept clear is sealed, the old files are gone, and nothing else changes."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from lakehouse import storage
from lakehouse.errors import RefusedError
from lakehouse.ingest import ingest, landing, opener, reseal
from lakehouse.ingest.rebuild import rebuild
from lakehouse.model import Tier
from lakehouse.storage import worm
from tests.integration.restored_lake import EVERYWHERE
from tests.stores import bytes_below

_spec = importlib.util.spec_from_file_location(
    "ingest_domain", Path(__file__).parents[1] / "unit" / "ingest" / "ingest_domain.py"
)
domain = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(domain)
HEADER = domain.HEADER
RAW_NOTE = "a note says what was bought"


pytestmark = pytest.mark.parametrize(("any_place", "control"), EVERYWHERE, indirect=["any_place"])


@pytest.fixture
def control():
    """Parametrised by each test."""


@pytest.fixture
def lake(site, control, request, project_root):
    """On SQLite and on PostgreSQL, in a store too; without a lock, which keeps what a reseal is to delete."""
    url = None if control == "sqlite" else request.getfixturevalue("postgres_url")
    lake = storage.create_lake(site.with_raw.settings(project_root, control_url=url))
    yield lake
    lake.control.dispose()


def clear(table, *names: str):
    columns = tuple(replace(c, raw_clear=RAW_NOTE if c.name in names else None) for c in table.columns)
    return replace(table, columns=columns)


def take(lake, table, clock, name: str, content: str):
    place = landing.folder(lake, table)
    place.mkdir(parents=True, exist_ok=True)
    (place / name).write_text(content)
    return ingest(lake, domain.project_of(table), table, [place / name], now=clock)


def bytes_of_raw(lake, table) -> bytes:
    return bytes_below(lake.uri(table.id.at(Tier.RAW)))


@pytest.fixture
def wrong(lake, clock):
    """A table with a column that shows itself in raw, and the contract that mends it."""
    table = clear(domain.order_table(), "note")
    take(lake, table, clock, "a.csv", HEADER + "1,5,1,MARKER-ONE\n2,6,1,MARKER-TWO\nbroken,\n")
    return table, clear(table)


def test_the_values_are_gone_and_the_rows_are_the_same(lake, clock, wrong):
    table, mended = wrong
    project = domain.project_of(mended)
    before = storage.scan(lake, table.id).collect().sort("_row")
    shown = pl.concat(opener.opened(lake, mended)).sort("_row")
    assert b"MARKER-ONE" in bytes_of_raw(lake, table)
    assert reseal.plan(lake, project, mended) == reseal.Resealing(("note",), 3, 1)
    told: list[tuple[int, int]] = []
    reseal.reseal(lake, project, mended, progress=lambda done, total: told.append((done, total)))
    assert told == [(3, 3)]
    assert b"MARKER" not in bytes_of_raw(lake, table)
    assert storage.scan(lake, table.id.at(Tier.RAW)).collect()["note"].null_count() == 3
    assert pl.concat(opener.opened(lake, mended)).sort("_row").equals(shown)
    rebuild(lake, project, mended)
    assert storage.scan(lake, table.id).collect().sort("_row").equals(before)
    assert storage.balance(lake, table.id).unbalanced == ()
    assert worm.verify(lake).findings == ()


def test_run_again_it_finds_nothing_to_do(lake, wrong):
    _, mended = wrong
    project = domain.project_of(mended)
    reseal.reseal(lake, project, mended)
    version = storage.snapshot(lake, mended.id.at(Tier.RAW)).version
    assert reseal.reseal(lake, project, mended).columns == ()
    assert storage.snapshot(lake, mended.id.at(Tier.RAW)).version == version


def test_later_files_and_ordinary_refusals_are_as_before(lake, clock, wrong):
    table, mended = wrong
    reseal.reseal(lake, domain.project_of(mended), mended)
    report = take(lake, mended, clock, "b.csv", HEADER + "3,7,1,MARKER-THREE\n")
    assert report.batches[0].staged == 1
    assert b"MARKER" not in bytes_of_raw(lake, table)
    raw = mended.id.at(Tier.RAW)
    with storage.lease(lake, raw) as held:
        tx = storage.begin(lake, raw, held, storage.snapshot(lake, raw).schema, append_only=True)
        with pytest.raises(RefusedError, match="append-only"):
            tx.remove(storage.snapshot(lake, raw).files)
        tx.abandon()


def test_rows_that_cannot_be_opened_keep_their_seal_and_lose_what_was_clear(lake, wrong, forget):
    table, mended = wrong
    gone = storage.scan(lake, table.id).collect().filter(pl.col("id") == 1)["_entity"].item()
    forget(lake, pl.Series([gone]))
    reseal.reseal(lake, domain.project_of(mended), mended)
    assert b"MARKER" not in bytes_of_raw(lake, table)
    rows = pl.concat(opener.opened(lake, mended)).sort("_row")
    assert rows["_bad"].to_list()[:2] == [opener.ERASED, None]
    assert rows["note"].to_list()[:2] == [None, "MARKER-TWO"]


def test_a_run_that_died_before_deleting_is_finished_by_the_next_holder(lake, wrong, monkeypatch):
    table, mended = wrong
    with monkeypatch.context() as dying:
        dying.setattr(storage.recovery, "delete_retired", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        dying.setattr(storage, "delete_retired", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            reseal.reseal(lake, domain.project_of(mended), mended)
    assert b"MARKER" in bytes_of_raw(lake, table)
    with storage.lease(lake, table.id.at(Tier.RAW)):
        pass
    assert b"MARKER" not in bytes_of_raw(lake, table)
    assert worm.verify(lake).findings == ()
