"""A small lake with values that nobody may see, one reader's views of it, and the same views over a lake without them.

Every hidden value, in a masked column as in a hidden row, holds `MARK` or one of `NUMBERS`: what a reader gets is searched
for them. The twin's files hold just what the views show, so a query whose outcome differs has learnt of something hidden.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl
import pyarrow.parquet as pq
from sqlglot import parse_one

from lakehouse.model import TableId, Tier
from lakehouse.serving.session import Limits, Session
from lakehouse.serving.views import ServedView
from lakehouse.storage.read import Snapshot

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

MARK = "zqxj"
NUMBERS = ("918273645", "1777")
PURPOSE = "fraud"
LIMITS = Limits(seconds=3, memory=400 * 1024**2, rows=50_000, bytes=50 * 1024**2, threads=2)
KNOWN = "select count(*) as n, min(claim_id) as low from claims_claim"

#: What the policy would compile: masks, and rows of one region under a consent.
CLAIM = """select claim_id, region, '***' || right(email, 4) as email, cast(null as varchar) as diagnosis, note, amount, day
    from base.curated_claims_claim where region in ('EU', 'FR') and claim_id in
    (select entity from platform.consent_current where given)"""
PARTY = """select party_id, '***' as name, salary - salary % 1000000000 as salary, date_trunc('year', born) as born, city
    from base.curated_claims_party"""
COLUMNS = {
    "claims_claim": ("claim_id", "region", "email", "diagnosis", "note", "amount", "day"),
    "claims_party": ("party_id", "name", "salary", "born", "city"),
}


@dataclass(frozen=True)
class Site:
    """A reader's session on the lake, and one on what he may see of it."""

    folder: Path
    session: Session
    twin: Session
    files: tuple[str, ...]


def make(folder: Path, *, limits: Limits = LIMITS, harmless: bool = False) -> Site:
    """The lake in a folder; `harmless` with other hidden values, which every function takes, and all else the same."""
    folder.mkdir(exist_ok=True)
    claims, parties, consent = _claims(harmless=harmless), _parties(harmless=harmless), _consent()
    relations = {
        "base.curated_claims_claim": _snapshot(folder / "claim.parquet", claims),
        "base.curated_claims_party": _snapshot(folder / "party.parquet", parties),
        "platform.consent_current": _snapshot(folder / "consent.parquet", consent),
    }
    shown = {"claims_claim": CLAIM, "claims_party": PARTY}
    views = {name: _view(name, text, relations) for name, text in shown.items()}
    session = _session(views, limits)
    with _session(views, Limits()) as open_session:
        seen = {name: open_session.run(f"select * from {name}") for name in shown}
    (folder / "twin").mkdir()
    twins = {}
    for name, rows in seen.items():
        file = folder / "twin" / f"{name}.parquet"
        pq.write_table(rows, file)
        relation = {f"base.{name}": Snapshot(_id(name), 0, (str(file),), rows.schema, rows.num_rows, 1)}
        listed = ", ".join(COLUMNS[name])
        twins[name] = _view(name, f"select {listed} from base.{name}", relation)
    files = tuple(path for snapshot in relations.values() for path in snapshot.files)
    return Site(folder, session, _session(twins, limits), files)


def _session(views: Mapping[str, ServedView], limits: Limits) -> Session:
    return Session(COLUMNS, lambda names: [views[name] for name in names], purpose=PURPOSE, limits=limits)


def _claims(*, harmless: bool) -> pl.DataFrame:
    """Of every three rows one is visible; hidden ones have notes and amounts that no function takes."""
    rows, mark = [], "aaaa" if harmless else MARK
    for number in range(1500):
        shown = number % 3 == 0
        seen = shown or harmless
        rows.append(
            {
                "claim_id": number,
                "region": ("EU" if number % 2 else "FR") if shown else "UK" if number % 3 == 1 else "EU",
                "email": f"{mark}.{number}@x.test",
                "diagnosis": f"{mark} diagnosis {number % 7}",
                "note": str(number % 40 + 1) if seen else f"{mark} hidden {number % 5}",
                "amount": number % 100 + 1 if seen else -918273645,
                "day": dt.date(2024, 1, 1) + dt.timedelta(number % 300) if seen else dt.date(1777, 11, 11),
            }
        )
    return pl.DataFrame(rows)


def _parties(*, harmless: bool) -> pl.DataFrame:
    mark, salary, day = ("aaaa", 1, 4) if harmless else (MARK, 918273645, 3)
    return pl.DataFrame(
        [
            {
                "party_id": number,
                "name": f"{mark} {number}",
                "salary": salary,
                "born": dt.date(1950, 1 + number % 12, day),
                "city": ("Bonn", "Lyon", "Gent")[number % 3],
            }
            for number in range(2, 200)
        ]
    )


def _consent() -> pl.DataFrame:
    return pl.DataFrame([{"entity": number, "given": number % 3 != 2} for number in range(1500)])


def _snapshot(file: Path, frame: pl.DataFrame) -> Snapshot:
    pq.write_table(frame.to_arrow(compat_level=pl.CompatLevel.oldest()), file, row_group_size=500)
    return Snapshot(_id(file.stem), 0, (str(file),), pq.read_schema(file), frame.height, 1)


def _id(name: str) -> TableId:
    return TableId(Tier.CURATED, "claims", name)


def _view(name: str, text: str, relations: Mapping[str, Snapshot]) -> ServedView:
    return ServedView(name, COLUMNS[name], parse_one(text, dialect="duckdb"), relations)


def leaks(text: str) -> bool:
    """Whether a text holds anything hidden."""
    return MARK in text.lower() or any(number in text for number in NUMBERS)


def left_files(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file with size and time of change."""
    found = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in found}
