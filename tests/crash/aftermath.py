"""What must hold after any disturbance and one run more: the rows of an undisturbed run, and nothing left over.

`picture` is what a lake says of a table, without what is random in each lake (surrogates, tokens, keys) or depends on who
came first (numbers of batches, which are named by their file's hash). `require_clean` is about the lake as a whole: ledger,
chains, intents, and every single file in its folder must be one that something names.
"""

from __future__ import annotations

import re
import stat
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import sqlalchemy as sa
from polars.testing import assert_frame_equal

from lakehouse import storage
from lakehouse.ingest import opener, quarantine
from lakehouse.model import Tier
from lakehouse.storage import chain, delta, worm
from lakehouse.storage.control import chain_outbox_table, intent_table, outbox_table
from lakehouse.storage.protocol import RETIRE

if TYPE_CHECKING:
    from lakehouse.contract.model import Table

TIERS = ("raw", "staged", "curated", "features")
CONTROL = ("control.db", "kek.key")
_LOG = re.compile(r"\d{20}\.(json|checkpoint\.parquet|checkpoint\.\d+\.\d+\.parquet)|_last_checkpoint")
_CHAINED = re.compile(r"\d{12}\.json")


@dataclass(frozen=True)
class Picture:
    """What a lake says of one table, comparable between lakes."""

    raw: pl.DataFrame
    staged: pl.DataFrame
    quarantine: pl.DataFrame
    batches: pl.DataFrame
    balance: pl.DataFrame


def picture(lake, table: Table, *, whose: bool = True) -> Picture:
    """A table's rows in raw (opened), staged and quarantine, its batches and its ledger.

    Args:
        lake: the lake.
        table: the staged table's contract.
        whose: which of several equal rows was staged, and which are repeats; off where files race each other.
    """
    manifest = storage.batches(lake, table.id)
    named = manifest.select(_batch="number", content=pl.col("sha256").str.head(12))
    there = storage.exists(lake, table.id)
    staged = storage.scan(lake, table.id).collect() if there else pl.DataFrame(schema={"_batch": pl.Int64})
    balance = storage.balance(lake, table.id).rows.drop("told").rename({"batch": "_batch"})
    place = quarantine.place(table.id)
    pointers = storage.scan(lake, place).collect() if storage.exists(lake, place) else None
    if pointers is None:
        pointers = pl.DataFrame(schema={"_batch": pl.Int64, "_row": pl.Int64, "failed": pl.List(pl.String)})
    batches = manifest.select(content=pl.col("sha256").str.head(12), **{n: n for n in ("size", "state", "rows")})
    frames = (
        _comparable(pl.concat(opener.opened(lake, table)), named),
        _comparable(staged, named) if whose else _sorted(_portable(staged).drop("_batch", "_row", strict=False)),
        _comparable(pointers.with_columns(pl.col("failed").list.join(",")), named),
        _sorted(batches),
        _comparable(balance, named) if whose else balance.drop("_batch").sum(),
    )
    return Picture(*frames)


def require_same(found: Picture, wanted: Picture) -> None:
    """Row for row the same, in every table."""
    for each in fields(Picture):
        assert_frame_equal(getattr(found, each.name), getattr(wanted, each.name))


def require_clean(
    lake,
    *tables: Table,
    waiting: tuple[str, ...] = (),
    beside: tuple[str, ...] = (),
    unfinished: tuple[str, ...] = (),
) -> None:
    """Ledger exact, chains whole, nothing half done, and no file that nothing names.

    Args:
        lake: the lake.
        tables: contracts of the tables whose rows must be accounted for.
        waiting: names of files that may be in a landing folder.
        beside: folders in the lake's that are a test's own.
        unfinished: how names may end of what a death in the middle of a write has left.
    """
    for table in tables:
        balance = storage.balance(lake, table.id)
        require_none(f"unbalanced batches of {table.id}", balance.unbalanced)
        assert balance.rows["pending"].sum() == 0, f"{table.id} has pending rows"
    with lake.control.read() as connection:
        unsettled = connection.execute(sa.select(intent_table.c.id).where(intent_table.c.state == "open")).all()
        halfway = connection.execute(sa.select(chain_outbox_table.c.number)).all()
        told = connection.execute(sa.select(sa.func.count(sa.distinct(outbox_table.c.event_id)))).scalar_one()
        rows = connection.execute(sa.select(sa.func.count()).select_from(outbox_table)).scalar_one()
    assert (unsettled, halfway, told) == ([], [], rows), f"open intents {unsettled}, entries that wait {halfway}"
    ids = storage.scan(lake, storage.LEDGER).collect()["event_id"] if storage.exists(lake, storage.LEDGER) else []
    assert len(ids) == len(set(ids)), "an event is in the ledger twice"
    for name in chain.NAMES:
        require_none(f"findings in chain `{name}`", chain.verify(lake.root, lake.control, name).findings)
    require_none("findings of `verify worm`", worm.verify(lake).findings)
    found = strays(lake, waiting=waiting, beside=beside)
    require_none("files that nothing names", [each for each in found if not each.endswith(unfinished or ("//",))])
    require_none("committed files that are gone", lost(lake))
    require_none("files of raw that could be written", writable_raw(lake))


