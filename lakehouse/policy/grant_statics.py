"""Static errors of one grant: its tables, the entries of its columns, tokens, its predicate, consent and age.

What two grants of one purpose do to each other is in `overlaps`. Everything here is held against the contracts; names of
groups and purposes have been judged in `names`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lakehouse.contract.findings import choices
from lakehouse.policy import classes, treatments
from lakehouse.policy.ground import is_personal, listed
from lakehouse.policy.statics import check_patterns, check_predicate, check_revealing
from lakehouse.policy.treatments import TOKEN, Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lakehouse.contract.model import Column, Table
    from lakehouse.policy.ground import Ground
    from lakehouse.policy.model import Entry, Grant, Purpose
    from lakehouse.policy.rules import Said


def check_grant(ground: Ground, said: Said[Grant]) -> None:
    """Everything about one grant that its own text and the contracts decide."""
    grant = said.value
    tables = ground.tables(grant.tables)
    check_patterns(ground, said, grant.tables)
    _view(ground, said, tables)
    for entry in grant.columns:
        if entry.column is not None:
            _named(ground, said, entry, tables)
    _tokens(ground, grant, tables)
    if grant.rows is not None:
        check_predicate(ground, said.at("rows"), grant.rows, tables)
        check_revealing(ground, said.at("rows"), grant.rows, tables, grant=grant)
    purpose = ground.draft.purposes.get(grant.purpose)
    if purpose is not None:
        _conditions(ground, said, purpose.value, tables)


def check_purpose(ground: Ground, said: Said[Purpose]) -> None:
    """A purpose's consent is of an entity type that some table has."""
    purpose = said.value
    types = sorted({table.entity.type for table in ground.project.tables if table.entity is not None})
    consent = said.node.get("consent")
    of = consent.get("of") if consent is not None else None
    if of is not None and purpose.consent not in types:
        ground.findings.unknown("entity-unknown", of, "entity type", known=types)


def _view(ground: Ground, said: Said[Grant], tables: Sequence[Table]) -> None:
    if said.value.view is not None and len(tables) > 1:
        message = f"`as: {said.value.view}` names one view, and the grant has {len(tables)} tables"
        hint = "one grant for the one table, or no `as`: its view is then `<domain>_<table>`"
        ground.findings.error("view-tables", said.at("as"), message, hint=hint)


def _named(ground: Ground, said: Said[Grant], entry: Entry, tables: Sequence[Table]) -> None:
    """An entry for one column: it exists in some matched table, and its type has the treatment."""
    written = said.node.entries["columns"].key(f"{entry.table}.{entry.column}")
    named = [table for table in tables if table.id.table == entry.table]
    if not named:
        known = sorted({table.id.table for table in tables})
        if tables:
            message = f"table `{entry.table}` is not among this grant's"
            ground.findings.error("column-unknown", written, message, hint=choices(entry.table or "", known))
        return
    found = [(table, table.column(entry.column or "")) for table in named if entry.column in ground.types(table)]
    if not found:
        known = [f"{entry.table}.{name}" for table in named for name in ground.types(table)]
        message = f"column `{entry.column}` of `{named[0].id}` is not known"
        ground.findings.error("column-unknown", written, message, hint=choices(f"{entry.table}.{entry.column}", known))
    for table, column in found:
        if entry.treatment.kind is not Kind.REDACT and not treatments.fits(entry.treatment, column.type.logical):
            message = f"`{table.id}.{column.name}` is a {column.type}, which has no `{entry.treatment}`"
            has = [str(kind) for kind in Kind if _has(kind, column)]
            ground.findings.error("treatment-type", written, message, hint=f"it has {listed(has[1:])}, and `hide`")


def _has(kind: Kind, column: Column) -> bool:
    with_number = kind in {Kind.PREFIX, Kind.BUCKET, Kind.PARTIAL}
    return treatments.fits(treatments.Treatment(kind, int(with_number)), column.type.logical)


def _tokens(ground: Ground, grant: Grant, tables: Sequence[Table]) -> None:
    """A token that nobody made cannot be shown, and none is made at query time."""
    missing: dict[str, list[str]] = {}
    said = {entry.treatment for entry in grant.columns} | set(ground.policy.defaults.values())
    for table in tables if TOKEN in said else ():
        for likes in ground.alike(table, [grant]):
            if not likes.has_token and ground.shown(grant, table, likes) == TOKEN:
                where = _decider(grant, table, likes.first)
                missing.setdefault(where, []).extend(f"{table.id}.{name}" for name in likes.names)
    for where, columns in missing.items():
        message = f"grant `{grant.id}` shows {listed(columns)} as `token`, and there is none"
        hint = "`pseudonym_domain` in the contract has the gate make tokens; or another treatment"
        ground.findings.error("token-missing", where, message, hint=hint)


def _decider(grant: Grant, table: Table, column: Column) -> str:
    """The place of the entry that says `token` of the column; the grant itself when the class default says it."""
    for entry in grant.columns:
        if entry.table == table.id.table and entry.column == column.name:
            return entry.where
    above = [entry for entry in grant.columns if entry.category and classes.covers(entry.category, column.category)]
    deciding = max(above, key=lambda entry: len(entry.category or ""), default=None)
    return deciding.where if deciding is not None and deciding.treatment == TOKEN else grant.where


def _conditions(ground: Ground, said: Said[Grant], purpose: Purpose, tables: Sequence[Table]) -> None:
    """Consent is an entity's, age is an event's: a table without them would show personal rows unasked, or never any."""
    personal = [table for table in tables if is_personal(table)]
    nobody = [table.id for table in personal if table.entity is None]
    timeless = [table.id for table in personal if table.event_time is None]
    at = said.at("tables")
    mute = [table.id for table in personal if not _can_consent(ground, table, purpose)]
    if mute:
        message = f"nobody's consent speaks for the rows of {listed(mute)}, so purpose `{purpose.name}` never sees one"
        hint = f"`decides: true` on a contract's link that leads to `{purpose.consent}`"
        ground.findings.warning("consent-undecided", at, message, hint=hint)
    if purpose.consent is not None and nobody:
        message = f"purpose `{purpose.name}` needs consent, and {listed(nobody)} names no entity that could give it"
        hint = "`entity` in the contract, or a purpose without consent"
        ground.findings.error("consent-entity", at, message, hint=hint)
    if purpose.max_age is not None and timeless:
        message = f"purpose `{purpose.name}` has a `max_age`, and {listed(timeless)} has no event time"
        ground.findings.error("age-event-time", at, message, hint="`event_time` in the contract, or another purpose")


def _can_consent(ground: Ground, table: Table, purpose: Purpose) -> bool:
    """Whether the table's entities consent themselves, or are spoken for by what one link leads to."""
    if purpose.consent is None or table.entity is None or table.entity.type == purpose.consent:
        return True
    links = (link for contract in ground.project.contracts for link in contract.links)
    return any(link.decides and (link.source, link.target) == (table.entity.type, purpose.consent) for link in links)
