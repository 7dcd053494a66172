"""Every mistake of a contract file: its code, its line, the nearest valid name; and all of them at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lakehouse.contract.load import find_mistakes, load_contract, load_project
from lakehouse.errors import ContractError
from lakehouse.model import Finding, Level

if TYPE_CHECKING:
    from pathlib import Path

GOOD = """\
apiVersion: v3.2.0
kind: DataContract
id: c-1
version: 1.0.0
status: active
domain: shop
customProperties:
  - {property: lakehouse, value: {links: [{from: buyer, to: buyer, via: staged.shop.sale, when: {code: x}}]}}
schema:
  - id: sale
    name: sale
    customProperties:
      - property: lakehouse
        value:
          tier: staged
          sources: [{name: till, pattern: "*.csv", delivered_at: "%Y-%m-%d.csv"}]
          entity: {type: buyer, key: buyer_id, canonical: [integer]}
          event_time: sold_at
          retention: P1Y
          layout: time+entity
    properties:
      - id: code
        name: code
        logicalType: string
        primaryKey: true
        primaryKeyPosition: 1
        logicalTypeOptions: {pattern: "[a-z]+", maxLength: 9}
        enum: [{value: a}, {value: b}]
        customProperties: [{property: lakehouse, value: {category: system.operations}}]
      - id: nth
        name: nth
        logicalType: integer
        primaryKey: true
        primaryKeyPosition: 2
        customProperties: [{property: lakehouse, value: {category: system.operations, occurrence_over: [code]}}]
      - id: sold_at
        name: sold_at
        logicalType: timestamp
        logicalTypeOptions: {format: yyyy-MM-dd HH:mm:ss, defaultTimezone: Europe/London}
        customProperties: [{property: lakehouse, value: {category: system.operations}}]
      - id: price
        name: price
        logicalType: number
        physicalType: decimal(9,2)
        logicalTypeOptions: {minimum: 0.25, exclusiveMaximum: 100}
        customProperties: [{property: lakehouse, value: {category: system.operations, checks: {range: {tolerance: 0.1}}}}]
      - id: buyer_id
        name: buyer_id
        logicalType: string
        customProperties: [{property: lakehouse, value: {category: user.unique_id, canonical: trim, pseudonym_domain: b}}]
    quality:
      - {name: enough, metric: rowCount, mustBeBetween: [1, 9]}
      - {name: cheap, type: custom, engine: lakehouse, implementation: {compare: price, operator: "<", value: 50}}
  - id: total
    name: total
    customProperties:
      - property: lakehouse
        value: {tier: curated, inputs: [staged.shop.sale], refresh: full}
    properties:
      - id: code
        name: code
        logicalType: string
        primaryKey: true
        customProperties: [{property: lakehouse, value: {category: system.operations}}]
    relationships:
      - {from: total.code, to: schema/sale/properties/code}
