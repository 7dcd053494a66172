"""The 271 real files through the real job, landing to features: twice, and in shuffled order in several runs.

Surrogates are random and batches are numbered as they come, so tables of two lakes are compared with customers' ids and
files' digests in their place; only the time of landing is left out.
"""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from lakehouse import storage
from lakehouse.contract.load import load_project
from lakehouse.ingest import landing, opener
from lakehouse.model import TableId, Tier
from lakehouse.orchestration.runs import RunReport, materialize
from tests.stores import ON_DISK

if TYPE_CHECKING:
    from tests.stores import Site

ROWS, FILES = 431_673, 271
LINES = TableId(Tier.STAGED, "retail", "invoice_line")
RAW = LINES.at(Tier.RAW)
MADE = (
    TableId(Tier.CURATED, "retail", "daily_demand"),
    TableId(Tier.CURATED, "retail", "customer_activity"),
    TableId(Tier.FEATURES, "retail", "product_demand"),
    TableId(Tier.FEATURES, "retail", "customer_features"),
)
EVERY_TABLE = (RAW, LINES, *MADE)

pytestmark = pytest.mark.slow


class Shop:
    """A lake, and the job that takes files through all its tiers."""

    def __init__(self, root: Path, site: Site) -> None:
        self.settings, self.environment = site.settings(root), site.environment(root)
        self.lake = storage.create_lake(self.settings)
        self.folder = landing.folder(self.lake, load_project(root).table(LINES))
        self.folder.mkdir(parents=True)

    def run(self, files: list[Path]) -> RunReport:
        """Let files land, and run the whole job in process."""
        for file in files:
            landed = Path(shutil.copy(file, self.folder))
            os.utime(landed, (landed.stat().st_mtime - 60,) * 2)
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.environment.items():  # a run elsewhere must find the same lake
                patch.setenv(name, value)
            report = materialize(self.settings, EVERY_TABLE)
        assert report.success, report.problems
        assert report.blocked == ()
        assert set(report.tables) == set(EVERY_TABLE)
        return report

    def content(self) -> dict[TableId, pl.DataFrame]:
        """Every table, in an order of its own, by names that do not depend on the lake."""
        people = storage.scan(self.lake, LINES).select("_entity", person="CustomerID").drop_nulls().unique().collect()
        files = storage.batches(self.lake, LINES).select(_batch="number", file="sha256")
        return {name: comparable(self.rows(name), people, files) for name in EVERY_TABLE}

    def rows(self, name: TableId) -> pl.DataFrame:
        """A table's rows; raw's with their seals opened, which no two lakes have alike."""
        if name.tier is not Tier.RAW:
            return storage.scan(self.lake, name).collect()
        return pl.concat(opener.opened(self.lake, load_project(self.settings.project).table(name)))


def comparable(rows: pl.DataFrame, people: pl.DataFrame, files: pl.DataFrame) -> pl.DataFrame:
    # tokens are keyed by a secret of the lake, one for one with what they stand for
    for token in [name for name in rows.columns if name.endswith("__token")]:
        pairs = rows.select(token, token.removesuffix("__token")).unique()
        assert pairs[token].n_unique() == pairs.height
        rows = rows.drop(token)
    rows = rows.drop("_landed_at")
    if "_batch" in rows.columns:
        rows = rows.join(files, on="_batch", how="left").drop("_batch")
    if "customer_ref" in rows.columns:
        assert rows["customer_ref"].equals(rows["_entity"].alias("customer_ref"))
        rows = rows.drop("customer_ref")
    if "_entity" in rows.columns:
        nobody = rows["_entity"].null_count()
        rows = rows.join(people, on="_entity", how="left").drop("_entity")
        assert rows["person"].null_count() == nobody, "every surrogate is somebody's"
    return rows.sort(rows.columns)


@pytest.fixture(scope="module")
def days(shared_data) -> list[Path]:
    found = sorted((shared_data / "retail/uci-online-retail/by-day").glob("*.csv.gz"))
    assert len(found) == FILES
    return found


@pytest.fixture(scope="module")
def in_order(module_site, project_root, days):
    """A lake after all files came in order, and what stood in its tables then; it takes minutes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", str(module_site.folder / "dagster"))
        shop = Shop(project_root, module_site)
        report = shop.run(days)
    return shop, report, shop.content()


def assert_all_accounted(shop: Shop) -> None:
    balance = storage.balance(shop.lake, LINES)
    assert balance.unbalanced == ()
    total = balance.rows.drop("batch").sum().row(0, named=True)
    assert total["read"] == ROWS == storage.snapshot(shop.lake, RAW).rows
    assert sum(total[kind] for kind in ("staged", "quarantined", "duplicate", "conflict")) == ROWS
    assert total["staged"] == storage.snapshot(shop.lake, LINES).rows
    assert total["pending"] == 0


def assert_same(found: dict[TableId, pl.DataFrame], wanted: dict[TableId, pl.DataFrame]) -> None:
    for name in EVERY_TABLE:
        assert_frame_equal(found[name], wanted[name], check_exact=True)


def test_every_row_is_accounted_for_and_reaches_features(in_order):
    shop, report, content = in_order
    assert_all_accounted(shop)
    assert report.tables[RAW] == ROWS
    lines, demand, features = (content[name] for name in (LINES, MADE[0], MADE[2]))
    assert demand["quantity"].sum() == lines["Quantity"].sum() == features["quantity"].sum()
    assert content[MADE[1]]["lines"].sum() == lines.height - lines["person"].null_count()
    assert content[MADE[3]]["person"].n_unique() == lines["person"].drop_nulls().n_unique()


def test_the_same_files_again_in_another_order_change_no_row(in_order, days, monkeypatch, tmp_path):
    shop, _, before = in_order
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    shop.run(random.Random(7).sample(days, FILES))
    assert_all_accounted(shop)
    assert_same(shop.content(), before)


@ON_DISK  # it takes minutes
def test_shuffled_and_in_several_runs_every_table_is_the_same(in_order, days, monkeypatch, site, project_root):
    monkeypatch.setenv("DAGSTER_HOME", str(site.folder / "dagster"))
    shop = Shop(project_root, site)
    shuffled = random.Random(11).sample(days, FILES)
    for part in (shuffled[:100], shuffled[90:200], shuffled[200:]):
        shop.run(part)
    assert_all_accounted(shop)
    assert_same(shop.content(), in_order[2])
