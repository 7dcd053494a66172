"""Whose rows and cells a table's are: its entity, the further entities of its rows, and what may stay clear in raw."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from lakehouse.contract import canonical, reading
from lakehouse.contract.model import Check, CheckKind, Column, EntityKey, Logical, Role, Rule, Table
from lakehouse.model import Tier

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lakehouse.contract.findings import Findings
    from lakehouse.source import Node


def named(own: Node | None, key: str, known: dict[str, Column], findings: Findings) -> Column | None:
    """The column that stands under `key`."""
    found = own.get(key) if own else None
    if found is None or found.kind != "scalar":
        return None
    if found.text not in known:
        findings.unknown("column-unknown", found, f"`{key}` column", known=known)
        return None
    return known[found.text]


def read_entity(own: Node | None, known: dict[str, Column], tier: Tier, findings: Findings) -> EntityKey | None:
    """The entity of the table's rows."""
    found = own.get("entity") if own else None
    if found is None or found.kind != "mapping":
        return None
    kind = reading.text(found, "type")
    key = named(found, "key", known, findings)
    surrogate = named(found, "surrogate", known, findings)
    if ("key" in found.entries) == ("surrogate" in found.entries):
        hint = "`key`: the column with the id; `surrogate`: the column that shows `_entity`, where there is no id"
        findings.error("entity-key", found, "an entity needs either `key` or `surrogate`", hint=hint)
    if tier is Tier.STAGED and "surrogate" in found.entries:
        findings.error("entity-surrogate", found.key("surrogate"), "a staged table names its entity by `key`")
    if surrogate is not None and surrogate.type.logical is not Logical.STRING:
        findings.error("entity-surrogate", found, f"surrogate column `{surrogate.name}` must be a `string`")
    _judge_key(found, key, findings)
    return EntityKey(
        type=kind or "",
        key=key.name if key else None,
        surrogate=surrogate.name if surrogate else None,
        canonical=_forms(found, findings),
        optional=reading.flag(found, "optional"),
    )


def _forms(entry: Node, findings: Findings) -> tuple[str, ...]:
    """The canonical forms of an id."""
    forms = canonical.in_order(reading.texts(entry, "canonical"))
    if set(forms) >= canonical.NEVER:
        findings.error("canonical", entry.entries["canonical"], canonical.NEVER_BOTH, hint="keep one of them")
    return forms or ("trim",)


def _judge_key(found: Node, key: Column | None, findings: Findings) -> None:
    """An id is hashed as it was delivered."""
    if key is not None and key.derived is not None:
        message = f"`key` column `{key.name}` is not delivered"
        findings.error("entity-key", found.entries["key"], message, hint="name the column that the id is delivered in")


def read_roles(
    own: Node | None, known: dict[str, Column], entity: EntityKey | None, findings: Findings
) -> tuple[Role, ...]:
    """The further entities of the table's rows, in contract order."""
    said = own.get("entities") if own else None
    if said is None or said.kind != "mapping" or own is None:
        return ()
    if entity is None and "entity" not in own.entries:
        hint = "say whose the rows themselves are: `entity: {type: …, key: …}`"
        findings.error("role-entity", own.key("entities"), "`entities` are further ones, and there is none", hint=hint)
    found: list[Role] = []
    taken = {} if entity is None or entity.key is None else {entity.key: "the row's entity"}
    for name, entry in said.entries.items():
        key = named(entry, "key", known, findings)
        if key is None:
            continue
        _judge_key(entry, key, findings)
        if key.name in taken:
            message = f"column `{key.name}` is the key of two: of {taken[key.name]} and of role `{name}`"
            findings.error("role-key", entry.entries["key"], message, hint="each entity of a row has an id of its own")
        taken.setdefault(key.name, f"role `{name}`")
        found.append(Role(name, reading.text(entry, "type") or "", key.name, _forms(entry, findings)))
    return tuple(found)


def with_cells(node: Node, table: Table, findings: Findings) -> Table:
    """The table with every column's role; the key of a role is a cell of it by itself."""
    own = reading.ours(node, findings)
    said = own.get("entities") if own else None
    roles = tuple(said.entries) if said else ()
    keys = {role.key: role.name for role in table.roles}
    for at, column in _said(node, table, "entity", findings):
        _judge_cell(at, column, table, roles=roles, keys=keys, findings=findings)
    columns = tuple(replace(c, role=keys.get(c.name, c.role if c.role in roles else None)) for c in table.columns)
    return replace(table, columns=columns)


