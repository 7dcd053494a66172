"""What a derived column says of where its values come from: `made_of`, and `declassified` where it is less than that.

Read here, column by column; that what `made_of` names is there needs the inputs' contracts (`references`), and whether
the claims are true is for `policy.taint` to judge on the SQL.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lakehouse.contract import reading
from lakehouse.contract.model import Declassified
from lakehouse.model import ENTITY, TOKEN_SUFFIX, Tier, entity_of, token_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lakehouse.contract.findings import Findings
    from lakehouse.contract.model import Table
    from lakehouse.model import TableId
    from lakehouse.source import Node

#: What `declassified.to` may be, and how a person is told so.
COARSER = r"^(year|month|presence|words|prefix\([1-9][0-9]{0,3}\)|bucket\([1-9][0-9]{0,17}\))$"
METHODS = ("aggregate", "generalise", "token")
#: What a method needs beside `why`.
_NEEDS = {"aggregate": "min_entities", "generalise": "to"}


def read_declassified(own: Node | None, tier: Tier, findings: Findings) -> Declassified | None:
    """The column's declaration; None when it has none that can be used (then `shape` or a finding says so)."""
    found = own.get("declassified") if own else None
    if found is None or own is None:
        return None
    if tier is Tier.STAGED:
        hint = "staged columns are what was delivered; give the category that the values have"
        findings.error("declassified", own.key("declassified"), "only derived columns can be declassified", hint=hint)
    how, why = reading.text(found, "how"), reading.text(found, "why")
    if how not in METHODS or not why:
        return None
    wanted = _NEEDS.get(how)
    for method, key in _NEEDS.items():
        given = found.get(key)
        if given is None and key == wanted:
            findings.error("declassified", found, f"`{how}` needs `{key}`", hint=_EXAMPLES[method])
        elif given is not None and key != wanted:
            findings.error("declassified", found.key(key), f"`{key}` is of `{method}`, not of `{how}`")
    to = reading.text(found, "to")
    if to is not None and not re.fullmatch(COARSER, to):
        return None
    return Declassified(how, why, min_entities=reading.whole(found, "min_entities", 0), to=to)


_EXAMPLES = {
    "aggregate": "`min_entities: 10`: HAVING keeps no group of fewer",
    "generalise": "`to: year` (or month, prefix(n), bucket(n), presence, words)",
}


def read_made_of(own: Node | None, tier: Tier, findings: Findings) -> tuple[str, ...]:
    """The columns of the inputs that a feature column, or all of a table's, is made of."""
    if own and "made_of" in own.entries and tier is not Tier.FEATURES:
        hint = "the SQL of a curated table says it; staged columns are delivered"
        findings.error("made-of", own.key("made_of"), "only feature columns say what they are made of", hint=hint)
        return ()
    return reading.texts(own, "made_of")


def readable(table: Table) -> tuple[str, ...]:
    """The columns of a table that those made from it can use, the platform's `_entity` and tokens among them."""
    roles = tuple(entity_of(role.name) for role in table.roles)
    tokens = tuple(token_of(column.name) for column in table.tokenised)
    entity = (ENTITY,) if table.entity is not None else ()
    return (*entity, *roles, *(column.name for column in table.columns), *tokens)


def named_columns(
    names: Iterable[str], inputs: Iterable[TableId], known: Mapping[TableId, Table]
) -> dict[str, tuple[tuple[TableId, str], ...]]:
    """What each name of a `made_of` stands for: `column` of every input that has it, or `table.column` of one."""
    tables = [known[given] for given in inputs if given in known]
    found: dict[str, tuple[tuple[TableId, str], ...]] = {}
    for name in names:
        table, _, column = name.rpartition(".")
        found[name] = tuple(
            (each.id, column)
            for each in tables
            if table in {"", each.id.table, str(each.id)} and column in readable(each)
        )
    return found


def is_token(column: str) -> bool:
    """Whether a column is the platform's column of tokens of another one."""
    return column.endswith(TOKEN_SUFFIX)
