"""`lakehouse ingest` as people run it: killed at random times, and many at once on the same files."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from lakehouse import storage
from lakehouse.contract.load import load_project
from lakehouse.model import TableId, Tier
from lakehouse.settings import load_settings
from tests.crash import aftermath

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl

TABLE = TableId(Tier.STAGED, "retail", "invoice_line")
HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
LINE = "{},S{},THING,{},2011-{:02d}-01 08:26:00,2.55,{}.0,France\n"
FILES, ROWS = 8, 300

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def delivered(tmp_path_factory) -> list[Path]:
    """Files of clean rows, each with one bad row and one that repeats another file's."""
    folder = tmp_path_factory.mktemp("delivered")
    paths: list[Path] = []
    for number in range(FILES):
        rows = [
            LINE.format(536000 + number * ROWS + n, n % 90, 1 + n % 7, 1 + n % 12, 12346 + n % 9)
            for n in range(ROWS - 2)
        ]
        again = LINE.format(536000 + ((number + 1) % FILES) * ROWS, 0, 1, 1, 12346)
        path = folder / f"2011-01-{number + 1:02d}.csv"
        path.write_text(HEADER + "".join(rows) + again + "536365,BAD,x,none,never,1,,France\n")
        paths.append(path)
    return paths


class Shop:
    """A lake of its own and the command on it."""

    def __init__(self, root: Path, place: Path, files: list[Path]) -> None:
        self.place, self._root = place / "lake", root
        self._files = files
        self._environment = {
            **os.environ,
            "LAKEHOUSE_PROJECT": str(root),
            "LAKEHOUSE_LAKE": str(self.place),
            "DAGSTER_HOME": str(place),
        }

    def start(self, files: int = FILES) -> subprocess.Popen[bytes]:
        """Ingest the first so many files."""
        command = [sys.executable, "-m", "lakehouse.cli", "ingest", str(TABLE), *map(str, self._files[:files])]
        return subprocess.Popen(
            command, env=self._environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=self._root
        )

    def run(self) -> None:
        process = self.start()
        _, told = process.communicate()
        assert process.returncode == 0, told.decode()

    @property
    def lake(self):
        return storage.open_lake(load_settings(self._root, lake=str(self.place)))


@pytest.fixture(scope="module")
def undisturbed(project_root, delivered, tmp_path_factory) -> tuple[pl.DataFrame, float]:
    """The table after one run that nobody disturbs, and how long that took."""
    shop = Shop(project_root, tmp_path_factory.mktemp("undisturbed"), delivered)
    start = time.monotonic()
    shop.run()
    took = time.monotonic() - start
    require_whole(shop)
    return content(shop), took


def content(shop: Shop) -> pl.DataFrame:
    rows = storage.scan(shop.lake, TABLE).drop("_batch", "_landed_at", "_entity", "CustomerID__token").collect()
    return rows.sort("InvoiceNo", "StockCode", "line")


def require_whole(shop: Shop) -> None:
    """Every row is accounted for, nothing is half done, and no file is there that no commit names."""
    lake = shop.lake
    balance = storage.balance(lake, TABLE)
    assert balance.unbalanced == ()
    total = balance.rows.sum().row(0, named=True)
    assert (total["read"], total["quarantined"], total["pending"]) == (FILES * ROWS, FILES, 0)
    assert (total["duplicate"], total["conflict"]) == (FILES, 0)
    assert storage.batches(lake, TABLE)["state"].to_list() == ["staged"] * FILES
    storage.flush_outbox(lake)
    aftermath.require_clean(lake, load_project(shop._root).table(TABLE), unfinished=(".delivering",))


@pytest.mark.parametrize("seed", [1, 2])
def test_killed_at_random_times_the_table_is_what_it_would_have_been(
    project_root, delivered, undisturbed, tmp_path, seed
):
    shop = Shop(project_root, tmp_path, delivered)
    expected, took = undisturbed
    chance = random.Random(seed)
    killed = 0
    for files in range(1, FILES + 1):  # each run has a new file to take
        process = shop.start(files)
        try:
            # most of a run is imports: the later half is where something happens
            process.wait(chance.uniform(0.3, 1.0) * took)
        except subprocess.TimeoutExpired:
            process.kill()
            killed += 1
        process.communicate()
    assert killed
    shop.run()
    require_whole(shop)
    assert content(shop).equals(expected)


@pytest.mark.parametrize("many", [2, 4])
def test_many_at_once_on_the_same_files_take_each_row_once(project_root, delivered, undisturbed, tmp_path, many):
    """On a lake that none of them finds: all make it, one of them."""
    shop = Shop(project_root, tmp_path, delivered)
    all_ = [shop.start() for _ in range(many)]
    told = [process.communicate()[1].decode() for process in all_]
    assert [process.returncode for process in all_] == [0] * many, told
    require_whole(shop)
    assert content(shop).equals(undisturbed[0])