def _said(node: Node, table: Table, key: str, findings: Findings) -> Iterator[tuple[Node, Column]]:
    """What the table's columns say under a key."""
    known = {column.name: column for column in table.columns}
    for entry in reading.mappings(node, "properties"):
        own = reading.ours(entry, findings)
        at = own.get(key) if own else None
        name = reading.text(entry, "name")
        if at is not None and name in known:
            yield at, known[name]


def _judge_cell(
    at: Node, column: Column, table: Table, *, roles: tuple[str, ...], keys: dict[str, str], findings: Findings
) -> None:
    if at.text not in roles:
        if roles:
            findings.unknown("role-unknown", at, "role", known=roles)
        else:
            hint = f"`entities: {{{at.text}: {{type: …, key: …}}}}` of the table"
            findings.error("role-unknown", at, f"role `{at.text}` is not known", hint=hint)
    elif table.entity is not None and column.name == table.entity.key:
        findings.error("role-cell", at, f"column `{column.name}` is the id of the row's own entity")
    elif column.derived is not None:
        message = f"column `{column.name}` is made of another one"
        findings.error("role-cell", at, message, hint="say whose the column is that it is made of")
    elif keys.get(column.name, at.text) != at.text:
        findings.error("role-cell", at, f"column `{column.name}` is the key of role `{keys[column.name]}`")


def entity_checks(table: Table) -> list[Check]:
    """A staged row must say whose it is: what nobody can be asked for, nobody can have forgotten."""
    entity = table.entity
    if not table.sealed or entity is None or entity.key is None:
        return []
    words = f"names its {entity.type}"
    words += ", or says nothing personal" if entity.optional else ""
    name, keys = f"{entity.type}_is_named", (entity.key,)
    return [Check(name, CheckKind.ROW, Rule.ENTITY, keys, description=words, where=table.where)]


def judge(node: Node, own: Node | None, table: Table, findings: Findings) -> None:
    """What only the whole table shows about whose it is."""
    personal = [column.name for column in table.columns if column.personal]
    if personal and table.entity is None:
        message = f"table `{table.id}` has personal columns ({', '.join(personal)}) but no entity"
        if table.id.tier is Tier.STAGED:
            hint = "without `entity` raw would keep them in clear, and nobody could be forgotten in it"
            findings.error("entity-missing", node, message, hint=hint)
        else:
            findings.warning("entity-missing", node, message, hint="without `entity` nobody can be forgotten in it")
    if own and "quarantine_days" in own.entries and table.id.tier is not Tier.STAGED:
        findings.error("quarantine-tier", own.key("quarantine_days"), "only rows of staged tables are set aside")
    for at, column in _said(node, table, "raw_clear", findings):
        if (wrong := _not_clear(at, column, table)) is not None:
            message, hint = wrong
            findings.error("raw-clear", at, message, hint=hint)
    _judge_roles(node, table, findings)


def _not_clear(at: Node, column: Column, table: Table) -> tuple[str, str] | None:
    """Why a column cannot stay readable in raw, and what to do."""
    name = column.name
    keys = {table.entity.key if table.entity else None, *(role.key for role in table.roles)}
    if table.id.tier is not Tier.STAGED or column.derived is not None:
        return f"column `{name}` is not in raw", "say it of the delivered column of the staged table"
    if not table.sealed:
        return "`raw_clear` means nothing in a table without entity", "leave it out: all of raw is readable"
    if name in keys:
        return f"`{name}` is an id: `raw_clear` would link raw rows to their entity for ever", "leave it out"
    if not at.text.strip():
        return f"`raw_clear` of `{name}` gives no reason", "say why it may stay readable for ever"
    if column.personal and (table.retention is None or "retention" not in at.text.casefold()):
        message = f"personal column `{name}` stays readable in raw until whole files retire"
        return message, "give the table a `retention`, and say in the reason how retention covers it"
    return None


def _judge_roles(node: Node, table: Table, findings: Findings) -> None:
    """Erasing a further entity empties its cells and leaves the row, which must stay a right one."""
    said = {reading.text(entry, "name"): entry for entry in reading.mappings(node, "properties")}
    for column in table.columns if table.id.tier is Tier.STAGED else ():
        if column.role is None:
            continue
        if column.name in table.key or column.required:
            what = "in the key" if column.name in table.key else "required"
            message = f"column `{column.name}` is {what}, but an erasure of its `{column.role}` empties it"
            hint = "let it be missing; `metric: nullValues` says how often that is right"
            findings.error("role-required", said.get(column.name, node), message, hint=hint)
