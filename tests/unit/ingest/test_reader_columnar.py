"""Parquet and Arrow: exact text of every type, and nothing that a file does reaches this process."""

from __future__ import annotations

import datetime as dt
import gzip
import os
import uuid
from decimal import Decimal

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lakehouse.contract.model import Column, ColumnType, Drift, Logical, Source
from lakehouse.errors import FileRejectedError
from lakehouse.ingest.readers import columnar
from lakehouse.ingest.readers.arrowtext import as_text
from lakehouse.ingest.readers.delivery import Delivery

TEXT = ColumnType(Logical.STRING)
SECRET = "jane.doe@example.com"


def column(path: str, kind: ColumnType = TEXT) -> Column:
    return Column(id=path, name=path.replace(".", "_"), source_name=path, type=kind, category="user")


def read(path, columns, *, form: str = "parquet", block: int = 1 << 24, drift: Drift | None = None) -> pl.DataFrame:
    with Delivery(path, Source("s", format=form), columns, drift=drift, block=block) as delivery:
        before = delivery.fingerprint()
        frames = list(delivery.blocks())
        delivery.require_unchanged(before)
    return pl.concat(frames) if frames else pl.DataFrame()


def write(tmp_path, table: pa.Table, form: str = "parquet", **options):
    path = tmp_path / f"f.{form}"
    if form == "parquet":
        pq.write_table(table, path, **options)
    else:
        new = pa.ipc.new_file if form == "arrow" else pa.ipc.new_stream
        with new(str(path), table.schema) as writer:
            writer.write_table(table)
    return path


EXACT = [
    (pa.array([2**63 - 1, -(2**63)]), ["9223372036854775807", "-9223372036854775808"]),
    (pa.array([2**64 - 1], pa.uint64()), ["18446744073709551615"]),
    (pa.array([0.1, 1e300, 5e-324, 17850.0]), ["0.1", "1e+300", "5e-324", "17850"]),
    (pa.array([0.1], pa.float32()), ["0.1"]),
    (pa.array([float("nan"), float("inf")]), ["nan", "inf"]),
    (pa.array([Decimal("0.0000001"), Decimal("-12.5")], pa.decimal128(20, 7)), ["0.0000001", "-12.5000000"]),
    (pa.array([Decimal("1" * 60)], pa.decimal256(60, 0)), ["1" * 60]),
    (pa.array([Decimal(12300)], pa.decimal128(5, -2)), ["12300"]),
    (pa.array([True, None, False]), ["true", None, "false"]),
    (pa.array([dt.date(2024, 2, 29)]), ["2024-02-29"]),
    (pa.array([dt.datetime(2024, 2, 29, 1, 2, 3, 4)]), ["2024-02-29 01:02:03.000004"]),
    (pa.array([1], pa.timestamp("ns")), ["1970-01-01 00:00:00.000000001"]),
    (pa.array([1000], pa.timestamp("ns")), ["1970-01-01 00:00:00.000001"]),
    (pa.array([0], pa.timestamp("s", "Europe/Berlin")), ["1970-01-01 00:00:00Z"]),
    (pa.array([3_600_000_000], pa.time64("us")), ["01:00:00.000000"]),
    (pa.array(["a", None, "a"]).dictionary_encode(), ["a", None, "a"]),
    (pa.array(["a"], pa.large_string()), ["a"]),
    (pa.array(["a"], pa.string_view()), ["a"]),
    (pa.array([None, None]), [None, None]),
    (pa.array([uuid.UUID(int=5).bytes], pa.uuid()), [str(uuid.UUID(int=5))]),
    (pa.array([[1, None], None, []]), ["[1,null]", None, "[]"]),
    (pa.array([{"a": 1, "b": "x"}, None]), ['{"a":1,"b":"x"}', None]),
    (pa.array([[("k", 1)], [("k", 1), ("k", 2)]], pa.map_(pa.string(), pa.int8())), ['{"k":1}', '[["k",1],["k",2]]']),
    (pa.array([[dt.date(1, 1, 1)]]), ['["0001-01-01"]']),
    (pa.array([[0.1, float("nan")]]), ['[0.1,"nan"]']),
    (pa.array([[[1]], None]), ["[[1]]", None]),
    (pa.array([[1, 2], None], pa.list_(pa.int8(), 2)), ["[1,2]", None]),
    (pa.array([b"\x01\xff", None]), ["01ff", None]),
]


