"""Files that somebody still works on: they grow, change or vanish while they are read. Nothing is half taken."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from lakehouse import storage
from lakehouse.ingest import ingest, landing
from lakehouse.ingest.readers import delivery
from lakehouse.model import Tier

_spec = importlib.util.spec_from_file_location("ingest_domain", Path(__file__).with_name("ingest_domain.py"))
domain = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(domain)
ROWS = "".join(f"{number},1,1,x\n" for number in range(400))
MORE = "".join(f"{number},1,1,x\n" for number in range(400, 500))


@pytest.fixture
def table():
    return domain.order_table()


@pytest.fixture
def path(lake, table) -> Path:
    place = landing.folder(lake, table)
    place.mkdir(parents=True)
    file = place / "a.csv"
    file.write_text(domain.HEADER + ROWS)
    return file


def meanwhile(monkeypatch, act, *, block: int) -> None:
    """Let `act` happen once, after the first block of the first file was read; blocks are of this size."""
    init, read = delivery.Delivery.__init__, delivery.Delivery.blocks
    done: list[bool] = []

    def interrupted(self):
        for frame in read(self):
            yield frame
            if not done:
                done.append(True)
                act()

    monkeypatch.setattr(
        delivery.Delivery, "__init__", lambda self, *args, **more: init(self, *args, **more, block=block)
    )
    monkeypatch.setattr(delivery.Delivery, "blocks", interrupted)


def take(lake, table, clock, *paths: Path):
    return ingest(lake, domain.project_of(table), table, paths, now=clock)


def states(report) -> list[str]:
    return [batch.state for batch in report.batches]


def heights(lake, table) -> tuple[int, int]:
    return tuple(storage.snapshot(lake, each).rows for each in (table.id.at(Tier.RAW), table.id))


def test_a_large_file_that_grows_is_rejected_whole_and_taken_when_it_is_delivered_again(
    lake, table, clock, path, monkeypatch
):
    def grow():
        with path.open("a") as file:
            file.write(MORE)

    other = path.with_name("b.csv")
    other.write_text(domain.HEADER + "1000,1,1,y\n")
    with monkeypatch.context() as patch:
        meanwhile(patch, grow, block=256)
        report = take(lake, table, clock, path, other)
    assert sorted(states(report)) == ["rejected", "staged"]
    assert "changed while it was read" in next(batch.reason for batch in report.batches if batch.reason)
    assert heights(lake, table) == (1, 1)
    aside = path.parent.with_name("order.rejected") / "a.csv"
    assert aside.exists()
    assert states(take(lake, table, clock, aside)) == ["staged"]
    assert heights(lake, table) == (501, 501)
    assert storage.balance(lake, table.id).unbalanced == ()


def test_a_small_file_is_read_at_once_and_what_it_grew_by_is_a_later_delivery(lake, table, clock, path, monkeypatch):
    with monkeypatch.context() as patch:
        meanwhile(patch, lambda: path.write_text(domain.HEADER + ROWS + MORE), block=1 << 20)
        assert states(take(lake, table, clock, path)) == ["staged"]
    assert path.exists()  # not the bytes that were read: it stays
    assert heights(lake, table) == (400, 400)
    (again,) = take(lake, table, clock, path).batches
    assert (again.staged, again.duplicate) == (100, 400)
    assert not path.exists()
    assert storage.balance(lake, table.id).unbalanced == ()


@pytest.mark.parametrize("block", [256, 1 << 20], ids=["large", "small"])
def test_a_file_that_vanishes_while_it_is_read_is_taken_whole(lake, clock, path, monkeypatch, block):
    table = domain.order_table()
    meanwhile(monkeypatch, path.unlink, block=block)
    assert states(take(lake, table, clock, path)) == ["staged"]
    assert heights(lake, table) == (400, 400)
    assert storage.balance(lake, table.id).unbalanced == ()


def test_a_file_that_shrinks_is_rejected(lake, table, clock, path, monkeypatch):
    path.write_text(domain.HEADER + "".join(f"{number},1,1,{'x' * 90}\n" for number in range(30_000)))
    meanwhile(monkeypatch, lambda: path.write_text(domain.HEADER), block=1 << 16)
    assert states(take(lake, table, clock, path)) == ["rejected"]
    assert not storage.exists(lake, table.id)


def test_a_file_that_vanished_before_costs_the_others_nothing(lake, table, clock, path, tmp_path):
    gone = path.with_name("gone.csv")
    report = take(lake, table, clock, gone, path)
    assert sorted((batch.batch, batch.state) for batch in report.batches) == [(0, "skipped"), (1, "staged")]
    assert not report.refused  # another run may have taken it
    report = take(lake, table, clock, tmp_path / "never.csv")
    assert (states(report), report.refused) == (["rejected"], True)
