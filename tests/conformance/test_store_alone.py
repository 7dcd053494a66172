"""With LAKEHOUSE_TEST_PLACE=s3 no lake of the integration tests is on this disk: who is not in a store has no lake."""

from __future__ import annotations

import os
import subprocess
import sys

WITHOUT_LAKE = {
    "test_dbt_build.py::test_trino_target_parses_without_a_server",
    "test_hostile_collections.py::test_csv_spectrum_is_read_as_its_authors_say",
    "test_hostile_collections.py::test_parquet_testing_is_read_or_rejected_file_by_file",
    "test_taint_of_models.py::test_a_broken_policy_calls_no_declaration_needless",
    "test_taint_of_models.py::test_a_project_without_models_asks_nobody",
    "test_taint_of_models.py::test_an_address_in_disguise_is_found_where_it_stands",
    "test_taint_of_models.py::test_compiled_models_are_kept_until_something_changes",
    "test_taint_of_models.py::test_dagster_is_told_where_columns_come_from",
    "test_taint_of_models.py::test_lineage_of_a_real_model",
}


def test_whoever_is_not_in_the_store_has_no_lake(project_root):
    asked = ["--collect-only", "-q", "-m", "not s3", "-p", "no:cacheprovider", "tests/integration"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *asked],
        cwd=project_root,
        env={**os.environ, "LAKEHOUSE_TEST_PLACE": "s3", "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    found = {line.removeprefix("tests/integration/") for line in done.stdout.splitlines() if "::" in line}
    assert found == WITHOUT_LAKE
