"""Names: of the views people read, and of the relations the views stand on.

A purpose is a schema, a table one view in it: `serve.<purpose>.<domain>_<table>`, or what a grant's `as` calls it. Base
relations are named so that no two tables share one. What stands in a view is in `compile`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from lakehouse.model import Finding, Level
from lakehouse.policy import reach

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from lakehouse.contract.model import Project, Table
    from lakehouse.policy.model import Policy

#: Trino's catalogs: the lake's tables, and the views. The embedded engine has no catalogs, its views are per request.
LAKE, SERVE = "lake", "serve"
#: Schemas of the embedded engine, which serving fills for one request.
BASE, COPIES = "base", "copy"
#: What `consent_current` is called; its columns are `entity`, `purpose`, `given` (boolean) and `expires_on` (date).
CONSENT_SCHEMA, CONSENT = "platform", "consent_current"
#: A copy's own column for `max_age`: the UTC day of the event, whatever the purpose shows of it.
EVENT_DAY = "_event_day"


class Relation(NamedTuple):
    """A relation's name; the embedded engine has no catalog."""

    catalog: str | None
    schema: str
    name: str


class ViewName(NamedTuple):
    """A view people read: `serve.<schema>.<name>`; the schema is the purpose."""

    schema: str
    name: str

    def __str__(self) -> str:
        return f"{SERVE}.{self.schema}.{self.name}"


def view_name(policy: Policy, purpose: str, table: Table) -> ViewName:
    """The table's view in the purpose: `as` of a grant that reaches it, else domain and table.

    Of several names the first; `clashes` reports them.
    """
    named = _named(policy, purpose, table)
    return ViewName(purpose, named[0] if named else f"{table.id.domain}_{table.id.table}")


def view_names(policy: Policy, project: Project) -> dict[ViewName, Table]:
    """Every view that must exist, in order of name."""
    found = {view_name(policy, purpose, table): table for purpose, table in reach.pairs(policy, project)}
    return dict(sorted(found.items()))


def obsolete(policy: Policy, project: Project, deployed: Collection[ViewName]) -> tuple[ViewName, ...]:
    """Which of the deployed views must not exist any more, sorted."""
    return tuple(sorted(set(deployed).difference(view_names(policy, project))))


def clashes(policy: Policy, project: Project) -> list[Finding]:
    """Two names of one view, and two views of one name (from tiers, `as` or underscores)."""
    return [*_two_names(policy, project), *_two_views(policy, project)]


def _two_names(policy: Policy, project: Project) -> Iterator[Finding]:
    for purpose, table in reach.pairs(policy, project):
        first, *others = _named(policy, purpose, table) or [""]
        for other in others:
            where = next(grant.where for grant in reach.grants(policy, purpose, table) if grant.view == other)
            message = f"the view of `{table.id}` in purpose `{purpose}` is called `{first}` and `{other}`"
            yield Finding("view-twice", Level.ERROR, where, message, "keep one `as`; other grants follow it")


def _two_views(policy: Policy, project: Project) -> Iterator[Finding]:
    """Engines fold the case of names."""
    taken: dict[tuple[str, str], Table] = {}
    for purpose, table in reach.pairs(policy, project):
        name = view_name(policy, purpose, table)
        other = taken.setdefault((name.schema, name.name.casefold()), table)
        if other is not table:
            where = reach.grants(policy, purpose, table)[0].where
            message = f"`{other.id}` and `{table.id}` would both be view `{name}`"
            yield Finding("view-doubled", Level.ERROR, where, message, "`as` in a grant for one of them alone names it")


def _named(policy: Policy, purpose: str, table: Table) -> list[str]:
    return sorted({grant.view for grant in reach.grants(policy, purpose, table) if grant.view})


def base_relation(table: Table, *, trino: bool) -> Relation:
    """Where the table's rows are. Tiers are few words without underscores, so that no two tables share a name."""
    if trino:
        return Relation(LAKE, f"{table.id.tier}_{table.id.domain}", table.id.table)
    return Relation(None, BASE, str(table.id))


def copy_relation(name: ViewName, *, trino: bool) -> Relation:
    """Where the copy for a purpose with `isolation: copy` is; it is named like its only view."""
    if trino:
        return Relation(LAKE, f"copy_{name.schema}", name.name)
    return Relation(None, COPIES, f"{name.schema}.{name.name}")


def consent_relation(*, trino: bool) -> Relation:
    """Where the consent in force is."""
    return Relation(LAKE, CONSENT_SCHEMA, CONSENT) if trino else Relation(None, BASE, CONSENT)
