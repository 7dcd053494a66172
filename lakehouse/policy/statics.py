"""Static errors of the platform's rules and of every ceiling, as POLICY has them, held against the contracts.

Classes cover every category and are not lowered, tiers hold nothing forbidden, ceilings meet tables, and the predicates of
row ceilings mean something for every table they cover. Grants are judged in `grant_statics`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lakehouse.contract.findings import choices
from lakehouse.model import TOKEN_SUFFIX
from lakehouse.policy import classes, predicates, reach
from lakehouse.policy.ground import escapes_always, listed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lakehouse.contract.model import Column, Table
    from lakehouse.policy.ground import Ground
    from lakehouse.policy.model import Ceiling, Grant, RowCeiling, TablePattern
    from lakehouse.policy.predicates import Predicate
    from lakehouse.policy.rules import Said
    from lakehouse.source import Node


def check_classes(ground: Ground) -> None:
    """Every category has a class, no contract lowers it, and no tier holds what it may not."""
    draft = ground.draft
    said = {prefix: entry.value for prefix, entry in draft.classes.items()}
    missing: dict[str, list[str]] = {}
    for table in ground.project.tables:
        for column in table.columns:
            if classes.class_prefix(said, column.category) is None:
                missing.setdefault(column.category, []).append(f"{table.id}.{column.name}")
            else:
                _lowered(ground, table, column)
            _forbidden(ground, table, column)
    at = draft.platform.get("classes") if draft.platform else None
    for category, columns in missing.items():
        hint = f"say what class `{category}` has, or a prefix of it: {listed(columns)}"
        findings = ground.findings
        findings.error(
            "class-missing", at or "policies/platform.yaml", f"category `{category}` has no class", hint=hint
        )


def _lowered(ground: Ground, table: Table, column: Column) -> None:
    if column.classification is None:
        return
    of_category = ground.policy.classes[classes.class_prefix(ground.policy.classes, column.category) or ""]
    if classes.BY_WORD[column.classification] < of_category:
        message = (
            f"`{table.id}.{column.name}` is `{column.classification}`, lower than `{of_category.name.lower()}` of "
        )
        message += f"category `{column.category}`"
        hint = "a contract may raise a class, never lower it; leave `classification` out"
        ground.findings.error("class-lowered", column.where, message, hint=hint)


def _forbidden(ground: Ground, table: Table, column: Column) -> None:
    entry = classes.forbidden(ground.policy, table.id.tier, column.category)
    if entry is None:
        return
    said = next(node for node in ground.draft.forbidden[table.id.tier] if node.text == entry)
    message = f"`{table.id}.{column.name}` is `{column.category}`, which tier `{table.id.tier}` may not hold"
    ground.findings.error("tier-forbids", column.where, message, hint=f"`forbid: [{entry}]` stands in {said.where}")


def check_ceilings(ground: Ground) -> None:
    """Ceilings and row ceilings against the tables they name."""
    for ceiling in ground.draft.ceilings:
        check_patterns(ground, ceiling, ceiling.value.tables)
    for row_ceiling in ground.draft.row_ceilings:
        check_patterns(ground, row_ceiling, row_ceiling.value.tables)
        _row_ceiling(ground, row_ceiling)


def check_patterns(
    ground: Ground, rule: Said[Grant] | Said[Ceiling] | Said[RowCeiling], patterns: Sequence[TablePattern]
) -> None:
    """A pattern that matches nothing is a misspelt one."""
    written = {item.text: item for item in rule.node.get("tables") or ()}
    for pattern in patterns:
        if ground.matched(pattern):
            continue
        at: Node | str = written.get(str(pattern), pattern.where)
        known = sorted(str(table.id) for table in ground.project.tables)
        code, what = ("table-unknown", "table") if "*" not in str(pattern) else ("pattern-empty", "pattern")
        message = f"{what} `{pattern}` " + ("is not known" if what == "table" else "matches no table")
        ground.findings.error(code, at, message, hint=choices(str(pattern), known))


def _row_ceiling(ground: Ground, said: Said[RowCeiling]) -> None:
    ceiling = said.value
    tables = ground.tables(ceiling.tables)
    covered = [table for table in tables if set(ceiling.having) <= ground.types(table).keys()]
    having = said.node.get("having")
    if having is not None and tables and not covered:
        columns = sorted({name for table in tables for name in ground.types(table)})
        unknown = next((item for item in having if item.text not in columns), None)
        message = f"no table of `{ceiling.id}` has the columns {listed(ceiling.having)}"
        ground.findings.error(
            "having-empty", unknown or having, message, hint=choices(unknown.text, columns) if unknown else None
        )
    hint = "`having: [column]` leaves tables without the column alone" if not ceiling.having else None
    check_predicate(ground, said.at("only_rows"), ceiling.only_rows, covered, hint=hint)
    if ceiling.domain is not None:
        check_revealing(ground, said.at("only_rows"), ceiling.only_rows, covered)


def check_predicate(
    ground: Ground, at: Node, predicate: Predicate, tables: Sequence[Table], *, hint: str | None = None
) -> None:
    """What a predicate gets wrong about the columns of the tables it is asked of."""
    by_mistake: dict[str, list[str]] = {}
    lacking: dict[str, list[Table]] = {}
    for table in tables:
        types = ground.types(table)
        unknown = [name for name in predicate.columns if name not in types]
        for name in unknown:
            lacking.setdefault(name, []).append(table)
        for mistake in predicates.mistakes(predicate, types) if not unknown else ():
            by_mistake.setdefault(mistake, []).append(str(table.id))
    for name, without in lacking.items():
        message = f"column `{name}` is not known in {listed(table.id for table in without)}"
        if name.startswith("_") or name.endswith(TOKEN_SUFFIX):
            message = f"`{name}` is a column of the platform, which no predicate can use"
        near = choices(name, ground.types(without[0])) if len(without) == len(tables) else hint
        ground.findings.error("predicate-column", at, message, hint=near)
    for mistake, names in by_mistake.items():
        ground.findings.error("predicate-type", at, f"{mistake}; in {listed(names)}")


def check_revealing(
    ground: Ground, at: Node, predicate: Predicate, tables: Sequence[Table], *, grant: Grant | None = None
) -> None:
    """A visible row says what its predicate asked: of a column under a ceiling that is an error, of a personal one a warning."""
    warned: dict[str, list[str]] = {}
    for table in tables:
        for name in predicate.columns:
            if name not in ground.types(table):
                continue
            column = table.column(name)
            above = [each for each in reach.ceilings(ground.policy, table, column) if each.domain is None]
            held = [
                each for each in above if grant is None or not escapes_always(each.unless, grant.groups, grant.purpose)
            ]
            if held:
                message = f"the predicate uses `{name}`, which ceiling `{held[0].id}` covers in `{table.id}`"
                hint = f"a visible row would reveal it; the ceiling stands in {held[0].where}"
                ground.findings.error("predicate-ceiling", at, message, hint=hint)
            elif column.personal and not above:
                warned.setdefault(name, []).append(str(table.id))
    for name, names in warned.items():
        message = f"the predicate uses the personal column `{name}` of {listed(names)}"
        hint = "whoever sees a row learns what the predicate asked of it"
        ground.findings.warning("predicate-personal", at, message, hint=hint)