"""

#: what is replaced, by what, the code of the finding, and a word of its message or hint
MISTAKES = [
    ("apiVersion: v3.2.0", "apiVersion: v2.2.2", "shape-choice", "v3"),
    ("kind: DataContract", "kind: Datacontract", "shape-choice", "`DataContract`"),
    ("status: active", "sttus: active", "key-unknown", "`status`"),
    ("domain: shop", "domain: shopp", "domain-folder", "`domain: shop`"),
    ("domain: shop", "domain: Shop", "domain-folder", "`domain: shop`"),
    ("property: lakehouse\n        value:\n", "property: lakehose\n        value:\n", "custom-unknown", "`lakehouse`"),
    ("tier: staged", "tier: stagd", "shape-choice", "`staged`"),
    ("tier: staged", "tier: raw", "shape-choice", "staged"),
    ("retention: P1Y", "retension: P1Y", "key-unknown", "`retention`"),
    ("retention: P1Y", "retention: 1 year", "shape-pattern", "kept"),
    ("name: code\n", "name: code\n        classification: restrictd\n", "shape-choice", "`restricted`"),
    ("layout: time+entity", "layout: time-entity", "shape-choice", "`time+entity`"),
    ("key: buyer_id", "key: buyerid", "column-unknown", "`buyer_id`"),
    ("key: buyer_id", "surrogate: buyer_id", "entity-surrogate", "by `key`"),
    ("key: buyer_id, ", "", "entity-key", "either"),
    ("canonical: [integer]", "canonical: [intger]", "shape-choice", "`integer`"),
    ("event_time: sold_at", "event_time: price", "event-time", "decimal(9,2)"),
    ("event_time: sold_at", "event_time: soldat", "column-unknown", "`sold_at`"),
    ('delivered_at: "%Y-%m-%d.csv"', 'delivered_at: "%Y.csv"', "delivered-at", "strptime"),
    ("name: till, pattern", "name: till, patern", "key-unknown", "`pattern`"),
    (
        '          sources: [{name: till, pattern: "*.csv", delivered_at: "%Y-%m-%d.csv"}]\n',
        "",
        "sources-missing",
        "sources",
    ),
    (
        "- id: code\n        name: code\n        logicalType: string\n        primaryKey: true\n        primaryKeyPosition: 1",
        "- name: code\n        logicalType: string\n        primaryKey: true\n        primaryKeyPosition: 1",
        "key-needed",
        "never changes",
    ),
    ("name: sold_at", "name: code", "column-doubled", "case"),
    ("name: sold_at", "name: _row", "column-name", "physicalName"),
    ("logicalType: timestamp", "logicalType: timestmp", "shape-choice", "`timestamp`"),
    ("        logicalType: timestamp\n", "", "key-needed", "logicalType"),
    ("logicalType: integer", "logicalType: array", "type-unsupported", "`string`"),
    ("physicalType: decimal(9,2)", "physicalType: money", "type-number", "decimal(precision,scale)"),
    ("physicalType: decimal(9,2)", "physicalType: decimal(39,2)", "type-number", "38"),
    ("minimum: 0.25", "minimum: 0.255", "literal", "decimal places"),
    ("minimum: 0.25", "minimum: 400", "range-empty", "price"),
    ("minimum: 0.25", "minimun: 0.25", "key-unknown", "`minimum`"),
    ("format: yyyy-MM-dd HH:mm:ss", "format: YYYY-MM-dd", "format", "`YYYY`"),
    ("format: yyyy-MM-dd HH:mm:ss", "format: '%Y-%m-%d'", "format", "Java"),
    ("Europe/London", "Europe/Londn", "time-zone", "`Europe/London`"),
    ("HH:mm:ss, ", "HH:mm:ssXXX, ", "time-zone", "belong together"),
    ("occurrence_over: [code]", "occurrence_over: [cod]", "column-unknown", "`code`"),
    ("category: user.unique_id", "category: user.uniqueid", "category-unknown", "`user.unique_id`"),
    ("category: user.unique_id, ", "", "key-needed", "category"),
    ("canonical: trim, pseudonym_domain", "pseudonym_domain", "pseudonym-canonical", "canonical: trim"),
    ("canonical: trim, pseudonym", "canonical: upper, pseudonym", "shape-choice", "`trim`"),
    ("tolerance: 0.1", "tolerance: 10", "shape-range", "at most 1"),
    ('pattern: "[a-z]+"', 'pattern: "[a-z+"', "pattern", "position"),
    ('pattern: "[a-z]+"', 'pattern: "(?=a)b"', "pattern", "look-around"),
    ("{value: b}", "{value: a}", "literal-doubled", "twice"),
    ("{value: b}", "{vlue: b}", "key-unknown", "`value`"),
    ("primaryKeyPosition: 2", "primaryKeyPosition: 1", "key-position", "same"),
    ("metric: rowCount", "metric: rowcount", "shape-choice", "`rowCount`"),
    ("mustBeBetween: [1, 9]", "mustBeBetween: [9, 1]", "threshold", "least"),
    ("mustBeBetween: [1, 9]", "mustBeMore: 1", "key-unknown", "mustBe"),
    ("engine: lakehouse", "engine: lakehous", "engine-unknown", "`lakehouse`"),
    ("compare: price", "compare: prize", "column-unknown", "`price`"),
    ('operator: "<"', 'operator: "=<"', "shape-choice", "`<`"),
    ("value: 50}", "value: dear}", "literal", "number"),
    ("value: 50}", "other: code}", "compare-types", "code"),
    ("value: 50}", "value: 50, other: price}", "custom-check", "either"),
    ("name: cheap", "name: enough", "check-doubled", "first"),
    ("name: cheap", "name: is cheap", "check-name", "letters"),
    ("inputs: [staged.shop.sale]", "inputs: [staged.shop.sales]", "input-unknown", "`staged.shop.sale`"),
    ("inputs: [staged.shop.sale]", "inputs: [curated.shop.total]", "input-cycle", "itself"),
    ("inputs: [staged.shop.sale], ", "", "inputs-missing", "inputs"),
    ("tier: curated, inputs", "tier: features, inputs", None, ""),
    ("refresh: full", "refresh: by_month", "refresh", "event_time"),
    ("schema/sale/properties/code", "schema/sal/properties/code", "reference", "`sale`"),
    ("schema/sale/properties/code", "schema/sale/properties/cod", "reference", "`code`"),
    ("schema/sale/properties/code", "sale.cod", "reference", "`code`"),
    ("schema/sale/properties/code", "sale.code", None, ""),
    ("schema/sale/properties/code", "schema/sale/properties/price", "compare-types", "decimal"),
    (
        "schema/sale/properties/code",
        "../other/contract.odcs.yaml#schema/a/properties/b",
        "reference",
        "not in this project",
    ),
    ("from: buyer", "from: byer", "link-entity", "`buyer`"),
    ("via: staged.shop.sale", "via: staged.shop.sal", "link-via", "`staged.shop.sale`"),
    ("when: {code: x}", "when: {cod: x}", "column-unknown", "`code`"),
    ("  - id: total\n", "  - id: sale\n", "table-doubled", "first"),
    ("    name: total\n", "    name: user\n", "table-name", "letters"),
    ("version: 1.0.0", "version: 1.0", "shape-type", "quotes"),
    ("version: 1.0.0", "version: 1.0.0\nversion: 2.0.0", "yaml-doubled-key", "line 4"),
]

#: Mistakes that take another with them: the event time that is named, or the custom property that is then missing.
FOLLOWING = {"column-doubled": 2, "custom-unknown": 2}


def write(root: Path, text: str, domain: str = "shop") -> Path:
    path = root / "policies/domains" / domain / "contract.odcs.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return root


def changed_line(before: str, after: str) -> int:
    for number, (one, two) in enumerate(zip(before.splitlines(), after.splitlines(), strict=False), 1):
        if one != two:
            return number
    raise AssertionError


def test_the_good_contract_is_good(tmp_path: Path) -> None:
    assert find_mistakes(write(tmp_path, GOOD)) == []


@pytest.mark.parametrize(("before", "after", "code", "word"), MISTAKES)
def test_one_mistake_is_one_finding_with_its_line(
    tmp_path: Path, before: str, after: str, code: str | None, word: str
) -> None:
    assert before in GOOD
    text = GOOD.replace(before, after, 1)
    findings = find_mistakes(write(tmp_path, text))
    if code is None:
        assert findings == []
        return
    found = [finding for finding in findings if finding.code == code]
    assert found, [str(finding) for finding in findings]
    assert any(word in f"{finding.message} {finding.hint}" for finding in found), [str(finding) for finding in found]
    assert all(finding.where.startswith("policies/domains/shop/contract.odcs.yaml:") for finding in findings)
    assert all(finding.level is Level.ERROR for finding in findings)
    assert len(findings) == FOLLOWING.get(code, 1), [str(finding) for finding in findings]


#: the mistakes that stand on the very line that was changed
ON_THE_LINE = [
    case
    for case in MISTAKES
    if case[2]
    and case[2].split("-")[0] in {"shape", "column", "key", "literal", "category"}
    and "\n" not in case[0]
    and case[2] not in {"key-needed", "column-doubled", "key-position"}
]


@pytest.mark.parametrize(("before", "after", "code", "word"), ON_THE_LINE)
def test_the_line_is_the_one_that_is_wrong(tmp_path: Path, before: str, after: str, code: str, word: str) -> None:
    text = GOOD.replace(before, after, 1)
    findings = find_mistakes(write(tmp_path, text))
    lines = [finding.where.rpartition(":")[2] for finding in findings if finding.code == code]
    assert str(changed_line(GOOD, text)) in lines


def test_all_mistakes_come_at_once_and_in_order(tmp_path: Path) -> None:
    text = GOOD
    for before, after, _, _ in (MISTAKES[2], MISTAKES[8], MISTAKES[33], MISTAKES[52]):
        text = text.replace(before, after, 1)
    with pytest.raises(ContractError) as caught:
        load_project(write(tmp_path, text))
    lines = [int(finding.where.rpartition(":")[2]) for finding in caught.value.findings]
    assert len(lines) >= 4
    assert lines == sorted(lines)
    assert caught.value.exit_code == 3


def test_mistakes_of_two_files_come_together(tmp_path: Path) -> None:
    write(tmp_path, GOOD.replace("sttus", "status").replace("kind: DataContract", "kind: X"))
    write(tmp_path, GOOD.replace("domain: shop", "domain: other").replace("staged.shop", "staged.other"), "other")
    codes = {finding.code for finding in find_mistakes(tmp_path)}
    assert {"shape-choice", "contract-doubled"} <= codes


def test_features_refuse_inputs_without_a_past(tmp_path: Path) -> None:
    feature = GOOD[GOOD.index("  - id: total") : GOOD.index("    relationships:")]
    feature = feature.replace("total", "feature").replace("tier: curated", "tier: features")
    feature = feature.replace("staged.shop.sale", "curated.shop.total")
    findings = find_mistakes(write(tmp_path, GOOD + feature))
    assert [finding.code for finding in findings] == ["input-history"]
    past = (GOOD + feature).replace("refresh: full}", "refresh: full, history: true}", 1)
    assert find_mistakes(write(tmp_path, past)) == []


def test_a_staged_table_cannot_read_and_curated_cannot_have_sources(tmp_path: Path) -> None:
    text = GOOD.replace(
        "          retention: P1Y\n", "          inputs: [curated.shop.total]\n          refresh: full\n"
    )
    text = text.replace("refresh: full}", "sources: [{name: a}]}")
    assert {"inputs-tier", "refresh", "sources-tier"} <= {
        finding.code for finding in find_mistakes(write(tmp_path, text))
    }


def test_checks_that_nobody_runs_are_warnings(tmp_path: Path) -> None:
    entry = "      - {type: sql, query: select 1, mustBe: 0}\n      - {type: text, description: Looks right.}\n"
    text = GOOD.replace("    quality:\n", "    quality:\n" + entry)
    findings = find_mistakes(write(tmp_path, text))
    assert [(finding.code, finding.level) for finding in findings] == [("check-not-run", Level.WARNING)]
    load_project(tmp_path)


def test_personal_columns_without_an_entity_are_a_mistake(tmp_path: Path) -> None:
    text = GOOD.replace("          entity: {type: buyer, key: buyer_id, canonical: [integer]}\n", "")
    text = text.replace("time+entity", "time").replace(
        "{links: [{from: buyer, to: buyer, via: staged.shop.sale, when: {code: x}}]}", "{}"
    )
    found: list[Finding] = find_mistakes(write(tmp_path, text))
    assert [(finding.code, finding.level) for finding in found] == [("entity-missing", Level.ERROR)]


def test_money_is_never_a_float(tmp_path: Path) -> None:
    text = GOOD.replace("physicalType: decimal(9,2)", "physicalType: double")
    text = text.replace("category: system.operations, checks", "category: user.financial, checks")
    assert "money-float" in {finding.code for finding in find_mistakes(write(tmp_path, text))}


@pytest.mark.parametrize(
    "text", ["", "- a\n", "a: [", "7\n", "schema: 3\n", "schema: [1, {name: [x]}]\n", "schema: {a: b}\n"]
)
def test_nothing_makes_the_loader_fall_over(tmp_path: Path, text: str) -> None:
    path = write(tmp_path, text) / "policies/domains/shop/contract.odcs.yaml"
    with pytest.raises(ContractError):
        load_contract(path)
