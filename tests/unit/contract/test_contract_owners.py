"""Whose rows and cells are: roles, what raw may keep in clear, tokens, and every mistake with its line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lakehouse.contract import arrow
from lakehouse.contract.imprint import imprint, table_of
from lakehouse.contract.load import find_mistakes, load_project
from lakehouse.contract.model import CheckKind, Role, Rule
from lakehouse.model import TableId, Tier

if TYPE_CHECKING:
    from pathlib import Path

    from lakehouse.contract.model import Table

GOOD = """\
apiVersion: v3.2.0
kind: DataContract
id: c-1
version: 1.0.0
status: active
domain: bank
schema:
  - id: order
    name: order
    customProperties:
      - property: lakehouse
        value:
          tier: staged
          sources: [{name: core}]
          entity: {type: account, key: account, canonical: [integer]}
          entities: {payee: {type: person, key: to, canonical: [compact]}, broker: {type: person, key: by}}
          retention: P1Y
          quarantine_days: 7
    properties:
      - {id: no, name: no, logicalType: integer, primaryKey: true, customProperties: [{property: lakehouse, value: {category: system}}]}
      - {id: account, name: account, logicalType: integer, customProperties: [{property: lakehouse, value: {category: user.unique_id, canonical: integer, pseudonym_domain: account}}]}
      - {id: to, name: to, logicalType: string, customProperties: [{property: lakehouse, value: {category: user.financial}}]}
      - {id: by, name: by, logicalType: string, customProperties: [{property: lakehouse, value: {category: user.financial}}]}
      - {id: bank, name: bank, logicalType: string, customProperties: [{property: lakehouse, value: {category: user.financial, entity: payee}}]}
      - {id: town, name: town, logicalType: string, customProperties: [{property: lakehouse, value: {category: user.contact}}]}
      - {id: day, name: day, logicalType: date, customProperties: [{property: lakehouse, value: {category: system}}]}
  - id: plain
    name: plain
    customProperties:
      - property: lakehouse
        value: {tier: staged, sources: [{name: core}]}
    properties:
      - {id: no, name: no, logicalType: integer, primaryKey: true, customProperties: [{property: lakehouse, value: {category: system}}]}
  - id: sums
    name: sums
    customProperties:
      - property: lakehouse
        value:
          tier: curated
          inputs: [staged.bank.order]
          entity: {type: account, surrogate: ref}
          entities: {payee: {type: person, key: to}}
    properties:
      - {id: ref, name: ref, logicalType: string, primaryKey: true, customProperties: [{property: lakehouse, value: {category: user.unique_id}}]}
      - {id: to, name: to, logicalType: string, customProperties: [{property: lakehouse, value: {category: user.financial}}]}
      - {id: mark, name: mark, logicalType: string, customProperties: [{property: lakehouse, value: {category: user.unique_id.pseudonymous, token_of: user.unique_id, pseudonym_domain: account}}]}
