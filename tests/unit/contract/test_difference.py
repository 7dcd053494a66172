"""Two versions of a contract: what differs, what it means for the lake, and whether readers survive it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lakehouse.contract.change import Effect, Kind, heaviest
from lakehouse.contract.compatibility import class_of, verdict, verdicts
from lakehouse.contract.difference import difference
from lakehouse.contract.imprint import fingerprint, imprint, table_of
from lakehouse.contract.model import (
    Changes,
    Check,
    CheckKind,
    Column,
    ColumnType,
    Drift,
    EntityKey,
    Logical,
    Role,
    Rule,
    Source,
    Table,
    Transform,
)
from lakehouse.model import TableId, Tier

TEXT, INTEGER = ColumnType(Logical.STRING), ColumnType(Logical.INTEGER)


def decimal(precision: int, scale: int) -> ColumnType:
    return ColumnType(Logical.DECIMAL, precision=precision, scale=scale)


def column(name: str, kind: ColumnType = TEXT, **more) -> Column:
    return Column(id=more.pop("id", name), name=name, type=kind, category=more.pop("category", "system"), **more)


def check(rule: Rule, *columns: str, kind: CheckKind = CheckKind.ROW, **more) -> Check:
    return Check(more.pop("name", f"{rule}_{'_'.join(columns)}"), kind, rule, columns, **more)


CHECKS = (
    check(Rule.TYPE, "amount"),
    check(Rule.RANGE, "amount", minimum="0", maximum="100"),
    check(Rule.ENUM, "state", values=("open", "shut")),
    check(Rule.PATTERN, "state", pattern="^(?:a)$"),
    check(Rule.COMPARE, "opened", "shut", operator="<=", other="shut"),
    check(Rule.ROW_COUNT, kind=CheckKind.BATCH, minimum="5", name="enough"),
    check(Rule.UNIQUE, "state", kind=CheckKind.TABLE),
)
BASE = Table(
    id=TableId(Tier.STAGED, "d", "t"),
    odcs_id="c/t",
    columns=(
        column("id", INTEGER),
        column("amount", decimal(12, 2)),
        column("state"),
        column("opened", ColumnType(Logical.DATE)),
        column("shut", ColumnType(Logical.DATE)),
        column("who", category="user.unique_id"),
    ),
    key=("id",),
    entity=EntityKey("person", "who"),
    event_time="opened",
    layout="time+entity",
    sources=(Source("one"),),
    checks=CHECKS,
)


def with_column(new: Column, table: Table = BASE) -> Table:
    there = {each.id for each in table.columns}
    kept = tuple(new if each.id == new.id else each for each in table.columns)
    return replace(table, columns=kept if new.id in there else (*kept, new))


def with_checks(*new: Check) -> Table:
    changed = {(each.kind, each.rule, each.columns) for each in new}
    return replace(BASE, checks=(*(c for c in CHECKS if (c.kind, c.rule, c.columns) not in changed), *new))


def without(rule: Rule) -> Table:
    return replace(BASE, checks=tuple(each for each in CHECKS if each.rule is not rule))


AMOUNT, STATE = BASE.column("amount"), BASE.column("state")
CASES: dict[str, tuple[Table, Kind, Effect, str]] = {
    "new column": (with_column(column("more")), Kind.NEW_COLUMN, Effect.METADATA, "full"),
    "new derived column": (
        with_column(column("nth", INTEGER, derived="occurrence", derived_over=("who",))),
        Kind.NEW_COLUMN,
        Effect.REBUILD,
        "full",
    ),
    "new required column": (
        replace(with_column(column("more")), checks=(*CHECKS, check(Rule.REQUIRED, "more"))),
        Kind.NEW_REQUIRED_COLUMN,
        Effect.REBUILD,
        "forward",
    ),
    "removed column": (
        replace(BASE, columns=tuple(c for c in BASE.columns if c.name != "who"), entity=BASE.entity),
        Kind.REMOVED_COLUMN,
        Effect.REBUILD,
        "backward",
    ),
    "retype": (with_column(replace(AMOUNT, type=TEXT)), Kind.RETYPE, Effect.REBUILD, "none"),
    "wider decimal": (with_column(replace(AMOUNT, type=decimal(14, 3))), Kind.WIDER_TYPE, Effect.REBUILD, "backward"),
    "narrower decimal": (
        with_column(replace(AMOUNT, type=decimal(8, 2))),
        Kind.NARROWER_TYPE,
        Effect.REBUILD,
        "forward",
    ),
    "neither decimal": (with_column(replace(AMOUNT, type=decimal(12, 4))), Kind.RETYPE, Effect.REBUILD, "none"),
    "integer to decimal": (
        with_column(replace(BASE.column("id"), type=decimal(21, 2))),
        Kind.WIDER_TYPE,
        Effect.REBUILD,
        "backward",
    ),
    "format": (
        with_column(replace(BASE.column("opened"), type=ColumnType(Logical.DATE, format="%d.%m.%Y"))),
        Kind.READING,
        Effect.REBUILD,
        "full",
    ),
    "null words": (with_column(replace(STATE, null_words=("", "?"))), Kind.READING, Effect.REBUILD, "full"),
    "transform": (
        with_column(replace(STATE, derived="transform", transform=Transform("who", "czech_sex"))),
        Kind.READING,
        Effect.REBUILD,
        "full",
    ),
    "more personal": (with_column(replace(STATE, category="user.contact")), Kind.CATEGORY, Effect.REBUILD, "full"),
    "as personal": (
        with_column(replace(BASE.column("who"), category="user.contact")),
        Kind.CATEGORY,
        Effect.METADATA,
        "full",
    ),
    "classified": (
        with_column(replace(BASE.column("who"), classification="restricted")),
        Kind.CATEGORY,
        Effect.NOTHING,
        "full",
    ),
    "key": (replace(BASE, key=("id", "who")), Kind.KEY, Effect.REBUILD, "none"),
    "entity": (replace(BASE, entity=EntityKey("client", "who")), Kind.ENTITY, Effect.REBUILD, "full"),
    "form of ids": (
        replace(BASE, entity=EntityKey("person", "who", canonical=("trim", "integer"))),
        Kind.ENTITY,
        Effect.REBUILD,
        "full",
    ),
    "optional entity": (
        replace(BASE, entity=EntityKey("person", "who", optional=True)),
        Kind.WIDER_CHECK,
        Effect.REPLAY,
        "backward",
    ),
    "role": (replace(BASE, roles=(Role("clerk", "clerk", "state"),)), Kind.ENTITY, Effect.REBUILD, "full"),
    "whose cell": (with_column(replace(STATE, role="clerk")), Kind.OTHER, Effect.NOTHING, "full"),
    "clear in raw": (with_column(replace(STATE, raw_clear="public")), Kind.OTHER, Effect.NOTHING, "full"),
    "quarantine days": (replace(BASE, quarantine_days=7), Kind.OTHER, Effect.NOTHING, "full"),
    "tokens": (
        with_column(replace(STATE, canonical=("trim",), pseudonym_domain="d")),
        Kind.NEW_COLUMN,
        Effect.REBUILD,
        "full",
    ),
    "form without tokens": (with_column(replace(STATE, canonical=("trim",))), Kind.OTHER, Effect.NOTHING, "full"),
    "layout": (replace(BASE, layout="time"), Kind.LAYOUT, Effect.REBUILD, "full"),
    "load mode": (replace(BASE, load_mode="upsert"), Kind.LOAD_MODE, Effect.REBUILD, "none"),
    "drift of rows": (replace(BASE, drift=Drift(type="discard_value")), Kind.DRIFT, Effect.REBUILD, "full"),
    "drift of files": (replace(BASE, drift=Drift(missing="evolve")), Kind.DRIFT, Effect.NOTHING, "full"),
    "stricter range": (
        with_checks(check(Rule.RANGE, "amount", minimum="0", maximum="9")),
        Kind.NARROWER_CHECK,
        Effect.REBUILD,
        "forward",
    ),
    "looser range": (
        with_checks(check(Rule.RANGE, "amount", minimum="-5", maximum="100")),
        Kind.WIDER_CHECK,
        Effect.REPLAY,
        "backward",
    ),
    "other range": (
        with_checks(check(Rule.RANGE, "amount", minimum="-5", maximum="9")),
        Kind.OTHER_CHECK,
        Effect.REBUILD,
        "none",
    ),
    "no range": (without(Rule.RANGE), Kind.WIDER_CHECK, Effect.REPLAY, "backward"),
    "fewer words": (
        with_checks(check(Rule.ENUM, "state", values=("open",))),
        Kind.NARROWER_CHECK,
        Effect.REBUILD,
        "forward",
    ),
    "more words": (
        with_checks(check(Rule.ENUM, "state", values=("open", "shut", "lost"))),
        Kind.WIDER_CHECK,
        Effect.REPLAY,
        "backward",
    ),
    "other pattern": (
        with_checks(check(Rule.PATTERN, "state", pattern="^(?:b)$")),
        Kind.OTHER_CHECK,
        Effect.REBUILD,
        "none",
    ),
    "promise more": (
        replace(BASE, checks=(*CHECKS, check(Rule.REQUIRED, "state"))),
        Kind.NARROWER_CHECK,
        Effect.REBUILD,
        "forward",
    ),
    "fewer rows are enough": (
        with_checks(check(Rule.ROW_COUNT, kind=CheckKind.BATCH, minimum="2", name="enough")),
        Kind.WIDER_CHECK,
        Effect.REPLAY,
        "backward",
    ),
    "more rows are needed": (
        with_checks(check(Rule.ROW_COUNT, kind=CheckKind.BATCH, minimum="9", name="enough")),
        Kind.NARROWER_CHECK,
        Effect.NOTHING,
        "forward",
    ),
    "not unique": (without(Rule.UNIQUE), Kind.WIDER_CHECK, Effect.NOTHING, "backward"),
    "other share may fail": (
        with_checks(replace(CHECKS[0], tolerance=0.1)),
        Kind.OTHER,
        Effect.REPLAY,
        "full",
    ),
    "sources": (replace(BASE, sources=(Source("two"),)), Kind.OTHER, Effect.NOTHING, "full"),
    "delivered name": (with_column(replace(STATE, source_name="State")), Kind.OTHER, Effect.NOTHING, "full"),
    "table": (replace(BASE, id=TableId(Tier.STAGED, "d", "u")), Kind.RENAMED_TABLE, Effect.METADATA, "none"),
}


@pytest.mark.parametrize(("after", "kind", "effect", "compatible"), CASES.values(), ids=CASES)
def test_one_change_is_one_difference(after, kind, effect, compatible):
    (change,) = difference(BASE, after)
    assert (change.kind, change.effect) == (kind, effect)
    assert class_of(change)[0] == compatible
    assert verdict(BASE, after).found == compatible


def test_tokens_of_another_domain_or_spelling_are_other_tokens():
    said = replace(STATE, canonical=("trim",), pseudonym_domain="d")
    before = with_column(said)
    for now in (replace(said, canonical=("casefold",)), replace(said, pseudonym_domain="e")):
        (change,) = difference(before, with_column(now))
        assert (change.kind, change.effect, class_of(change)[0]) == (Kind.TOKEN, Effect.REBUILD, "none")
    (gone,) = difference(before, BASE)
    assert (gone.kind, gone.effect) == (Kind.REMOVED_COLUMN, Effect.REBUILD)


def test_a_form_of_ids_says_what_it_means():
    (change,) = difference(BASE, CASES["form of ids"][0])
    assert "surrogates are found anew" in change.text
    (change,) = difference(BASE, CASES["entity"][0])
    assert change.text == "rows belong to other entities"


def test_the_key_of_a_role_is_renamed_with_its_column():
    before = CASES["role"][0]
    columns = tuple(replace(each, name="condition") if each.id == "state" else each for each in before.columns)
    checks = tuple(
        replace(each, columns=tuple("condition" if c == "state" else c for c in each.columns)) for each in CHECKS
    )
    after = replace(before, columns=columns, checks=checks, roles=(Role("clerk", "clerk", "condition"),))
    assert {change.kind for change in difference(before, after)} == {Kind.RENAMED_COLUMN}


def test_texts_places_and_owners_are_no_difference():
    worded = replace(
        BASE,
        description="x",
        owner="y",
        where="z:1",
        columns=tuple(replace(each, description="x", where="z:2") for each in BASE.columns),
        checks=tuple(replace(each, description="x", where="z:3") for each in CHECKS),
    )
    assert difference(BASE, worded) == ()
    assert fingerprint(BASE) == fingerprint(worded)


def test_a_renamed_column_is_followed_everywhere_it_is_named():
    def new(name: str) -> str:
        return {"opened": "began", "who": "person", "id": "number"}.get(name, name)

    after = replace(
        BASE,
        columns=tuple(replace(each, name=new(each.name)) for each in BASE.columns),
        key=("number",),
        entity=EntityKey("person", "person"),
        event_time="began",
        checks=tuple(
            replace(each, columns=tuple(map(new, each.columns)), other=new(each.other) if each.other else None)
            for each in CHECKS
        ),
    )
    changes = difference(BASE, after)
    assert {change.kind for change in changes} == {Kind.RENAMED_COLUMN}
    assert sorted(change.subject for change in changes) == ["began", "number", "person"]
    assert heaviest(changes) is Effect.REBUILD


def test_a_column_replaced_by_one_of_another_id_is_gone_and_new():
    after = with_column(column("state", id="other"), replace(BASE, columns=tuple(
        each for each in BASE.columns if each.name != "state"
    )))  # fmt: skip
    assert {change.kind for change in difference(BASE, after)} >= {Kind.REMOVED_COLUMN, Kind.NEW_COLUMN}


def test_tables_that_models_make_are_refreshed_or_left():
    before = replace(BASE, id=TableId(Tier.CURATED, "d", "t"), sources=())
    effects = {
        name: heaviest(difference(before, replace(after, id=before.id, sources=())))
        for name, (after, *_) in CASES.items()
        if name not in {"table", "sources"}
    }
    assert effects["new column"] is effects["retype"] is effects["removed column"] is Effect.REFRESH
    assert effects["more personal"] is Effect.REFRESH
    assert effects["stricter range"] is effects["null words"] is effects["load mode"] is Effect.NOTHING
    assert Effect.REBUILD not in effects.values()


def test_what_the_lake_remembers_reads_as_the_same_contract():
    table = replace(
        BASE, load_mode="changes", as_of="opened", changes=Changes("state", ("D",)), drift=Drift("evolve", "freeze")
    )
    again = table_of(imprint(table))
    assert again == table
    assert fingerprint(again) == fingerprint(table)
    older = {name: value for name, value in imprint(table).items() if name not in {"drift", "compatibility"}}
    assert table_of(older).drift == Drift()


def test_a_form_that_was_one_word_reads_as_a_list_of_one():
    said = with_column(replace(STATE, canonical=("trim",)))
    data = imprint(said)
    data["columns"][2]["canonical"] = "trim"
    assert table_of(data) == said


@pytest.mark.parametrize(
    ("declared", "case", "broken"),
    [
        ("backward", "looser range", False),
        ("backward", "stricter range", True),
        ("forward", "stricter range", False),
        ("forward", "looser range", True),
        ("full", "new column", False),
        ("full", "looser range", True),
        ("none", "retype", False),
    ],
)
def test_a_declared_compatibility_is_kept_or_broken(declared, case, broken):
    after = CASES[case][0]
    for before, now in ((BASE, replace(after, compatibility=declared)), (replace(BASE, compatibility=declared), after)):
        assert verdict(before, now).broken is broken


def test_both_sides_together_and_tables_that_come_and_go():
    wide_and_strict = replace(CASES["wider decimal"][0], checks=CASES["stricter range"][0].checks)
    other = replace(BASE, odcs_id="c/u", id=TableId(Tier.STAGED, "d", "u"), compatibility="full")
    found = verdicts([BASE, other], [wide_and_strict, replace(BASE, odcs_id="c/v", id=TableId(Tier.STAGED, "d", "v"))])
    assert [(each.table, each.found, each.broken) for each in found] == [
        ("staged.d.t", "none", False),
        ("staged.d.v", "full", False),
        ("staged.d.u", "none", True),
    ]


def test_every_kind_of_change_has_a_class_and_a_reason():
    from lakehouse.contract.change import Change

    assert all(class_of(Change(kind, Effect.NOTHING, ""))[1] for kind in Kind)
