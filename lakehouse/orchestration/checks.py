"""One Dagster check per rule of a contract: its spec, and its result as counts.

The rules themselves live in `quality`; here they get a name in the UI and a consequence. A failed check of severity
`error` blocks: Dagster stops the run's downstream, automation waits, and the recorded verdict makes every other way into
curated refuse (`verdicts`).
"""

from dataclasses import dataclass

import dagster as dg

from lakehouse.contract.model import Check, CheckKind, Project, Rule, Table
from lakehouse.model import TableId, Tier
from lakehouse.orchestration.metadata import asset_key


@dataclass(frozen=True)
class Outcome:
    """How one check came out, in counts; `note` is for people."""

    check: Check
    passed: bool
    failed_rows: int
    rows: int
    note: str = ""

    @property
    def share(self) -> float:
        """Failed rows as a share of all."""
        return self.failed_rows / self.rows if self.rows else 0.0


def is_blocking(table: Table, check: Check) -> bool:
    """Whether downstream waits when the check fails: checks of severity `error`, with one exception.

    Rows that fail a row check of a staged table are in quarantine, not in the table. Only a contract that names a
    tolerance (0: not one) says how many of them make the rest of the batch suspect; without one their number is shown
    and no more.
    """
    quarantined = table.id.tier is Tier.STAGED and check.kind is CheckKind.ROW
    return check.severity == "error" and not (quarantined and check.tolerance is None)


def check_specs(table: Table) -> list[dg.AssetCheckSpec]:
    """A spec for every check of the contract, in contract order."""
    return [
        dg.AssetCheckSpec(
            check.name,
            asset=asset_key(table.id),
            description=check.description or promise(check),
            additional_deps=[asset_key(check.target)] if check.target and check.target != table.id else [],
            blocking=is_blocking(table, check),
            metadata={
                "kind": check.kind.value,
                "rule": check.rule.value,
                **({} if check.tolerance is None else {"tolerance": check.tolerance}),
            },
        )
        for check in table.checks
    ]


def referred_to(project: Project, table: TableId, seen: frozenset[TableId] = frozenset()) -> int:
    """How long the longest chain of foreign keys is that ends at the table; 0 when none does."""
    others = {
        other.id
        for other in project.tables
        for check in other.checks
        if check.rule is Rule.FOREIGN_KEY and check.target == table
    }
    below = seen | {table}
    return max((1 + referred_to(project, other, below) for other in others - below), default=0)


def promise(check: Check) -> str:
    """The rule in words, from names and limits of the contract."""
    columns = ", ".join(f"`{column}`" for column in check.columns)
    allowed = "" if check.tolerance is None else f"; up to {check.tolerance:.2%} of rows may fail"
    return f"{check.rule.value.replace('_', ' ')} {columns}".strip() + allowed


def check_result(table: Table, outcome: Outcome) -> dg.AssetCheckResult:
    """The Dagster result: three numbers, each plotted over time, and no value."""
    blocking = is_blocking(table, outcome.check)
    counted = f"{outcome.failed_rows:,} of {outcome.rows:,} rows failed" if outcome.failed_rows else ""
    return dg.AssetCheckResult(
        asset_key=asset_key(table.id),
        check_name=outcome.check.name,
        passed=outcome.passed,
        severity=dg.AssetCheckSeverity.ERROR if blocking else dg.AssetCheckSeverity.WARN,
        description="; ".join(filter(None, (counted, outcome.note))) or None,
        metadata={
            "failed_rows": outcome.failed_rows,
            "failed_share": outcome.share,
            "rows": outcome.rows,
        },
    )
