"""What a run of a purpose's asset does: copies are made anew, every view is opened on the embedded engine, and both told."""

from typing import Any

import dagster as dg

from lakehouse.contract.model import Project
from lakehouse.orchestration.access import LakeAccess
from lakehouse.orchestration.guard import no_values_in_errors
from lakehouse.policy.model import Policy
from lakehouse.policy.showing import Showing
from lakehouse.policy.treatments import Kind
from lakehouse.serving.copying import make_copies
from lakehouse.serving.opening import Opened, open_views, require_some


def opened(access: LakeAccess, project: Project, policy: Policy, showing: Showing) -> dg.MaterializeResult[Any]:
    """Make the purpose's copies, open its views for each of its groups, and tell how much they show at most.

    Raises:
        RefusedError: nothing of the purpose can be opened yet, or any more.
    """
    purpose = showing.purpose.name
    with no_values_in_errors(f"serving.{purpose}"):
        lake = access.open()
        copies = make_copies(lake, project, policy, purpose)
        found = open_views(lake, project, policy, purpose)
        require_some(found, purpose)
    return dg.MaterializeResult(
        metadata={
            "views": len(found.views),
            **({"copies_made": len(copies)} if showing.purpose.isolation == "copy" else {}),
            **_figures(showing, found),
            "views_waiting": ", ".join(found.waiting) or "none",
            "views_ended": ", ".join(found.ended) or "none",
            "policy_digest": showing.digest,
        },
        data_version=dg.DataVersion(showing.digest),
    )


def _figures(showing: Showing, found: Opened) -> dict[str, int]:
    """Columns of the open views: shown clear to some group, hidden from every group, and all others."""
    shown = [
        {treatment.kind for _, treatment in column.by_group}
        for each in showing.tables
        if each.view.name in found.views
        for column in each.columns
    ]
    clear = sum(Kind.CLEAR in kinds for kinds in shown)
    hidden = sum(kinds <= {Kind.HIDE} for kinds in shown)
    return {"columns_clear": clear, "columns_hidden": hidden, "columns_treated": len(shown) - clear - hidden}
