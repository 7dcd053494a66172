"""Feeds, load modes, drift, spelling and transforms in a contract: what they become, and every mistake in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from lakehouse.contract import arrow
from lakehouse.contract.load import find_mistakes, load_project
from lakehouse.contract.model import Changes, Drift, Rule, Source, Table, Transform
from lakehouse.model import Tier

if TYPE_CHECKING:
    from pathlib import Path

GOOD = """\
apiVersion: v3.2.0
kind: DataContract
id: c-1
version: 1.0.0
status: active
domain: bank
schema:
  - id: client
    name: client
    customProperties:
      - property: lakehouse
        value:
          tier: staged
          sources:
            - {name: dump, pattern: "*.asc", delimiter: ";", escape: "\\\\", encoding: windows-1250, comment: "#"}
            - {name: feed, pattern: "*.json*", format: ndjson, encoding: utf-16, delivered_at: "%Y-%m-%d.json"}
            - {name: lake, pattern: "*.parquet", format: parquet}
          load_mode: changes
          changes: {operation: op, deletes: [D, X]}
          as_of: seen
          history: true
          drift: {unknown: evolve, type: discard_value}
    properties:
      - id: id
        name: id
        logicalType: integer
        primaryKey: true
        customProperties: [{property: lakehouse, value: {category: system.operations}}]
      - id: op
        name: op
        logicalType: string
        customProperties: [{property: lakehouse, value: {category: system.operations}}]
      - id: seen
        name: seen
        logicalType: timestamp
        logicalTypeOptions: {format: yyMMdd HH:mm, defaultTimezone: Europe/Prague}
        customProperties:
          - property: lakehouse
            value: {category: system.operations, formats: [epoch_ms], pivot: 40, fold: later, gap: forward}
      - id: city
        name: city
        physicalName: address.city
        logicalType: string
        customProperties: [{property: lakehouse, value: {category: system.operations, null_words: ["", " ", "?"]}}]
      - id: amount
        name: amount
        logicalType: number
        physicalType: decimal(12,2)
        customProperties:
          - {property: lakehouse, value: {category: system.operations, decimal: ",", thousands: " "}}
      - id: birth
        name: birth
        logicalType: string
        customProperties: [{property: lakehouse, value: {category: system.operations}}]
      - id: born
        name: born
        logicalType: date
        customProperties:
          - property: lakehouse
            value: {category: system.operations, transform: {source: birth, how: czech_birth_date}}
      - id: sex
        name: sex
        logicalType: string
        required: true
        customProperties:
          - property: lakehouse
            value: {category: system.operations, transform: {source: birth, how: czech_sex}}
