"""Whether a contract's `declassified` is true of a way that a value took.

- `aggregate`: somewhere on the way an aggregate that no row decides alone (`coarsening.aggregates`), in a SELECT whose
  HAVING demands so many different `_entity` of the very rows that are aggregated, none of them chosen before.
- `generalise`: the first thing done to the whole value coarsens it that far; `words`: the last thing done is a CASE into
  literals. Of a feature, whose function nobody looks into, only `words` can be known: by its type or its closed list.
- `token`: it is a token or a surrogate, passed on whole.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lakehouse.contract.derivation import is_token
from lakehouse.contract.model import Logical, Rule
from lakehouse.model import ENTITY, Tier
from lakehouse.policy import treatments
from lakehouse.policy.treatments import Kind, Treatment

if TYPE_CHECKING:
    from lakehouse.contract.model import Column, Declassified, Table
    from lakehouse.policy.coarsening import Step
    from lakehouse.policy.flows import Trace


def holds(declared: Declassified, trace: Trace, table: Table, column: Column) -> bool:
    """Whether the declaration is true of this way into the column."""
    if table.id.tier is Tier.FEATURES:
        return declared.how == "generalise" and declared.to == "words" and _few_words(table, column)
    if declared.how == "aggregate":
        return _grouped(declared.min_entities, trace)
    if declared.how == "token":
        return trace.first is None and (is_token(trace.leaf.column) or _surrogate(trace.leaf.column))
    if declared.to == "words":
        return trace.last is not None and trace.last.kind == "words"
    return trace.first is not None and declared.to is not None and _coarse_enough(trace.first, declared.to)


def wanted(declared: Declassified, table: Table) -> str:
    """What the declaration asks of the way, for people."""
    if table.id.tier is Tier.FEATURES:
        return "of a function only `to: words` can be checked, for a boolean or a closed list (`enum`) that blocks"
    if declared.how == "aggregate":
        return (
            f"it must be a sum, a count or a mean over rows whose own `_entity` HAVING counts: "
            f"`count(distinct _entity) >= {declared.min_entities}`, without CASE or FILTER before or in it"
        )
    if declared.how == "token":
        return "it must be a token or a surrogate as it is"
    if declared.to == "words":
        return "the last thing done must be a CASE whose results are all literals"
    return f"the first thing done to the whole value must leave `{declared.to}` of it"


def _grouped(min_entities: int, trace: Trace) -> bool:
    guard = trace.guard
    if guard is None or guard.at_least < min_entities:
        return False
    return all(_surrogate(counted.leaf.column) for counted in guard.counted)


def _surrogate(column: str) -> bool:
    return column == ENTITY or (column.startswith(f"{ENTITY}_") and not is_token(column))


def _coarse_enough(step: Step, to: str) -> bool:
    if step.kind == "presence" or to == "presence":
        return step.kind == to
    done = _treatment(str(step))
    asked = _treatment(to)
    return done is not None and asked is not None and treatments.below(done, asked)


def _treatment(text: str) -> Treatment | None:
    """The treatment that shows the same, of those that coarsen."""
    if not re.fullmatch(r"year|month|(prefix|bucket)\(\d+\)", text):
        return None
    found = treatments.parse(text)
    return found if found.kind in {Kind.YEAR, Kind.MONTH, Kind.PREFIX, Kind.BUCKET} else None


def _few_words(table: Table, column: Column) -> bool:
    """Whether the column can say only a few things: it is a boolean, or a blocking check holds it to a closed list."""
    if column.type.logical is Logical.BOOLEAN:
        return True
    return any(
        check.rule is Rule.ENUM
        and check.columns == (column.name,)
        and check.severity == "error"
        and not check.tolerance
        for check in table.checks
    )
