"""Grants, exceptions and ceilings as typed values: one YAML entry each, lenient where `shape` has spoken already.

What a name or a text must look like by itself is judged here: treatments, predicates, patterns, days. Whether names exist
is `names`' to say, what rules mean for tables is said by the modules of static checks.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from lakehouse.contract import reading
from lakehouse.contract.findings import choices
from lakehouse.model import Tier
from lakehouse.policy import predicates, treatments
from lakehouse.policy.model import Approval, Ceiling, Entry, Grant, RowCeiling, TablePattern, Unless

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lakehouse.contract.findings import Findings
    from lakehouse.policy.predicates import Predicate
    from lakehouse.policy.treatments import Treatment
    from lakehouse.source import Node

T_co = TypeVar("T_co", covariant=True)

#: The top words of the taxonomy: no table is called so, so that an entry of `columns` says which it is.
TAXONOMY = ("user", "system")
#: Tiers that patterns can name.
TIERS: dict[str, Tier] = {tier.value: tier for tier in (Tier.STAGED, Tier.CURATED, Tier.FEATURES)}
_CLOSED = ("raw", "system", "quarantine")
_PARTS = 3
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
#: Longer than this an exception is a grant.
EXCEPTION_DAYS = 3


@dataclass(frozen=True)
class Said(Generic[T_co]):
    """A typed value and the entry it was read from: where findings about it point."""

    node: Node
    value: T_co

    def at(self, key: str) -> Node:
        """The value under a key of the entry, the entry itself when there is none."""
        return self.node.get(key) or self.node


def read_treatment(node: Node, findings: Findings) -> Treatment | None:
    """The treatment written at a node, None when it is none; of what is no text `shape` has spoken."""
    if not isinstance(node.scalar, str) or not node.text:
        return None
    try:
        return treatments.parse(node.text)
    except ValueError as problem:
        near = [str(kind) for kind in treatments.Kind]
        hint = choices(node.text.partition("(")[0], near) if node.text.partition("(")[0] not in near else None
        findings.error("treatment", node, str(problem), hint=hint)
        return None


def read_day(node: Node | None, key: str, findings: Findings) -> dt.date | None:
    """The day under a key."""
    found = reading.text(node, key)
    try:
        return dt.date.fromisoformat(found) if found is not None and node is not None else None
    except ValueError:
        if node is not None and _DAY.fullmatch(found or ""):
            hint = "a day of the calendar, `2027-06-30`"
            findings.error("day", node.entries[key], f"`{found}` is no day", hint=hint)
        return None


def read_predicate(node: Node, key: str, findings: Findings) -> Predicate | None:
    """The row predicate under a key."""
    found = node.get(key)
    if found is None or found.kind != "scalar" or not found.text:
        return None
    try:
        return predicates.parse(found.text)
    except predicates.PredicateError as problem:
        findings.error("predicate", found, problem.message, hint=problem.hint)
        return None


def read_patterns(node: Node, domain: str | None, findings: Findings) -> tuple[TablePattern, ...]:
    """The table patterns of a rule, sorted; `domain` owns the document, None is the platform's."""
    found = (read_pattern(item, domain, findings) for item in reading.items(node, "tables") if item.kind == "scalar")
    return tuple(sorted((pattern for pattern in found if pattern is not None), key=str))


def read_pattern(node: Node, domain: str | None, findings: Findings) -> TablePattern | None:
    """One table pattern."""
    parts = node.text.split(".")
    if len(parts) != _PARTS or any(not part or ("*" in part and part != "*") for part in parts):
        hint = "`tier.domain.table`, each part a whole name or `*`"
        findings.error("pattern", node, f"`{node.text}` is no pattern of tables", hint=hint)
        return None
    tier, owner, table = parts
    if tier in _CLOSED:
        hint = "use `staged`, `curated` or `features`"
        findings.error("tier-closed", node, f"tables of `{tier}` cannot be granted", hint=hint)
        return None
    if tier != "*" and tier not in TIERS:
        findings.error("tier-unknown", node, f"tier `{tier}` is not known", hint=choices(tier, [*TIERS, "*"]))
        return None
    if domain is not None and owner != domain:
        message = f"`{node.text}` reaches beyond domain `{domain}`, whose document this is"
        hint = f"`{tier}.{domain}.{table}`; another domain's tables are granted by its owner"
        findings.error("domain-foreign", node, message, hint=hint)
        return None
    found_domain = None if owner == "*" else owner
    return TablePattern(TIERS.get(tier), found_domain, None if table == "*" else table, where=node.where)


