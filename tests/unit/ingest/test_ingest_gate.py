"""Landing to raw to staged on a small table: types, quarantine, repeats, held batches, rejections, resuming."""

from __future__ import annotations

import datetime as dt
import gzip
import importlib.util
from pathlib import Path

import polars as pl
import pytest

from lakehouse import storage
from lakehouse.contract.model import Check, CheckKind, Rule, Source
from lakehouse.ingest import gate, gateway, ingest, landing, opener, quarantine, resume
from lakehouse.ingest.modes import appending, repeats
from lakehouse.ingest.readers import delivery

_spec = importlib.util.spec_from_file_location("ingest_domain", Path(__file__).with_name("ingest_domain.py"))
domain = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(domain)
HEADER = domain.HEADER


@pytest.fixture
def table():
    return domain.order_table()


def deliver(lake, table, name: str, content: str | bytes) -> Path:
    place = landing.folder(lake, table)
    place.mkdir(parents=True, exist_ok=True)
    path = place / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def take(lake, table, clock, *files: tuple[str, str | bytes]):
    paths = [deliver(lake, table, name, content) for name, content in files]
    return ingest(lake, domain.project_of(table), table, paths, now=clock)


def staged(lake, table) -> pl.DataFrame:
    return storage.scan(lake, table.id).collect().sort("_batch", "_row")


def raw(lake, table) -> pl.DataFrame:
    return pl.concat(opener.opened(lake, table)).sort("_batch", "_row")


def outcome(report):
    names = ("state", "rows", "staged", "quarantined", "duplicate", "conflict")
    return [tuple(getattr(batch, name) for name in names) for batch in report.batches]


def test_rows_arrive_typed_and_the_file_leaves(lake, table, clock):
    report = take(lake, table, clock, ("a.csv", HEADER + "1,17850.0,1.50,x\n2,,,\n"))
    assert outcome(report) == [("staged", 2, 2, 0, 0, 0)]
    rows = staged(lake, table)
    assert rows["id"].to_list() == [1, 2]
    assert [str(value) for value in rows["amount"]] == ["1.50", "None"]
    assert rows["_landed_at"].to_list() == [clock, clock]
    assert [value is None for value in rows["_entity"]] == [False, True]
    assert raw(lake, table)["person"].to_list() == ["17850.0", ""]
    assert not (landing.folder(lake, table) / "a.csv").exists()
    assert storage.balance(lake, table.id).unbalanced == ()


def test_bad_rows_are_pointers_and_raw_keeps_their_bytes(lake, table, clock):
    report = take(lake, table, clock, ("a.csv", HEADER + '1,2,3,x\nnope,2,9e9,x\n3,"broken,1,x\n4,1\n'))
    assert outcome(report) == [("staged", 4, 1, 3, 0, 0)]
    assert report.row_checks == {"type_id": 1, "required_id": 0, "type_amount": 1, quarantine.READABLE: 2}
    assert raw(lake, table)["_bytes"].to_list() == [None, None, b'3,"broken,1,x', b"4,1"]
    counts = quarantine.counts(lake, table.id)
    assert dict(counts.select("check", "rows").rows()) == {"type_id": 1, "type_amount": 1, quarantine.READABLE: 2}
    pointers = storage.scan(lake, quarantine.place(table.id)).collect().sort("_row")
    assert pointers.columns == ["_batch", "_row", "failed", "contract_version"]
    assert pointers["_row"].to_list() == [1, 2, 3]
    assert storage.balance(lake, table.id).unbalanced == ()


def test_the_same_file_again_changes_nothing(lake, table, clock):
    content = HEADER + "1,1,1,x\n"
    take(lake, table, clock, ("a.csv", content))
    before = storage.snapshot(lake, table.id).version
    report = take(lake, table, clock, ("a.csv", content))
    assert outcome(report) == [("skipped", 0, 0, 0, 0, 0)]
    assert storage.snapshot(lake, table.id).version == before
    assert not (landing.folder(lake, table) / "a.csv").exists()


def test_a_file_named_twice_is_taken_once(lake, table, clock):
    path = deliver(lake, table, "a.csv", HEADER + "1,1,1,x\n")
    report = ingest(lake, domain.project_of(table), table, [path, path], now=clock)
    assert sorted(batch.state for batch in report.batches) == ["skipped", "staged"]
    assert staged(lake, table).height == 1


def test_the_first_delivery_stays_and_repeats_are_told_apart(lake, table, clock):
    take(lake, table, clock, ("a.csv", HEADER + "1,1,1,x\n2,1,1.00,x\n2,1,1,x\n2,1,1,other\n"))
    report = take(lake, table, clock, ("b.csv", HEADER + "1,1,1.0,x\n2,1,7,x\n3,1,1,x\n3,1,1,y\n"))
    assert outcome(report) == [("staged", 4, 1, 0, 1, 2)]
    rows = staged(lake, table)
    assert rows.select("id", "note").rows() == [(1, "x"), (2, "x"), (3, "x")]
    assert storage.balance(lake, table.id).unbalanced == ()


