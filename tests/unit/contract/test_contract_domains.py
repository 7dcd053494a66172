"""A contract's domain by itself: without a project there is no folder to agree with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lakehouse.contract.load import find_mistakes, load_contract
from lakehouse.errors import ContractError

if TYPE_CHECKING:
    from pathlib import Path


def test_a_domain_is_small_letters(tmp_path: Path, project_root: Path) -> None:
    retail = (project_root / "policies/domains/retail/contract.odcs.yaml").read_text(encoding="utf-8")
    path = tmp_path / "c.yaml"
    path.write_text(retail.replace("domain: retail", "domain: Retail"), encoding="utf-8")
    with pytest.raises(ContractError, match="small letters"):
        load_contract(path)


def test_a_domain_folder_without_a_contract_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "policies/domains/empty").mkdir(parents=True)
    assert [finding.code for finding in find_mistakes(tmp_path)] == ["contract-missing"]


def test_a_project_without_domains_has_no_tables(tmp_path: Path) -> None:
    assert find_mistakes(tmp_path) == []
