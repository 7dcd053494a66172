"""Generated files: names, headers, counts, repeatability, faults that are counted, profiles for given ids."""

from __future__ import annotations

import gzip
from pathlib import Path

import polars as pl
import pytest

from lakehouse.demo.faults import Fault
from lakehouse.demo.generate import blocks, generate
from lakehouse.errors import ProjectError, UsageError
from lakehouse.model import TableId, Tier

LINES = TableId(Tier.STAGED, "retail", "invoice_line")
CUSTOMERS = TableId(Tier.STAGED, "retail", "customer")
PAYMENT = TableId(Tier.STAGED, "bank", "payment")
HOLDER = TableId(Tier.STAGED, "bank", "holder")


def read(files) -> pl.DataFrame:
    return pl.concat([pl.read_csv(file, infer_schema=False) for file in files])


def files_of(out: Path, table: TableId) -> list[Path]:
    return sorted((out / table.domain / table.table).iterdir())


def test_files_have_the_header_and_names_of_the_real_ones(shop, tmp_path, shared_data):
    generate(shop, tmp_path, rows=5000)
    real = shared_data / "retail" / "uci-online-retail" / "by-day"
    made = files_of(tmp_path, LINES)
    assert {file.name for file in made} >= {"2010-12-01.csv.gz", "2011-10-31.csv.gz"}
    with gzip.open(real / "2010-12-01.csv.gz", "rt") as expected, gzip.open(made[0], "rt") as found:
        assert found.readline() == expected.readline()


def test_rows_look_like_the_real_ones(shop, tmp_path):
    generate(shop, tmp_path, rows={LINES: 60_000})
    lines = read(files_of(tmp_path, LINES))
    quantity, price = lines["Quantity"].cast(pl.Int64), lines["UnitPrice"].cast(pl.Float64)
    assert len(lines) == 60_000
    assert lines["CustomerID"].drop_nulls().str.contains(r"^\d{5}\.0$").all()
    assert 0.2 < lines["CustomerID"].null_count() / len(lines) < 0.32
    cancelled = lines["InvoiceNo"].str.starts_with("C")
    assert 0.005 < cancelled.mean() < 0.1
    assert (quantity.filter(cancelled & (lines["StockCode"].str.contains(r"^\d"))) < 0).all()
    assert 0.001 < (price <= 0).mean() < 0.02
    assert {"POST", "DOT", "M"} <= set(lines["StockCode"])
    repeats = len(lines) - lines.select("InvoiceNo", "StockCode").n_unique()
    assert repeats > 0
    assert (quantity != 0).all()
    per_invoice = lines.group_by("InvoiceNo").agg(
        pl.col("InvoiceDate").n_unique(), pl.col("CustomerID").drop_nulls().n_unique()
    )
    assert per_invoice["InvoiceDate"].max() == 1
    assert per_invoice["CustomerID"].max() == 1


def test_equal_seeds_give_equal_bytes_and_other_seeds_do_not(bank, tmp_path):
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        generate(bank, tmp_path / name, rows=3000, seed=seed, faults=0.01)
    content = {
        name: [(file.name, file.read_bytes()) for file in files_of(tmp_path / name, PAYMENT)]
        for name in ("a", "b", "c")
    }
    assert content["a"] == content["b"]
    assert content["a"] != content["c"]


def test_the_rows_asked_for_are_made_in_all_and_by_table(bank, tmp_path):
    made = generate(bank, tmp_path, rows=4321)
    assert sum(made.rows.values()) == 4321
    assert made.rows[HOLDER] > 0
    assert generate(bank, tmp_path / "x", rows={HOLDER: 17}).rows == {HOLDER: 17}


