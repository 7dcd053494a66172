"""A first contract out of a file: it loads, guesses what a person would, and copies no value."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import pytest
import zstandard

from lakehouse.contract.guess import guess
from lakehouse.contract.load import find_mistakes, load_project
from lakehouse.contract.scaffold import scaffold
from lakehouse.errors import FileRejectedError, UsageError
from lakehouse.model import Level
from lakehouse.policy.load import load_policy

if TYPE_CHECKING:
    from pathlib import Path

    from lakehouse.contract.model import Table

PEOPLE = """\
Client No;Full Name;E-Mail;Birth Date;Joined At;Amount;Note;Active
1;Ada Lovelace;ada@example.org;1815-12-10;2020-01-02 03:04:05;12.50;secret-note;true
2;Alan Turing;alan@example.org;1912-06-23;2020-01-03 03:04:05;7.25;?;false
3;;grace@example.org;1906-12-09;2020-01-04 03:04:05;100.00;;true
"""


def made(root: Path, file: Path) -> Table:
    for name, text in scaffold("shop", file, access=False).items():
        path = root / "project" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    errors = [finding for finding in find_mistakes(root / "project") if finding.level is Level.ERROR]
    assert errors == []
    return load_project(root / "project").tables[0]


@pytest.fixture
def people(tmp_path: Path) -> Path:
    path = tmp_path / "Club Members 2020-01-31.csv"
    path.write_text(PEOPLE, encoding="utf-8")
    return path


def test_a_scaffold_guesses_what_a_person_would(tmp_path: Path, people: Path) -> None:
    table = made(tmp_path, people)
    assert str(table.id) == "staged.shop.club_members"
    assert table.key == ("Client_No",)
    assert table.event_time == "Joined_At"
    assert table.entity is not None
    assert (table.entity.type, table.entity.key, table.entity.canonical) == ("client", "Client_No", ("trim", "integer"))
    assert [column.source_name for column in table.columns][:2] == ["Client No", "Full Name"]
    assert {column.name: column.category for column in table.columns if column.personal} == {
        "Client_No": "user.unique_id",
        "Full_Name": "user.name",
        "E_Mail": "user.contact.email",
        "Birth_Date": "user.demographic.date_of_birth",
    }
    assert str(table.column("Amount").type) == "decimal(12,2)"
    assert str(table.column("Active").type) == "boolean"
    assert (table.sources[0].delimiter, table.sources[0].delivered_at) == (";", "Club Members %Y-%m-%d.csv")


def test_a_scaffold_copies_no_value_and_marks_its_guesses(people: Path) -> None:
    text = next(iter(scaffold("shop", people).values()))
    for value in ("Ada", "ada@example.org", "1815", "secret-note", "12.50"):
        assert value not in text
    assert "category: user.name}}  # review" in text


def test_the_real_files_give_the_real_contract(tmp_path: Path, shared_data: Path) -> None:
    table = made(tmp_path, shared_data / "retail/uci-online-retail/by-day/2010-12-01.csv.gz")
    assert table.key == ("InvoiceNo", "StockCode", "line")
    assert table.event_time == "InvoiceDate"
    assert table.entity is not None
    assert (table.entity.key, table.entity.optional) == ("CustomerID", True)
    assert [column.name for column in table.columns if column.personal] == ["CustomerID"]


@pytest.mark.parametrize(
    "name",
    [
        "banking/berka/client.asc",
        "banking/churn-modelling/Churn_Modelling.csv",
        "insurance/fema/FemaWebDisasterSummaries.csv",
        "pii/presidio/FakeNameGenerator.com_3000.csv",
        "retail/olist-10k/olist_order_items_dataset.csv",
    ],
)
def test_a_scaffold_of_any_real_file_loads(tmp_path: Path, shared_data: Path, name: str) -> None:
    assert made(tmp_path, shared_data / name).columns


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_packed_files_give_the_same(tmp_path: Path, people: Path, suffix: str) -> None:
    data = people.read_bytes()
    packed = people.with_name(people.name + suffix)
    packed.write_bytes(gzip.compress(data) if suffix == ".gz" else zstandard.compress(data))
    assert made(tmp_path, packed).key == ("Client_No",)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no header"),
        (b"a,b\n", "no header"),
        (b"a,A\n1,2\n", "one name"),
        (b"a\n\xff\xfe\n", "not utf-8"),
    ],
)
def test_what_cannot_be_read_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(content)
    with pytest.raises(FileRejectedError, match=words):
        scaffold("shop", path)


def test_a_broken_archive_is_refused(tmp_path: Path) -> None:
    for suffix in (".gz", ".zst"):
        path = tmp_path / f"x.csv{suffix}"
        path.write_bytes(b"no archive at all")
        with pytest.raises(FileRejectedError):
            scaffold("shop", path)


def test_a_domain_name_that_cannot_be_is_refused(people: Path) -> None:
    with pytest.raises(UsageError, match="Shop"):
        scaffold("Shop", people)


@pytest.mark.parametrize(
    ("values", "logical", "physical"),
    [
        (["1", "-2", ""], "integer", None),
        (["007", "012"], "string", None),
        (["1.5", "22.25"], "number", "decimal(12,2)"),
        (["1e3", "2.5"], "number", "double"),
        (["1", "?", "NA"], "integer", None),
        (["true", "false"], "boolean", None),
        (["2020-01-02"], "date", None),
        (["31.12.2020"], "date", None),
        (["2020-01-02T03:04:05+01:00"], "timestamp", None),
        (["", ""], "string", None),
        (["12345678901234567890"], "number", "decimal(22,0)"),
    ],
)
def test_types_are_guessed_from_every_value(values: list[str], logical: str, physical: str | None) -> None:
    found = guess("thing", "thing", values)
    assert (found.logical, found.physical) == (logical, physical)


def test_the_access_policy_lets_nobody_read_until_its_first_grant_is_filled_in(tmp_path: Path, people: Path) -> None:
    root = tmp_path / "project"
    written = scaffold("shop", people)
    documents = {
        "policies/platform.yaml": "version: 1\nclasses: {user: confidential, system: internal}\n"
        "defaults: {public: clear, internal: clear, confidential: redact, restricted: hide}\nidentifying: [user.unique_id]\n",
        "policies/purposes.yaml": "version: 1\npurposes:\n"
        "  caring: {description: d, groups: [carers], legal_basis: contract, consent: not_required}\n",
        "policies/groups.yaml": "version: 1\ngroups: {carers: [ana]}\n",
    }
    for name, text in (written | documents).items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    project = load_project(root)
    assert load_policy(root, project).grants == ()
    access = root / "policies/domains/shop/access.yaml"
    text = access.read_text().replace("grants: []", "grants:").replace("\n#  ", "\n  ")
    access.write_text(text.replace("GROUP]", "carers]").replace("PURPOSE ", "caring "))
    (grant,) = load_policy(root, project).grants
    assert grant.id == "somebody-reads-club-members"
    assert {entry.category for entry in grant.columns} == {
        column.category for column in project.tables[0].columns if column.personal
    }
