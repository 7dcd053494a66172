"""Policy tests: what a domain expects of its policy, read from `tests.yaml` and asked of the reference interpreter.

A test that fails says the request, what was expected and what is shown. Which rules no test looks at is in `coverage`.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, cast

from lakehouse.contract import reading
from lakehouse.contract.model import Logical
from lakehouse.model import RESTRICTED_UNTIL, TableId
from lakehouse.policy import decide, reach, rules
from lakehouse.policy.model import PolicyTest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lakehouse.contract.findings import Findings
    from lakehouse.contract.model import ColumnType, Project, Table
    from lakehouse.policy.model import Cell, Outcome, Policy
    from lakehouse.policy.rules import Said
    from lakehouse.policy.treatments import Treatment
    from lakehouse.source import Node

#: The day of a test that names none, where no grant ends: no answer depends on it, which `check_days` sees to.
ANY_DAY = dt.date(2000, 1, 1)
_PARTS = 3
_NOT_OF_TYPE = "not a value of the column's type"


@dataclass(frozen=True)
class Tally:
    """How many policy tests hold, and how many do not."""

    passed: int = 0
    failed: int = 0


def read_test(node: Node, domain: str, findings: Findings) -> Said[PolicyTest] | None:
    """One test, None when its table or its expectation cannot be read."""
    said, expect = node.get("as"), node.get("expect")
    table = _table(node.get("table"), findings)
    if table is None or expect is None or said is None:
        return None
    row = node.get("row")
    test = PolicyTest(
        groups=tuple(sorted(set(reading.texts(said, "groups")))),
        purpose=reading.text(said, "purpose") or "",
        table=table,
        expect=_expected(expect, findings),
        day=rules.read_day(node, "day", findings),
        consent="consent" not in node.entries or reading.flag(node, "consent"),
        row=None if row is None else tuple(sorted((name, cell.scalar) for name, cell in row.entries.items())),
        domain=domain,
        where=node.where,
    )
    return rules.Said(node, test)


def _table(node: Node | None, findings: Findings) -> TableId | None:
    if node is None or node.kind != "scalar":
        return None
    parts = node.text.split(".")
    if len(parts) != _PARTS or not all(parts) or parts[0] not in rules.TIERS:
        findings.error("test-table", node, f"`{node.text}` is no table", hint="`tier.domain.table`, such as `staged.…`")
        return None
    return TableId(rules.TIERS[parts[0]], parts[1], parts[2])


def _expected(node: Node, findings: Findings) -> tuple[tuple[str, Treatment], ...] | Outcome:
    if node.kind == "scalar":
        return "invisible" if node.text == "invisible" else "denied"
    read = ((name, rules.read_treatment(value, findings)) for name, value in node.entries.items())
    return tuple(sorted(((name, found) for name, found in read if found is not None), key=lambda pair: pair[0]))


def check_names(said: Said[PolicyTest], table: Table, findings: Findings) -> None:
    """Columns that the table does not have, and cells that are not of their column's type."""
    known = [column.name for column in table.columns]
    expect, row = said.node.get("expect"), said.node.get("row")
    for name in expect.entries if expect is not None else ():
        if name not in known and expect is not None:
            findings.unknown("column-unknown", expect.key(name), "column", known=known)
    for name, cell in row.entries.items() if row is not None else ():
        if row is not None and name not in known and name != RESTRICTED_UNTIL:
            findings.unknown("column-unknown", row.key(name), "column", known=known)
        elif name in known and not _is_of(cell.scalar, table.column(name).type):
            message = f"column `{name}` is a {table.column(name).type}, which this is not"
            hint = "text, days and instants stand in quotes; numbers and `true` do not"
            findings.error("test-cell", cell, message, hint=hint)


def check_day(said: Said[PolicyTest], policy: Policy, table: Table, findings: Findings) -> None:
    """A test whose answer depends on the day, without one."""
    test = said.value
    purpose = policy.purposes[test.purpose]
    if test.day is not None or test.row is None:
        return
    predicates = [grant.rows for grant in reach.grants(policy, purpose.name, table)]
    predicates += [ceiling.only_rows for ceiling in reach.row_ceilings(policy, table)]
    aged = purpose.max_age is not None and any(column.personal for column in table.columns)
    if aged or any(predicate is not None and predicate.uses_day for predicate in predicates):
        findings.error("test-day", said.node, "what this row shows depends on the day", hint="say `day: 2026-01-31`")