def test_repeats_across_blocks_and_batches_of_one_commit(lake, table, clock, monkeypatch):
    monkeypatch.setattr(gateway, "_ENOUGH_ROWS", 3)
    _read_by(40, monkeypatch)
    rows = "".join(f"{number % 40},{number % 7},{number % 40},x\n" for number in range(100))
    report = take(lake, table, clock, ("a.csv", HEADER + rows), ("b.csv", HEADER + "5,5,5,x\n41,1,1,x\n6,6,6,z\n"))
    assert outcome(report)[0][:4] == ("staged", 100, 40, 0)
    assert sum(outcome(report)[0][4:]) == 60
    assert outcome(report)[1][1:3] == (3, 1)
    assert sorted(staged(lake, table)["id"]) == [*range(40), 41]
    assert storage.balance(lake, table.id).unbalanced == ()


def test_suspects_are_looked_up_before_they_are_too_many(lake, table, clock, monkeypatch):
    monkeypatch.setattr(appending, "MOST_SUSPECTS", 2)
    monkeypatch.setattr(gateway, "_ENOUGH_ROWS", 2)
    files = [(f"{number}.csv", HEADER + "1,1,1,x\n2,1,1,x\n") for number in range(5)]
    report = take(lake, table, clock, *[(name, content + "\n" * n) for n, (name, content) in enumerate(files)])
    assert sum(batch.duplicate for batch in report.batches) == 8
    assert staged(lake, table)["_batch"].to_list() == [1, 1]


def test_a_hash_collision_is_no_repeat(lake, table, clock, monkeypatch):
    monkeypatch.setattr(repeats.KeyFilter, "known", lambda _, hashes: hashes > -1)
    report = take(lake, table, clock, ("a.csv", HEADER + "1,1,1,x\n2,1,1,x\n1,1,1,x\n"))
    assert outcome(report) == [("staged", 3, 2, 0, 1, 0)]


def test_occurrences_count_within_a_file_and_go_on_across_blocks(lake, clock, monkeypatch):
    lines = domain.line_table()
    monkeypatch.setattr(gateway, "_ENOUGH_ROWS", 2)
    _read_by(5, monkeypatch)
    content = "order,article\n" + "A,x\nB,y\nA,x\nA,\nA,z\nB,y\n"
    report = take(lake, lines, clock, ("a.csv", content), ("b.csv", content + "C,c\n"))
    assert outcome(report) == [("staged", 6, 5, 1, 0, 0), ("staged", 7, 1, 1, 5, 0)]
    rows = staged(lake, lines)
    assert rows.select("order", "line").rows() == [("A", 1), ("B", 1), ("A", 2), ("A", 4), ("B", 2), ("C", 1)]


def test_a_batch_check_holds_its_batch_only(lake, clock):
    enough = Check("enough_rows", CheckKind.BATCH, Rule.ROW_COUNT, minimum="2")
    table = domain.order_table(checks=(enough,))
    report = take(
        lake,
        table,
        clock,
        ("a.csv", HEADER + "1,1,1,held\n"),
        ("b.csv", HEADER + "1,1,1,good\nbad,1,1,x\n"),
    )
    assert outcome(report) == [("held", 1, 0, 0, 0, 0), ("staged", 2, 1, 1, 0, 0)]
    assert report.batches[0].reason == "failed `enough_rows`"
    assert staged(lake, table)["note"].to_list() == ["good"]
    assert quarantine.counts(lake, table.id)["rows"].sum() == 1
    assert [result.passed for result in report.batch_checks if result.name == "enough_rows"].count(False) == 1
    assert storage.batches(lake, table.id)["state"].to_list() == ["held", "staged"]
    assert storage.balance(lake, table.id).unbalanced == ()
    assert report.refused


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        (("a.csv", "id,person,amount\n1,1,1\n"), "missing `note`"),
        (("a.csv", ""), "empty"),
        (("a.csv.gz", gzip.compress((HEADER + "1,1,1,x\n").encode())[:-4]), "ends too early"),
        (("a.txt", HEADER), "no source"),
    ],
)
def test_a_file_that_cannot_be_taken_is_rejected_and_set_aside(lake, table, clock, file, reason):
    report = take(lake, table, clock, file, ("b.csv", HEADER + "1,1,1,x\n"))
    assert [batch.state for batch in report.batches] == ["rejected", "staged"]
    assert reason in report.batches[0].reason
    name = file[0]
    folder = landing.folder(lake, table)
    assert not (folder / name).exists()
    assert (folder.with_name("order.rejected") / name).exists()
    states = storage.batches(lake, table.id)
    assert reason in states.filter(pl.col("state") == "rejected")["reason"].item()


def test_a_file_broken_halfway_leaves_nothing_and_the_others_come_in(lake, table, clock, monkeypatch):
    monkeypatch.setattr(gateway, "_ENOUGH_ROWS", 2)
    _read_by(64, monkeypatch)
    rows = "".join(f"{number},1,1,{number * 7919 % 1000003}\n" for number in range(5000))
    broken = gzip.compress((HEADER + rows).encode())[:-8]
    report = take(
        lake, table, clock, ("a.csv", HEADER + "1,1,1,first\n"), ("b.csv.gz", broken), ("c.csv", HEADER + "2,1,1,x\n")
    )
    assert sorted(batch.state for batch in report.batches) == ["rejected", "staged", "staged"]
    assert staged(lake, table)["id"].to_list() == [1, 2]
    assert raw(lake, table).height == 2


