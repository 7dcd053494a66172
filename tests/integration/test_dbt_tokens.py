"""Curated tables show tokens and further entities as their contracts say, or do not build."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from lakehouse import storage
from lakehouse.contract.load import load_project
from lakehouse.errors import SchemaMismatchError
from lakehouse.transform.dbt_run import build
from tests.integration.dbt_lake import ACTIVITY, line, stage

if TYPE_CHECKING:
    from pathlib import Path

TOKEN, PAYER = "5" * 64, "b" * 32
#: What the contract of the curated table says beside what it says anyway.
ROLE = "          entities: {payer: {type: customer, key: paid_by}}\n"
COLUMNS = """\
      - {id: customer_token, name: customer_token, logicalType: string, customProperties: [{property: lakehouse, value: {category: user.unique_id.pseudonymous, token_of: user.unique_id, pseudonym_domain: retail.customer}}]}
      - {id: paid_by, name: paid_by, logicalType: string, customProperties: [{property: lakehouse, value: {category: user.unique_id, canonical: integer, pseudonym_domain: retail.customer}}]}
"""
SHOWN = {
    "customer_token": "max(CustomerID__token) as customer_token",
    "paid_by": "max(CustomerID) as paid_by",
    "_entity_payer": f"'{PAYER}' as _entity_payer",
    "paid_by__token": "max(CustomerID__token) as paid_by__token",
}


@pytest.fixture
def settings(tmp_path: Path, project_root: Path, site):
    root = tmp_path / "project"
    root.mkdir()
    shutil.copy(project_root / "pyproject.toml", root)
    shutil.copytree(project_root / "policies", root / "policies")
    shutil.copytree(project_root / "dbt", root / "dbt", ignore=shutil.ignore_patterns("target", "logs"))
    contract = root / "policies/domains/retail/contract.odcs.yaml"
    head, name, rest = contract.read_text().partition("    name: customer_activity\n")
    rest = rest.replace("          scope: accounting\n", f"{ROLE}          scope: accounting\n", 1)
    contract.write_text(head + name + rest.replace("    properties:\n", f"    properties:\n{COLUMNS}", 1))
    return site.settings(root, "the-lake")


def select(settings, *names: str) -> None:
    model = settings.project / "dbt/models/curated/retail/customer_activity.sql"
    added = "".join(f"  {SHOWN[name]},\n" for name in names)
    model.write_text(model.read_text().replace("select\n", f"select\n{added}", 1))


@pytest.fixture
def lake(settings):
    lake = storage.create_lake(settings)
    stage(lake, load_project(settings.project), [line("2011-03-01 10:00", CustomerID="1", CustomerID__token=TOKEN)])
    return lake


def test_what_the_contract_declares_stands_in_the_table(settings, lake):
    select(settings, *SHOWN)
    build(settings, [ACTIVITY])
    [row] = storage.scan(lake, ACTIVITY).collect().to_dicts()
    assert (row["customer_token"], row["paid_by__token"], row["_entity_payer"]) == (TOKEN, TOKEN, PAYER)


@pytest.mark.parametrize("missing", SHOWN)
def test_a_model_that_lacks_one_of_them_does_not_build(settings, lake, missing):
    select(settings, *(name for name in SHOWN if name != missing))
    with pytest.raises(SchemaMismatchError, match=f"`{missing}` is missing") as raised:
        build(settings, [ACTIVITY])
    assert "`_entity_<role>` and `<column>__token`" in str(raised.value.hint)
    assert not storage.exists(lake, ACTIVITY)
