"""What contracts say about each other: foreign keys, inputs, links, and names that must be unique in a project.

ODCS writes a reference as ids (`schema/customer/properties/customer_id`, in another file
`../other/contract.odcs.yaml#schema/…`) or as names (`customer.CustomerID`); both are bound to tables here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, cast

from lakehouse.contract import checks, derivation, reading, thresholds
from lakehouse.contract.findings import choices
from lakehouse.contract.model import Check, CheckKind, Contract, Link, Rule, Table
from lakehouse.model import TableId, Tier

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from lakehouse.contract.findings import Findings
    from lakehouse.source import Node

_BY_ID = re.compile(r"(?:(?P<file>[^#]+)#)?/?schema/(?P<table>[\w-]+)/properties/(?P<column>[\w-]+)")
_TIER_RANK = {Tier.RAW: 0, Tier.STAGED: 1, Tier.CURATED: 2, Tier.FEATURES: 3}


@dataclass(frozen=True)
class Draft:
    """A contract and the nodes it was read from, before its references are bound."""

    contract: Contract
    path: Path
    node: Node
    tables: tuple[tuple[Node, Table], ...]


def bind(drafts: Sequence[Draft], findings: Findings) -> tuple[Contract, ...]:
    """The contracts with their foreign keys, after everything between tables has been judged."""
    _unique(drafts, findings)
    known = {table.id: table for draft in drafts for _, table in draft.tables}
    _inputs(drafts, known, findings)
    bound: list[Contract] = []
    for draft in drafts:
        tables: list[Table] = []
        for node, table in draft.tables:
            found = (*table.checks, *_foreign_keys(node, table, draft, drafts, findings))
            _check_names(found, findings)
            tables.append(replace(table, checks=found))
        links = tuple(_links(draft, known, findings))
        bound.append(replace(draft.contract, tables=tuple(tables), links=links))
    return tuple(bound)


def _unique(drafts: Iterable[Draft], findings: Findings) -> None:
    ids: dict[str, str] = {}
    for draft in drafts:
        if draft.contract.id in ids:
            message = f"contract id `{draft.contract.id}` is taken"
            findings.error(
                "contract-doubled", draft.node.get("id") or draft.node, message, hint=f"by {ids[draft.contract.id]}"
            )
        ids.setdefault(draft.contract.id, draft.node.file)
        taken: dict[str, str] = {}
        for node, table in draft.tables:
            for what, value in (("name", f"{table.id}".casefold()), ("id", f"#{table.odcs_id}")):
                if value in taken:
                    message = f"table {what} of `{table.id}` stands twice"
                    findings.error("table-doubled", node, message, hint=f"the first is in {taken[value]}")
                taken.setdefault(value, node.where)


def _check_names(found: Iterable[Check], findings: Findings) -> None:
    taken: dict[str, str] = {}
    for check in found:
        if check.name in taken:
            hint = f"the first is in {taken[check.name]}; give this one another `name`"
            findings.error("check-doubled", check.where, f"check `{check.name}` stands twice", hint=hint)
        elif not re.fullmatch(r"[A-Za-z0-9_]+", check.name):
            findings.error(
                "check-name", check.where, f"check name `{check.name}` cannot be used", hint="letters, digits and `_`"
            )
        taken.setdefault(check.name, check.where)


def _inputs(drafts: Iterable[Draft], known: dict[TableId, Table], findings: Findings) -> None:
    for draft in drafts:
        for node, table in draft.tables:
            for item in reading.items(reading.ours(node, findings), "inputs"):
                wanted = next((given for given in table.inputs if str(given) == item.text), None)
                if wanted is None:
                    continue
                source = known.get(wanted)
                if source is None:
                    findings.unknown("input-unknown", item, "input", known=map(str, known))
                elif _TIER_RANK[source.id.tier] > _TIER_RANK[table.id.tier]:
                    findings.error("input-tier", item, f"a {table.id.tier} table cannot read a {source.id.tier} one")
                elif table.id.tier is Tier.FEATURES and source.id.tier is not Tier.STAGED and not source.history:
                    hint = "features read staged tables, or curated ones that keep their past: `history: true`"
                    findings.error("input-history", item, f"`{source.id}` keeps no history", hint=hint)
            if _reaches(table.id, table.id, known, seen=set()):
                findings.error("input-cycle", node, f"table `{table.id}` is made from itself")
            _made_of(node, table, known, findings)


def _made_of(node: Node, table: Table, known: dict[TableId, Table], findings: Findings) -> None:
    """That every name of a `made_of` is a column of an input."""
    places = [reading.ours(entry, findings) for entry in (node, *reading.mappings(node, "properties"))]
    for item in (item for place in places for item in reading.items(place, "made_of")):
        if not any(derivation.named_columns([item.text], table.inputs, known).values()):
            columns = [name for given in table.inputs if given in known for name in derivation.readable(known[given])]
            findings.unknown("column-unknown", item, "column of an input", known=columns)


def _reaches(start: TableId, wanted: TableId, known: dict[TableId, Table], *, seen: set[TableId]) -> bool:
    for given in known[start].inputs if start in known else ():
        if given == wanted:
            return True
        if given not in seen:
            seen.add(given)
            if _reaches(given, wanted, known, seen=seen):
                return True
    return False


def _foreign_keys(node: Node, table: Table, draft: Draft, drafts: Sequence[Draft], findings: Findings) -> list[Check]:
    found: list[Check] = []
    for entry in reading.mappings(node, "relationships"):
        sources = [_resolve(item, draft, drafts, findings) for item in reading.items(entry, "from")]
        columns = [column for source in sources if source for column in source[1:]]
        if any(source and source[0].id != table.id for source in sources):
            findings.error("relationship", entry, f"`from` must name columns of `{table.id}`")
        elif None not in sources:
            found += _foreign_key(entry, table, columns, draft=draft, drafts=drafts, findings=findings)
    for column_node in reading.mappings(node, "properties"):
        name = reading.text(column_node, "name")
        for entry in reading.mappings(column_node, "relationships"):
            if name is not None:
                found += _foreign_key(entry, table, [name], draft=draft, drafts=drafts, findings=findings)
    return found


def _foreign_key(
    entry: Node, table: Table, columns: list[str], *, draft: Draft, drafts: Sequence[Draft], findings: Findings
) -> list[Check]:
    targets = [_resolve(item, draft, drafts, findings) for item in reading.items(entry, "to")]
    if not targets or None in targets:
        return []
    pairs = cast("list[tuple[Table, str]]", targets)
    if len({target.id for target, _ in pairs}) != 1 or len(pairs) != len(columns):
        findings.error("relationship", entry, "`from` and `to` must name as many columns, those of `to` in one table")
        return []
    target = pairs[0][0]
    kinds = {column.name: column for column in table.columns}
    for name, (_, other) in zip(columns, pairs, strict=True):
        if name in kinds and not checks.comparable(kinds[name], target.column(other)):
            findings.error(
                "compare-types",
                entry,
                f"`{name}` ({kinds[name].type}) cannot refer to `{other}` ({target.column(other).type})",
            )
    own = reading.ours(entry, findings)
    name = reading.text(own, "check") or f"foreign_key_{'_'.join(columns)}"
    return [
        Check(
            name,
            CheckKind.TABLE,
            Rule.FOREIGN_KEY,
            tuple(columns),
            checks.severity_of(own),
            thresholds.share(own, "tolerance"),
            target=target.id,
            target_columns=tuple(column for _, column in pairs),
            description=f"is found in {target.id}",
            where=entry.where,
        )
    ]


def _resolve(item: Node, draft: Draft, drafts: Sequence[Draft], findings: Findings) -> tuple[Table, str] | None:
    """The table and column that a reference names."""
    match = _BY_ID.fullmatch(item.text)
    if match is None:
        return _by_name(item, draft, findings)
    wanted = draft
    if match["file"]:
        target = (draft.path.parent / match["file"]).resolve()
        found = next((other for other in drafts if other.path.resolve() == target), None)
        if found is None:
            findings.error("reference", item, f"contract `{match['file']}` is not in this project")
            return None
        wanted = found
    by_id = {table.odcs_id.rpartition("/")[2]: table for _, table in wanted.tables}
    table = by_id.get(match["table"])
    if findings.is_broken(match["table"]) or findings.is_broken(match["column"]):
        return None
    if table is None:
        findings.error(
            "reference", item, f"table id `{match['table']}` is not known", hint=choices(match["table"], by_id)
        )
        return None
    columns = {column.id: column.name for column in table.columns}
    if match["column"] not in columns:
        findings.error(
            "reference",
            item,
            f"column id `{match['column']}` is not known in `{table.id}`",
            hint=choices(match["column"], columns),
        )
        return None
    return table, columns[match["column"]]


def _by_name(item: Node, draft: Draft, findings: Findings) -> tuple[Table, str] | None:
    name, _, column = item.text.rpartition(".")
    if findings.is_broken(name) or findings.is_broken(column):
        return None
    tables = [table for _, table in draft.tables if name in {table.id.table, str(table.id)}]
    if len(tables) != 1:
        known = [f"{table.id}.{column}" if tables else table.id.table for _, table in draft.tables]
        what = "is in several tiers" if tables else "is not known"
        findings.error("reference", item, f"table `{name}` {what}", hint=choices(item.text if tables else name, known))
        return None
    known = [candidate.name for candidate in tables[0].columns]
    if column not in known:
        findings.error(
            "reference", item, f"column `{column}` is not known in `{tables[0].id}`", hint=choices(column, known)
        )
        return None
    return tables[0], column


def _links(draft: Draft, known: dict[TableId, Table], findings: Findings) -> Iterable[Link]:
    types = {table.entity.type for table in known.values() if table.entity}
    types |= {role.type for table in known.values() for role in table.roles}
    own = reading.ours(draft.node, findings)
    for entry in reading.mappings(own, "links"):
        for key in ("from", "to"):
            end = entry.get(key)
            if end is not None and types and end.text not in types:
                findings.unknown("link-entity", end, "entity type", known=types)
        via = entry.get("via")
        table = next((table for table in known.values() if via and str(table.id) == via.text), None)
        if via is not None and table is None:
            findings.unknown("link-via", via, "table", known=map(str, known))
        when = entry.get("when")
        columns = [column.name for column in table.columns] if table else []
        for key in when.keys.values() if when and table else ():
            if key.text not in columns:
                findings.unknown("column-unknown", key, "column", known=columns)
        if table is not None:
            yield Link(
                source=reading.text(entry, "from") or "",
                target=reading.text(entry, "to") or "",
                via=table.id,
                when=tuple((key, value.text) for key, value in (when.entries if when else {}).items()),
                shared=cast('Literal["keep", "erase"]', reading.text(entry, "shared") or "keep"),
                decides=reading.flag(entry, "decides"),
                where=entry.where,
            )
