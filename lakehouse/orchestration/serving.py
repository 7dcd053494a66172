"""The asset of a purpose: what it shows of which tables to whom, read off policy and contracts.

It stands below the tables that it shows. Running it opens every view of the purpose, for each of its groups, without
reading a row; that is `opening`, imported when the first step runs. On the embedded engine a view lives as long as one
query, so a run leaves nothing behind but the copies of a purpose with `isolation: copy`.

INVARIANT: words of the policy and of contracts only. No member of a group, no value of a predicate and no count of rows,
which would tell of rows that a reader must not know of.
"""

# dagster annotates metadata with `PathLike` without its argument: it is partly unknown to the checker.
# pyright: reportUnknownMemberType=false

from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg

from lakehouse.contract.model import Project
from lakehouse.orchestration import consent
from lakehouse.orchestration.access import LAKE, LakeAccess
from lakehouse.orchestration.automation import follows_passed_inputs_and_policy
from lakehouse.orchestration.metadata import asset_key, owners
from lakehouse.policy.model import Policy
from lakehouse.policy.showing import Showing, ShownColumn, ShownTable, showings

GROUP = "serving"
_ALL = "shows"


def purpose_key(purpose: str) -> dg.AssetKey:
    """`[serving, purpose]`."""
    return dg.AssetKey([GROUP, purpose])


def served(project: Project, policy: Policy) -> Sequence[dg.AssetsDefinition]:
    """One asset for every purpose under which something is shown, and one for the consent that some ask for."""
    shown = showings(policy, project)
    asked = consent.consent_assets(project, policy, shown)
    return [*asked, *(_asset(project, policy, showing) for showing in shown)]


def _asset(project: Project, policy: Policy, showing: Showing) -> dg.AssetsDefinition:
    @dg.multi_asset(name=f"open_{showing.purpose.name}", specs=[_spec(showing)], required_resource_keys={LAKE})
    def open_views(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[Any]]:
        from lakehouse.orchestration import opening  # noqa: PLC0415 - engines load with the first step

        access: LakeAccess = getattr(context.resources, LAKE)
        yield opening.opened(access, project, policy, showing)

    return open_views


def _spec(showing: Showing) -> dg.AssetSpec:
    purpose = showing.purpose
    return dg.AssetSpec(
        key=purpose_key(purpose.name),
        deps=[asset_key(shown.table.id) for shown in showing.tables] + ([consent.KEY] if purpose.consent else []),
        group_name=GROUP,
        kinds={"duckdb", "view"},
        # Whose tables they are: they grant what the purpose shows.
        owners=sorted({owner for shown in showing.tables for owner in owners(shown.table.owner)}),
        tags={"lakehouse/purpose": purpose.name, **_personal(showing)},
        description=_description(showing),
        code_version=showing.digest,
        metadata={
            "dagster/column_schema": dg.TableSchema(columns=list(_columns(showing))),
            "views": _views(showing),
            "purpose": purpose.where,
            "policy_digest": showing.digest,
        },
        automation_condition=follows_passed_inputs_and_policy(),
    )


def _columns(showing: Showing) -> Iterator[dg.TableColumn]:
    """The columns of all views, as `view.column`; what a group is shown at most is a tag."""
    for shown in showing.tables:
        for each in shown.columns:
            yield dg.TableColumn(
                name=f"{shown.view.name}.{each.column.name}",
                type="string" if each.text else str(each.column.type),
                description=each.column.description or None,
                tags={
                    "category": each.column.category,
                    "class": each.sensitivity.name.lower(),
                    **_treatments(each),
                    **({"personal": ""} if each.column.personal else {}),
                },
            )


def _treatments(shown: ShownColumn) -> dict[str, str]:
    """One tag where all groups with a grant are shown the same, else one for each."""
    told = {str(treatment) for _, treatment in shown.by_group}
    if len(told) == 1:
        return {_ALL: told.pop()}
    return {f"{_ALL}.{group}": str(treatment) for group, treatment in shown.by_group}


def _views(showing: Showing) -> dg.TableMetadataValue:
    records = [
        dg.TableRecord(
            {
                "view": str(shown.view),
                "table": str(shown.table.id),
                "groups": ", ".join(_groups(shown)),
                "rows": "; ".join(shown.limits) or "all",
            }
        )
        for shown in showing.tables
    ]
    return dg.MetadataValue.table(records)


def _groups(shown: ShownTable) -> list[str]:
    return sorted({group for column in shown.columns for group, _ in column.by_group})


def _personal(showing: Showing) -> dict[str, str]:
    personal = any(each.column.personal for shown in showing.tables for each in shown.columns)
    return {"lakehouse/personal": "true"} if personal else {}


def _description(showing: Showing) -> str:
    purpose = showing.purpose
    lines = {
        "legal basis": purpose.legal_basis,
        "consent": "not required" if purpose.consent is None else f"of the {purpose.consent}",
        "groups": ", ".join(purpose.groups),
        "data use": purpose.data_use,
        "DPV": purpose.dpv,
        "rows": "also those kept for a duty alone" if purpose.legal else None,
        "isolation": "copies" if purpose.isolation == "copy" else None,
    }
    told = [f"- {name}: {value}" for name, value in lines.items() if value]
    return "\n".join([purpose.description, "", *told])
