"""Small tables to judge: columns by type, checks by rule."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from lakehouse.contract.model import Check, CheckKind, Column, ColumnType, EntityKey, Logical, Rule, Table
from lakehouse.model import TableId, Tier
from lakehouse.quality import Judged, compile_row_checks

if TYPE_CHECKING:
    from collections.abc import Callable

BATCH_RULES = {Rule.NULL_SHARE, Rule.ROW_COUNT}
TABLE_RULES = {Rule.UNIQUE, Rule.FOREIGN_KEY, Rule.CONSERVED}


def make_check(rule: Rule, *columns: str, **options: Any) -> Check:
    kind = CheckKind.BATCH if rule in BATCH_RULES else CheckKind.TABLE if rule in TABLE_RULES else CheckKind.ROW
    name = options.pop("name", None) or "_".join([rule.value, *columns])
    return Check(name, kind, rule, columns, where="contract.yaml:7", **options)


def make_table(types: dict[str, ColumnType], *checks: Check, **options: Any) -> Table:
    """A staged table; each typed column gets its type check before `checks`, as the loader does."""
    tier = options.pop("tier", Tier.STAGED)
    words = options.pop("null_words", ("",))
    derived = options.pop("derived", ())
    columns = tuple(
        Column(
            id=name,
            name=name,
            type=kind,
            category="system.operations",
            null_words=words,
            derived="occurrence" if name in derived else None,
        )
        for name, kind in types.items()
    )
    typed = [
        make_check(Rule.TYPE, name)
        for name, kind in types.items()
        if kind.logical is not Logical.STRING and tier is Tier.STAGED and name not in derived
    ]
    key = options.pop("entity_key", None)
    entity = EntityKey("customer", key, canonical=("trim", "integer")) if key else None
    name = options.pop("name", "sample")
    return Table(TableId(tier, "demo", name), "t1", columns, (), entity=entity, checks=(*typed, *checks), **options)


@pytest.fixture
def check() -> Callable[..., Check]:
    return make_check


@pytest.fixture
def table() -> Callable[..., Table]:
    return make_table


@pytest.fixture
def judge() -> Callable[..., Judged]:
    """Judges one column of text of a type."""

    def run(column_type: ColumnType, texts: list[str | None], *checks: Check, **options: Any) -> Judged:
        sample = make_table({"x": column_type}, *checks, **options)
        return compile_row_checks(sample).judge(pl.DataFrame({"x": texts}, schema={"x": pl.String}))

    return run
