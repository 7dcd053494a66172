"""Which files may be taken, and how they are put there."""

from __future__ import annotations

import datetime as dt
import importlib.util
import os
from pathlib import Path

import pytest

from lakehouse.contract.model import Source
from lakehouse.errors import UsageError
from lakehouse.ingest import landing
from lakehouse.ingest.readers.delivery import BLOCK, Delivery

_spec = importlib.util.spec_from_file_location("ingest_domain", Path(__file__).with_name("ingest_domain.py"))
domain = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(domain)


def drop(folder: Path, name: str, *, at: dt.datetime) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text("x")
    os.utime(path, (at.timestamp(), at.timestamp()))
    return path


def test_settled_files_are_complete_and_unfinished_ones_are_not(lake, clock):
    table = domain.order_table()
    folder = landing.folder(lake, table)
    old = clock - dt.timedelta(seconds=10)
    for name in ("b.csv", "a.csv", ".hidden.csv", "x.csv.part", "y.tmp", "odd.txt"):
        drop(folder, name, at=old)
    drop(folder, "new.csv", at=clock - dt.timedelta(seconds=9))
    assert [path.name for path in landing.complete_files(lake, table, clock)] == ["a.csv", "b.csv", "odd.txt"]


def test_a_marker_says_when_a_file_is_complete(lake, clock):
    table = domain.order_table(source=Source("shop", pattern="*.csv", complete="marker"))
    folder = landing.folder(lake, table)
    drop(folder, "a.csv", at=clock - dt.timedelta(days=1))
    drop(folder, "b.csv", at=clock)
    drop(folder, "b.csv.done", at=clock)
    assert [path.name for path in landing.complete_files(lake, table, clock)] == ["b.csv"]


def test_no_folder_is_no_files(lake, clock):
    assert landing.complete_files(lake, domain.order_table(), clock) == []


def test_delivering_copies_whole_files_and_never_over_another(lake, tmp_path):
    table = domain.order_table(source=Source("shop", pattern="*.csv", complete="marker"))
    file = tmp_path / "a.csv"
    file.write_text("content")
    target = landing.deliver(lake, table, file)
    assert target.read_text() == "content"
    assert file.exists()
    assert sorted(path.name for path in target.parent.iterdir()) == ["a.csv", "a.csv.done"]
    assert landing.deliver(lake, table, file) == target  # the same content is the same delivery
    file.write_text("another")
    with pytest.raises(UsageError, match="waits in the landing folder"):
        landing.deliver(lake, table, file)
    assert target.read_text() == "content"
    assert sorted(path.name for path in target.parent.iterdir()) == ["a.csv", "a.csv.done"]


def test_what_a_dead_copier_left_goes_and_what_is_copied_now_stays(lake, tmp_path):
    table = domain.order_table()
    folder = landing.folder(lake, table)
    for name, age in (("dead", dt.timedelta(hours=2)), ("alive", dt.timedelta(minutes=1))):
        drop(folder, f".{name}.csv.01234567.delivering", at=lake.now() - age)
    file = tmp_path / "a.csv"
    file.write_text("content")
    landing.deliver(lake, table, file)
    assert sorted(path.name for path in folder.iterdir()) == [".alive.csv.01234567.delivering", "a.csv"]


@pytest.mark.parametrize("size", [1_000, BLOCK + 1_000])
@pytest.mark.parametrize("change", ["none", "rewritten", "grown", "replaced"])
def test_a_file_leaves_only_if_it_still_is_what_was_read(lake, clock, size, change):
    table = domain.order_table()
    path = drop(landing.folder(lake, table), "a.csv", at=clock)
    path.write_bytes(b"x" * size)
    with Delivery(path, table.sources[0], table.delivered) as delivery:
        read = delivery.fingerprint()
    match change:
        case "rewritten":
            with path.open("r+b") as file:
                file.write(b"y")
        case "grown":
            with path.open("ab") as file:
                file.write(b"y")
        case "replaced":
            other = path.with_name(".other")
            other.write_bytes(b"y" * size)
            other.rename(path)
    landing.discard(lake, table, path, read=read, now=clock)
    assert path.exists() == (change != "none")
