"""Which grants, ceilings, purposes and treatments no policy test looks at: a warning each.

A rule is looked at when some test's request meets it: a grant that the request uses, a ceiling that stands over a column
the test speaks of, a row ceiling that hides the test's row. Whether the tests would notice a change is the prover's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lakehouse.policy import cases, predicates, reach

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lakehouse.contract.findings import Findings
    from lakehouse.contract.model import Project, Table
    from lakehouse.policy.model import Policy, PolicyTest, Unless


@dataclass
class _Seen:
    """What the tests have met so far."""

    grants: set[str] = field(default_factory=set[str])
    ceilings: set[str] = field(default_factory=set[str])
    purposes: set[str] = field(default_factory=set[str])
    treatments: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])


def find_untested(policy: Policy, project: Project, findings: Findings) -> None:
    """A warning for each rule of the policy that no test meets."""
    seen = _Seen()
    tables = {table.id: table for table in project.tables}
    for test in policy.tests:
        _meet(policy, tables[test.table], test, seen)
    for purpose in policy.purposes.values():
        _tell("purpose", purpose.name, purpose.where, seen.purposes, findings)
    for grant in policy.grants:
        _tell("grant", grant.id, grant.where, seen.grants, findings)
    for ceiling in (*policy.ceilings, *policy.row_ceilings):
        _tell("ceiling", ceiling.id, ceiling.where, seen.ceilings, findings)
    told: set[tuple[str, str]] = set()
    for grant in policy.grants:
        for entry in grant.columns:
            used = (grant.purpose, str(entry.treatment))
            if used not in seen.treatments | told:
                message = f"no policy test expects treatment `{entry.treatment}` under purpose `{grant.purpose}`"
                findings.warning("untested", entry.where, message, hint=_HINT)
            told.add(used)


_HINT = "add a test to the domain's `tests.yaml`"


def _tell(what: str, name: str, where: str, seen: set[str], findings: Findings) -> None:
    if name not in seen:
        findings.warning("untested", where, f"no policy test meets {what} `{name}`", hint=_HINT)


def _meet(policy: Policy, table: Table, test: PolicyTest, seen: _Seen) -> None:
    """Notes what one test's request meets."""
    row, day = cases.row_of(test, table), cases.day_of(test, policy, table)
    types = {column.name: column.type for column in table.columns}

    def holds(predicate: predicates.Predicate | None) -> bool:
        return predicate is None or row is None or predicates.holds(predicate, row, types, day=day) is True

    granted = [grant for grant in reach.grants(policy, test.purpose, table) if set(grant.groups) & set(test.groups)]
    if not granted:
        return
    for ceiling in reach.row_ceilings(policy, table):
        if not _escapes(ceiling.unless, test.groups, test.purpose) and not holds(ceiling.only_rows):
            seen.ceilings.add(ceiling.id)
    if isinstance(test.expect, str):
        return
    seen.purposes.add(test.purpose)
    seen.grants |= {grant.id for grant in granted if (grant.until is None or day <= grant.until) and holds(grant.rows)}
    for name, expected in test.expect:
        column = table.column(name)
        covering = reach.ceilings(policy, table, column)
        seen.ceilings |= {each.id for each in covering if not _escapes(each.unless, test.groups, test.purpose)}
        seen.treatments |= {
            (test.purpose, str(expected)),
            (test.purpose, str(reach.counts_as(expected, table, column))),
        }


def _escapes(unless: Unless | None, groups: Sequence[str], purpose: str) -> bool:
    if unless is None:
        return False
    by_group = not unless.groups or bool(set(unless.groups) & set(groups))
    return by_group and (not unless.purposes or purpose in unless.purposes)
