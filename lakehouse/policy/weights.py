"""How sensitive a column is, and whether one column can stand for others.

A weight is a category and a class. The platform's columns have one too: surrogates and tokens are pseudonymous, `_extra`
may hold anything of anybody, the rest is operations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lakehouse.contract.derivation import is_token
from lakehouse.model import ENTITY, EXTRA
from lakehouse.policy import classes
from lakehouse.policy.model import Sensitivity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lakehouse.contract.model import Column, Project
    from lakehouse.model import TableId
    from lakehouse.policy.flows import Leaf
    from lakehouse.policy.model import Policy

_OPERATIONS, _ANYTHING = "system.operations", "user"


@dataclass(frozen=True)
class Weight:
    """What a column's sensitivity is made of."""

    category: str
    sensitivity: Sensitivity

    @property
    def personal(self) -> bool:
        """Whether it says something of a person."""
        return classes.covers("user", self.category)

    @property
    def pseudonymous(self) -> bool:
        """Whether it is a surrogate or a token."""
        return classes.covers(classes.PSEUDONYMOUS, self.category)


@dataclass(frozen=True)
class Complaint:
    """Why an output is lighter than an input, and which input that is."""

    text: str
    input: int


class Weights:
    """Weighs columns by a policy; without one, personal columns are confidential and the others internal."""

    def __init__(self, project: Project, policy: Policy | None, output: TableId) -> None:
        self._project = project
        self._policy = policy if policy is not None and policy.classes else None
        self._ceilings = {
            category: ceiling.id
            for ceiling in (policy.ceilings if policy else ())
            if not ceiling.tables or any(pattern.matches(output) for pattern in ceiling.tables)
            for category in ceiling.categories
        }

    def of_column(self, column: Column) -> Weight:
        """The weight of a contract's column."""
        if self._policy is not None:
            return Weight(column.category, classes.class_of(self._policy, column))
        said = classes.BY_WORD[column.classification] if column.classification else Sensitivity.PUBLIC
        return Weight(column.category, max(said, self._class(column.category)))

    def of_leaf(self, leaf: Leaf) -> Weight:
        """The weight of an input's column, the platform's own among them."""
        table = self._project.table(leaf.table)
        for column in table.columns:
            if column.name == leaf.column:
                return self.of_column(column)
        if leaf.column == ENTITY or leaf.column.startswith(f"{ENTITY}_") or is_token(leaf.column):
            category = classes.PSEUDONYMOUS
        else:
            category = _ANYTHING if leaf.column == EXTRA else _OPERATIONS
        return Weight(category, self._class(category))

    def complaint(self, output: Weight, inputs: Sequence[Weight]) -> Complaint | None:
        """The first reason why the output is not at least as sensitive as its inputs, None when it is."""
        for place, given in enumerate(inputs):
            if (text := self._lighter(output, given)) is not None:
                return Complaint(text, place)
        return self._elsewhere(output, inputs)

    def _lighter(self, output: Weight, given: Weight) -> str | None:
        if given.personal and not output.personal:
            return f"`{given.category}` is personal, `{output.category}` is not"
        if output.sensitivity < given.sensitivity:
            return f"`{given.category}` is {_word(given)}, `{output.category}` is {_word(output)}"
        if given.pseudonymous:
            return None
        identifying = self._policy.identifying if self._policy else ()
        for prefix in identifying:
            if classes.covers(prefix, given.category) and not classes.identifies([prefix], output.category):
                return f"`{given.category}` is identifying as `{prefix}`, `{output.category}` is not"
        for prefix, ceiling in self._ceilings.items():
            if classes.covers(prefix, given.category) and not classes.covers(prefix, output.category):
                return f"`{given.category}` is under ceiling `{ceiling}`, `{output.category}` is not"
        return None

    def _elsewhere(self, output: Weight, inputs: Sequence[Weight]) -> Complaint | None:
        """Among equally sensitive categories, the output stands where one of its heaviest inputs does.

        Entries of grants speak to a column by its category; one for `user.account` must not open what was an address.
        """
        top = max((given.sensitivity for given in inputs), default=output.sensitivity)
        heaviest = [
            (place, given)
            for place, given in enumerate(inputs)
            if given.sensitivity is top and given.personal and not given.pseudonymous
        ]
        if not heaviest or output.sensitivity > top:
            return None
        prefixes = [self._prefix(given.category) for _, given in heaviest]
        if any(classes.covers(prefix, output.category) for prefix in prefixes):
            return None
        place, given = heaviest[0]
        return Complaint(
            f"`{output.category}` is not below `{prefixes[0]}`, the class prefix of `{given.category}`", place
        )

    def _prefix(self, category: str) -> str:
        known = self._policy.classes if self._policy else {"user": Sensitivity.CONFIDENTIAL}
        return classes.class_prefix(known, category) or category

    def _class(self, category: str) -> Sensitivity:
        if self._policy is None:
            return Sensitivity.CONFIDENTIAL if classes.covers("user", category) else Sensitivity.INTERNAL
        prefix = classes.class_prefix(self._policy.classes, category)
        # a policy without a class for what only the platform's columns hold: the strictest, nobody loses by it
        return Sensitivity.RESTRICTED if prefix is None else self._policy.classes[prefix]


def _word(weight: Weight) -> str:
    return weight.sensitivity.name.lower()
