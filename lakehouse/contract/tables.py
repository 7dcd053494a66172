"""One table of a contract: an ODCS schema object and what `lakehouse` says about it, as a typed `Table`.

Whatever concerns one table alone is judged here; what looks at other tables is in `references`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, cast, get_args

from lakehouse.contract import checks, columns, derivation, feeds, modes, owners, reading, spelling
from lakehouse.contract.model import (
    Check,
    CheckKind,
    Column,
    Compatibility,
    Layout,
    Logical,
    Refresh,
    Rule,
    Table,
)
from lakehouse.contract.quality_blocks import quality_checks
from lakehouse.model import TableId, Tier

if TYPE_CHECKING:
    from lakehouse.contract.findings import Findings
    from lakehouse.source import Node

TIERS = (Tier.STAGED.value, Tier.CURATED.value, Tier.FEATURES.value)
LAYOUTS: dict[str, Layout] = {"entity": "entity", "time": "time", "time+entity": "time+entity", "none": "none"}
_TAXONOMY = ("user", "system")


def read_table(node: Node, domain: str, contract_id: str, *, owner: str, findings: Findings) -> Table | None:
    """The typed table, None when it cannot even be named."""
    own = reading.ours(node, findings)
    tier = _tier(own)
    name = _name(node, findings)
    if name is None or tier is None:
        _broken(node, own, domain, findings)
        return None
    read = _columns(node, tier, findings)
    by_name = {column.name: column for _, column in read}
    entity = owners.read_entity(own, by_name, tier, findings)
    table = Table(
        id=TableId(tier, domain, name),
        odcs_id=f"{contract_id}/{reading.text(node, 'id') or name}",
        columns=tuple(column for _, column in read),
        key=_key(node, findings),
        description=reading.text(node, "description") or "",
        entity=entity,
        roles=owners.read_roles(own, by_name, entity, findings),
        event_time=_event_time(own, by_name, findings),
        sources=feeds.read_sources(node, own, tier, findings),
        history=reading.flag(own, "history"),
        drift=modes.read_drift(own),
        scope=reading.text(own, "scope") or "main",
        retention=reading.text(own, "retention"),
        quarantine_days=reading.whole(own, "quarantine_days", Table.quarantine_days),
        compatibility=_compatibility(own),
        inputs=_inputs(node, own, tier, findings),
        made_of=derivation.read_made_of(own, tier, findings),
        owner=owner,
        where=node.where,
    )
    table = owners.with_cells(node, table, findings)
    table = modes.read_modes(node, own, table, findings)
    table = replace(table, layout=_layout(own, table, findings), refresh=_refresh(own, table, findings))
    _judge(node, own, table, findings)
    found = _checks(node, list(zip((entry for entry, _ in read), table.columns, strict=True)), table, findings)
    return replace(table, checks=found)


def _name(node: Node, findings: Findings) -> str | None:
    found = node.get("name")
    if found is None or found.kind != "scalar":
        return None
    if not columns.NAME.fullmatch(found.text) or found.text in _TAXONOMY:
        hint = "a letter, then letters, digits and `_`; not a top word of the data categories"
        findings.error("table-name", found, f"table name `{found.text}` cannot be used", hint=hint)
        return None
    return found.text


def _broken(node: Node, own: Node | None, domain: str, findings: Findings) -> None:
    name = reading.text(node, "name")
    findings.broken(name, reading.text(node, "id"), reading.text(own.get("entity") if own else None, "type"))
    findings.broken(*(f"{tier}.{domain}.{name}" for tier in TIERS))


def _compatibility(own: Node | None) -> Compatibility:
    said = reading.text(own, "compatibility")
    return cast("Compatibility", said) if said in get_args(Compatibility) else "none"


def _tier(own: Node | None) -> Tier | None:
    found = own.get("tier") if own else None
    return Tier(found.text) if found is not None and found.text in TIERS else None


def _columns(node: Node, tier: Tier, findings: Findings) -> list[tuple[Node, Column]]:
    read: list[tuple[Node, Column]] = []
    taken: dict[str, str] = {}
    sources: dict[str, str] = {}
    for entry in reading.mappings(node, "properties"):
        column = columns.read_column(entry, tier, findings)
        if column is None:
            continue
        for what, value in (("name", column.name.casefold()), ("id", f"#{column.id}")):
            if value in taken:
                message = f"column {what} `{column.name if what == 'name' else column.id}` stands twice"
                findings.error(
                    "column-doubled", entry, message, hint=f"the first is in {taken[value]}; case does not count"
                )
            taken.setdefault(value, entry.where)
        if column.derived is None and tier is Tier.STAGED:
            if sources.get(column.path, column.name) != column.name:
                message = f"columns `{sources[column.path]}` and `{column.name}` are delivered under one name"
                findings.error("column-doubled", entry, message, hint="make one of them with `transform`, or drop it")
            sources.setdefault(column.path, column.name)
        read.append((entry, column))
    return read


def _key(node: Node, findings: Findings) -> tuple[str, ...]:
    found: list[tuple[int, str]] = []
    for place, entry in enumerate(reading.mappings(node, "properties")):
        name = reading.text(entry, "name")
        if reading.flag(entry, "primaryKey") and name:
            found.append((reading.whole(entry, "primaryKeyPosition", 1000 + place), name))
    positions = [place for place, _ in found]
    if len(set(positions)) != len(positions):
        findings.error("key-position", node, "two key columns have the same `primaryKeyPosition`")
    if not found:
        hint = "`primaryKey: true` and `primaryKeyPosition` on the columns that tell rows apart"
        findings.error("key-missing", node, f"table `{reading.text(node, 'name') or ''}` has no key", hint=hint)
    return tuple(name for _, name in sorted(found))


def _event_time(own: Node | None, known: dict[str, Column], findings: Findings) -> str | None:
    column = owners.named(own, "event_time", known, findings)
    if column is None or own is None:
        return None
    if column.type.logical not in {Logical.DATE, Logical.TIMESTAMP}:
        message = f"event time `{column.name}` is a {column.type}, not a date or timestamp"
        findings.error("event-time", own.entries["event_time"], message)
    return column.name


def _inputs(node: Node, own: Node | None, tier: Tier, findings: Findings) -> tuple[TableId, ...]:
    if tier is Tier.STAGED:
        if own and "inputs" in own.entries:
            findings.error("inputs-tier", own.key("inputs"), "a staged table reads its sources", hint="say `sources`")
        return ()
    found: list[TableId] = []
    for item in reading.items(own, "inputs"):
        parts = item.text.split(".")
        if len(parts) == 3 and parts[0] in TIERS:  # noqa: PLR2004 - tier.domain.table
            found.append(TableId(Tier(parts[0]), parts[1], parts[2]))
    if not (own and "inputs" in own.entries):
        hint = "`inputs: [staged.domain.table]`, the tables that it is made from"
        findings.error("inputs-missing", node, f"table `{reading.text(node, 'name') or ''}` has no inputs", hint=hint)
    return tuple(found)


def _layout(own: Node | None, table: Table, findings: Findings) -> Layout:
    found = own.get("layout") if own else None
    if found is None:
        parts = [part for part, there in (("time", table.event_time), ("entity", table.entity)) if there]
        return LAYOUTS["+".join(parts) or "none"]
    if "entity" in found.text and table.entity is None and not (own and "entity" in own.entries):
        findings.error("layout", found, f"layout `{found.text}` needs an `entity`")
    if "time" in found.text and not (own and "event_time" in own.entries):
        findings.error("layout", found, f"layout `{found.text}` needs an `event_time`")
    return LAYOUTS.get(found.text, "none")


def _refresh(own: Node | None, table: Table, findings: Findings) -> Refresh:
    found = own.get("refresh") if own else None
    if found is None or own is None or found.text not in {"full", "by_month"}:
        return Refresh()
    if table.id.tier is Tier.STAGED:
        findings.error("refresh", own.key("refresh"), "a staged table is loaded, not refreshed", hint="say `load_mode`")
    if found.text == "by_month" and "event_time" not in own.entries:
        findings.error("refresh", found, "`by_month` needs an `event_time`")
    return Refresh("by_month" if found.text == "by_month" else "full")


def _judge(node: Node, own: Node | None, table: Table, findings: Findings) -> None:
    """What only the whole table shows."""
    known = {column.name: column for column in table.columns}
    for entry in reading.mappings(node, "properties"):
        said = reading.ours(entry, findings)
        for item in reading.items(said, "occurrence_over"):
            if item.text not in known or known[item.text].derived:
                findings.unknown("column-unknown", item, "delivered column", known=[c.name for c in table.delivered])
        if said and "occurrence_over" in said.entries and table.id.tier is not Tier.STAGED:
            findings.error("derived-tier", said.key("occurrence_over"), "only staged tables number their rows")
        if said and "transform" in said.entries and table.id.tier is not Tier.STAGED:
            findings.error("derived-tier", said.key("transform"), "only staged tables transform what was delivered")
        column = known.get(reading.text(entry, "name") or "")
        if column is not None:
            spelling.judge_transform(said, column, known, findings)
    owners.judge(node, own, table, findings)


def _checks(node: Node, read: list[tuple[Node, Column]], table: Table, findings: Findings) -> tuple[Check, ...]:
    known = {column.name: column for _, column in read}
    found: list[Check] = []
    for entry, column in read:
        found += checks.column_checks(entry, column, table.id.tier, findings=findings)
    for entry, column in read:
        found += quality_checks(entry, known, column, findings=findings)
        found += checks.unique_checks(entry, column, findings)
    found += quality_checks(node, known, None, findings=findings)
    found += owners.entity_checks(table)
    found += modes.drift_checks(table)
    if table.key:
        words = "no key twice"
        found.append(Check("unique_key", CheckKind.TABLE, Rule.UNIQUE, table.key, description=words, where=node.where))
    if table.id.tier is Tier.STAGED:
        words = "every row that arrived is accounted for"
        found.append(Check("row_ledger_balances", CheckKind.TABLE, Rule.CONSERVED, description=words, where=node.where))
    return tuple(found)