def read_grant(node: Node, domain: str | None, findings: Findings) -> Said[Grant]:
    """A grant of a domain, or an exception where no domain is given."""
    until = read_day(node, "until", findings)
    grant = Grant(
        id=reading.text(node, "id") or "",
        groups=_sorted(reading.texts(node, "groups")),
        purpose=reading.text(node, "purpose") or "",
        tables=read_patterns(node, domain, findings),
        columns=_entries(node.get("columns"), findings),
        rows=read_predicate(node, "rows", findings),
        until=until,
        view=reading.text(node, "as"),
        why=reading.text(node, "why") or "",
        domain=domain,
        approval=None if domain is not None else _approval(node, until, findings),
        where=node.where,
    )
    return Said(node, grant)


def _approval(node: Node, until: dt.date | None, findings: Findings) -> Approval | None:
    approved = read_day(node, "approved_on", findings)
    if approved is None:
        return None
    if until is not None and until - approved > dt.timedelta(EXCEPTION_DAYS):
        last = approved + dt.timedelta(EXCEPTION_DAYS)
        message = f"an exception lasts at most {EXCEPTION_DAYS} days from its approval"
        findings.error(
            "exception-long", node.entries["until"], message, hint=f"`until: {last}`; a longer need is a grant"
        )
    return Approval(reading.text(node, "approved_by") or "", approved, reading.text(node, "ticket") or "")


def _entries(node: Node | None, findings: Findings) -> tuple[Entry, ...]:
    found: list[Entry] = []
    for name, value in node.entries.items() if node is not None else ():
        treatment = read_treatment(value, findings) if value.kind == "scalar" else None
        entry = _entry(name, treatment or treatments.HIDE, value.where)
        if entry is None and node is not None:
            hint = "a data category (`user.contact.email`) or `table.column`"
            findings.error("entry", node.key(name), f"`{name}` is neither a category nor a column", hint=hint)
        elif entry is not None:
            found.append(entry)
    return tuple(sorted(found, key=lambda entry: (entry.category or "", entry.table or "", entry.column or "")))


def _entry(name: str, treatment: Treatment, where: str) -> Entry | None:
    first, _, rest = name.partition(".")
    if first in TAXONOMY:
        return Entry(treatment, category=name, where=where)
    return Entry(treatment, table=first, column=rest, where=where) if rest and "." not in rest else None


def read_ceiling(node: Node, domain: str | None, findings: Findings) -> Said[Ceiling]:
    """A ceiling; a domain's own one that names no tables is for all of that domain's."""
    said = node.get("at_most")
    at_most = read_treatment(said, findings) if said is not None and said.kind == "scalar" else None
    tables = read_patterns(node, domain, findings)
    if domain is not None and "tables" not in node.entries:
        tables = (TablePattern(None, domain, None, where=node.where),)
    ceiling = Ceiling(
        id=reading.text(node, "id") or "",
        at_most=at_most or treatments.HIDE,
        categories=_sorted(reading.texts(node, "categories")),
        tables=tables,
        unless=_unless(node.get("unless")),
        why=reading.text(node, "why") or "",
        domain=domain,
        where=node.where,
    )
    return Said(node, ceiling)


def read_row_ceiling(node: Node, domain: str | None, findings: Findings) -> Said[RowCeiling] | None:
    """A row ceiling, None when it has no predicate that could be read."""
    only_rows = read_predicate(node, "only_rows", findings)
    tables = read_patterns(node, domain, findings)
    if only_rows is None:
        return None
    ceiling = RowCeiling(
        id=reading.text(node, "id") or "",
        tables=tables,
        only_rows=only_rows,
        having=_sorted(reading.texts(node, "having")),
        unless=_unless(node.get("unless")),
        why=reading.text(node, "why") or "",
        domain=domain,
        where=node.where,
    )
    return Said(node, ceiling)


def _unless(node: Node | None) -> Unless | None:
    if node is None or node.kind != "mapping":
        return None
    return Unless(_sorted(reading.texts(node, "groups")), _sorted(reading.texts(node, "purposes")))


def _sorted(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(texts)))
