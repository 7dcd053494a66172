"""Which files make a table: a change of any of them is another fingerprint, a change elsewhere is not."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from lakehouse.contract.load import load_project
from lakehouse.model import TableId, Tier
from lakehouse.transform.code import fingerprint, function_files, model_files

if TYPE_CHECKING:
    from pathlib import Path

DEMAND = TableId(Tier.CURATED, "retail", "daily_demand")
MODULES = {
    "assets/__init__.py": "import assets.unasked\n",
    "assets/features/__init__.py": "",
    "assets/features/shop.py": "import lakehouse.model\nfrom assets.features import prices\nfrom . import days as d\n",
    "assets/features/prices.py": "from rules.rounding import pounds\n",
    "assets/features/days.py": "def later():\n    from .clock import zone\n    return zone\n",
    "assets/features/clock.py": "import datetime as dt\n",
    "assets/features/other.py": "",
    "assets/unasked.py": "",
    "rules/rounding.py": "import polars as pl\n",
    "lakehouse/model.py": "",
}


@pytest.fixture
def root(tmp_path) -> Path:
    for name, text in MODULES.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return tmp_path


def test_function_is_made_by_its_module_and_what_that_imports_from_the_project(root):
    found = {str(file.relative_to(root)) for file in function_files(root, "assets.features.shop")}
    features = ("__init__", "shop", "prices", "days", "clock")
    assert found == {f"assets/features/{name}.py" for name in features} | {"rules/rounding.py"}


@pytest.mark.parametrize(("changed", "same"), [("prices", False), ("clock", False), ("other", True)])
def test_fingerprint_of_a_function_follows_what_it_imports(root, changed, same):
    before = fingerprint(function_files(root, "assets.features.shop"))
    with (root / f"assets/features/{changed}.py").open("a") as file:
        file.write("# another\n")
    assert (fingerprint(function_files(root, "assets.features.shop")) == before) is same


@pytest.mark.parametrize(
    ("changed", "same"),
    [
        ("models/curated/retail/daily_demand.sql", False),
        ("models/shared/lines.sql", False),
        ("macros/months.sql", False),
        ("macros/deep/down.sql", False),
        ("dbt_project.yml", False),
        ("models/curated/retail/customer_activity.sql", True),
        ("models/curated/retail/schema.yml", True),
    ],
)
def test_fingerprint_of_a_model_follows_what_it_may_use(tmp_path, project_root, changed, same):
    for part in ("policies", "dbt/models", "dbt/macros"):
        shutil.copytree(project_root / part, tmp_path / part)
    shutil.copy(project_root / "dbt/dbt_project.yml", tmp_path / "dbt")
    for extra in ("models/shared/lines.sql", "macros/deep/down.sql"):
        (tmp_path / "dbt" / extra).parent.mkdir()
        (tmp_path / "dbt" / extra).write_text("select 1\n")
    project = load_project(tmp_path)
    before = fingerprint(model_files(project, DEMAND))
    with (tmp_path / "dbt" / changed).open("a") as file:
        file.write("-- another\n")
    assert (fingerprint(model_files(project, DEMAND)) == before) is same
