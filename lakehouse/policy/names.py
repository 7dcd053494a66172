"""What documents say about each other: ids that stand once, groups, purposes and categories that exist.

Judged without contracts, so that a project whose contracts are wrong still hears of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lakehouse.contract import reading
from lakehouse.contract.columns import categories
from lakehouse.contract.findings import choices
from lakehouse.contract.model import Logical
from lakehouse.policy import treatments
from lakehouse.policy.classes import IDENTIFYING
from lakehouse.policy.model import Sensitivity

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lakehouse.contract.findings import Findings
    from lakehouse.policy.documents import Draft
    from lakehouse.policy.model import Grant
    from lakehouse.policy.rules import Said
    from lakehouse.source import Node


def check_names(draft: Draft, findings: Findings) -> None:
    """Everything in the documents that names what is not there, or names one thing twice."""
    _ids([*draft.grants, *draft.ceilings, *draft.row_ceilings], findings)
    _categories(draft, findings)
    _defaults(draft, findings)
    for purpose in draft.purposes.values():
        _groups(purpose.node.get("groups"), draft, findings)
    for rule in (*draft.ceilings, *draft.row_ceilings):
        _unless(rule.node.get("unless"), draft, findings)
    for grant in draft.grants:
        _groups(grant.node.get("groups"), draft, findings)
        _purpose(grant.node.get("purpose"), draft, findings)
        _invited(grant, draft, findings)
    for test in draft.tests:
        said = test.node.get("as")
        _groups(said.get("groups") if said else None, draft, findings)
        _purpose(said.get("purpose") if said else None, draft, findings)


def _ids(rules: Iterable[Said[object]], findings: Findings) -> None:
    """Explanations and findings name rules by their ids alone, so one id is one rule in all documents."""
    first: dict[str, Node] = {}
    for rule in rules:
        found = rule.node.get("id")
        if found is None or not found.text:
            continue
        if found.text in first:
            message = f"id `{found.text}` stands twice"
            findings.error("id-doubled", found, message, hint=f"the first is in {first[found.text].where}")
        first.setdefault(found.text, found)


def _categories(draft: Draft, findings: Findings) -> None:
    known = categories()
    platform = draft.platform
    classes = platform.get("classes") if platform else None
    written = list(classes.keys.values()) if classes is not None else []
    written += draft.identifying
    written += [item for items in draft.forbidden.values() for item in items if item.text != IDENTIFYING]
    for ceiling in draft.ceilings:
        written += [item for item in reading.items(ceiling.node, "categories") if item.kind == "scalar"]
    for node in written:
        if node.text not in known:
            findings.unknown("category-unknown", node, "category", known=known)
    for grant in draft.grants:
        columns = grant.node.get("columns")
        for entry in grant.value.columns if columns is not None else ():
            if entry.category is not None and entry.category not in known and columns is not None:
                findings.unknown("category-unknown", columns.key(entry.category), "category", known=known)


def _defaults(draft: Draft, findings: Findings) -> None:
    """A higher class never shows more, whatever the type of its column."""
    for lower in Sensitivity:
        higher = next((each for each in Sensitivity if each > lower and each in draft.defaults), None)
        if higher is None or lower not in draft.defaults:
            continue
        more, less = draft.defaults[higher], draft.defaults[lower]
        shown = ((treatments.typed(more.value, each), treatments.typed(less.value, each)) for each in Logical)
        if not all(treatments.below(high, low) for high, low in shown):
            message = f"class `{higher.name.lower()}` shows `{more.value}`, which is not less than `{less.value}` of "
            message += f"`{lower.name.lower()}`"
            findings.error("default-order", more.node, message, hint="a higher class never shows more")


def _groups(node: Node | None, draft: Draft, findings: Findings) -> None:
    for item in node if node is not None else ():
        if item.text not in draft.groups:
            findings.unknown("group-unknown", item, "group", known=sorted(draft.groups))


def _purpose(node: Node | None, draft: Draft, findings: Findings) -> None:
    if node is not None and node.text not in draft.purposes:
        findings.unknown("purpose-unknown", node, "purpose", known=sorted(draft.purposes))


def _unless(node: Node | None, draft: Draft, findings: Findings) -> None:
    if node is None:
        return
    _groups(node.get("groups"), draft, findings)
    for item in node.get("purposes") or ():
        _purpose(item, draft, findings)


def _invited(grant: Said[Grant], draft: Draft, findings: Findings) -> None:
    """The platform says who may have a purpose; a grant cannot bring others in."""
    purpose = draft.purposes.get(grant.value.purpose)
    for item in grant.node.get("groups") or ():
        if purpose is not None and item.text in draft.groups and item.text not in purpose.value.groups:
            message = f"group `{item.text}` may not use purpose `{purpose.value.name}`"
            hint = f"{choices(item.text, purpose.value.groups)} ({purpose.value.where})"
            findings.error("group-outside-purpose", item, message, hint=hint)
