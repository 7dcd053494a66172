"""Contracts to dbt's `schema.yml` and `sources.yml`, so that rules are written once.

`schema_yaml(project)` gives the files' texts; `python -m lakehouse.transform.dbt_schema` writes them; a test fails when
what stands in `dbt/models` is not what the contracts say. Checks that dbt cannot express in SQL for both targets
(lengths in code points, foreign keys with tolerance) stay with the contract's own checks.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import yaml

from lakehouse.contract.load import load_project
from lakehouse.contract.model import Logical, Rule
from lakehouse.model import TableId, Tier
from lakehouse.settings import find_project

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from lakehouse.contract.model import Check, Column, ColumnType, Project, Table

HEADER = (
    "# Generated from policies/domains by `python -m lakehouse.transform.dbt_schema`; change the contract instead.\n"
)

_SQL_TYPES = {
    Logical.INTEGER: "bigint",
    Logical.FLOAT: "double",
    Logical.DATE: "date",
    Logical.TIMESTAMP: "timestamp with time zone",
}


def schema_name(table: TableId) -> str:
    """The SQL schema of a table's domain and tier, in dbt and its in-memory database."""
    return f"{table.tier}_{table.domain}"


def table_id(schema: str, name: str) -> TableId:
    """The inverse of `schema_name`; ValueError when the schema is not one of ours."""
    tier, _, domain = schema.partition("_")
    return TableId(Tier(tier), domain, name)


def dbt_test_name(table: TableId, check: str) -> str:
    """The name of the dbt test that a contract's check becomes; the check itself is the table's asset check."""
    return f"{table.domain}_{table.table}_{check}"


def schema_yaml(project: Project) -> dict[str, str]:
    """Path below the project root to text: one `sources.yml`, one `schema.yml` per domain with curated tables."""
    curated = [table for table in project.tables if table.id.tier is Tier.CURATED]
    by_domain: dict[str, list[Table]] = {}
    for table in curated:
        by_domain.setdefault(table.id.domain, []).append(table)
    texts = {
        f"dbt/models/curated/{domain}/schema.yml": _dump({"models": [_model(table) for table in tables]})
        for domain, tables in by_domain.items()
    }
    if curated:
        texts["dbt/models/sources.yml"] = _dump({"sources": list(_sources(project, curated))})
    return texts


def drifted(project: Project) -> list[str]:
    """The generated files that are missing or differ from the contracts."""
    return [path for path, text in schema_yaml(project).items() if _text(project.root / path) != text]


def write(project: Project) -> list[str]:
    """Bring the files up to date; returns the paths that changed."""
    texts = schema_yaml(project)
    changed = drifted(project)
    for path in changed:
        file = project.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(texts[path], encoding="utf-8")
    return changed


def _sources(project: Project, curated: list[Table]) -> Iterator[dict[str, Any]]:
    read = {name for table in curated for name in table.inputs if name.tier is not Tier.CURATED}
    by_schema: dict[str, list[TableId]] = {}
    for name in sorted(read):
        by_schema.setdefault(schema_name(name), []).append(name)
    for schema, names in by_schema.items():
        tables = [_described({"name": name.table}, project.table(name).description) for name in names]
        yield {"name": schema, "schema": schema, "tables": tables}


def _model(table: Table) -> dict[str, Any]:
    entry = _described({"name": table.id.table}, table.description)
    entry["config"] = {"schema": schema_name(table.id)}
    tests = [test for check in table.checks if (test := _table_test(table, check)) is not None]
    if tests:
        entry["data_tests"] = tests
    entry["columns"] = [_column(table, column) for column in table.columns]
    return entry


def _table_test(table: Table, check: Check) -> dict[str, Any] | None:
    if check.rule is Rule.UNIQUE:
        return _test("unique_key", name=check.name, table=table, check=check, arguments={"columns": [*check.columns]})
    if check.rule is Rule.COMPARE:
        return _compares(table, check)
    return None


def _column(table: Table, column: Column) -> dict[str, Any]:
    entry = _described({"name": column.name}, column.description)
    tests = [
        test
        for check in table.checks
        if check.columns[:1] == (column.name,) and (test := _column_test(table, check, type_=column.type)) is not None
    ]
    if tests:
        entry["data_tests"] = tests
    return entry


def _column_test(table: Table, check: Check, *, type_: ColumnType) -> dict[str, Any] | None:
    if check.rule is Rule.REQUIRED:
        return _test("not_null", name=check.name, table=table, check=check)
    if check.rule is Rule.ENUM:
        return _test("one_of", name=check.name, table=table, check=check, arguments={"values": list(check.values)})
    if check.rule is Rule.PATTERN and check.pattern is not None:
        return _test("full_match", name=check.name, table=table, check=check, arguments={"pattern": check.pattern})
    if check.rule is Rule.RANGE:
        bounds = {"minimum": check.minimum, "maximum": check.maximum}
        literals = {key: _literal(value, type_) for key, value in bounds.items() if value is not None}
        return _test("within", name=check.name, table=table, check=check, arguments=literals)
    return None


def _compares(table: Table, check: Check) -> dict[str, Any]:
    left = check.columns[0]
    right = check.other or _literal(check.values[0], table.column(left).type)
    operators = {"==": "=", "!=": "<>"}
    operator = operators.get(check.operator or "==", check.operator)
    arguments = {"left": left, "operator": operator, "right": right}
    return _test("compares", name=check.name, table=table, check=check, arguments=arguments)


def _test(
    kind: str, *, name: str, table: Table, check: Check | None = None, arguments: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    body: dict[str, Any] = {"name": dbt_test_name(table.id, name)}
    if arguments:
        body["arguments"] = dict(arguments)
    # dbt counts failing rows, not shares: a rule with a tolerance can only warn here.
    if check is not None and (check.severity == "warning" or check.tolerance):
        body["config"] = {"severity": "warn"}
    return {kind: body}


def _literal(value: str, type_: ColumnType) -> str:
    """The SQL literal of a contract's bound, the same for DuckDB and Trino."""
    if type_.logical in {Logical.INTEGER, Logical.DECIMAL, Logical.FLOAT}:
        return format(Decimal(value), "f")
    quoted = "'" + value.replace("'", "''") + "'"
    sql_type = _SQL_TYPES.get(type_.logical)
    return f"cast({quoted} as {sql_type})" if sql_type else quoted


def _described(entry: dict[str, Any], description: str) -> dict[str, Any]:
    return {**entry, "description": description} if description else entry


def _dump(body: Mapping[str, Any]) -> str:
    return HEADER + yaml.safe_dump({"version": 2, **body}, sort_keys=False, allow_unicode=True, width=120)


def _text(file: Path) -> str | None:
    return file.read_text(encoding="utf-8") if file.is_file() else None


if __name__ == "__main__":
    write(load_project(find_project()))