def day_of(test: PolicyTest, policy: Policy, table: Table) -> dt.date:
    """The test's day; without one the last on which all grants of its purpose stand."""
    if test.day is not None:
        return test.day
    ends = [grant.until for grant in reach.grants(policy, test.purpose, table) if grant.until is not None]
    return min(ends, default=ANY_DAY)


def row_of(test: PolicyTest, table: Table) -> dict[str, object] | None:
    """The test's row as values of the columns' types."""
    if test.row is None:
        return None
    types = {column.name: column.type for column in table.columns}
    return {name: value_of(cell, types[name]) if name in types else cell for name, cell in test.row}


def _is_of(cell: Cell, column_type: ColumnType) -> bool:
    try:
        value_of(cell, column_type)
    except ValueError:
        return False
    return True


def value_of(cell: Cell, column_type: ColumnType) -> object:
    """A cell of a test's row as a value of the column's type.

    Raises:
        ValueError: it is none.
    """
    logical = column_type.logical
    if cell is None:
        return None
    if isinstance(cell, bool) or logical is Logical.BOOLEAN:
        return _only(cell, when=isinstance(cell, bool) and logical is Logical.BOOLEAN)
    if isinstance(cell, str):
        return _of_text(cell, logical)
    if logical is Logical.INTEGER:
        return _only(cell, when=isinstance(cell, int))
    if logical is Logical.DECIMAL:
        return Decimal(str(cell))
    if logical is not Logical.FLOAT:
        raise ValueError(_NOT_OF_TYPE)
    return float(cell)


def _of_text(text: str, logical: Logical) -> object:
    if logical is Logical.DATE:
        return dt.date.fromisoformat(text)
    if logical is Logical.TIMESTAMP:
        found = dt.datetime.fromisoformat(text)
        return found if found.tzinfo else found.replace(tzinfo=dt.UTC)
    return _only(text, when=logical is Logical.STRING)


def _only(cell: Cell, *, when: bool) -> Cell:
    if not when:
        raise ValueError(_NOT_OF_TYPE)
    return cell


def run(policy: Policy, project: Project, tests: Iterable[Said[PolicyTest]], findings: Findings) -> Tally:
    """Asks every test of the reference interpreter; one that fails is an error."""
    tables = {table.id: table for table in project.tables}
    passed = failed = 0
    for said in tests:
        wrong = _ask(policy, tables[said.value.table], said)
        for node, message in wrong:
            column = node.text if node is not said.node else ""
            command = _explanation(said.value, column, day_of(said.value, policy, tables[said.value.table]))
            findings.error("policy-test", node, message, hint=f"`{command}` says which rule decided")
        passed, failed = passed + (not wrong), failed + bool(wrong)
    return Tally(passed, failed)


def _explanation(test: PolicyTest, column: str, day: dt.date) -> str:
    """The command that explains what a test's request is shown; of a day only where one matters."""
    parts = ["lakehouse explain-access", f"{test.table}.{column}" if column else str(test.table)]
    parts += [f"--purpose {test.purpose}", *(f"--group {group}" for group in test.groups)]
    return " ".join([*parts, f"--day {day}"] if day != ANY_DAY else parts)


def _ask(policy: Policy, table: Table, said: Said[PolicyTest]) -> list[tuple[Node, str]]:
    """What a test's request shows that it does not expect."""
    test = said.value
    shown = decide.shown(
        policy,
        table,
        test.groups,
        test.purpose,
        day=day_of(test, policy, table),
        row=row_of(test, table),
        consented=test.consent,
    )
    request = f"`{table.id}` for {', '.join(f'`{group}`' for group in test.groups) or 'nobody'} under `{test.purpose}`"
    if isinstance(test.expect, str) or isinstance(shown, str):
        outcome = shown if isinstance(shown, str) else "shown"
        expected = test.expect if isinstance(test.expect, str) else "shown"
        return [] if outcome == expected else [(said.node, f"{request} is expected to be {expected}, and is {outcome}")]
    node = cast("Node", said.node.get("expect"))
    return [
        (node.key(name), f"{request}: `{name}` is expected as `{expected}`, and is shown as `{found}`")
        for name, expected, found in _differing(test.expect, shown, table)
    ]


def _differing(
    expect: Iterable[tuple[str, Treatment]], shown: Mapping[str, Treatment], table: Table
) -> list[tuple[str, Treatment, Treatment]]:
    """Expectations are typed as treatments are: `redact` of a number is `hide`."""
    return [
        (name, expected, shown[name])
        for name, expected in expect
        if reach.counts_as(expected, table, table.column(name)) != shown[name]
    ]
