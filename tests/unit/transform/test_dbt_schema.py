"""dbt's schema files say what the contracts say."""

from __future__ import annotations

from dataclasses import replace

import pytest
import yaml

from lakehouse.contract.load import load_project
from lakehouse.contract.model import Check, CheckKind, Column, ColumnType, Contract, Logical, Project, Rule, Table
from lakehouse.model import TableId, Tier
from lakehouse.transform.dbt_schema import drifted, schema_name, schema_yaml, table_id, write

DEMAND = TableId(Tier.CURATED, "retail", "daily_demand")


def test_generated_files_are_not_behind_the_contracts(project_root):
    assert drifted(load_project(project_root)) == [], "run `python -m lakehouse.transform.dbt_schema`"


def test_write_mends_what_drifted_and_nothing_else(tmp_path, project_root):
    project = replace(load_project(project_root), root=tmp_path)
    paths = write(project)
    assert sorted(paths) == sorted(schema_yaml(project))
    assert write(project) == []
    (tmp_path / paths[0]).write_text("models: []\n")
    assert drifted(project) == [paths[0]]


def test_schema_name_and_table_id_are_inverse():
    name = TableId(Tier.CURATED, "two_words", "a_table")
    assert table_id(schema_name(name), name.table) == name
    with pytest.raises(ValueError, match="elsewhere"):
        table_id("elsewhere_retail", "a_table")


def row_check(name: str, rule: Rule, column: str, **values: object) -> Check:
    return Check(name, CheckKind.ROW, rule, (column,), **values)


def made_of(*checks: Check) -> tuple[list[dict], dict[str, list[dict]]]:
    """The table's and each column's tests of a table with these checks."""
    types = {"n": Logical.INTEGER, "s": Logical.STRING, "d": Logical.DATE, "x": Logical.FLOAT}
    columns = tuple(Column(name, name, ColumnType(kind), "system.operations") for name, kind in types.items())
    table = Table(DEMAND, "id", columns, key=("n",), inputs=(DEMAND.at(Tier.STAGED),), checks=checks)
    staged = replace(table, id=DEMAND.at(Tier.STAGED))
    project = Project(None, (Contract("c", "retail", "1.0.0", (table, staged)),))
    [model] = yaml.safe_load(schema_yaml(project)["dbt/models/curated/retail/schema.yml"])["models"]
    return model.get("data_tests", []), {column["name"]: column.get("data_tests", []) for column in model["columns"]}


def test_every_rule_that_sql_can_say_becomes_a_test():
    whole, columns = made_of(
        row_check("required_n", Rule.REQUIRED, "n"),
        row_check("range_d", Rule.RANGE, "d", minimum="2011-01-01"),
        row_check("range_x", Rule.RANGE, "x", minimum="1e-3", maximum="2"),
        row_check("enum_s", Rule.ENUM, "s", values=("it's", "b")),
        row_check("pattern_s", Rule.PATTERN, "s", pattern="[a-z]+"),
        row_check("length_s", Rule.LENGTH, "s", maximum="3"),
        row_check("n_is_odd", Rule.COMPARE, "n", operator="!=", values=("0",)),
        Check("unique_key", CheckKind.TABLE, Rule.UNIQUE, ("n",)),
    )
    assert [next(iter(test)) for test in whole] == ["compares", "unique_key"]
    assert whole[0]["compares"]["arguments"] == {"left": "n", "operator": "<>", "right": "0"}
    assert list(columns["n"][0]) == ["not_null"]
    assert columns["d"][0]["within"]["arguments"] == {"minimum": "cast('2011-01-01' as date)"}
    assert columns["x"][0]["within"]["arguments"] == {"minimum": "0.001", "maximum": "2"}
    assert columns["s"][0]["one_of"]["arguments"] == {"values": ["it's", "b"]}
    assert columns["s"][1]["full_match"]["arguments"] == {"pattern": "[a-z]+"}
    assert len(columns["s"]) == 2, "a length in code points is not a test of dbt"


@pytest.mark.parametrize("values", [{"severity": "warning"}, {"tolerance": 0.1}])
def test_a_rule_that_may_fail_only_warns(values):
    _, columns = made_of(row_check("required_n", Rule.REQUIRED, "n", **values))
    assert columns["n"][0]["not_null"]["config"] == {"severity": "warn"}


def test_names_are_unique_in_the_project(project_root):
    names: list[str] = []
    for text in schema_yaml(load_project(project_root)).values():
        for model in yaml.safe_load(text).get("models", []):
            tests = [*model.get("data_tests", []), *(t for c in model["columns"] for t in c.get("data_tests", []))]
            names += [body["name"] for test in tests for body in test.values()]
    assert len(names) == len(set(names)) > 10