def test_a_rejected_file_is_tried_again_when_it_is_delivered_again(lake, clock):
    old = domain.order_table(source=Source("shop", pattern="*.csv", delimiter=";"))
    new = domain.order_table(source=Source("shop", pattern="*.csv"))
    assert outcome(take(lake, old, clock, ("a.csv", HEADER + "1,1,1,x\n")))[0][0] == "rejected"
    assert outcome(take(lake, new, clock, ("a.csv", HEADER + "1,1,1,x\n")))[0][0] == "staged"


def test_a_header_alone_is_a_batch_without_rows(lake, table, clock):
    assert outcome(take(lake, table, clock, ("a.csv", HEADER))) == [("staged", 0, 0, 0, 0, 0)]
    assert storage.batches(lake, table.id)["state"].to_list() == ["staged"]


def test_resuming_gives_the_same_staged_table(lake, table, clock, monkeypatch):
    content = HEADER + "1,1,1,x\nbad,1,1,x\n2,2,2,x\n2,2,2,x\n1,1,1,other\n3,broken\n"
    with monkeypatch.context() as patched:
        patched.setattr(gate.Gate, "close", _die)
        with pytest.raises(RuntimeError, match="died"):
            take(lake, table, clock, ("a.csv", content))
    assert not storage.exists(lake, table.id)
    monkeypatch.setattr(gate, "ROWS_AT_ONCE", 2)
    report = resume(lake, domain.project_of(table), table)
    assert outcome(report) == [("staged", 6, 2, 2, 1, 1)]
    assert staged(lake, table).select("_row", "id", "note").rows() == [(0, 1, "x"), (2, 2, "x")]
    assert quarantine.counts(lake, table.id)["rows"].sum() == 2
    assert storage.balance(lake, table.id).unbalanced == ()
    assert resume(lake, domain.project_of(table), table).batches == ()


def test_pointers_are_written_once_when_the_gate_runs_again(lake, table, clock, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(storage.Transaction, "commit", _dies_on("stage", storage.Transaction.commit))
        with pytest.raises(RuntimeError, match="died"):
            take(lake, table, clock, ("a.csv", HEADER + "bad,1,1,x\n1,1,1,x\n"))
    assert quarantine.counts(lake, table.id)["rows"].sum() == 1
    resume(lake, domain.project_of(table), table)
    assert quarantine.counts(lake, table.id)["rows"].sum() == 1


def test_no_delivered_value_is_in_the_manifest_the_ledger_or_the_report(lake, table, clock):
    name = "jane-doe-secret.csv"
    report = take(lake, table, clock, (name, HEADER + "oops-secret,secret,secret,secret\n1,1,1,a\n"))
    said = repr(report) + repr(storage.batches(lake, table.id).rows()) + repr(storage.read_ledger(lake).rows())
    said += repr(storage.scan(lake, quarantine.place(table.id)).collect().rows())
    assert "secret" not in said


def test_kept_files_stay_for_their_days(lake, clock):
    table = domain.order_table(source=Source("shop", pattern="*.csv", keep_days=2))
    take(lake, table, clock, ("a.csv", HEADER + "1,1,1,x\n"))
    kept = landing.folder(lake, table).with_name("order.kept") / "a.csv"
    assert kept.exists()
    assert landing.drop_expired(lake, table, clock + dt.timedelta(days=1)) == 0
    assert landing.drop_expired(lake, table, clock + dt.timedelta(days=2)) == 1
    assert not kept.exists()


def test_a_file_elsewhere_is_left_where_it_is(lake, table, clock, tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text(HEADER + "1,1,1,x\n")
    assert outcome(ingest(lake, domain.project_of(table), table, [path], now=clock))[0][0] == "staged"
    assert path.exists()


def test_the_delivery_time_is_read_from_the_name(lake, clock):
    table = domain.order_table(source=Source("shop", pattern="*.csv", delivered_at="%Y-%m-%d.csv"))
    take(lake, table, clock, ("2011-03-01.csv", HEADER + "1,1,1,x\n"))
    expected = dt.datetime(2011, 3, 1, 23, 59, 59, 999999, tzinfo=dt.UTC)
    assert storage.batches(lake, table.id)["delivered_at"].to_list() == [expected]


def _read_by(size: int, monkeypatch) -> None:
    """Let files be read in tiny blocks."""
    init = delivery.Delivery.__init__
    monkeypatch.setattr(
        delivery.Delivery, "__init__", lambda self, *args, **more: init(self, *args, **more, block=size)
    )


def _die(*_: object, **__: object) -> None:
    raise RuntimeError("died")


def _dies_on(kind: str, commit):
    def replaced(self, word: str, **more):
        if word == kind:
            _die()
        return commit(self, word, **more)

    return replaced
