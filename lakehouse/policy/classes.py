"""Which class a column has, and which categories a prefix covers.

Categories are compared by whole parts, in exact case: `user.contact` covers `user.contact.email`, not `user.contacts`.
What a class shows is in a policy's `defaults`; who sees more is decided in `reach` and `decide`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lakehouse.policy.model import Sensitivity

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from lakehouse.contract.model import Column
    from lakehouse.model import Tier
    from lakehouse.policy.model import Policy

#: Surrogates and tokens: they say nothing of who somebody is outside this lake, so they are never identifying.
PSEUDONYMOUS = "user.unique_id.pseudonymous"
#: In `tiers.<tier>.forbid`: every prefix of the document's `identifying`.
IDENTIFYING = "identifying"
#: A class as policies and contracts write it.
BY_WORD: dict[str, Sensitivity] = {sensitivity.name.lower(): sensitivity for sensitivity in Sensitivity}


def covers(prefix: str, category: str) -> bool:
    """Whether the category is the prefix or stands below it."""
    return category == prefix or category.startswith(f"{prefix}.")


def prefixes(category: str) -> Iterator[str]:
    """The category and everything above it, the longest first."""
    while category:
        yield category
        category = category.rpartition(".")[0]


def class_prefix(classes: Mapping[str, Sensitivity], category: str) -> str | None:
    """The longest prefix of the category that has a class, None when none has."""
    return next((prefix for prefix in prefixes(category) if prefix in classes), None)


def class_of(policy: Policy, column: Column) -> Sensitivity:
    """The column's class: its category's, raised by its contract at most.

    Raises:
        KeyError: no prefix of the category has a class; a loaded policy has none such.
    """
    prefix = class_prefix(policy.classes, column.category)
    if prefix is None:
        raise KeyError(column.category)
    found = policy.classes[prefix]
    return max(found, BY_WORD[column.classification]) if column.classification else found


def raised(policy: Policy, column: Column) -> bool:
    """Whether the contract holds the column to be of a higher class than its category is."""
    if column.classification is None:
        return False
    prefix = class_prefix(policy.classes, column.category)
    return prefix is not None and BY_WORD[column.classification] > policy.classes[prefix]


def identifies(identifying: Iterable[str], category: str) -> bool:
    """Whether the category says directly who somebody is."""
    return not covers(PSEUDONYMOUS, category) and any(covers(prefix, category) for prefix in identifying)


def forbidden(policy: Policy, tier: Tier, category: str) -> str | None:
    """The entry of the tier's `forbid` that the category falls under."""
    for entry in policy.forbidden.get(tier, ()):
        hit = identifies(policy.identifying, category) if entry == IDENTIFYING else covers(entry, category)
        if hit:
            return entry
    return None
