"""What two versions of one table's contract differ in, and what each difference means for the rows in the lake.

Columns are compared by their ODCS ids, so a renamed one is no new one. Staged rows are what the gate made of raw under a
contract: whatever could make it something else is a rebuild; a new column that no row has is metadata; what readers of the
lake cannot see is nothing. Curated and feature tables are made anew by their models. Checks are in `check_difference`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from lakehouse.contract.change import Change, Effect, Kind
from lakehouse.contract.check_difference import check_changes
from lakehouse.contract.model import Logical, Rule, Transform
from lakehouse.model import Tier

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lakehouse.contract.model import Check, Column, ColumnType, EntityKey, Table


def difference(before: Table, after: Table) -> tuple[Change, ...]:
    """What changes from one contract of a table to another, and what each change means."""
    names = {old.name: new.name for old, new in _kept(before, after)}
    aligned = renamed(before, names)
    found = [*_names(before, after), *_columns(aligned, before, after), *_table(aligned, after)]
    found += check_changes(aligned, after)
    if after.id.tier is not Tier.STAGED:
        return tuple(_of_model(change) for change in found)
    return tuple(found)


def renamed(table: Table, names: Mapping[str, str]) -> Table:
    """The same contract with other column names, wherever a column is named."""

    def new(name: str) -> str:
        return names.get(name, name)

    def check(each: Check) -> Check:
        other = None if each.other is None else new(each.other)
        return replace(each, columns=tuple(map(new, each.columns)), other=other)

    def transform(each: Transform | None) -> Transform | None:
        return None if each is None else replace(each, source=new(each.source))

    columns = tuple(
        replace(
            column,
            name=new(column.name),
            derived_over=tuple(map(new, column.derived_over)),
            transform=transform(column.transform),
        )
        for column in table.columns
    )
    return replace(
        table,
        columns=columns,
        key=tuple(map(new, table.key)),
        entity=_entity_renamed(table.entity, names),
        roles=tuple(replace(role, key=new(role.key)) for role in table.roles),
        event_time=new(table.event_time) if table.event_time else None,
        as_of=new(table.as_of) if table.as_of else None,
        changes=replace(table.changes, operation=new(table.changes.operation)) if table.changes else None,
        checks=tuple(check(each) for each in table.checks),
    )


def _entity_renamed(entity: EntityKey | None, names: Mapping[str, str]) -> EntityKey | None:
    if entity is None:
        return None
    key, shown = entity.key, entity.surrogate
    return replace(
        entity, key=names.get(key, key) if key else None, surrogate=names.get(shown, shown) if shown else None
    )


def _kept(before: Table, after: Table) -> list[tuple[Column, Column]]:
    """The columns that both have, by id."""
    new = {column.id: column for column in after.columns}
    return [(column, new[column.id]) for column in before.columns if column.id in new]


def _names(before: Table, after: Table) -> Iterator[Change]:
    if before.id != after.id:
        text = f"`{before.id}` becomes `{after.id}`; rows, ledger and batches stay where they are"
        yield Change(Kind.RENAMED_TABLE, Effect.METADATA, text)


def _columns(aligned: Table, before: Table, after: Table) -> Iterator[Change]:
    kept = {new.id: (old, new) for old, new in _kept(before, after)}
    for column in before.columns:
        if column.id not in kept:
            text = f"`{column.name}` goes; raw keeps it"
            yield Change(Kind.REMOVED_COLUMN, Effect.REBUILD, text, column.name)
    required = {each.columns for each in after.checks if each.rule is Rule.REQUIRED}
    for column in after.columns:
        if column.id not in kept:
            yield _new_column(column, required=(column.name,) in required)
            continue
        old, new = kept[column.id]
        if old.name != new.name:
            text = f"`{old.name}` becomes `{new.name}`; raw keeps its name"
            yield Change(Kind.RENAMED_COLUMN, Effect.REBUILD, text, new.name)
        yield from _column(aligned.column(new.name), new)


def _new_column(column: Column, *, required: bool) -> Change:
    if required:
        text = f"`{column.name}` ({column.type}) is required: rows that lack it fail"
        return Change(Kind.NEW_REQUIRED_COLUMN, Effect.REBUILD, text, column.name)
    if column.derived:
        text = f"`{column.name}` ({column.type}) is made of what raw has"
        return Change(Kind.NEW_COLUMN, Effect.REBUILD, text, column.name)
    return Change(
        Kind.NEW_COLUMN, Effect.METADATA, f"`{column.name}` ({column.type}), empty in rows so far", column.name
    )


def _column(old: Column, new: Column) -> Iterator[Change]:
    if str(old.type) != str(new.type):
        text = f"`{new.name}`: {old.type} becomes {new.type}"
        yield Change(_retype(old.type, new.type), Effect.REBUILD, text, new.name)
    if _reading(old) != _reading(new):
        yield Change(Kind.READING, Effect.REBUILD, f"`{new.name}`: delivered text is read in another way", new.name)
    if old.category != new.category:
        # statistics of personal columns must not stand in the log, so files are written anew where that changes
        effect = Effect.REBUILD if old.personal != new.personal else Effect.METADATA
        yield Change(Kind.CATEGORY, effect, f"`{new.name}`: {old.category} becomes {new.category}", new.name)
    if old.classification != new.classification:
        text = f"`{new.name}`: classification {old.classification or 'none'} becomes {new.classification or 'none'}"
        yield Change(Kind.CATEGORY, Effect.NOTHING, text, new.name)
    if _token(old) != _token(new):
        kind, text = _other_token(old, new)
        yield Change(kind, Effect.REBUILD, f"`{new.name}`: {text}", new.name)
    elif old.canonical != new.canonical:
        text = f"`{new.name}`: foreign keys compare it in another canonical form"
        yield Change(Kind.OTHER, Effect.NOTHING, text, new.name)
    if (old.raw_clear is None, old.role) != (new.raw_clear is None, new.role):
        text = f"`{new.name}`: raw keeps later cells in another way"
        yield Change(Kind.OTHER, Effect.NOTHING, text, new.name)
    if old.source_name != new.source_name:
        text = f"`{new.name}`: later files call it `{new.source_name}`"
        yield Change(Kind.OTHER, Effect.NOTHING, text, new.name)


def _retype(old: ColumnType, new: ColumnType) -> Kind:
    if _holds(new, old):
        return Kind.WIDER_TYPE
    return Kind.NARROWER_TYPE if _holds(old, new) else Kind.RETYPE


def _holds(wide: ColumnType, narrow: ColumnType) -> bool:
    """Whether every value of the narrow type is exactly one of the wide type."""
    if wide.logical is not Logical.DECIMAL:
        return False
    scale, digits = wide.scale or 0, (wide.precision or 38) - (wide.scale or 0)
    if narrow.logical is Logical.INTEGER:
        return digits >= len(str(2**63))
    if narrow.logical is not Logical.DECIMAL:
        return False
    return scale >= (narrow.scale or 0) and digits >= (narrow.precision or 38) - (narrow.scale or 0)


def _reading(column: Column) -> tuple[object, ...]:
    """How a value is made of delivered text."""
    said = column.type
    formats = column.formats or ((said.format,) if said.format else ())
    spelled = (column.pivot, column.fold, column.gap, column.decimal, column.thousands, frozenset(column.null_words))
    return (formats, said.time_zone, *spelled, column.derived, column.derived_over, column.transform)


def _table(old: Table, new: Table) -> Iterator[Change]:
    if frozenset(old.key) != frozenset(new.key):
        named = ", ".join(f"`{name}`" for name in new.key) or "none"
        yield Change(Kind.KEY, Effect.REBUILD, f"rows are one by another key: {named}")
    if _entity(old) != _entity(new):
        yield Change(Kind.ENTITY, Effect.REBUILD, _other_entity(old, new))
    elif old.entity is not None and new.entity is not None and old.entity.optional != new.entity.optional:
        kind, effect = (
            (Kind.WIDER_CHECK, Effect.REPLAY) if new.entity.optional else (Kind.NARROWER_CHECK, Effect.REBUILD)
        )
        yield Change(kind, effect, f"rows {'need not' if new.entity.optional else 'must'} name their entity")
    if (old.layout, old.event_time) != (new.layout, new.event_time):
        yield Change(Kind.LAYOUT, Effect.REBUILD, f"files are cut and sorted by `{new.layout}`")
    if _mode(old) != _mode(new):
        kept = " with history" if new.history else ""
        yield Change(Kind.LOAD_MODE, Effect.REBUILD, f"deliveries meet what is there as `{new.load_mode}`{kept}")
    yield from _drift(old, new)
    rest = ("scope", "retention", "quarantine_days", "refresh", "inputs", "made_of", "sources", "compatibility")
    named = ", ".join(f"`{name}`" for name in rest if getattr(old, name) != getattr(new, name))
    if named:
        yield Change(Kind.OTHER, Effect.NOTHING, f"{named}: for later deliveries and builds")


def _entity(table: Table) -> tuple[object, ...]:
    entity = table.entity
    own = None if entity is None else (entity.type, entity.key, entity.surrogate, entity.canonical)
    return own, frozenset(table.roles)


def _other_entity(old: Table, new: Table) -> str:
    """What another entity means; a form is the change that looks small and is none."""
    if old.entity is not None and new.entity is not None and old.entity.canonical != new.entity.canonical:
        forms = ", ".join(f"`{form}`" for form in new.entity.canonical)
        if old.entity == replace(new.entity, canonical=old.entity.canonical, optional=old.entity.optional):
            return (
                f"ids are spelled by {forms}: surrogates are found anew, ids that were two may be one and the reverse"
            )
    return "rows belong to other entities"


def _token(column: Column) -> tuple[object, ...] | None:
    """What the column of tokens beside this one is made by, None where there is none."""
    domain, token_of = column.pseudonym_domain, column.token_of
    return None if domain is None else (domain, token_of, column.canonical if token_of is None else None)


def _other_token(old: Column, new: Column) -> tuple[Kind, str]:
    if new.pseudonym_domain is None:
        return Kind.REMOVED_COLUMN, "its tokens go"
    if old.pseudonym_domain is None:
        return Kind.NEW_COLUMN, "it has tokens now"
    if old.pseudonym_domain != new.pseudonym_domain:
        return Kind.TOKEN, "its tokens are those of another domain"
    return Kind.TOKEN, "its tokens are made of another spelling"


def _mode(table: Table) -> tuple[object, ...]:
    if table.load_mode == "append":
        return ("append",)
    return (table.load_mode, table.history, table.order, table.changes, table.vanish_tolerance)


def _drift(old: Table, new: Table) -> Iterator[Change]:
    if old.drift == new.drift:
        return
    # A file that was rejected is not in raw; only modes that judge rows one by one, or add `_extra`, change rows.
    rows = old.keeps_extra != new.keeps_extra or old.drift.type != new.drift.type
    rows |= "discard_row" in {old.drift.unknown, new.drift.unknown} and old.drift.unknown != new.drift.unknown
    effect = Effect.REBUILD if rows else Effect.NOTHING
    yield Change(Kind.DRIFT, effect, "deliveries that differ from the contract are treated in another way")


def _of_model(change: Change) -> Change:
    """The same change of a table that a model makes."""
    inert = {Kind.READING, Kind.NARROWER_CHECK, Kind.WIDER_CHECK, Kind.OTHER_CHECK, Kind.DRIFT, Kind.LOAD_MODE}
    if change.kind in inert:
        return replace(change, effect=Effect.NOTHING)
    heavy = change.effect in {Effect.REBUILD, Effect.REPLAY} or change.kind is Kind.NEW_COLUMN
    return replace(change, effect=Effect.REFRESH) if heavy else change
