"""Deliveries that differ from the contract: what each word of `drift` makes of them, in every format, and what is told."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lakehouse import storage
from lakehouse.cli.survey import survey
from lakehouse.contract.load import load_project
from lakehouse.ingest import ingest, landing, quarantine
from lakehouse.model import Tier

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl

CONTRACT = """\
apiVersion: v3.2.0
kind: DataContract
id: drift
version: 1.0.0
status: active
domain: shop
schema:
  - id: item
    name: item
    customProperties:
      - property: lakehouse
        value:
          tier: staged
          sources:
            - {name: lines, pattern: "*.ndjson", format: ndjson}
            - {name: tables, pattern: "*.parquet", format: parquet}
            - {name: text, pattern: "*.csv"}
          drift: DRIFT
    properties:
      - {id: id, name: id, logicalType: integer, primaryKey: true, OWN}
      - {id: price, name: price, physicalName: the price, logicalType: number, physicalType: "decimal(9,2)", OWN}
      - {id: note, name: note, logicalType: string, OWN}
"""
OWN = "customProperties: [{property: lakehouse, value: {category: system.operations}}]"
FORMATS = ["csv", "ndjson", "parquet"]


@pytest.fixture
def project(tmp_path: Path):
    def of(drift: str):
        path = tmp_path / "project/policies/domains/shop/contract.odcs.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(CONTRACT.replace("DRIFT", drift).replace("OWN", OWN), encoding="utf-8")
        return load_project(tmp_path / "project")

    return of


def packed(rows: list[dict], form: str) -> bytes:
    """The same rows in a format; text that is None is missing."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    if form == "csv":
        text = io.StringIO()
        csv.writer(text).writerows([names, *([row.get(name) or "" for name in names] for row in rows)])
        return text.getvalue().encode()
    if form == "ndjson":
        return "".join(json.dumps(row) + "\n" for row in rows).encode()
    out = io.BytesIO()
    pq.write_table(pa.table({name: [row.get(name) for row in rows] for name in names}), out)
    return out.getvalue()


def take(lake, project, clock, rows: list[dict], form: str, *, name: str = "f"):
    of = project.tables[0]
    place = landing.folder(lake, of)
    place.mkdir(parents=True, exist_ok=True)
    path = place / f"{name}.{form}"
    path.write_bytes(packed(rows, form))
    report = ingest(lake, project, of, [path], now=clock)
    assert storage.balance(lake, of.id).unbalanced == ()
    return report.batches[0]


def tier(lake, project, of: Tier) -> pl.DataFrame:
    return storage.scan(lake, project.tables[0].id.at(of)).collect().sort("_batch", "_row")


def told(lake, project) -> dict[str, int]:
    (found,) = survey(lake, project).landings
    return dict(found.drift)


def full(number: int, **more) -> dict:
    return {"id": str(number), "the price": "1.50", "note": "x", **more}


UNKNOWN = [full(1, **{"odd \u0160": 'a "quoted",\n text'}), full(2, **{"odd \u0160": None})]


@pytest.mark.parametrize("form", FORMATS)
def test_unknown_columns_frozen_reject_the_file(lake, project, clock, form):
    rows = [{**row, "odd": "x"} for row in (full(1),)]
    batch = take(lake, project("freeze"), clock, rows, form)
    assert batch.state == "rejected"
    assert "1 that the contract does not know" in batch.reason


@pytest.mark.parametrize("form", ["ndjson", "parquet"])
@pytest.mark.parametrize("word", ["evolve", "discard_value"])
def test_unknown_columns_are_kept_in_raw_and_staged_where_it_evolves(lake, project, clock, form, word):
    shop = project(word)
    batch = take(lake, shop, clock, UNKNOWN, form)
    assert (batch.state, batch.staged) == ("staged", 2)
    raw = tier(lake, shop, Tier.RAW)["_extra"].to_list()
    assert [None if text is None else json.loads(text) for text in raw] == [{"odd \u0160": 'a "quoted",\n text'}, None]
    staged = tier(lake, shop, Tier.STAGED)
    assert ("_extra" in staged.columns) == (word == "evolve")
    if word == "evolve":
        assert staged["_extra"].to_list() == raw
    assert told(lake, shop) == {f"rows with unknown columns {'kept' if word == 'evolve' else 'left in raw'}": 1}


