"""What a person sees in the browser: the graph by tier, a run started by a click, checks with their history.

Set `LAKEHOUSE_SCREENSHOTS=1` to write the pictures of the documentation to docs/images.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from lakehouse import storage
from lakehouse.contract.load import load_project
from lakehouse.orchestration.runs import materialize
from lakehouse.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.browser, pytest.mark.slow]

IMAGES = Path(__file__).parents[2] / "docs" / "images"
HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country"
PROFILE = "CustomerID,name,email,phone,address,birth_date,national_id,account_number,country,updated_at"
#: Runs are started by the web server itself: no daemon, so that no sensor takes part.
INSTANCE = """\
telemetry: {enabled: false}
nux: {enabled: false}
run_coordinator: {module: dagster._core.run_coordinator, class: DefaultRunCoordinator}
"""


def invoice_lines(day: dt.date, rows: int, *, faults: int, seed: int) -> list[str]:
    """A day's lines in the till's shape; `faults` of them have an unreadable quantity."""
    rng = random.Random(seed)
    lines = [HEADER]
    for number in range(rows):
        quantity = "many" if number < faults else str(rng.choice([1, 2, 6, 12, 24, -1]))
        price = f"{rng.randint(50, 900) / 100:.2f}"
        invoice, article = 536000 + day.toordinal() % 1000 * 10 + number % 10, f"{rng.randint(20000, 20020)}"
        customer = f"{12346 + number % 25}.0" if number % 4 else ""
        lines.append(f"{invoice},{article},MUG,{quantity},{day} 09:{number % 60:02}:00,{price},{customer},France")
    return lines


def profiles() -> list[str]:
    return [PROFILE] + [
        f"{12346 + number},Person {number},p{number}@example.org,,1 Road,1980-01-01,,,France,2011-01-01 00:00:00"
        for number in range(25)
    ]


def drop(lake: storage.Lake, table: str, name: str, lines: list[str]) -> None:
    folder = lake.landing("retail", table)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / name
    file.write_text("\n".join(lines) + "\n")
    os.utime(file, (time.time() - 60, time.time() - 60))


class Web:
    """The web server of one small lake."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def ask(self, query: str) -> dict[str, Any]:
        body = json.dumps({"query": query}).encode()
        request = urllib.request.Request(f"{self.url}/graphql", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)["data"]

    def statuses(self) -> list[str]:
        return [
            run["status"] for run in self.ask("{runsOrError{... on Runs{results{status}}}}")["runsOrError"]["results"]
        ]

    def wait(self, ready: Any, *, seconds: int) -> None:
        end = time.monotonic() + seconds
        while not ready():
            assert time.monotonic() < end, "the web server did not get there in time"
            time.sleep(1)

    def answers(self) -> bool:
        with contextlib.suppress(OSError):
            return bool(self.ask("{version}"))
        return False


@pytest.fixture(scope="module")
def demo_lake(tmp_path_factory, project_root) -> Iterator[tuple[storage.Lake, Path]]:
    """Five days through every tier, one run a day, so that plots have a history; the sixth day waits in landing."""
    folder = tmp_path_factory.mktemp("browser")
    home = folder / "dagster"
    home.mkdir()
    (home / "dagster.yaml").write_text(INSTANCE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", str(home))
        settings = load_settings(project_root, lake=str(folder / "lake"))
        lake = storage.create_lake(settings)
        tables = [table.id for table in load_project(project_root).tables if table.id.domain == "retail"]
        drop(lake, "customer", "profiles.csv", profiles())
        for number in range(5):
            day = dt.date(2011, 3, 1) + dt.timedelta(days=number)
            lines = invoice_lines(day, 120, faults=0 if number % 2 else number, seed=number)
            drop(lake, "invoice_line", f"{day}.csv", lines)
            staged = [table for table in tables if table.tier == "staged"]
            materialize(settings, tables if number == 4 else staged)
        drop(lake, "invoice_line", "2011-03-06.csv", invoice_lines(dt.date(2011, 3, 6), 120, faults=0, seed=9))
        yield lake, home


@pytest.fixture(scope="module")
def web(demo_lake, project_root) -> Iterator[Web]:
    lake, home = demo_lake
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(Path(sys.executable).with_name("dagster-webserver")), "-w", "workspace.yaml", "-h", "127.0.0.1"]
    log = (home / "web.log").open("wb")
    process = subprocess.Popen(
        [*command, "-p", str(port)],
        cwd=project_root,
        env={**os.environ, "DAGSTER_HOME": str(home), "LAKEHOUSE_LAKE": lake.root},
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    site = Web(port)
    try:
        site.wait(site.answers, seconds=90)
        yield site
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=30)
        log.close()


@pytest.fixture(scope="module")
def page(web) -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        )
        page = browser.new_page(viewport={"width": 1600, "height": 1000})
        page.set_default_timeout(60_000)
        yield page
        browser.close()


def open_page(page: Any, web: Web, path: str) -> None:
    page.goto(web.url + path)
    page.wait_for_load_state("networkidle")


def picture(page: Any, name: str) -> None:
    """A picture for the documentation, when asked for."""
    if os.environ.get("LAKEHOUSE_SCREENSHOTS"):
        page.mouse.move(900, 30)
        page.wait_for_timeout(2500)
        IMAGES.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=str(IMAGES / f"{name}.png"))


def test_graph_shows_the_tiers_and_a_click_runs_them(page, web):
    open_page(page, web, "/asset-groups~" + quote('key:"*/retail/*"', safe="*") + "/")
    page.get_by_text("Materialize all").wait_for()
    page.keyboard.press("Alt+e")
    for name in ("raw", "staged", "curated", "features"):
        page.get_by_text(name, exact=True).first.wait_for()
    for name in ("invoice_line", "daily_demand", "customer_features"):
        page.get_by_text(name, exact=True).first.wait_for()
    before = len(web.statuses())
    page.get_by_text("Materialize all").click()
    web.wait(lambda: len(web.statuses()) > before, seconds=60)
    web.wait(lambda: web.statuses()[0] in {"SUCCESS", "FAILURE"}, seconds=180)
    assert web.statuses()[0] == "SUCCESS"
    page.get_by_text("Passed").first.wait_for()
    picture(page, "graph")


def test_every_check_is_listed_with_its_result_and_plot(page, web):
    open_page(page, web, "/assets/staged/retail/invoice_line?view=checks")
    page.get_by_text("row_ledger_balances", exact=True).first.wait_for()
    page.get_by_text("type_Quantity", exact=True).first.click()
    page.get_by_text("failed_share").first.wait_for()
    page.locator("canvas").first.wait_for()
    picture(page, "checks")


def test_overview_shows_rows_columns_and_categories(page, web):
    open_page(page, web, "/assets/staged/retail/customer?view=overview")
    page.get_by_text("Row count").first.wait_for()
    page.get_by_text("national_id", exact=True).first.wait_for()
    page.get_by_text("user.government_id").first.wait_for()
    picture(page, "table")


def test_run_page_shows_the_steps(page, web):
    open_page(page, web, "/runs")
    page.locator("a[href*='/runs/']").first.click()
    page.get_by_text("take_retail_invoice_line").first.wait_for()
    picture(page, "run")


def test_automation_is_on_without_anybody_starting_it(page, web):
    open_page(page, web, "/automation")
    page.get_by_text("landed_files").first.wait_for()
    page.get_by_text("rebuild_after_inputs").first.wait_for()
    picture(page, "automation")
