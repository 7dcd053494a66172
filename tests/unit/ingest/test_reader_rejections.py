"""Files that are rejected: each once and with its own reason, also when a later one makes the others start anew."""

from __future__ import annotations

import gzip
import importlib.util
from pathlib import Path

import pytest

from lakehouse import storage
from lakehouse.ingest import ingest, landing
from lakehouse.ingest.readers import delivery

_spec = importlib.util.spec_from_file_location("ingest_domain", Path(__file__).with_name("ingest_domain.py"))
domain = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(domain)


@pytest.fixture
def take(lake, clock):
    def run(**files: bytes):
        table = domain.order_table()
        place = landing.folder(lake, table)
        place.mkdir(parents=True, exist_ok=True)
        paths = []
        for name, content in files.items():
            paths.append(place / name.replace("__", "."))
            paths[-1].write_bytes(content)
        report = ingest(lake, domain.project_of(table), table, paths, now=clock)
        assert storage.balance(lake, table.id).unbalanced == ()
        return report

    return run


def test_a_rejected_file_is_told_once_although_a_later_one_breaks_halfway(take, monkeypatch):
    init = delivery.Delivery.__init__
    monkeypatch.setattr(delivery.Delivery, "__init__", lambda self, *args, **more: init(self, *args, **more, block=64))
    rows = "".join(f"{n},{n},1.00,x\n" for n in range(3000))
    broken = gzip.compress((domain.HEADER + rows).encode())[:-8]
    report = take(
        a__csv=b"", b__csv=f"{domain.HEADER}9001,1,1.00,x\n".encode(), c__csv__gz=broken, d__csv=b"no header\n"
    )
    told = sorted((batch.state, batch.staged, batch.reason) for batch in report.batches)
    assert told == [
        ("rejected", 0, "the file has no header, or another table's"),
        ("rejected", 0, "the file is empty"),
        ("rejected", 0, "the gzip data ends too early"),
        ("staged", 1, None),
    ]


def test_a_file_that_may_not_be_read_is_rejected_and_its_reason_recorded(take, lake, monkeypatch):
    opened = Path.open

    def refuse(self, *args, **more):
        if self.name == "b.csv" and args == ("rb",):
            raise PermissionError
        return opened(self, *args, **more)

    monkeypatch.setattr(Path, "open", refuse)
    good = f"{domain.HEADER}1,1,1.00,x\n".encode()
    report = take(a__csv=good, b__csv=good)
    assert sorted(batch.state for batch in report.batches) == ["rejected", "staged"]
    manifest = storage.batches(lake, domain.order_table().id)
    assert manifest.filter(manifest["state"] == "rejected")["reason"].to_list() == ["the file cannot be opened"]