@pytest.mark.parametrize("form", FORMATS)
def test_unknown_columns_can_cost_the_rows_that_have_a_value_there(lake, project, clock, form):
    shop = project("discard_row")
    rows = [full(1, odd="x"), full(2, odd=None)]
    batch = take(lake, shop, clock, rows, form)
    assert (batch.staged, batch.quarantined) == (1, 1)
    assert quarantine.counts(lake, shop.tables[0].id).select("check", "rows").rows() == [("drift_unknown", 1)]
    assert told(lake, shop) == {"rows with unknown columns quarantined": 1}


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("word", ["freeze", "evolve", "discard_value", "discard_row"])
def test_missing_columns(lake, project, clock, form, word):
    shop = project(f"{{missing: {word}}}")
    batch = take(lake, shop, clock, [{"id": "1", "note": "x"}, {"id": "2", "note": "y"}], form)
    if word == "freeze":
        assert batch.state == "rejected"
        assert "missing `the price`" in batch.reason
        return
    if word == "discard_row":
        assert (batch.staged, batch.quarantined) == (0, 2)
        assert quarantine.counts(lake, shop.tables[0].id).select("check", "rows").rows() == [("drift_missing", 2)]
        assert told(lake, shop) == {"rows with missing columns quarantined": 2}
    else:
        assert (batch.staged, batch.quarantined) == (2, 0)
        assert tier(lake, shop, Tier.STAGED)["price"].to_list() == [None, None]
        if form != "ndjson":  # a line of JSON may leave out what it does not have
            assert told(lake, shop) == {"rows with missing columns taken as empty": 2}


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("word", ["freeze", "evolve", "discard_value", "discard_row"])
def test_values_of_another_type(lake, project, clock, form, word):
    shop = project(f"{{type: {word}}}")
    rows = [full(1), full(2) | {"the price": 'much "more"'}, full(3) | {"the price": None}]
    batch = take(lake, shop, clock, rows, form)
    if word == "freeze":
        assert (batch.state, batch.rows) == ("held", 3)
        assert "`drift_type`" in batch.reason
        return
    if word == "discard_row":
        assert (batch.staged, batch.quarantined) == (2, 1)
        return
    assert (batch.staged, batch.quarantined) == (3, 0)
    staged = tier(lake, shop, Tier.STAGED)
    assert [value is None for value in staged["price"]] == [False, True, True]
    decided = "kept as text" if word == "evolve" else "left out"
    assert told(lake, shop) == {f"values of another type {decided}": 1}
    if word == "evolve":
        extra = [None if text is None else json.loads(text) for text in staged["_extra"]]
        assert extra == [None, {"the price": 'much "more"'}, None]


@pytest.mark.parametrize("word", ["evolve", "discard_value"])
def test_a_key_of_another_type_costs_its_row_whatever_drift_says(lake, project, clock, word):
    batch = take(lake, project(f"{{type: {word}}}"), clock, [full(1), full(2) | {"id": "two"}], "csv")
    assert (batch.staged, batch.quarantined) == (1, 1)


def test_all_kinds_at_once_are_told_apart(lake, project, clock):
    shop = project("{unknown: evolve, missing: evolve, type: evolve}")
    rows = [{"id": "1", "the price": "dear", '":null': "a", "\\": "b"}, {"id": "2", "the price": "2"}]
    batch = take(lake, shop, clock, [{name: row.get(name, "") for name in rows[0]} for row in rows], "csv")
    assert (batch.staged, batch.quarantined) == (2, 0)
    raw = [json.loads(text) for text in tier(lake, shop, Tier.RAW)["_extra"]]
    assert raw == [{"note": None, '":null': "a", "\\": "b"}, {"note": None}]
    staged = [None if text is None else json.loads(text) for text in tier(lake, shop, Tier.STAGED)["_extra"]]
    assert staged == [{'":null': "a", "\\": "b", "the price": "dear"}, None]
    assert told(lake, shop) == {
        "rows with unknown columns kept": 1,
        "rows with missing columns taken as empty": 2,
        "values of another type kept as text": 1,
    }


def test_columns_without_a_name_or_with_the_same_are_kept_apart(lake, project, clock):
    shop = project("discard_value")
    of = shop.tables[0]
    place = landing.folder(lake, of)
    place.mkdir(parents=True)
    (place / "f.csv").write_bytes(b"id,the price,note,,x,x,\n1,1,n,a,b,c,d\n")
    ingest(lake, shop, of, [place / "f.csv"], now=clock)
    (extra,) = tier(lake, shop, Tier.RAW)["_extra"]
    assert json.loads(extra) == {"column 4": "a", "x": "b", "x 2": "c", "column 7": "d"}


@pytest.mark.slow
def test_ten_thousand_unknown_columns_are_kept(lake, project, clock):
    shop = project("evolve")
    more = {f"c{number}": str(number) for number in range(10_000)}
    batch = take(lake, shop, clock, [full(1, **more)], "csv")
    assert batch.staged == 1
    (extra,) = tier(lake, shop, Tier.STAGED)["_extra"]
    assert json.loads(extra) == more


def test_what_is_frozen_counts_nothing(lake, project, clock):
    shop = project("freeze")
    take(lake, shop, clock, [full(1)], "csv")
    assert storage.batches(lake, shop.tables[0].id)["drift"].to_list() == [None]
    assert tier(lake, shop, Tier.RAW)["_extra"].to_list() == [None]


def test_a_held_batch_tells_its_drift_too(lake, project, clock):
    frozen = project("{unknown: evolve, type: freeze}")
    rows = [full(1, odd="x"), full(2) | {"the price": "dear", "odd": "y"}]
    assert take(lake, frozen, clock, rows, "csv").state == "held"
    assert told(lake, frozen) == {"rows with unknown columns kept": 2}


def test_status_shows_what_was_decided_and_why_files_were_rejected(lake, project, clock, monkeypatch, capsys):
    from lakehouse.cli import main

    shop = project("{unknown: evolve}")
    take(lake, shop, clock, [full(1, odd="x")], "csv")
    take(lake, shop, clock, [{"id": "2"}], "csv", name="g")
    (shop.root / "pyproject.toml").write_text("[tool.lakehouse]\n")
    monkeypatch.chdir(shop.root)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr("sys.argv", ["lakehouse", "status", "--lake", str(lake.root)])
    with pytest.raises(SystemExit):
        main()
    shown = capsys.readouterr().out
    assert "drift: 1 rows with unknown columns kept" in shown
    assert "1 file: columns differ from the contract: missing `the price`, `note`" in shown
