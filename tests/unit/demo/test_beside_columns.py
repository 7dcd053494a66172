"""Specs that look at other columns or at other tables: dates away from dates, sums, balances, turns, references."""

from __future__ import annotations

import datetime as dt

import polars as pl
import pytest

from lakehouse.contract.load import load_project
from lakehouse.demo.generate import blocks, generate
from lakehouse.errors import ProjectError, UsageError
from lakehouse.model import TableId, Tier

COLUMN = "customProperties: [{property: lakehouse, value: {category: system.operations}}]"
CONTRACT = """
apiVersion: v3.1.0
kind: DataContract
id: 22222222-2222-4222-8222-222222222222
name: Yard
version: 1.0.0
status: active
domain: yard
schema:
  - id: ship
    name: ship
    customProperties: [{property: lakehouse, value: {tier: staged, sources: [{name: f, pattern: "ship*", delimiter: ";"}], entity: {type: ship, key: ship}}}]
    properties:
      - {id: ship, name: ship, logicalType: string, primaryKey: true, primaryKeyPosition: 1, OPS}
      - {id: name, name: name, logicalType: string, OPS}
      - {id: built, name: built, logicalType: date, logicalTypeOptions: {format: yyMMdd}, OPS}
  - id: visit
    name: visit
    customProperties: [{property: lakehouse, value: {tier: staged, sources: [{name: f}], entity: {type: berth, key: berth}, event_time: came}}]
    properties:
      - {id: visit, name: visit, logicalType: integer, primaryKey: true, primaryKeyPosition: 1, OPS}
      - {id: berth, name: berth, logicalType: integer, OPS}
      - {id: ship, name: ship, logicalType: string, OPS, relationships: [{to: schema/ship/properties/ship}]}
      - {id: turn, name: turn, logicalType: string, OPS}
      - {id: came, name: came, logicalType: date, OPS}
      - {id: left, name: left, logicalType: date, OPS}
      - {id: month, name: month, logicalType: integer, OPS}
      - {id: label, name: label, logicalType: string, OPS}
      - {id: way, name: way, logicalType: string, OPS}
      - {id: goods, name: goods, logicalType: number, physicalType: "decimal(12,2)", OPS}
      - {id: fee, name: fee, logicalType: integer, OPS}
      - {id: sum, name: sum, logicalType: number, physicalType: "decimal(12,2)", OPS}
      - {id: stock, name: stock, logicalType: number, physicalType: "decimal(12,2)", OPS}
""".replace("OPS", COLUMN)
RECIPE = """
period: {first: 2020-01-01, last: 2020-12-31}
entities:
  ship: {first_id: 7, last_id: 9999, prefix: S, digits: 4, rows_each: 10}
  berth: {rows_each: 50}
tables:
  ship: {quoted: text, line_end: "\\r\\n", columns: {name: {choice: {'the "Ann"': 1}}}}
  visit:
    columns:
      ship: {turn: true}
      turn: {in_turn: {words: [first, again, often], of: ship}}
      left: {away: {column: came, median: 3, minimum: 1, maximum: 40}}
      month: {months: {column: came, since: 2019-12-01}}
      label: {joined: {columns: [ship, visit], separator: /}}
      way: {choice: {in: 1, out: 1}}
      goods: {uniform: {minimum: 1, maximum: 9, decimals: 2}}
      fee: {uniform: {minimum: 1, maximum: 9}}
      sum: {total: [goods, fee]}
      stock: {running: {amount: goods, sign: way, plus: [in]}}
"""
SHIP, VISIT = TableId(Tier.STAGED, "yard", "ship"), TableId(Tier.STAGED, "yard", "visit")


@pytest.fixture
def yard_root(tmp_path):
    folder = tmp_path / "project/policies/domains/yard"
    folder.mkdir(parents=True)
    (tmp_path / "project/pyproject.toml").write_text("[tool.lakehouse]\n")
    (folder / "contract.odcs.yaml").write_text(CONTRACT)
    (folder / "demo.yaml").write_text(RECIPE)
    return tmp_path / "project"