def require_none(what: str, found) -> None:
    """Fail with everything that was found."""
    assert not found, f"{what}: {list(map(str, found))}"


def strays(lake, *, waiting: tuple[str, ...] = (), beside: tuple[str, ...] = ()) -> list[str]:
    """Files in the lake's folder that nothing names: uncommitted data, temporary files, journals, half-written entries."""
    root = Path(lake.root)
    known = {root / "lake.json", *(root / "control" / name for name in CONTROL)}
    for home in homes(lake):
        known |= {home / name for name in committed(str(home))}
    found = [path for path in root.rglob("*") if path.is_file() and path not in known]
    return sorted(str(path.relative_to(root)) for path in found if not _named(path.relative_to(root), waiting, beside))


def lost(lake) -> list[str]:
    """Files that a version of a table has added and that are not there, though nobody has retired them."""
    named = [home / name for home in homes(lake) for name in committed(str(home))]
    return sorted(str(path) for path in named if not path.is_file())


def writable_raw(lake) -> list[str]:
    """Files of raw, data or log, that somebody could write by their mode."""
    raw = Path(lake.root, "raw")
    sealed = [*raw.rglob("*.parquet"), *raw.rglob("_delta_log/*.json")]
    kept = [path for path in sealed if "checkpoint" not in path.name]
    return sorted(str(path.relative_to(raw)) for path in kept if stat.S_IMODE(path.stat().st_mode) & 0o222)


def homes(lake) -> list[Path]:
    """The folders of all tables of the lake, the system's too."""
    return sorted(log.parent for log in Path(lake.root).rglob("_delta_log"))


def committed(uri: str) -> set[str]:
    """Every file that a version of the table has added, but for those that were retired."""
    last = delta.handle(uri)
    added: set[str] = set()
    for version in range(0 if last is None else last.version() + 1):
        entry = delta.entry(uri, version)
        assert entry is not None, f"version {version} is missing"
        added |= set(entry.adds)
        if entry.note.get("kind") == RETIRE:
            added -= entry.removes
    return added


def _named(path: Path, waiting: tuple[str, ...], beside: tuple[str, ...]) -> bool:
    """Whether a file that no version of a table names belongs where it is all the same."""
    top, *between, name = path.parts
    if not between:
        return False
    if between[-1] == "_delta_log":
        return top in (*TIERS, "system") and _LOG.fullmatch(name) is not None
    if (top, between[0]) == ("system", "chains"):
        return _CHAINED.fullmatch(name) is not None
    return top in beside or (top == "landing" and name in waiting)


def _comparable(frame: pl.DataFrame, named: pl.DataFrame) -> pl.DataFrame:
    """Without what differs from lake to lake, each batch named by its content, in a fixed order."""
    return _sorted(_portable(frame).join(named, on="_batch", how="left").drop("_batch"))


def _portable(frame: pl.DataFrame) -> pl.DataFrame:
    keyed = [n for n in frame.columns if n.startswith(("_entity", "_sealed")) or n.endswith("__token")]
    return frame.drop(*keyed, "_landed_at", strict=False)


def _sorted(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.sort(frame.columns, nulls_last=True) if frame.height else frame


def raw_of(table: Table):
    """The raw table beside a staged one."""
    return table.id.at(Tier.RAW)
