"""Trap 12 of notes/delta.md, end to end: what polars' CSV reader does silently, or says aloud, never happens here.

Each delivery is first shown to fool the plain reader, then ingested.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import polars as pl
import pytest

from lakehouse import storage
from lakehouse.ingest import ingest, opener, quarantine

_spec = importlib.util.spec_from_file_location("ingest_domain", Path(__file__).with_name("ingest_domain.py"))
domain = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(domain)
HEADER = domain.HEADER.encode()
SECRET = b"jane.doe@example.com"


@pytest.fixture
def take(lake, clock, tmp_path):
    """Ingests one file of these bytes; the path and the report."""
    table = domain.order_table()

    def run(content: bytes):
        path = tmp_path / "delivered.csv"
        path.write_bytes(content)
        return path, ingest(lake, domain.project_of(table), table, [path], now=clock)

    run.table = table
    return run


def staged(lake, table):
    return storage.scan(lake, table.id).sort("_row").select("id", "note").collect().rows()


def unreadable(lake, table) -> list[bytes]:
    raw = pl.concat(opener.opened(lake, table)).sort("_row")
    return raw["_bytes"].drop_nulls().to_list()


def test_trap_12_a_short_row_is_quarantined_not_filled_with_nulls(lake, take):
    path, report = take(HEADER + b"1,1,1,a\n2,1\n3,1,1,c\n")
    assert pl.read_csv(path)["note"].to_list() == ["a", None, "c"]  # the trap
    assert staged(lake, take.table) == [(1, "a"), (3, "c")]
    assert unreadable(lake, take.table) == [b"2,1"]
    assert report.row_checks[quarantine.READABLE] == 1


@pytest.mark.parametrize(
    "odd", [b"2,1,1,b,more", b'2,1,1,"b', b'2,1,1,"b"x'], ids=["long", "open quote", "stray quote"]
)
def test_trap_12_one_odd_row_costs_one_row_not_the_file(lake, take, odd):
    path, report = take(HEADER + b"1,1,1,a\n" + odd + b"\n3,1,1,c\n")
    try:
        plain = pl.read_csv(path, ignore_errors=True, infer_schema=False).height
    except pl.exceptions.PolarsError:
        plain = -1
    assert plain != 3 or odd == b'2,1,1,"b"x'  # the trap: the whole file fails, or rows melt together
    assert staged(lake, take.table) == [(1, "a"), (3, "c")]
    assert unreadable(lake, take.table) == [odd]
    assert [(batch.rows, batch.staged, batch.quarantined) for batch in report.batches] == [(3, 2, 1)]


def test_trap_12_bytes_that_are_no_text_are_kept_not_replaced(lake, take):
    path, _ = take(HEADER + b"1,1,1,a\n2,1,1,caf\xe9\n")
    assert pl.read_csv(path, encoding="utf8-lossy")["note"].to_list() == ["a", "caf\ufffd"]  # the trap
    assert staged(lake, take.table) == [(1, "a")]
    assert unreadable(lake, take.table) == [b"2,1,1,caf\xe9"]


def test_trap_12_no_reader_says_the_value_it_stumbled_on(lake, take):
    content = HEADER + b"1,1,1,a\n" + SECRET + b",1,1,b\n" + SECRET + b",1,1,c,more\n"
    path, report = take(content)
    with pytest.raises(pl.exceptions.PolarsError) as trap:
        pl.read_csv(path, schema={"id": pl.Int64, "person": pl.String, "amount": pl.String, "note": pl.String})
    assert SECRET.decode() in str(trap.value)  # the trap
    told = repr(report) + repr(storage.batches(lake, take.table.id).rows())
    told += repr(storage.scan(lake, quarantine.place(take.table.id)).collect().rows())
    assert SECRET.decode() not in told
    assert staged(lake, take.table) == [(1, "a")]
