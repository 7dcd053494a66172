"""The page of `explain-access --html` as people see it: nothing is loaded, nothing is cut off, everything can be read.

On a screen, on a telephone and on paper.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.browser, pytest.mark.slow]

#: Every text whose contrast with what is behind it is below WCAG's 4.5.
PALE = """() => {
  const light = c => { const [r, g, b] = c.match(/[\\d.]+/g).map(Number).map(v => v / 255)
    .map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4); return .2126 * r + .7152 * g + .0722 * b; };
  const behind = e => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor;
    if (c !== 'rgba(0, 0, 0, 0)') return c; } return 'rgb(255, 255, 255)'; };
  return [...document.querySelectorAll('main *')]
    .filter(e => [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()))
    .filter(e => { const [a, b] = [light(getComputedStyle(e).color), light(behind(e))].sort((x, y) => y - x);
      return (a + .05) / (b + .05) < 4.5; }).map(e => e.outerHTML.slice(0, 80));
}"""
#: Texts that reach out of their cell or their column.
CUT = "() => [...document.querySelectorAll('td, th, li')].filter(e => e.scrollWidth > e.clientWidth + 1).length"
WIDTH = "() => document.documentElement.scrollWidth - innerWidth"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        )
        yield started
        started.close()


@pytest.fixture(scope="module")
def file(tmp_path_factory, project_root) -> Path:
    """The page of this project, written by the command."""
    written = tmp_path_factory.mktemp("access") / "page.html"
    command = [str(Path(sys.executable).with_name("lakehouse")), "explain-access", "--html", str(written)]
    subprocess.run(command, cwd=project_root, check=True, capture_output=True)
    return written


@pytest.mark.parametrize(("width", "media"), [(1280, "screen"), (400, "screen"), (1047, "print")])
def test_nothing_is_loaded_cut_off_or_pale(browser, file, width, media):
    page = browser.new_page(viewport={"width": width, "height": 900})
    told: list[str] = []
    page.on("console", lambda message: told.append(message.text))
    page.on("pageerror", lambda error: told.append(str(error)))
    page.on("request", lambda request: told.append(request.url))
    page.emulate_media(media=media)
    page.goto(file.as_uri())
    assert told == [file.as_uri()]
    assert page.evaluate(WIDTH) <= 0
    assert page.evaluate(CUT) == 0
    assert page.evaluate(PALE) == []
    page.close()


def test_a_reference_leads_to_its_rule(browser, file):
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(file.as_uri())
    cell = page.locator("td.shown").first
    rule = cell.locator("sup a")
    target = page.locator(f"li[id='{rule.get_attribute('href')[1:]}']")
    rule.click()
    assert target.evaluate("e => e.getBoundingClientRect().top < innerHeight")
    assert target.inner_text().split(" policies/")[0] in cell.get_attribute("title")
    page.close()


def test_it_prints_in_landscape(browser, file):
    page = browser.new_page()
    page.goto(file.as_uri())
    printed = page.pdf(prefer_css_page_size=True)
    assert b"/MediaBox [0 0 841" in printed
    page.close()
