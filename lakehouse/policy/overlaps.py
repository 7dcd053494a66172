"""Static errors of a purpose's grants together: what they show of one column, their view names, and copies.

Within one purpose what is shown is a maximum, so two grants never show a column in two incomparable ways, whatever their
groups, rows and days; a column keeps its type, so it is a token under all of them or under none.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from lakehouse.contract.model import Logical
from lakehouse.policy import reach, treatments
from lakehouse.policy.ground import escapes_always, listed
from lakehouse.policy.treatments import HIDE, TOKEN, Treatment
from lakehouse.policy.views import clashes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lakehouse.contract.model import Column, Table
    from lakehouse.policy.ground import Ground
    from lakehouse.policy.model import Grant, Purpose, Unless
    from lakehouse.policy.rules import Said

_Conflict = tuple[str, Treatment, Treatment]


def check_overlaps(ground: Ground) -> None:
    """Every purpose's grants, table by table."""
    conflicts: dict[tuple[str, str, str, str, str], list[str]] = {}
    ground.findings.extend(clashes(ground.policy, ground.project))
    for table in ground.project.tables:
        for name in reach.purposes(ground.policy, table):
            purpose, grants = ground.policy.purposes[name], reach.grants(ground.policy, name, table)
            if len(grants) > 1:
                _conflicts(ground, table, grants, found=conflicts)
            if purpose.isolation == "copy":
                _copy(ground, purpose, table, grants)
    for (code, one, other, shows, shows_too), columns in conflicts.items():
        _tell(ground, (code, ground.entries[one], ground.entries[other]), (shows, shows_too), columns)


def _conflicts(
    ground: Ground,
    table: Table,
    grants: Sequence[Grant],
    *,
    found: dict[tuple[str, str, str, str, str], list[str]],
) -> None:
    """What the grants show of the table's columns that cannot be joined."""
    for likes in ground.alike(table, grants):
        shown: dict[Treatment, Grant] = {}
        for grant in grants:
            shown.setdefault(ground.shown(grant, table, likes), grant)
        for (one, grant), (other, other_grant) in itertools.combinations(shown.items(), 2):
            code = _conflict(one, other, likes.first)
            if code is not None:
                key = (code, grant.id, other_grant.id, str(one), str(other))
                found.setdefault(key, []).extend(f"{table.id}.{name}" for name in likes.names)


def _conflict(one: Treatment, other: Treatment, column: Column) -> str | None:
    """Why two treatments cannot stand side by side in one purpose."""
    if column.type.logical is not Logical.STRING and TOKEN in {one, other} and HIDE not in {one, other}:
        return "token-mixed"
    return "treatments-incomparable" if treatments.join(one, other) is None else None


def _tell(
    ground: Ground, conflict: tuple[str, Said[Grant], Said[Grant]], shows: tuple[str, str], columns: Sequence[str]
) -> None:
    code, one, other = conflict
    message = f"grants `{one.value.id}` ({one.node.where}) and `{other.value.id}` ({other.node.where}) of purpose "
    message += f"`{one.value.purpose}` show {listed(columns)} as `{shows[0]}` and as `{shows[1]}`"
    if code == "token-mixed":
        hint = "a token is text: what is no text is `token` or `hide` in all grants of a purpose, or `token` in none"
    else:
        hint = "neither shows less than the other, so there is no greater one: use one treatment, or two purposes"
    ground.findings.error(code, other.at("columns"), message, hint=hint)


def _copy(ground: Ground, purpose: Purpose, table: Table, grants: Sequence[Grant]) -> None:
    """A copy is made once for everybody, so nothing in it may depend on who asks, or when."""
    first = grants[0]
    for grant in grants:
        if (grant.groups, grant.until) != (first.groups, first.until):
            message = f"grants `{first.id}` and `{grant.id}` of `{table.id}` differ in groups or `until`, and purpose "
            message += f"`{purpose.name}` is a copy"
            ground.findings.error("copy-differs", ground.entries[grant.id].node, message, hint=_SPLIT)
        if grant.rows is not None and grant.rows.uses_day:
            _day(ground, purpose, table, grant.id, ground.entries[grant.id].at("rows").where)
    for rule in reach.row_ceilings(ground.policy, table):
        if rule.only_rows.uses_day:
            _day(ground, purpose, table, rule.id, first.where)
        _by_group(ground, purpose, table, first, rule=(rule.id, rule.unless))
    held = {each.id: each for column in table.columns for each in reach.ceilings(ground.policy, table, column)}
    for ceiling in held.values():
        _by_group(ground, purpose, table, first, rule=(ceiling.id, ceiling.unless))


_SPLIT = "split the purpose, or use `isolation: view`"


def _day(ground: Ground, purpose: Purpose, table: Table, rule: str, where: str) -> None:
    message = f"`{rule}` asks for `current_date` in `{table.id}`, and purpose `{purpose.name}` is a copy"
    ground.findings.error("copy-day", where, message, hint=_SPLIT)


def _by_group(ground: Ground, purpose: Purpose, table: Table, grant: Grant, *, rule: tuple[str, Unless | None]) -> None:
    """A ceiling that some readers of the copy escape and others do not."""
    name, unless = rule
    if unless is None or not unless.groups or (unless.purposes and purpose.name not in unless.purposes):
        return
    if not escapes_always(unless, grant.groups, purpose.name):
        message = (
            f"ceiling `{name}` on `{table.id}` depends on the reader's groups, and purpose `{purpose.name}` is a copy"
        )
        ground.findings.error("copy-differs", grant.where, message, hint=_SPLIT)
