"""The page of `explain-access --html`: it agrees with the interpreter in every cell, stands alone, and nothing is markup."""

from __future__ import annotations

import datetime as dt
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest

from lakehouse.contract.load import load_project
from lakehouse.policy import decide
from lakehouse.policy.load import load_policy

FIXTURE = Path(__file__).parents[2] / "policies/fixture/policies"
DAY = dt.date(2027, 6, 30)


class Page(HTMLParser):
    """Sections with their lines of cells; every tag with its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.sections: dict[str, list[list[str]]] = {}
        self._lines: list[list[str]] | None = None
        self._skipping = 0
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "section":
            self._lines = self.sections.setdefault(dict(attrs)["id"] or "", [])
        elif self._lines is not None and tag == "tr":
            self._lines.append([])
        elif self._lines is not None and tag in {"th", "td"}:
            self._lines[-1].append("")
        self._skipping += tag in {"sup", "small", "style"}

    def handle_endtag(self, tag):
        self._skipping -= tag in {"sup", "small", "style"}
        if tag == "table":
            self._lines = None

    def handle_data(self, data):
        self.text += "" if self._skipping else data
        if self._lines and self._lines[-1] and not self._skipping:
            self._lines[-1][-1] += data


@pytest.fixture
def written(lakehouse, tmp_path):
    def write(*arguments: str) -> tuple[str, Page]:
        file = tmp_path / "page.html"
        said = lakehouse("explain-access", *arguments, "--html", str(file))
        assert said.code == 0, said.err
        text = file.read_text(encoding="utf-8")
        return text, Page(text)

    return write


def test_every_cell_is_what_the_interpreter_decides(written, project_root, monkeypatch):
    monkeypatch.chdir(project_root)
    project = load_project(project_root)
    policy = load_policy(project_root, project)
    _, page = written("--day", str(DAY))
    assert len(page.sections) == len(project.tables)
    cells = 0
    for table in project.tables:
        decided = {
            (purpose.name, group): decide.shown(policy, table, (group,), purpose.name, day=DAY)
            for purpose in policy.purposes.values()
            for group in purpose.groups
        }
        expected = {key: shown for key, shown in sorted(decided.items()) if not isinstance(shown, str)}
        purposes, groups, rows, *lines = page.sections[f"table-{table.id}"]
        assert purposes[3:] == sorted({purpose for purpose, _ in expected})
        assert groups == [group for _, group in expected]
        assert len(rows) == 1 + len(expected)
        assert [line[0] for line in lines] == [column.name for column in table.columns]
        for name, category, _, *shown in lines:
            assert category == table.column(name).category
            assert [each.strip() for each in shown] == [str(treatments[name]) for treatments in expected.values()]
            cells += len(shown)
    assert cells > 500


def test_the_page_stands_alone_and_every_reference_leads_somewhere(written, project_root, monkeypatch):
    monkeypatch.chdir(project_root)
    text, page = written()
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [attributes.get("href") or "" for tag, attributes in page.tags if tag == "a"]
    assert links
    assert {link.removeprefix("#") for link in links} <= set(ids)
    assert not {"script", "img", "link", "iframe", "object", "form"} & {tag for tag, _ in page.tags}
    assert not re.search(r"(?:src|href)=\"(?!#)|url\(|@import|https?://", text)
    assert all(attributes.get("scope") for tag, attributes in page.tags if tag == "th")
    assert ("html", {"lang": "en"}) in page.tags


def test_nobody_is_named(written, project_root, monkeypatch):
    monkeypatch.chdir(project_root)
    policy = load_policy(project_root, load_project(project_root))
    _, page = written()
    words = set(re.findall(r"[a-z_]+", page.text.lower()))
    assert not words & {member for members in policy.groups.values() for member in members}


HOSTILE = "<script>alert(1)</script> & \"quotes\" 'too' </td></table><!-- ]]> &amp; \u202e."


def test_texts_of_policies_and_contracts_are_never_markup(written, lakehouse, fleet):
    shutil.rmtree(fleet / "policies")
    shutil.copytree(FIXTURE, fleet / "policies")
    for name, key in (
        ("platform.yaml", "why"),
        ("purposes.yaml", "description"),
        ("domains/claims/access.yaml", "why"),
        ("purposes.yaml", "data_use"),
        ("purposes.yaml", "legal_basis"),
    ):
        file = fleet / "policies" / name
        file.write_text(re.sub(rf"\b{key}: [^,}}\n]+", lambda _: f"{key}: {json.dumps(HOSTILE)}", file.read_text()))  # noqa: B023 - used at once
    access = fleet / "policies/domains/claims/access.yaml"
    access.write_text(access.read_text().replace("'EU', 'UK'", "'EU', '</code><b onload=x>`'", 1))
    text, page = written("--day", str(DAY))
    assert HOSTILE.replace("\u202e", "\N{REPLACEMENT CHARACTER}") in page.text
    assert "<script" not in text
    assert "<!--" not in text
    assert not {"script", "b"} & {tag for tag, _ in page.tags}
    assert not [key for _, attributes in page.tags for key in attributes if key.startswith("on")]


def test_only_what_was_asked_for_is_on_it(written, lakehouse, fleet):
    shutil.rmtree(fleet / "policies")
    shutil.copytree(FIXTURE, fleet / "policies")
    _, page = written("claim.email", "--purpose", "claims_triage")
    [(name, (purposes, groups, _, *lines))] = page.sections.items()
    assert (name, purposes[3:], groups) == ("table-curated.claims.claim", ["claims_triage"], ["triage"])
    assert [(line[0], line[3].strip()) for line in lines] == [("email", "clear")]


def test_without_policies_the_page_says_that_nobody_sees_anything(written, fleet):
    _, page = written()
    assert "Nobody sees anything of it." in page.text
    assert list(page.sections) == ["table-staged.fleet.trip"]


def test_a_page_for_few_does_not_speak_of_all(written, fleet):
    shutil.rmtree(fleet / "policies")
    shutil.copytree(FIXTURE, fleet / "policies")
    _, page = written("--as", "carl", "--purpose", "fraud_detection")
    assert "Nobody" not in page.text
    assert "Denied to whom this page is about." in page.text
    assert "`fraud_detection`: the purpose is for other groups".replace("`", "") in page.text


def test_a_page_is_written_over_and_nothing_else_is(written, lakehouse, fleet):
    shutil.rmtree(fleet / "policies")
    shutil.copytree(FIXTURE, fleet / "policies")
    first, _ = written("--day", str(DAY))
    second, _ = written("--day", str(DAY))
    assert first == second
    platform = fleet / "policies/platform.yaml"
    before = platform.read_bytes()
    said = lakehouse("explain-access", "--html", str(platform))
    assert (said.code, platform.read_bytes()) == (2, before)