@pytest.mark.parametrize(("values", "texts"), EXACT, ids=lambda value: str(getattr(value, "type", "")))
def test_values_become_exact_text(values, texts):
    assert as_text(values).to_pylist() == texts
    assert as_text(pa.concat_arrays([values, values])[len(values) :]).to_pylist() == texts


def test_midnight_is_a_day_where_the_contract_has_one():
    values = pa.array([dt.datetime(2024, 1, 2), dt.datetime(2024, 1, 2, 3)])
    assert as_text(values, as_date=True).to_pylist() == ["2024-01-02", "2024-01-02 03:00:00.000000"]


@pytest.mark.parametrize("form", ["parquet", "arrow", "stream"])
@pytest.mark.parametrize("block", [10, 1 << 24])
def test_every_form_gives_rows_in_their_order(tmp_path, form, block):
    table = pa.table({"name": ["a", None, "\u0160"], "id": [1, 2, 3]})
    path = write(tmp_path, table, form)
    frame = read(path, [column("id"), column("name")], form="parquet" if form == "parquet" else "arrow", block=block)
    assert frame.select("_row", "id", "name").rows() == [(0, "1", "a"), (1, "2", None), (2, "3", "\u0160")]
    assert frame["_extra"].is_null().all()


def test_many_rows_come_in_batches_and_are_numbered_through(tmp_path):
    path = write(tmp_path, pa.table({"id": list(range(150_000))}), row_group_size=40_000)
    frame = read(path, [column("id")])
    assert frame["id"].cast(pl.Int64).equals(frame["_row"].alias("id"))


def test_a_packed_file_is_read_without_a_copy_on_disk(tmp_path):
    path = write(tmp_path, pa.table({"id": [1, 2]}))
    packed = tmp_path / "f.parquet.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert read(packed, [column("id")])["id"].to_list() == ["1", "2"]


def test_paths_lead_into_structs_and_the_rest_is_extra(tmp_path):
    table = pa.table({"who": [{"name": "a", "age": 5}, None], "id": [1, 2]})
    path = write(tmp_path, table)
    drift = Drift("evolve", "evolve")
    frame = read(path, [column("id"), column("who.name"), column("gone")], drift=drift)
    assert frame.select("id", "who_name", "gone").rows() == [("1", "a", None), ("2", None, None)]
    assert frame["_extra"].to_list() == ['{"gone":null,"who.age":"5"}', '{"gone":null}']
    with pytest.raises(FileRejectedError, match="1 that the contract does not know"):
        read(path, [column("id"), column("who.name")])


def test_nested_where_flat_is_expected_is_text_for_the_gate_to_judge(tmp_path):
    path = write(tmp_path, pa.table({"id": [[1]], "name": [{"a": 1}]}))
    assert read(path, [column("id"), column("name")]).select("id", "name").rows() == [("[1]", '{"a":1}')]


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        (pa.table({"id": [b"\x01"]}), "column `id` holds bytes"),
        (pa.table({"mail": [SECRET]}), "another table's"),
        (pa.table({"id": [1], SECRET: [1]}), "1 that the contract does not know"),
        (pa.Table.from_arrays([pa.array([1]), pa.array([2])], ["id", "id"]), "1 twice"),
    ],
)
def test_what_the_contract_does_not_take_is_rejected_without_a_value(tmp_path, table, reason):
    with pytest.raises(FileRejectedError, match=reason) as caught:
        read(write(tmp_path, table), [column("id")])
    assert SECRET not in str(caught.value)


def test_text_that_is_none_costs_its_row_and_keeps_its_bytes(tmp_path):
    texts = pa.array([b"good", b"bad\xff", b"nul\0", None], pa.binary()).view(pa.string())
    path = write(tmp_path, pa.table({"name": texts, "id": [1, 2, 3, 4]}), "arrow")
    frame = read(path, [column("id"), column("name")], form="arrow")
    assert frame["id"].to_list() == ["1", None, None, "4"]
    assert frame["_bad"].to_list() == [None, "not valid UTF-8", "a NUL character", None]
    assert frame["_bytes"].to_list()[1] == b'{"id": "2", "name": "bad\xff"}'


@pytest.mark.parametrize("keep", [0.2, 0.9, 0.999])
@pytest.mark.parametrize("form", ["parquet", "arrow", "stream"])
def test_a_file_that_is_cut_short_is_rejected(tmp_path, form, keep):
    path = write(tmp_path, pa.table({"id": list(range(10_000))}), form)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])
    with pytest.raises(FileRejectedError, match="data is broken"):
        read(path, [column("id")], form="parquet" if form == "parquet" else "arrow")