def test_every_fault_is_there_as_often_as_it_was_counted(bank, tmp_path):
    clean = generate(bank, tmp_path / "clean", rows={PAYMENT: 20_000, HOLDER: 500})
    made = generate(bank, tmp_path / "faulty", rows={PAYMENT: 20_000, HOLDER: 500}, faults=0.03)
    faults = made.faults[PAYMENT]
    assert set(faults) == set(Fault)
    assert sum(faults.values()) == pytest.approx(600, abs=10)
    frames = [
        pl.concat(
            [
                pl.read_csv(file, separator=";", infer_schema=False).with_columns(day=pl.lit(file.name[:8]))
                for file in files_of(tmp_path / name, PAYMENT)
            ]
        )
        for name in ("clean", "faulty")
    ]
    before, after = frames
    known = set(read(files_of(tmp_path / "faulty", HOLDER))["holder_id"].drop_nulls())
    good_date = r"^20\d\d-(0[1-9]|1[0-2])-\d\d \d\d:\d\d:\d\d$"
    assert len(after) == len(before) + faults[Fault.DUPLICATE]
    assert after["payment_id"].null_count() == faults[Fault.MISSING_KEY]
    dates = pl.col("booked_at").str.to_datetime("%Y-%m-%d %H:%M:%S", strict=False)
    assert (
        after.filter(dates.is_null() & pl.col("booked_at").str.contains(good_date).is_not_null())["booked_at"].len()
        == faults[Fault.BAD_DATE]
    )
    wrong_ids = (~after["payment_id"].drop_nulls().str.contains(r"^\d+$")).sum()
    assert wrong_ids + (~after["amount"].str.contains(r"^-?\d+\.\d+$")).sum() == faults[Fault.WRONG_TYPE]
    strangers = after.filter(~pl.col("holder_id").is_in(list(known)))
    assert len(strangers) >= faults[Fault.ORPHAN]
    own_day = dates.dt.strftime("%Y%m%d")
    later = after.filter(own_day.is_not_null() & (own_day != pl.col("day")))
    assert len(later) == faults[Fault.LATE] + faults[Fault.DUPLICATE]
    assert (later.select(own_day < pl.col("day")).to_series()).all()
    assert clean.faults[PAYMENT] == {}


def test_profiles_are_made_for_the_ids_found_in_real_files(shop, tmp_path):
    given = tmp_path / "2010-12-01.csv"
    given.write_text("InvoiceNo,CustomerID\n1,17850.0\n2,\n3,13047.0\n4,17850.0\n")
    made = generate(shop, tmp_path / "out", rows=1, profiles_for=[given])
    profiles = read(files_of(tmp_path / "out", CUSTOMERS))
    assert made.rows == {CUSTOMERS: 2}
    assert profiles["CustomerID"].to_list() == ["13047", "17850"]


def test_a_file_that_names_no_entity_is_refused(shop, tmp_path):
    given = tmp_path / "other.csv"
    given.write_text("a,b\n1,2\n")
    with pytest.raises(ProjectError, match="names an entity"):
        generate(shop, tmp_path / "out", rows=1, profiles_for=[given])


def test_profiles_are_people_with_checkable_numbers(bank, tmp_path):
    generate(bank, tmp_path, rows={HOLDER: 2000})
    people = read(files_of(tmp_path, HOLDER))
    assert people["holder_id"].n_unique() == 2000
    assert people["mail"].n_unique() == 2000
    assert people["mail"].str.contains(r"^[a-z0-9.]+@([a-z]+\.)?example\.(com|org|net)$").all()
    assert people["born"].str.to_date("%Y-%m-%d").null_count() == 0
    for account in people["account"].head(200):
        moved = account[4:] + account[:4]
        assert int("".join(str(int(character, 36)) for character in moved)) % 97 == 1


def test_payments_name_holders_that_have_profiles(bank, tmp_path):
    generate(bank, tmp_path, rows={PAYMENT: 3000, HOLDER: 40})
    payments = pl.concat([pl.read_csv(f, separator=";", infer_schema=False) for f in files_of(tmp_path, PAYMENT)])
    assert set(payments["holder_id"]) <= set(read(files_of(tmp_path, HOLDER))["holder_id"])


@pytest.mark.parametrize("tier", ["curated", "features"])
def test_tables_of_every_tier_can_be_made(shop, tier):
    for table in (each for each in shop.tables if each.id.tier == tier):
        made = pl.concat([block.rows for block in blocks(shop, table.id, rows=200)])
        assert made.columns == [*(column.name for column in table.delivered), "_file"]
        assert len(made) == 200
        assert made.select(table.key).n_unique() == 200
        assert made.null_count().sum_horizontal().item() == 0


def test_no_file_is_visible_before_it_is_whole(bank, tmp_path, monkeypatch):
    seen: list[str] = []
    original = Path.replace

    def watching(self, target):
        seen.append(self.name)
        return original(self, target)

    monkeypatch.setattr(Path, "replace", watching)
    made = generate(bank, tmp_path, rows=500)
    assert sorted(seen) == sorted(f".{file.name}.part" for file in made.files)


def test_shares_and_counts_that_make_no_sense_are_refused(bank, tmp_path):
    with pytest.raises(UsageError, match="share of faults"):
        generate(bank, tmp_path, rows=10, faults=1.0)
    with pytest.raises(UsageError, match="negative"):
        generate(bank, tmp_path, rows=-1)


def test_more_profiles_than_ids_are_refused(shop, tmp_path):
    with pytest.raises(UsageError, match="profiles asked for"):
        generate(shop, tmp_path, rows={CUSTOMERS: 100_000})