"""
SNAPSHOT = GOOD.replace(
    "load_mode: changes\n          changes: {operation: op, deletes: [D, X]}\n", "load_mode: snapshot\n"
)
PATH = "          as_of: seen\n"

#: what is replaced, by what, the code of the finding, and a word of its message or hint
MISTAKES = [
    ("encoding: windows-1250", "encoding: windows-1252x", "shape-choice", "`windows-1252`"),
    ("format: parquet", "format: parket", "shape-choice", "`parquet`"),
    ("format: parquet", "format: parquet, encoding: utf-8", "source-format", "`encoding`"),
    ("format: ndjson", 'format: ndjson, delimiter: ";"', "source-format", "`delimiter`"),
    ('delimiter: ";"', 'delimiter: "\\""', "dialect", "differ"),
    ('delimiter: ";"', 'delimiter: "§"', "dialect", "ASCII"),
    ('delimiter: ";"', 'delimiter: "\\n"', "dialect", "line end"),
    ('delimiter: ";"', 'delimiter: ";", quote: ""', "dialect", "needs a `quote`"),
    ('escape: "\\\\"', 'escape: "/"', "shape-choice", "valid here"),
    ('comment: "#"', 'comment: ";"', "dialect", "`#`"),
    ("load_mode: changes", "load_mode: change", "shape-choice", "`changes`"),
    ("load_mode: changes", "load_mode: append", "load-mode", "`changes`"),
    ("load_mode: changes\n", "load_mode: changes\n          vanish_tolerance: 0.2\n", "load-mode", "snapshot"),
    ("          changes: {operation: op, deletes: [D, X]}\n", "", "changes", "operation"),
    ("operation: op, ", "operation: opp, ", "column-unknown", "`op`"),
    ("operation: op, deletes", "operation: op, delets", "key-unknown", "`deletes`"),
    (", deletes: [D, X]", "", "changes", "[D]"),
    ("deletes: [D, X]", "form: debezium", "changes", "ndjson"),
    ("deletes: [D, X]", "form: debezium", "changes", "physicalName: $.op"),
    ("physicalName: address.city", "physicalName: op", "column-doubled", "one name"),
    ("as_of: seen", "as_of: sen", "column-unknown", "`seen`"),
    ("as_of: seen", "as_of: city", "order-type", "string"),
    ("as_of: seen", "as_of: path", "order-path", "`dump`"),
    (PATH, "", "order-missing", "as_of"),
    ("unknown: evolve", "unknown: evolv", "shape-choice", "`evolve`"),
    ("unknown: evolve", "unknwn: evolve", "key-unknown", "`unknown`"),
    ("drift: {unknown: evolve, type: discard_value}", "drift: frieze", "shape-choice", "`freeze`"),
    ("formats: [epoch_ms]", "formats: [epoch_ns]", "format", "epoch_ns"),
    ("formats: [epoch_ms]", "formats: ['yyMMdd HH:mm']", "format", "twice"),
    ("format: yyMMdd HH:mm", "format: yyyyMMdd HH:mm", "spelling", "two-digit"),
    ("pivot: 40", "pivot: 140", "shape-range", "at most 100"),
    ("fold: later", "fold: latest", "shape-choice", "`later`"),
    ('decimal: ","', 'decimal: ";"', "shape-choice", "valid here"),
    ('thousands: " "', 'thousands: ","', "spelling", "differ"),
    ("category: system.operations, null_words", "category: system.operations, gap: forward, null_words", "spelling", "timestamp"),
    ("source: birth, how: czech_birth", "source: birht, how: czech_birth", "column-unknown", "`birth`"),
    ("source: birth, how: czech_birth", "source: sex, how: czech_birth", "column-unknown", "delivered"),
    ("how: czech_birth_date", "how: czech_sex", "transform", "string"),
    ("how: czech_birth_date", "how: czech_birthdate", "shape-choice", "`czech_birth_date`"),
    ("how: czech_birth_date", "how: year_start", "transform", "2000"),
    ("how: czech_birth_date", "how: czech_birth_date, base: 1900", "transform", "no `base`"),
]  # fmt: skip


def written(root: Path, text: str) -> Path:
    path = root / "policies/domains/bank/contract.odcs.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return root


def client(root: Path, text: str = GOOD) -> Table:
    return load_project(written(root, text)).tables[0]


def test_feeds_become_sources(tmp_path: Path) -> None:
    dump, feed, lake = client(tmp_path).sources
    assert dump == Source(
        "dump", "*.asc", delimiter=";", escape="\\", encoding="windows-1250", comment="#"
    )  # quote and header as before
    assert (feed.format, feed.encoding, feed.delivered_at) == ("ndjson", "utf-16", "%Y-%m-%d.json")
    assert lake.format == "parquet"


def test_no_quoting_is_said_by_an_empty_quote(tmp_path: Path) -> None:
    table = client(tmp_path, GOOD.replace('escape: "\\\\"', 'quote: ""'))
    assert table.sources[0].quote == ""


def test_modes_order_and_drift_are_read(tmp_path: Path) -> None:
    table = client(tmp_path)
    assert (table.load_mode, table.order, table.versioned) == ("changes", "seen", True)
    assert table.changes == Changes("op", ("D", "X"))
    assert table.drift == Drift("evolve", "freeze", "discard_value")
    assert table.vanish_tolerance == 0.1


def test_what_gives_the_order_is_required(tmp_path: Path) -> None:
    table = client(tmp_path)
    assert table.column("seen").required
    assert "required_seen" in {check.name for check in table.checks}


def test_one_word_of_drift_speaks_of_columns(tmp_path: Path) -> None:
    text = GOOD.replace("drift: {unknown: evolve, type: discard_value}", "drift: discard_value")
    assert client(tmp_path, text).drift == Drift("discard_value", "discard_value", "discard_row")


def test_upsert_takes_the_event_time_where_it_has_no_other_order(tmp_path: Path) -> None:
    text = SNAPSHOT.replace("load_mode: snapshot", "load_mode: upsert").replace("as_of: seen", "event_time: seen")
    assert client(tmp_path, text).order == "seen"


def test_a_snapshot_by_path_needs_every_source_to_name_its_day(tmp_path: Path) -> None:
    text = SNAPSHOT.replace("as_of: seen", "as_of: path\n          vanish_tolerance: 0.5")
    text = text.replace('comment: "#"}', 'delivered_at: "%Y%m%d.asc"}')
    text = text.replace("format: parquet}", 'format: parquet, delivered_at: "%Y%m%d.parquet"}')
    table = client(tmp_path, text)
    assert (table.order, table.vanish_tolerance) == ("path", 0.5)


def test_debezium_needs_no_list_of_deletes(tmp_path: Path) -> None:
    text = GOOD.replace("deletes: [D, X]", "form: debezium")
    start, end = text.index("            - {name: dump"), text.index("            - {name: feed")
    text = (text[:start] + text[end:]).replace(
        '            - {name: lake, pattern: "*.parquet", format: parquet}\n', ""
    )
    text = text.replace("        name: op\n", "        name: op\n        physicalName: $.op\n")
    assert client(tmp_path, text).changes == Changes("op", ("d",), "debezium")


def test_spelling_is_read(tmp_path: Path) -> None:
    table = client(tmp_path)
    seen, amount = table.column("seen"), table.column("amount")
    assert seen.type.format == "%y%m%d %H:%M"
    assert seen.formats == ("%y%m%d %H:%M", "epoch_ms")
    assert (seen.pivot, seen.fold, seen.gap) == (40, "later", "forward")
    assert (amount.decimal, amount.thousands) == (",", " ")
    assert table.column("city").path == "address.city"
    assert table.column("city").null_words == ("", " ", "?")
    assert table.column("birth").path == "birth"


def test_a_transform_is_a_column_that_is_not_delivered_but_judged(tmp_path: Path) -> None:
    table = client(tmp_path)
    assert table.column("born").transform == Transform("birth", "czech_birth_date")
    assert {"born", "sex"}.isdisjoint(column.name for column in table.delivered)
    rules = {(check.columns, check.rule) for check in table.checks}
    assert {(("born",), Rule.TYPE), (("sex",), Rule.TYPE), (("sex",), Rule.REQUIRED)} <= rules


def test_year_start_names_its_base(tmp_path: Path) -> None:
    text = GOOD.replace("how: czech_birth_date", "how: year_start, base: 2009")
    assert client(tmp_path, text).column("born").transform == Transform("birth", "year_start", 2009)


def test_the_tiers_have_the_columns_of_history_and_drift(tmp_path: Path) -> None:
    table = client(tmp_path)
    raw, staged = arrow.schema(table, Tier.RAW), arrow.schema(table, Tier.STAGED)
    assert (raw.names[-1], raw.field("_extra").type) == ("_extra", pa.string())
    assert "born" not in raw.names
    assert staged.names[3:7] == ["_entity", "_valid_from", "_valid_to", "id"]
    assert staged.names[-1] == "_extra"
    plain = client(tmp_path, GOOD.replace("unknown: evolve", "unknown: freeze").replace("history: true", "scope: main"))
    assert {"_extra", "_valid_from"}.isdisjoint(arrow.schema(plain, Tier.STAGED).names)


def test_the_good_contracts_are_good(tmp_path: Path) -> None:
    for text in (GOOD, SNAPSHOT):
        assert find_mistakes(written(tmp_path, text)) == []


@pytest.mark.parametrize(("before", "after", "code", "word"), MISTAKES)
def test_one_mistake_is_one_finding(tmp_path: Path, before: str, after: str, code: str, word: str) -> None:
    assert before in GOOD
    findings = find_mistakes(written(tmp_path, GOOD.replace(before, after, 1)))
    assert {finding.code for finding in findings} == {code}, [str(finding) for finding in findings]
    assert any(word in f"{finding.message} {finding.hint}" for finding in findings), [str(f) for f in findings]


def test_only_staged_tables_are_loaded_and_spelled(tmp_path: Path) -> None:
    total = GOOD[GOOD.index("  - id: client") :].replace("client", "total").replace("tier: staged", "tier: curated")
    start, end = total.index("          sources:"), total.index("          load_mode:")
    total = total[:start] + "          inputs: [staged.bank.client]\n" + total[end:]
    codes = {finding.code for finding in find_mistakes(written(tmp_path, GOOD + total))}
    assert {"load-mode", "spelling", "derived-tier"} <= codes
