"""Every bad file of the list: a clear rejection or quarantined rows, the ledger exact, the files beside it untouched.

No reason, message or pointer ever holds what was delivered; each bad file carries a word that would show.
"""

from __future__ import annotations

import bz2
import datetime as dt
import gzip
import io
import json
import re
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lakehouse import storage
from lakehouse.cli.survey import survey
from lakehouse.contract.load import load_project
from lakehouse.ingest import ingest, landing, quarantine
from lakehouse.model import Tier

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SECRET = "jane.doe.4711"
HEADER = "id,name,amount,ratio,day,at\n"
ROW = "1,Jane,1.50,0.5,2024-01-02,2024-01-02 03:04:05\n"
GOOD = HEADER + "901,Good,1.00,1,2024-01-01,2024-01-01 00:00:00\n902,Good,1.00,1,2024-01-01,2024-01-01 00:00:00\n"

CONTRACT = """\
apiVersion: v3.2.0
kind: DataContract
id: hostile
version: 1.0.0
status: active
domain: shop
schema:
  - id: event
    name: event
    customProperties:
      - property: lakehouse
        value:
          tier: staged
          sources:
            - {name: lines, pattern: "*.json*", format: ndjson}
            - {name: tables, pattern: "*.parquet*", format: parquet}
            - {name: bare, pattern: "*.bare", header: false}
            - {name: text, pattern: "*.csv*"}
    properties:
"""
TYPES = {
    "id": "logicalType: integer, primaryKey: true",
    "name": "logicalType: string",
    "amount": "logicalType: number, physicalType: 'decimal(12,2)'",
    "ratio": "logicalType: number, physicalType: double",
    "day": "logicalType: date",
    "at": "logicalType: timestamp",
}


def contract() -> str:
    own = "customProperties: [{property: lakehouse, value: {category: system.operations}}]"
    return CONTRACT + "".join(f"      - {{id: {n}, name: {n}, {kind}, {own}}}\n" for n, kind in TYPES.items())


@dataclass(frozen=True)
class Rejected:
    reason: str


@dataclass(frozen=True)
class Rows:
    read: int
    quarantined: int


def row(**values: str) -> str:
    """A CSV file of one row, some of whose values are others."""
    cells = dict(zip(TYPES, ROW.strip().split(","), strict=True)) | values
    return HEADER + ",".join(cells.values()) + "\n"


def parquet(columns: dict, **options) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table(columns), out, **options)
    return out.getvalue()


def table(**other) -> dict:
    right = {
        "id": [1],
        "name": [SECRET],
        "amount": [1.5],
        "ratio": [0.5],
        "day": [dt.date(2024, 1, 2)],
        "at": [dt.datetime(2024, 1, 2)],
    }
    return right | other


