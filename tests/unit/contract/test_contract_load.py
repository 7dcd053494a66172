"""What the loader makes of right contracts: types, checks, references, and how quickly."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from lakehouse.contract import formats
from lakehouse.contract.load import load_contract, load_project
from lakehouse.contract.model import CheckKind, ColumnType, Logical, Project, Rule, Table
from lakehouse.model import TableId, Tier

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def project(project_root: Path) -> Project:
    return load_project(project_root)


def table(project: Project, name: str) -> Table:
    tier, domain, rest = name.split(".")
    return project.table(TableId(Tier(tier), domain, rest))


def test_the_retail_domain_goes_all_the_way(project: Project) -> None:
    assert {str(found.id) for found in project.tables} >= {
        "staged.retail.invoice_line",
        "staged.retail.customer",
        "curated.retail.daily_demand",
        "curated.retail.customer_activity",
        "features.retail.product_demand",
        "features.retail.customer_features",
    }


def test_invoice_lines_are_what_the_till_delivers(project: Project) -> None:
    lines = table(project, "staged.retail.invoice_line")
    assert lines.key == ("InvoiceNo", "StockCode", "line")
    assert lines.column("line").derived_over == ("InvoiceNo", "StockCode")
    assert [column.name for column in lines.columns if column.personal] == ["CustomerID"]
    assert lines.column("InvoiceDate").type.time_zone == "Europe/London"
    assert lines.column("InvoiceDate").type.format == "%Y-%m-%d %H:%M:%S"
    assert lines.entity is not None
    assert lines.entity.optional
    assert lines.sources[0].delivered_at == "%Y-%m-%d.csv.gz"
    assert (lines.layout, lines.retention, lines.owner) == ("time+entity", "P10Y", "retail-data")


def test_a_classification_is_the_columns(tmp_path: Path, project_root: Path) -> None:
    path = tmp_path / "contract.odcs.yaml"
    written = (project_root / "policies/domains/retail/contract.odcs.yaml").read_text()
    path.write_text(written.replace("name: name\n", "name: name\n        classification: restricted\n", 1))
    customer = next(found for found in load_contract(path).tables if found.id.table == "customer")
    assert customer.column("name").classification == "restricted"
    assert customer.column("email").classification is None


def test_check_names_are_promises_and_unique(project: Project) -> None:
    for found in project.tables:
        names = [check.name for check in found.checks]
        assert len(set(names)) == len(names)
        assert "unique_key" in names
        assert ("row_ledger_balances" in names) == (found.id.tier is Tier.STAGED)
    names = [check.name for check in table(project, "staged.retail.invoice_line").checks_of(CheckKind.ROW)]
    assert {"type_Quantity", "required_InvoiceNo", "range_UnitPrice", "pattern_InvoiceNo", "quantity_moves"} <= set(
        names
    )


def test_every_delivered_column_that_is_not_text_has_a_type_check(project: Project) -> None:
    for found in project.tables:
        typed = {check.columns[0] for check in found.checks if check.rule is Rule.TYPE}
        staged = found.id.tier is Tier.STAGED
        wanted = {c.name for c in found.delivered if staged and c.type.logical is not Logical.STRING}
        wanted |= {c.name for c in found.columns if c.transform}
        assert typed == wanted


def test_a_foreign_key_is_bound_by_id(project: Project) -> None:
    check = next(c for c in table(project, "staged.retail.invoice_line").checks if c.rule is Rule.FOREIGN_KEY)
    assert (str(check.target), check.target_columns) == ("staged.retail.customer", ("CustomerID",))


def test_a_renamed_table_stays_itself(project_root: Path, tmp_path: Path) -> None:
    path = project_root / "policies/domains/retail/contract.odcs.yaml"
    renamed = tmp_path / "contract.odcs.yaml"
    text = path.read_text(encoding="utf-8")
    renamed.write_text(text.replace("    name: customer\n", "    name: client\n"), encoding="utf-8")
    before = {found.odcs_id: found.id.table for found in load_contract(path).tables}
    after = {found.odcs_id: found.id.table for found in load_contract(renamed).tables}
    assert before.keys() == after.keys()
    changed = {before[key]: after[key] for key in before if before[key] != after[key]}
    assert changed == {"customer": "client"}


def test_an_odcs_3_1_contract_is_read(project_root: Path, tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    text = (project_root / "policies/domains/retail/contract.odcs.yaml").read_text(encoding="utf-8")
    path.write_text(text.replace("apiVersion: v3.2.0", "apiVersion: v3.1.0"), encoding="utf-8")
    assert load_contract(path).tables


@pytest.mark.parametrize(
    ("column", "text", "exclusive", "bound"),
    [
        (ColumnType(Logical.INTEGER), "5", 1, "6"),
        (ColumnType(Logical.DECIMAL, 9, 2), "100", -1, "99.99"),
        (ColumnType(Logical.DATE), "2011-03-01", -1, "2011-02-28"),
        (ColumnType(Logical.DATE, format="%d.%m.%Y"), "01.03.2011", 0, "2011-03-01"),
        (
            ColumnType(Logical.TIMESTAMP, time_zone="Europe/London"),
            "2011-07-01 12:00:00",
            0,
            "2011-07-01T11:00:00+00:00",
        ),
        (ColumnType(Logical.TIMESTAMP), "2011-07-01 00:00:00", 1, "2011-07-01T00:00:00.000001+00:00"),
        (ColumnType(Logical.FLOAT), "1", 1, "1.0000000000000002"),
        (ColumnType(Logical.STRING), "a", 0, "a"),
    ],
)
def test_bounds_come_out_inclusive_and_exact(column: ColumnType, text: str, exclusive: int, bound: str) -> None:
    assert formats.bound(text, column, exclusive=exclusive) == bound


@pytest.mark.parametrize(
    ("java", "strptime"),
    [
        ("yyyy-MM-dd'T'HH:mm:ss.SSSXXX", "%Y-%m-%dT%H:%M:%S.%f%z"),
        ("dd/MM/yy hh:mm a", "%d/%m/%y %I:%M %p"),
        ("yyyy''MM", "%Y'%m"),
    ],
)
def test_java_letters_become_strptime(java: str, strptime: str) -> None:
    assert formats.strptime_format(java) == strptime


def test_loading_is_quick_and_brings_nothing_heavy(project_root: Path) -> None:
    started = time.process_time()  # others may use the machine as well
    load_project(project_root)
    assert time.process_time() - started < 1
    code = (
        "import sys\nfrom pathlib import Path\nfrom lakehouse.contract.load import load_project\n"
        "from lakehouse.contract import canonical\n"
        f"load_project(Path({str(project_root)!r}))\n"
        "heavy = {'polars', 'pyarrow', 'deltalake', 'sqlalchemy', 'dagster', 'pydantic', 'jsonschema', 'pandera'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=project_root)
    assert run.stdout.strip() == "[]"