"""


def write(root: Path, text: str) -> Path:
    file = root / "policies/domains/bank/contract.odcs.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(text, encoding="utf-8")
    return root


def tables(root: Path, text: str = GOOD) -> dict[str, Table]:
    return {table.id.table: table for table in load_project(write(root, text)).tables}


def test_the_good_one_has_no_mistakes(tmp_path: Path) -> None:
    assert [str(finding) for finding in find_mistakes(write(tmp_path, GOOD))] == []


def test_roles_are_read_with_their_cells(tmp_path: Path) -> None:
    order = tables(tmp_path)["order"]
    assert order.roles == (Role("payee", "person", "to", ("compact",)), Role("broker", "person", "by", ("trim",)))
    assert {column.name: column.role for column in order.columns if column.role} == {
        "to": "payee",
        "by": "broker",
        "bank": "payee",
    }
    assert order.quarantine_days == 7
    assert tables(tmp_path / "b", GOOD.replace("          quarantine_days: 7\n", ""))["order"].quarantine_days == 30


def test_staged_and_curated_show_roles_and_tokens(tmp_path: Path) -> None:
    read = tables(tmp_path)
    staged = arrow.schema(read["order"], Tier.STAGED).names
    assert staged[:6] == ["_batch", "_row", "_landed_at", "_entity", "_entity_payee", "_entity_broker"]
    assert staged[-1] == "account__token"
    curated = arrow.schema(read["sums"], Tier.CURATED).names
    assert curated == ["_entity", "_entity_payee", "_landed_at", "ref", "to", "mark"]


def test_a_row_must_name_its_entity(tmp_path: Path) -> None:
    read = tables(tmp_path)
    [check] = [each for each in read["order"].checks if each.rule is Rule.ENTITY]
    assert (check.name, check.kind, check.columns) == ("account_is_named", CheckKind.ROW, ("account",))
    assert all(each.rule is not Rule.ENTITY for name in ("plain", "sums") for each in read[name].checks)


def test_the_imprint_knows_roles(tmp_path: Path) -> None:
    order = tables(tmp_path)["order"]
    assert imprint(table_of(imprint(order))) == imprint(order)


NO = "value: {category: system}}]}\n      - {id: account"
TOWN = "value: {category: user.contact}"
DAY = "value: {category: system}}]}\n  - id: plain"

#: what is replaced, by what, the finding's code, a word of it, its line
MISTAKES = [
    ("key: to, canon", "key: too, canon", "column-unknown", "`to`", 16),
    ("broker: {type: person, key: by}", "broker: {type: person}", "key-needed", "`key`", 16),
    ("broker: {type: person, key: by}", "broker: {typ: person, key: by}", "key-unknown", "`type`", 16),
    ("broker:", "Broker-1:", "shape-pattern", "small letter", 16),
    ("canonical: [compact]", "canonical: [compakt]", "shape-choice", "`compact`", 16),
    ("entities: {payee: {type: person, key: to, canonical: [compact]}, broker: {type: person, key: by}}", "entities: {}", "shape-length", "at least 1", 16),
    ("broker: {type: person, key: by}", "broker: {type: person, key: to}", "role-key", "two", 16),
    ("broker: {type: person, key: by}", "broker: {type: person, key: account}", "role-key", "row's entity", 16),
    ("          entity: {type: account, key: account, canonical: [integer]}\n", "", "role-entity", "entity", 15),
    ("entity: payee}", "entity: payer}", "role-unknown", "`payee`", 24),
    (TOWN, "value: {category: user.contact, entity: broker, canonical: trim, occurrence_over: [to]}", "role-cell", "made of", 25),
    ("category: user.unique_id, canonical", "category: user.unique_id, entity: payee, canonical", "role-cell", "own entity", 21),
    ("      - {id: to, name: to, logicalType: string,", "      - {id: to, name: to, logicalType: string, required: true,", "role-required", "empties", 22),
    ("quarantine_days: 7", "quarantine_days: 0", "shape-range", "at least 1", 18),
    ("inputs: [staged.bank.order]", "inputs: [staged.bank.order]\n          quarantine_days: 7", "quarantine-tier", "staged", 41),
    (NO, NO.replace("system}", "user.unique_id, entity: payee}"), "role-required", "key", 20),
    ("key: account, canon", "key: nth, canon", "column-unknown", "`key`", 15),
    ("canonical: [integer]", "canonical: [integer, e164]", "canonical", "telephone", 15),
    ("canonical: [compact]", "canonical: [e164, integer]", "canonical", "telephone", 16),
    # raw_clear
    (TOWN, TOWN.replace("contact}", "contact, raw_clear: }"), "shape-type", "text", 25),
    (TOWN, TOWN.replace("contact}", 'contact, raw_clear: " "}'), "raw-clear", "no reason", 25),
    (TOWN, TOWN.replace("contact}", "contact, raw_clear: needed}"), "raw-clear", "retention", 25),
    (DAY, DAY.replace("system}", 'system, raw_clear: " "}'), "raw-clear", "reason", 26),
    ("category: user.unique_id, canonical", "category: user.unique_id, raw_clear: retention, canonical", "raw-clear", "is an id", 21),
    ("name: by, logicalType: string, customProperties: [{property: lakehouse, value: {", "name: by, logicalType: string, customProperties: [{property: lakehouse, value: {raw_clear: retention, ", "raw-clear", "is an id", 23),
    ("value: {category: user.unique_id}}]}", "value: {category: user.unique_id, raw_clear: retention}}]}", "raw-clear", "not in raw", 44),
    # canonical forms of values
    ("canonical: integer, pseud", "canonical: [integer, e164], pseud", "canonical", "telephone", 21),
    ("canonical: integer, pseud", "canonical: [integer, trimm], pseud", "shape-choice", "`trim`", 21),
    # tokens
    ("token_of: user.unique_id,", "token_of: user.uniq,", "category-unknown", "user.unique_id", 46),
    (TOWN, "value: {category: user.contact, token_of: user.contact, pseudonym_domain: a}", "token-of", "delivered", 25),
]  # fmt: skip


@pytest.mark.parametrize(("change", "code", "word", "line"), [(each[:2], *each[2:]) for each in MISTAKES])
def test_every_mistake_has_its_code_word_and_line(
    tmp_path: Path, change: tuple[str, str], code: str, word: str, line: int
) -> None:
    assert change[0] in GOOD
    found = find_mistakes(write(tmp_path, GOOD.replace(*change, 1)))
    fitting = [one for one in found if one.code == code and word in f"{one.message} {one.hint}"]
    assert fitting, [str(one) for one in found]
    assert fitting[0].where == f"policies/domains/bank/contract.odcs.yaml:{line}"


def test_a_value_may_have_several_forms_in_any_order(tmp_path: Path) -> None:
    text = GOOD.replace("canonical: integer, pseud", "canonical: [casefold, trim], pseud")
    assert tables(tmp_path, text)["order"].column("account").canonical == ("trim", "casefold")
    assert tables(tmp_path / "b")["order"].column("account").canonical == ("integer",)


def test_a_column_of_tokens_is_text_of_a_domain(tmp_path: Path) -> None:
    without = GOOD.replace("token_of: user.unique_id, pseudonym_domain: account", "token_of: user.unique_id")
    assert [one.code for one in find_mistakes(write(tmp_path, without))] == ["token-of"]
    number = GOOD.replace("{id: mark, name: mark, logicalType: string", "{id: mark, name: mark, logicalType: integer")
    assert [one.code for one in find_mistakes(write(tmp_path / "b", number))] == ["token-of"]


def test_clear_cells_with_a_reason_are_let_through(tmp_path: Path) -> None:
    text = GOOD.replace(TOWN, TOWN.replace("contact}", "contact, raw_clear: kept as long as retention says}"))
    text = text.replace(DAY, DAY.replace("system}", "system, raw_clear: says nothing about anybody}"))
    assert find_mistakes(write(tmp_path, text)) == []
    assert arrow.schema(load_project(tmp_path).table(TableId(Tier.STAGED, "bank", "order")), Tier.RAW).names == [
        "_batch",
        "_row",
        "_landed_at",
        "_entity",
        "_entity_payee",
        "_entity_broker",
        "_sealed",
        "_sealed_payee",
        "_sealed_broker",
        "town",
        "day",
        "_bad",
    ]


def test_a_clear_column_without_an_entity_means_nothing(tmp_path: Path) -> None:
    text = GOOD.replace(
        "sources: [{name: core}]}\n    properties:\n      - {id: no, name: no, logicalType: integer, primaryKey: true, "
        "customProperties: [{property: lakehouse, value: {category: system}}]}",
        "sources: [{name: core}]}\n    properties:\n      - {id: no, name: no, logicalType: integer, primaryKey: true, "
        "customProperties: [{property: lakehouse, value: {category: system, raw_clear: public}}]}",
    )
    [found] = find_mistakes(write(tmp_path, text))
    assert (found.code, found.where) == ("raw-clear", "policies/domains/bank/contract.odcs.yaml:33")