@pytest.mark.parametrize("form", ["parquet", "arrow"])
@pytest.mark.parametrize("content", [b"", b"PAR1", b"id\n1\n", os.urandom(2000), b"PAR1" + b"\0" * 100 + b"PAR1"])
def test_what_is_no_such_file_is_rejected(tmp_path, form, content):
    path = tmp_path / "junk"
    path.write_bytes(content)
    with pytest.raises(FileRejectedError, match=r"empty|data is broken"):
        read(path, [column("id")], form=form)


def test_wrong_statistics_change_nothing(tmp_path):
    path = write(tmp_path, pa.table({"id": [1000, 2000, 3000]}), compression="none", use_dictionary=False)
    right = (1000).to_bytes(8, "little")
    content = path.read_bytes()
    place = content.rfind(right)
    path.write_bytes(content[:place] + (5).to_bytes(8, "little") + content[place + 8 :])
    assert read(path, [column("id")])["id"].to_list() == ["1000", "2000", "3000"]


def test_a_page_that_does_not_match_its_checksum_rejects_the_file(tmp_path):
    table = pa.table({"id": [f"name {n}" for n in range(1000)]})
    path = write(tmp_path, table, compression="none", write_page_checksum=True, use_dictionary=False)
    content = bytearray(path.read_bytes())
    content[500] ^= 1
    path.write_bytes(content)
    with pytest.raises(FileRejectedError, match="data is broken"):
        read(path, [column("id")])


@pytest.fixture
def child(monkeypatch, tmp_path):
    """Puts another program in the place of the reading child."""

    def become(program: str) -> None:
        script = tmp_path / "child"
        script.write_text(f"#!/bin/sh\n{program}\n")
        script.chmod(0o700)
        monkeypatch.setattr(columnar.sys, "executable", str(script))

    return become


@pytest.mark.parametrize(
    "program", ["kill -SEGV $$", "exit 1", "cat >/dev/null; printf Bxxxxxxxxxx", "head -c 5 >/dev/null"]
)
def test_a_child_that_crashes_costs_its_file(tmp_path, child, program):
    path = write(tmp_path, pa.table({"id": [1]}))
    child(program)
    with pytest.raises(FileRejectedError, match="the file cannot be read"):
        read(path, [column("id")])


def test_a_child_that_hangs_is_ended(tmp_path, child, monkeypatch):
    monkeypatch.setattr(columnar, "MOST_SILENCE", 0.2)
    path = write(tmp_path, pa.table({"id": [1]}))
    child("exec sleep 60")
    with pytest.raises(FileRejectedError, match="takes too long"):
        read(path, [column("id")])


def test_a_file_that_wants_too_much_memory_is_rejected(tmp_path, monkeypatch):
    path = tmp_path / "f.parquet.gz"
    path.write_bytes(gzip.compress(bytes(200 << 20), 1))
    monkeypatch.setattr(columnar, "MOST_MEMORY", 300 << 20)
    with pytest.raises(FileRejectedError, match="more memory"):
        read(path, [column("id")])


def test_a_file_that_wants_too_much_time_is_rejected(tmp_path, monkeypatch):
    path = write(tmp_path, pa.table({"id": [list(range(60))] * 200_000}))
    monkeypatch.setattr(columnar, "MOST_SECONDS", 1)
    with pytest.raises(FileRejectedError, match="cannot be read"):
        read(path, [column("id")])


def test_equal_values_without_end_are_a_bomb(tmp_path, monkeypatch):
    path = write(tmp_path, pa.table({"id": ["x" * 500] * 60_000}))
    monkeypatch.setattr(columnar, "FREE", 0)
    with pytest.raises(FileRejectedError, match="far more than a feed"):
        read(path, [column("id")])


def test_the_child_is_told_no_secret(monkeypatch, tmp_path, child):
    monkeypatch.setenv("LAKEHOUSE_KEY", SECRET)
    path = write(tmp_path, pa.table({"id": [1]}))
    child(f"env > {tmp_path}/env; echo $@ >> {tmp_path}/env")
    with pytest.raises(FileRejectedError):
        read(path, [column("id")])
    seen = (tmp_path / "env").read_text()
    assert SECRET not in seen
    assert path.name not in seen