@pytest.fixture
def visits(yard_root, tmp_path) -> pl.DataFrame:
    made = generate(load_project(yard_root), tmp_path / "out", rows={SHIP: 40, VISIT: 100})
    (file,) = [each for each in made.files if each.parent.name == "visit"]
    return pl.read_csv(file, infer_schema=False)


def number(frame: pl.DataFrame, name: str) -> pl.Series:
    return frame[name].cast(pl.Decimal(12, 2))


def test_ids_have_the_entities_prefix_and_width_and_references_name_them(visits):
    ships = [f"S{place:04}" for place in range(7, 47)]
    assert visits["ship"].to_list() == (ships * 3)[:100]


def test_a_turn_is_over_when_everything_was_named(visits):
    assert visits["turn"].to_list() == ["first"] * 40 + ["again"] * 40 + ["often"] * 20


def test_dates_stand_some_days_away(visits):
    days = visits["left"].str.to_date() - visits["came"].str.to_date()
    assert days.min() >= dt.timedelta(days=1)
    assert days.max() <= dt.timedelta(days=40)
    assert visits["month"].cast(pl.Int64).to_list() == visits["came"].str.to_date().dt.month().to_list()


def test_parts_are_joined_and_amounts_added_up(visits):
    assert visits["label"].to_list() == [f"{ship}/{visit}" for ship, visit in visits.select("ship", "visit").rows()]
    assert (number(visits, "goods") + number(visits, "fee")).to_list() == number(visits, "sum").to_list()


def test_a_balance_runs_on_by_entity_across_blocks(yard_root, monkeypatch):
    monkeypatch.setattr("lakehouse.demo.rows.BLOCK_ROWS", 30)
    made = pl.concat([block.rows for block in blocks(load_project(yard_root), VISIT, rows=100)])
    signed = pl.when(pl.col("way") == "in").then(pl.col("goods")).otherwise(-pl.col("goods"))
    typed = made.with_columns(pl.col("goods", "stock").cast(pl.Decimal(12, 2)))
    assert typed.filter(signed.cum_sum().over("berth") != pl.col("stock")).is_empty()
    assert made["berth"].n_unique() > 1


def test_text_is_quoted_and_lines_end_as_the_source_ends_them(yard_root, tmp_path):
    made = generate(load_project(yard_root), tmp_path / "out", rows={SHIP: 2})
    header, line, *_ = made.files[0].read_bytes().split(b"\r\n")
    assert header == b'"ship";"name";"built"'
    assert line.startswith(b'"S0007";"the ""Ann""";20')


def test_profiles_are_made_for_ids_of_files_with_another_delimiter(project_root, tmp_path):
    given = tmp_path / "client.asc"
    given.write_text('"client_id";"birth_number";"district_id"\r\n17;"706213";18\r\n4;"450204";1\r\n')
    made = generate(load_project(project_root), tmp_path / "out", rows=1, profiles_for=[given])
    (file,) = made.files
    assert file.parent.name == "client_profile", "the file's own table is not made again"
    assert sorted(pl.read_csv(file)["client_id"]) == [4, 17]


def test_a_column_that_is_looked_at_must_be_there(yard_root, tmp_path):
    recipe = yard_root / "policies/domains/yard/demo.yaml"
    recipe.write_text(RECIPE.replace("[goods, fee]", "[goods, fees]"))
    with pytest.raises(ProjectError, match="`fees`"):
        generate(load_project(yard_root), tmp_path / "out", rows={VISIT: 5})


def test_a_demo_shows_the_domains_that_are_named_or_shown_by_default(project_root):
    from lakehouse.demo.tour import only

    project = load_project(project_root)
    assert [each.domain for each in only(project, []).contracts] == ["retail"]
    assert [each.domain for each in only(project, ["claims", "banking"]).contracts] == ["banking", "claims"]
    with pytest.raises(UsageError, match="no domain `bank`") as told:
        only(project, ["bank"])
    assert "banking" in (told.value.hint or "")
