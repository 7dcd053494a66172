"""A small lake whose database and files are apart, so that a backup of either can be put back; for the recover tests."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pyarrow as pa
import pytest
import sqlalchemy as sa

from lakehouse import storage
from lakehouse.errors import LakeMismatchError
from lakehouse.model import EventKind, LedgerEvent, TableId, Tier
from lakehouse.privacy import mending
from lakehouse.settings import load_settings
from lakehouse.storage import chain, worm
from lakehouse.storage.control import ControlDatabase, metadata
from lakehouse.storage.restored import compare
from tests.stores import STORE_ALONE, copy_below

if TYPE_CHECKING:
    from tests.stores import Site

STAGED = TableId(Tier.STAGED, "clinic", "visit")
RAW = STAGED.at(Tier.RAW)
ROWS = 20
SCHEMA = pa.schema([("_batch", pa.int64()), ("_row", pa.int64()), ("_entity", pa.string()), ("name", pa.string())])
PLACEMENT = storage.Placement("none", "_entity", None, ("_batch",))
ROOT = Path(__file__).resolve().parents[2]


_ON_DISK = (
    pytest.param("local", "sqlite", id="sqlite"),
    pytest.param("local", "postgres", id="postgres", marks=[pytest.mark.postgres, pytest.mark.slow]),
)
_IN_STORE = pytest.param("s3", "postgres", id="s3", marks=[pytest.mark.s3, pytest.mark.postgres, pytest.mark.slow])
_WITH_SQLITE = pytest.param("s3", "sqlite", id="s3-sqlite", marks=[pytest.mark.s3, pytest.mark.slow])
#: Lake and control database: every database on this disk, the one of who has a store with it; every one where a store is alone.
EVERYWHERE = (_WITH_SQLITE, _IN_STORE) if STORE_ALONE else (*_ON_DISK, _IN_STORE)


def settings_in(folder: Path, site: Site | None = None):
    """Lake, database and keys side by side; with a site the lake is there, and the rest in the folder."""
    found = load_settings(ROOT, lake=str(folder / "lake")) if site is None else site.settings(ROOT, folder.name)
    return dataclasses.replace(
        found,
        control_url=f"sqlite:///{folder / 'db' / 'control.db'}",
        key_file=folder / "keys" / "kek.key",
        landing=folder / "lake" / "landing",
    )


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def reserve(lake, number: int):
    return storage.reserve(
        lake,
        STAGED,
        source="s",
        name_hash=digest(f"n{number}"),
        sha256=digest(f"c{number}"),
        size=9,
        landed_at=lake.now(),
    )


def land(lake, number: int) -> int:
    """Delivered file `number` goes to raw, unless it is there."""
    batch = reserve(lake, number)
    if batch.state == "reserved":
        read = LedgerEvent(batch.number, STAGED, EventKind.READ, ROWS, "gateway")
        write(lake, RAW, rows(batch.number), [read], storage.BatchUpdate(batch.number, "raw", ROWS))
    return batch.number


def gate(lake, number: int) -> None:
    """Its rows go to staged, all but one."""
    batch = reserve(lake, number)
    if batch.state == "raw":
        counts = ((EventKind.STAGED, ROWS - 1), (EventKind.QUARANTINED, 1))
        events = [LedgerEvent(batch.number, STAGED, kind, count, "gate") for kind, count in counts]
        frame = rows(batch.number).slice(1)
        write(lake, STAGED, frame, events, storage.BatchUpdate(batch.number, "staged", ROWS))


def take(lake, *numbers: int) -> None:
    for number in numbers:
        land(lake, number)
        gate(lake, number)


def write(lake, table, frame, events, update) -> None:
    with storage.lease(lake, table, holder="test") as held:
        tx = storage.begin(lake, table, held, SCHEMA, PLACEMENT, append_only=table.tier is Tier.RAW)
        tx.write(frame)
        tx.commit("raw" if table == RAW else "stage", events=events, batches=[update])


def rows(batch: int) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "_batch": [batch] * ROWS,
            "_row": range(ROWS),
            "_entity": [digest(f"{batch}-{row}")[:32] for row in range(ROWS)],
            "name": [f"secret-{row}" for row in range(ROWS)],
        }
    )


def keep(settings, what: str) -> None:
    """Back up `lake` or `db`."""
    folder = settings.key_file.parents[1]
    if what == "db" and not settings.control_url.startswith("sqlite"):
        _KEPT[settings.control_url] = _dumped(settings.control_url)
    elif what == "lake":
        copy_below(settings.lake, f"{settings.lake}.backup")
    else:
        shutil.copytree(folder / what, folder / f"{what}.backup")


def restore(settings, what: str) -> None:
    """Put the backup back."""
    folder = settings.key_file.parents[1]
    if what == "db" and not settings.control_url.startswith("sqlite"):
        _load(settings.control_url, *_KEPT[settings.control_url])
    elif what == "lake":
        copy_below(f"{settings.lake}.backup", settings.lake)
    else:
        shutil.rmtree(folder / what)
        shutil.copytree(folder / f"{what}.backup", folder / what)


_KEPT: dict = {}


def _dumped(url: str):
    """All rows of a PostgreSQL database, and how far its batches are numbered."""
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.connect() as connection:
        tables = {t.name: connection.execute(sa.select(t)).mappings().all() for t in metadata.sorted_tables}
        number = connection.exec_driver_sql("SELECT last_value, is_called FROM batch_number_seq").one()
    return {name: [dict(row) for row in rows] for name, rows in tables.items()}, tuple(number)


def _load(url: str, rows, number) -> None:
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        for table in metadata.sorted_tables:
            connection.execute(table.delete())
            if rows[table.name]:
                connection.execute(table.insert(), rows[table.name])
        connection.execute(sa.select(sa.func.setval("batch_number_seq", *number)))


def states(lake) -> list[str]:
    return storage.batches(lake, STAGED)["state"].to_list()


def require_whole(lake, *, batches: int) -> None:
    """No row twice, and every row accounted for."""
    for table in (RAW, STAGED):
        found = storage.scan(lake, table).select("_batch", "_row").collect()
        assert found.is_unique().all()
    balance = storage.balance(lake, STAGED)
    assert balance.unbalanced == ()
    assert balance.rows["read"].to_list() == [ROWS] * batches


def settings_anywhere(site, request, monkeypatch, control: str):
    """A lake's settings, its control database on SQLite or PostgreSQL; what was opened is closed at the end."""
    opened = []
    make = ControlDatabase.__init__
    monkeypatch.setattr(ControlDatabase, "__init__", lambda self, url: (opened.append(self), make(self, url))[1])
    url = {} if control == "sqlite" else {"control_url": request.getfixturevalue("postgres_url")}
    folder, where = (site.folder, None) if site.is_local else (site.folder / "own", site)
    yield dataclasses.replace(settings_in(folder, where), **url)
    for each in opened:
        each.dispose()


def mend(settings):
    """What `lakehouse recover --yes` does."""
    lake, difference = compare(settings)
    mending.mend(lake, difference)
    return difference


def require_refused(settings, table, match: str) -> None:
    """Opening is refused; in a store, where it asks the chains alone, the next change of the table is."""

    def use() -> None:
        lake = storage.open_lake(settings)
        if "://" in settings.lake:
            write(lake, table, rows(99), [], storage.BatchUpdate(99, "staged"))

    with pytest.raises(LakeMismatchError, match=match):
        use()


def require_quiet(settings):
    lake = storage.open_lake(settings)
    assert compare(settings)[1].older is None
    for name in chain.NAMES:
        assert chain.verify(lake.root, lake.control, name).findings == ()
    assert worm.verify(lake).findings == ()
    return lake
