"""A lake for one domain of the shipped project: files land, and the real job takes them through every tier in process."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

import polars as pl
import pytest

from lakehouse import storage
from lakehouse.contract.load import load_project
from lakehouse.demo.faults import Fault
from lakehouse.demo.generate import generate
from lakehouse.demo.tour import only
from lakehouse.ingest import landing, quarantine
from lakehouse.model import TableId, Tier
from lakehouse.orchestration.runs import RunReport, materialize
from lakehouse.transform.point_in_time import known_rows

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from tests.stores import Site

#: Where a row is that is not in staged; the ledger's words.
ELSEWHERE = ("quarantined", "duplicate", "conflict", "superseded")


class DomainLake:
    """A lake, and the job of one domain."""

    def __init__(self, root: Path, site: Site, domain: str) -> None:
        self.domain = domain
        self.settings = site.settings(root)
        self.project = only(load_project(root), [domain])
        self.lake = storage.create_lake(self.settings)

    def table(self, name: str, tier: Tier = Tier.STAGED) -> TableId:
        return TableId(tier, self.domain, name)

    @property
    def landed(self) -> tuple[TableId, ...]:
        return tuple(table.id for table in self.project.tables if table.sources)

    def run(self, files: Mapping[str, Sequence[Path]], *tables: TableId) -> RunReport:
        """Let files land, by table, and run the whole job, or that of some tables."""
        for name, paths in files.items():
            folder = landing.folder(self.lake, self.project.table(self.table(name)))
            folder.mkdir(parents=True, exist_ok=True)
            for path in paths:
                landed = folder / path.name
                shutil.copyfile(path, landed)
                os.utime(landed, (landed.stat().st_mtime - 60,) * 2)
        ids = [table.id for table in self.project.tables]
        return materialize(self.settings, tables or [*(name.at(Tier.RAW) for name in self.landed), *ids])

    def profiles(self, place: Path, ids_in: Path, name: str) -> list[Path]:
        """Generated profiles for the ids in a real file."""
        made = generate(self.project, place, rows=1, seed=5, profiles_for=[ids_in])
        return [file for file in made.files if file.parent.name == name]

    def account(self, name: str) -> dict[str, int]:
        """The ledger's figures of a table whose batches all balance, zeros left out."""
        balance = storage.balance(self.lake, self.table(name))
        assert balance.unbalanced == ()
        total = balance.rows.drop("batch").sum().row(0, named=True)
        assert total["read"] == total["staged"] + sum(total[kind] for kind in ELSEWHERE)
        assert total["staged"] == storage.snapshot(self.lake, self.table(name)).rows
        assert total["read"] == storage.snapshot(self.lake, self.table(name, Tier.RAW)).rows
        return {kind: int(total[kind]) for kind in ("read", "staged", *ELSEWHERE) if total[kind]}

    def quarantined(self, name: str) -> dict[str, int]:
        counted = quarantine.counts(self.lake, self.table(name)).group_by("check").agg(pl.col("rows").sum())
        return dict(counted.sort("check").rows())

    def rows(self, name: str, tier: Tier = Tier.STAGED) -> pl.DataFrame:
        return storage.scan(self.lake, self.table(name, tier)).collect()

    def known(self, name: str, day: dt.date) -> pl.LazyFrame:
        """What a feature sees of a staged table when it looks back from `day`."""
        return known_rows(self.lake, self.project, self.table(name), as_of=day, run_start=self.lake.now())


@contextmanager
def lake_of(root: Path, site: Site, domain: str) -> Iterator[DomainLake]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", str(site.folder / "dagster"))
        for name, value in site.environment(root).items():  # a run elsewhere must find the same lake
            patch.setenv(name, value)
        yield DomainLake(root, site, domain)


def generated_files_go_all_the_way(root: Path, site: Site, domain: str, *, rows: int) -> DomainLake:
    """Generated files with faults through every tier: faulted rows are set aside, all others arrive, nothing blocks."""
    with lake_of(root, site, domain) as found:
        made = generate(found.project, site.folder / "made", rows=rows, seed=3, faults=0.01)
        files: dict[str, list[Path]] = {}
        for file in made.files:
            files.setdefault(file.parent.name, []).append(file)
        report = found.run(files)
        assert report.success, report.problems
        assert report.blocked == ()
        for table in found.landed:
            counts, faults = found.account(table.table), made.faults[table]
            bad = sum(faults.get(kind, 0) for kind in (Fault.MISSING_KEY, Fault.BAD_DATE, Fault.WRONG_TYPE))
            assert counts["read"] == made.rows[table], table
            assert counts.get("quarantined", 0) == bad, table
            assert counts.get("duplicate", 0) <= faults.get(Fault.DUPLICATE, 0), table
        assert {table.id for table in found.project.tables} <= set(report.tables)
        assert all(report.tables[table.id] for table in found.project.tables)
        return found


def has_the_contracts_rows(found: DomainLake, name: str, tier: Tier) -> pl.DataFrame:
    """A made table: every surrogate is one of the lake's, every key is one."""
    rows, table = found.rows(name, tier), found.project.table(found.table(name, tier))
    assert rows.select(table.key).n_unique() == rows.height > 0
    if table.entity is not None and table.entity.surrogate is not None:
        assert rows[table.entity.surrogate].equals(rows["_entity"].alias(table.entity.surrogate))
    return rows
