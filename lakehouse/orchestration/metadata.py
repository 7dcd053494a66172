"""What Dagster shows of a table before anything ran: its spec, from the contract.

INVARIANT: names, types, categories and counts only. No value of a row, no file name and no sample ever becomes
metadata (Dagster has no access control; notes/dagster.md fact 6).
"""

import re
from collections.abc import Mapping, Sequence

import dagster as dg

from lakehouse.contract.model import Column, Table
from lakehouse.model import SEALED, TableId, Tier, entity_of, sealed_of, token_of
from lakehouse.orchestration.automation import follows_passed_inputs

KINDS: Mapping[Tier, frozenset[str]] = {
    Tier.RAW: frozenset({"deltalake", "csv"}),
    Tier.STAGED: frozenset({"deltalake", "polars", "pandera"}),
    Tier.CURATED: frozenset({"deltalake", "dbt", "duckdb"}),
    Tier.FEATURES: frozenset({"deltalake", "polars"}),
}


_PSEUDONYM: Mapping[str, str] = {"category": "user.unique_id.pseudonymous", "personal": ""}


def asset_key(table: TableId) -> dg.AssetKey:
    """`[tier, domain, table]`."""
    return dg.AssetKey(list(table.key))


def table_id(key: dg.AssetKey) -> TableId:
    """The table that an asset key stands for."""
    tier, domain, name = key.path
    return TableId(Tier(tier), domain, name)


def spec(table: Table, *, tier: Tier | None = None) -> dg.AssetSpec:
    """The asset of a contracted table; `tier=RAW` gives the raw table that stands before a staged one."""
    identity = table.id.at(tier or table.id.tier)
    derived = identity.tier in {Tier.CURATED, Tier.FEATURES}
    return dg.AssetSpec(
        key=asset_key(identity),
        deps=[asset_key(needed) for needed in _inputs(table, identity.tier)],
        group_name=identity.tier.value,
        kinds=set(KINDS[identity.tier]),
        owners=owners(table.owner),
        tags=_tags(table, identity),
        description=_description(table, identity.tier),
        metadata={
            "dagster/column_schema": column_schema(table, identity.tier),
            "dagster/table_name": str(identity),
            "contract": table.where or table.odcs_id,
        },
        automation_condition=follows_passed_inputs() if derived else None,
    )


def column_schema(table: Table, tier: Tier) -> dg.TableSchema:
    """The contract's columns with their category as tag, and what stands for their values: seals in raw, later tokens."""
    if tier is Tier.RAW:
        clear = [column for column in table.delivered if column.raw_clear or not table.sealed]
        return dg.TableSchema(columns=[*(_column(column, raw=True) for column in clear), *_seals(table)])
    own = [_column(column, raw=False) for column in table.columns]
    roles = [
        dg.TableColumn(entity_of(role.name), "string", f"The surrogate of the row's {role.name}.", tags=_PSEUDONYM)
        for role in table.roles
    ]
    return dg.TableSchema(columns=[*roles, *own, *(_token(column) for column in table.tokenised)])


def _seals(table: Table) -> list[dg.TableColumn]:
    """The columns of sealed cells; whatever they hold counts as personal."""
    if not table.sealed:
        return []
    names = {SEALED: "entity", **{sealed_of(role.name): role.name for role in table.roles}}
    tags = {"category": "user", "personal": ""}
    return [
        dg.TableColumn(name, "binary", f"Cells under the keys of the row's {whose}.", tags=tags)
        for name, whose in names.items()
    ]


def _token(column: Column) -> dg.TableColumn:
    tags = {**_PSEUDONYM, "token_of": column.category}
    return dg.TableColumn(token_of(column.name), "string", f"What stands for `{column.name}`.", tags=tags)


def _column(column: Column, *, raw: bool) -> dg.TableColumn:
    return dg.TableColumn(
        name=column.name,
        type="string" if raw else str(column.type),
        description=column.description or None,
        constraints=dg.TableColumnConstraints(nullable=raw or not column.required),
        tags={"category": column.category, **({"personal": ""} if column.personal else {})},
    )


def _inputs(table: Table, tier: Tier) -> Sequence[TableId]:
    if tier is Tier.RAW:
        return ()
    if tier is Tier.STAGED:
        return (table.id.at(Tier.RAW),)
    return table.inputs


def owners(owner: str) -> list[str]:
    """The contract's owner in the words that Dagster takes: an address or a team."""
    if not owner:
        return []
    if "@" in owner or owner.startswith("team:"):
        return [owner]
    return ["team:" + re.sub(r"[^A-Za-z0-9_]+", "_", owner)]


def _tags(table: Table, identity: TableId) -> dict[str, str]:
    tags = {"lakehouse/domain": identity.domain, "lakehouse/scope": table.scope}
    if any(column.personal for column in table.columns):
        tags["lakehouse/personal"] = "true"
    return tags


def _description(table: Table, tier: Tier) -> str | None:
    if tier is Tier.RAW:
        kept = "sealed under the keys of its entities" if table.sealed else "values as text"
        return f"What arrived for `{table.id}`, as delivered: append-only, {kept}."
    return table.description or None