def zipped(*members: tuple[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return out.getvalue()


def corrupt_page() -> bytes:
    names = {"name": [f"{SECRET} {n}" for n in range(500)]}
    columns = {key: values * 500 for key, values in table().items()} | names
    content = bytearray(parquet(columns, compression="none", use_dictionary=False, write_page_checksum=True))
    content[content.find(f"{SECRET} 250".encode())] ^= 1
    return bytes(content)


def wrong_statistics() -> bytes:
    content = parquet(table(id=[70001]), compression="none", use_dictionary=False)
    place = content.rfind((70001).to_bytes(8, "little"))
    return content[:place] + (5).to_bytes(8, "little") + content[place + 8 :]


WIDE = ",".join(f"c{n}" for n in range(10_000))
CASES: dict[str, tuple[str, str | bytes | Callable[[], bytes], Rejected | Rows]] = {
    "empty file": ("f.csv", "", Rejected("the file is empty")),
    "empty file without header": ("f.bare", "", Rejected("the file is empty")),
    "empty lines of JSON": ("f.json", "\n \n", Rejected("the file is empty")),
    "empty parquet": ("f.parquet", "", Rejected("the file is empty")),
    "header only": ("f.csv", HEADER, Rows(0, 0)),
    "binary junk": ("f.csv", bytes(range(256)) * 50, Rejected("header|first line")),
    "binary junk without header": ("f.bare", bytes(range(256)) * 4, Rows(5, 5)),
    "binary junk as JSON": ("f.json", b"\n".join([bytes(range(256)) + b"\xff"] * 3), Rows(6, 6)),
    "wrong delimiter": ("f.csv", row().replace(",", ";"), Rejected("no header, or another table's")),
    "wrong delimiter without header": ("f.bare", ROW.replace(",", ";") * 2, Rows(2, 2)),
    "missing column": ("f.csv", "id,name\n1,Jane\n", Rejected("missing `amount`, `ratio`, `day`, `at`")),
    "extra column": ("f.csv", f"{HEADER[:-1]},{SECRET}\n{ROW[:-1]},x\n", Rejected("1 that the contract does not know")),
    "renamed column": ("f.csv", row().replace("amount", SECRET), Rejected("missing `amount`; 1 that")),
    "doubled column": ("f.csv", HEADER.replace("ratio", "amount"), Rejected("missing `ratio`; 1 twice")),
    "reordered columns": ("f.csv", "at,day,ratio,amount,name,id\n2024-01-01 00:00:00,2024-01-01,1,2,x,7\n", Rows(1, 0)),
    "ragged rows": ("f.csv", HEADER + ROW + f"2,{SECRET}\n" + f"3,{SECRET},1,1,2024-01-01,,,,\n", Rows(3, 2)),
    "newlines in quotes": ("f.csv", row(name='"a\n""b""\r\nc"'), Rows(1, 0)),
    "unclosed quote at the end": ("f.csv", HEADER + ROW + f'2,"{SECRET}', Rows(2, 1)),
    "unclosed quote in the middle": ("f.csv", HEADER + f'2,"{SECRET},1,1,,\n' + ROW, Rows(2, 1)),
    "NUL bytes": ("f.csv", HEADER + ROW + f"2,{SECRET}\0,1,1,2024-01-01,2024-01-01 00:00:00\n", Rows(2, 1)),
    "NUL in JSON": ("f.json", '{"id":1,"name":"a\\u0000b","amount":1,"ratio":1,"day":null,"at":null}\n', Rows(1, 1)),
    "invalid UTF-8": ("f.csv", (HEADER + ROW).encode() + b"2,\xff\xfe,1,1,2024-01-01,2024-01-01 00:00:00\n", Rows(2, 1)),
    "UTF-16 where UTF-8 is expected": ("f.csv", row().encode("utf-16"), Rejected("header|first line")),
    "field of 10 MB": ("f.csv", HEADER + f"2,{'x' * 10_000_000},1,1,2024-01-01,2024-01-01 00:00:00\n" + ROW, Rows(2, 1)),
    "quoted field of 10 MB": ("f.csv", HEADER + f'2,"{"x" * 10_000_000}",1,1,,2024-01-01 00:00:00\n' + ROW, Rows(2, 1)),
    "JSON field of 10 MB": ("f.json", '{"id":1,"name":"' + "x" * 10_000_000 + '"}\n', Rows(1, 1)),
    "10,000 columns": ("f.csv", f"{WIDE}\n{WIDE}\n", Rejected("another table's")),
    "10,000 columns and ours": ("f.csv", f"{HEADER[:-1]},{WIDE}\n", Rejected("10000 that the contract does not know")),
    "30,000 columns": ("f.csv", f"{WIDE},{WIDE},{WIDE}\n", Rejected("more than 20,000 columns")),
    "1e999": ("f.csv", row(ratio="1e999"), Rows(1, 1)),
    "1e999 as money": ("f.csv", row(amount="1e999"), Rows(1, 1)),
    "1e999 in JSON": ("f.json", '{"id":1e999,"name":"x","amount":1,"ratio":1e999,"day":null,"at":null}\n', Rows(1, 1)),
    "NaN": ("f.csv", row(ratio="NaN"), Rows(1, 1)),
    "NaN in JSON": ("f.json", '{"id":1,"ratio":NaN}\n', Rows(1, 1)),
    "NaN in parquet": ("f.parquet", lambda: parquet(table(ratio=[float("nan")])), Rows(1, 1)),
    "digits of another script": ("f.csv", row(id="\u0661\u0662\u0663"), Rows(1, 1)),
    "minus zero": ("f.csv", row(id="-0", ratio="-0", amount="-0"), Rows(1, 0)),
    "hexadecimal": ("f.csv", row(id="0x1F"), Rows(1, 1)),
    "2024-02-30": ("f.csv", row(day="2024-02-30"), Rows(1, 1)),
    "0000-00-00": ("f.csv", row(day="0000-00-00"), Rows(1, 1)),
    "year 10000": ("f.csv", row(day="10000-01-01"), Rows(1, 1)),
    "year 10000 in parquet": ("f.parquet", lambda: parquet(table(day=pa.array([2932897], pa.date32()))), Rows(1, 1)),
    "truncated gzip": ("f.csv.gz", gzip.compress(row().encode())[:-9], Rejected("gzip data ends too early")),
    "truncated bzip2": ("f.csv.bz2", bz2.compress(row().encode())[:-9], Rejected("bzip2 data ends too early")),
    "truncated zip": ("f.csv.zip", zipped(("a", row().encode()))[:-9], Rejected("zip archive is broken")),
    "gzip bomb": ("f.csv.gz", lambda: gzip.compress(HEADER.encode() + bytes(300_000_000), 9), Rejected("longer than 64 MiB|far more")),
    "zip of two": ("f.csv.zip", zipped(("a", b"1"), (SECRET, b"2")), Rejected("has 2 members")),
    "gzip that is none": ("f.csv.gz", row(), Rejected("gzip data is broken")),
    "truncated gzip after good rows": ("f.csv.gz", lambda: gzip.compress((HEADER + ROW * 400_000).encode())[:-9], Rejected("ends too early")),
    "parquet with other types": ("f.parquet", parquet(table(id=["x"], amount=[True])), Rows(1, 1)),
    "parquet nested where flat is expected": ("f.parquet", parquet(table(id=[[1]])), Rows(1, 1)),
    "parquet with bytes": ("f.parquet", parquet(table(name=[b"\xff"])), Rejected("column `name` holds bytes")),
    "parquet with wrong statistics": ("f.parquet", wrong_statistics(), Rows(1, 0)),
    "parquet with a bad page": ("f.parquet", corrupt_page(), Rejected("Parquet data is broken")),
    "parquet cut short": ("f.parquet", parquet(table())[:-20], Rejected("Parquet data is broken")),
    "parquet with another column": ("f.parquet", parquet(table(**{SECRET: [1]})), Rejected("1 that the contract")),
    "JSON with a doubled key": ("f.json", f'{{"id":1,"id":2,"name":"{SECRET}"}}\n', Rows(1, 1)),
    "JSON nested too deeply": ("f.json", '{"name":' + "[" * 5000 + "]" * 5000 + "}\n", Rows(1, 1)),
    "JSON with a lone surrogate": ("f.json", '{"id":1,"name":"\\ud800"}\n', Rows(1, 1)),
    "JSON as one array": ("f.json", '[{"id":1},\n{"id":2}]\n', Rows(2, 2)),
    "JSON with an unknown key": ("f.json", f'{{"id":1,"{SECRET}":2}}\n', Rejected("1 that the contract does not know")),
    "name of no source": ("f.xml", SECRET, Rejected("no source of the contract")),
}  # fmt: skip


@pytest.fixture
def project(tmp_path: Path):
    path = tmp_path / "project/policies/domains/shop/contract.odcs.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(contract(), encoding="utf-8")
    return load_project(tmp_path / "project")


def deliver(lake, of, name: str, content: str | bytes) -> Path:
    place = landing.folder(lake, of)
    place.mkdir(parents=True, exist_ok=True)
    path = place / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize("case", CASES)
def test_bad_input_is_rejected_or_quarantined_and_costs_nothing_else(lake, project, clock, case):
    name, content, wanted = CASES[case]
    of = project.tables[0]
    files = [
        deliver(lake, of, "a.csv", GOOD),
        deliver(lake, of, name, content() if callable(content) else content),
        deliver(lake, of, "z.csv", GOOD.replace("90", "80")),
    ]
    report = ingest(lake, project, of, files, now=clock)
    bad, *good = sorted(report.batches, key=lambda batch: (batch.state == "staged" and batch.staged == 2, batch.batch))
    assert [(batch.state, batch.staged, batch.quarantined) for batch in good] == [("staged", 2, 0)] * 2
    if isinstance(wanted, Rejected):
        assert bad.state == "rejected"
        assert re.search(wanted.reason, bad.reason or ""), bad.reason
        kept = landing.folder(lake, of).with_name("event.rejected") / name
        assert kept.is_file()
        manifest = storage.batches(lake, of.id).filter(pl.col("number") == bad.batch)
        assert manifest.select("state", "reason").rows() == [("rejected", bad.reason)]
        assert survey(lake, project).landings[0].reasons == {bad.reason: 1}
    else:
        assert (bad.state, bad.rows, bad.quarantined) == ("staged", wanted.read, wanted.quarantined)
        assert bad.staged == wanted.read - wanted.quarantined
        pointers = quarantine.counts(lake, of.id)
        assert pointers.filter(pl.col("batch") == bad.batch).is_empty() == (not wanted.quarantined)
        raw = storage.scan(lake, of.id.at(Tier.RAW)).filter(pl.col("_batch") == bad.batch).collect()
        assert raw["_row"].sort().to_list() == list(range(wanted.read))
    balance = storage.balance(lake, of.id)
    assert balance.unbalanced == ()
    told = json.dumps([str(report), survey(lake, project).document()], default=str)
    assert SECRET not in told


def test_bad_files_all_at_once_leave_what_each_leaves_alone(lake, project, clock):
    of = project.tables[0]
    small = {case: found for case, found in CASES.items() if not callable(found[1]) and len(found[1]) < 1_000_000}
    files = [
        deliver(lake, of, f"{number:02}.{name.partition('.')[2]}", content)
        for number, (name, content, _) in enumerate(small.values())
    ]
    report = ingest(lake, project, of, [*files, deliver(lake, of, "good.csv", GOOD)], now=clock)
    wanted = [found for _, _, found in small.values()]
    states = [batch.state for batch in sorted(report.batches, key=lambda batch: batch.batch)][: len(wanted)]
    assert states == ["rejected" if isinstance(found, Rejected) else "staged" for found in wanted]
    assert sum(batch.quarantined for batch in report.batches) == sum(
        found.quarantined for found in wanted if isinstance(found, Rows)
    )
    assert storage.balance(lake, of.id).unbalanced == ()
    again = ingest(lake, project, of, [deliver(lake, of, "good.csv", GOOD)], now=clock)
    assert [batch.state for batch in again.batches] == ["skipped"]
