"""A batch that failed a batch check stays in raw, and is judged again from there once its contract has changed."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from lakehouse import storage
from lakehouse.contract.model import Check, CheckKind, Rule
from lakehouse.ingest import ingest, landing, quarantine, resume
from lakehouse.model import Tier

pytestmark = pytest.mark.slow

_spec = importlib.util.spec_from_file_location("ingest_domain", Path(__file__).with_name("ingest_domain.py"))
domain = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(domain)
FEW = domain.HEADER + "1,1,1,few\nbad,1,1,x\n1,1,1,few\n2,1,9,few\n"
MANY = domain.HEADER + "".join(f"{number},1,1,many\n" for number in range(2, 12))


def table_with(minimum: int):
    return domain.order_table(checks=(Check("enough_rows", CheckKind.BATCH, Rule.ROW_COUNT, minimum=str(minimum)),))


def take(lake, table, clock, *files: tuple[str, str], version="1.0.0"):
    place = landing.folder(lake, table)
    place.mkdir(parents=True, exist_ok=True)
    paths = [place / name for name, _ in files]
    for path, (_, content) in zip(paths, files, strict=True):
        path.write_text(content)
    return ingest(lake, domain.project_of(table, version=version), table, paths, now=clock)


def states(lake, table) -> list[str]:
    return storage.batches(lake, table.id)["state"].to_list()


def ledger(lake, table) -> dict[str, int]:
    found = storage.balance(lake, table.id)
    assert found.unbalanced == ()
    names = ("read", "staged", "quarantined", "duplicate", "conflict", "held", "pending")
    return {name: total for name in names if (total := int(found.rows[name].sum()))}


@pytest.fixture
def held(lake, clock):
    """The strict contract under which one batch is held and another one came through."""
    strict = table_with(5)
    report = take(lake, strict, clock, ("few.csv", FEW), ("many.csv", MANY))
    assert [batch.state for batch in report.batches] == ["held", "staged"]
    assert ledger(lake, strict) == {"read": 14, "staged": 10, "held": 4}
    return strict


def test_under_the_same_contract_it_stays_held_and_is_not_judged_again(lake, held, clock):
    before = storage.snapshot(lake, held.id).version
    report = take(lake, held, clock, ("few.csv", FEW))
    assert [batch.state for batch in report.batches] == ["held"]
    assert "failed `enough_rows`" in report.batches[0].reason
    assert report.refused
    assert not (landing.folder(lake, held) / "few.csv").exists()
    assert storage.snapshot(lake, held.id).version == before


@pytest.mark.parametrize("again", [True, False], ids=["delivered-again", "resumed"])
def test_after_the_contract_changed_its_rows_come_in_once(lake, held, clock, again):
    mild = table_with(2)
    if again:
        report = take(lake, mild, clock, ("few.csv", FEW))
        assert [batch.state for batch in report.batches] == ["staged", "skipped"]
    else:
        report = resume(lake, domain.project_of(mild), mild)
        assert [batch.state for batch in report.batches] == ["staged"]
    first = report.batches[0]
    # it came before `many.csv`, so of key 2 its row is the first delivery, as it is after a rebuild
    assert (first.staged, first.quarantined, first.duplicate, first.conflict) == (2, 1, 1, 0)
    assert states(lake, mild) == ["staged", "staged"]
    assert ledger(lake, mild) == {"read": 14, "staged": 11, "quarantined": 1, "duplicate": 1, "conflict": 1}
    assert storage.scan(lake, mild.id.at(Tier.RAW)).collect().height == 14
    notes = storage.scan(lake, mild.id).filter(pl.col("id") <= 2).sort("id").collect()["note"].to_list()
    assert notes == ["few", "few"]
    assert quarantine.counts(lake, mild.id)["rows"].sum() == 1
    assert resume(lake, domain.project_of(mild), mild).batches == ()


def test_a_new_version_alone_is_a_changed_contract_and_held_again_counts_once(lake, held):
    for version in ("1.1.0", "1.2.0"):
        report = resume(lake, domain.project_of(held, version=version), held)
        assert [batch.state for batch in report.batches] == ["held"]
        assert resume(lake, domain.project_of(held, version=version), held).batches == ()
    assert ledger(lake, held) == {"read": 14, "staged": 10, "held": 4}
    assert storage.batches(lake, held.id)["reason"].to_list() == ["failed `enough_rows`", None]


def test_a_text_of_the_contract_changes_nothing_about_it(lake, held):
    worded = replace(
        held,
        columns=tuple(replace(column, description="in other words", where="x:9") for column in held.columns),
        checks=tuple(replace(check, description="in other words", where="x:7") for check in held.checks),
    )
    assert resume(lake, domain.project_of(worded), worded).batches == ()


def test_a_run_that_dies_while_releasing_is_repeated_without_doubling(lake, held, monkeypatch):
    mild = table_with(2)
    commit = storage.Transaction.commit

    def dies(self, kind, **more):
        if kind == "stage":
            raise RuntimeError("died")
        return commit(self, kind, **more)

    with monkeypatch.context() as patch:
        patch.setattr(storage.Transaction, "commit", dies)
        with pytest.raises(RuntimeError, match="died"):
            resume(lake, domain.project_of(mild), mild)
    assert states(lake, mild) == ["held", "staged"]
    resume(lake, domain.project_of(mild), mild)
    assert states(lake, mild) == ["staged", "staged"]
    assert ledger(lake, mild) == {"read": 14, "staged": 11, "quarantined": 1, "duplicate": 1, "conflict": 1}
    assert quarantine.counts(lake, mild.id)["rows"].sum() == 1


def test_an_empty_batch_is_held_and_released_without_events(lake, clock):
    strict, mild = table_with(1), table_with(0)
    assert take(lake, strict, clock, ("empty.csv", domain.HEADER)).batches[0].state == "held"
    assert resume(lake, domain.project_of(mild), mild).batches[0].state == "staged"
    assert storage.read_ledger(lake).height == 0


def test_the_report_names_the_version_that_readers_see(lake, clock):
    """Ten small deliveries make the tail large enough to be merged after the last one's commit."""
    table = replace(domain.order_table(), layout="entity")
    versions: list[int] = []
    for number in range(10):
        report = take(lake, table, clock, (f"{number}.csv", domain.HEADER + f"{number},{number},1,x\n"))
        versions.append(report.staged_version)
        assert report.staged_version == storage.snapshot(lake, table.id).version
    assert versions[-1] > 9  # merges happened
