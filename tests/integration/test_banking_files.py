"""The bank's real files (Berka) through every tier, and generated ones in the same shapes where the real are not at hand."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from assets.features.banking import next_best_action
from lakehouse import storage
from lakehouse.model import Tier
from tests.integration.domain_lake import generated_files_go_all_the_way, has_the_contracts_rows, lake_of
from tests.stores import everywhere

FILES = {
    "district": ("district.asc", 77),
    "client": ("client.asc", 5_369),
    "account": ("account.asc", 4_500),
    "disposition": ("disp.asc", 5_369),
    "transaction": ("trans_199301_199403.asc", 49_102),
    "loan": ("loan.asc", 682),
    "card": ("card.asc", 892),
    "standing_order": ("order.asc", 6_471),
}
BALANCES, OVERVIEW, OFFERS = "account_month_balances", "client_overview", "next_best_action"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def real(shared_data):
    return {name: [shared_data / "banking/berka" / file] for name, (file, _) in FILES.items()}


@pytest.fixture(scope="module")
def bank(module_site, project_root, real):
    """The real files; 90 s, in a store the generated ones go this way."""
    with lake_of(project_root, module_site, "banking") as found:
        profiles = found.profiles(module_site.folder / "made", real["client"][0], "client_profile")
        report = found.run({**real, "client_profile": profiles})
        assert report.success, report.problems
        yield found, report


def test_every_row_of_every_file_is_staged(bank):
    found, _ = bank
    for name, (_, rows) in FILES.items():
        assert found.account(name) == {"read": rows, "staged": rows}
        assert found.quarantined(name) == {}
    assert found.account("client_profile") == {"read": 5_369, "staged": 5_369}


def test_every_check_of_every_tier_passes_on_the_real_files(bank):
    found, report = bank
    assert [f"{line.table}: {line.name}" for line in report.checks if not line.passed] == []
    judged = {(line.table, line.name) for line in report.checks}
    assert judged >= {(table.id, check.name) for table in found.project.tables for check in table.checks}


def test_sex_and_birth_date_come_out_of_the_birth_number(bank):
    clients = bank[0].rows("client")
    assert dict(clients["sex"].value_counts().rows()) == {"F": 2_645, "M": 2_724}
    first = clients.sort("client_id").head(2).select("birth_number", "birth_date", "sex").rows()
    assert first == [("706213", dt.date(1970, 12, 13), "F"), ("450204", dt.date(1945, 2, 4), "M")]
    assert (clients["birth_date"].min().year, clients["birth_date"].max().year) == (1911, 1987)


def test_dates_without_a_century_are_of_the_last_one(bank):
    found, _ = bank
    spans = {
        ("account", "opened_on"): ("1993-01-01", "1997-12-29"),
        ("transaction", "booked_on"): ("1993-01-01", "1994-03-31"),
        ("loan", "granted_on"): ("1993-07-05", "1998-12-08"),
        ("card", "issued_on"): ("1993-11-07", "1998-12-29"),
    }
    for (name, column), span in spans.items():
        days = found.rows(name)[column]
        assert (str(days.min()), str(days.max())) == span


def test_words_for_missing_are_missing(bank):
    found, _ = bank
    moved, orders = found.rows("transaction"), found.rows("standing_order")
    assert moved["k_symbol"].null_count() == 26_197 + 1_677
    assert moved["counter_account"].null_count() == 38_224 + 763
    assert moved["operation"].null_count() == 9_463
    assert orders["k_symbol"].null_count() == 1_379
    jesenik = found.rows("district").filter(pl.col("unemployment_1995").is_null())
    assert jesenik.select("name", "crimes_1995").rows() == [("Jesenik", None)]


def test_balances_add_up_month_by_month(bank):
    found, _ = bank
    months = has_the_contracts_rows(found, BALANCES, Tier.CURATED).sort("account_ref", "month")
    moved = found.rows("transaction")
    assert months.height == 10_950
    assert months["movements"].sum() == moved.height
    into = moved.filter(pl.col("direction") == "PRIJEM")["amount"].sum()
    assert (months["credited"].sum(), months["debited"].sum()) == (into, moved["amount"].sum() - into)
    assert (months["opening_balance"] + months["credited"] - months["debited"] == months["closing_balance"]).all()
    before = months.with_columns(before=pl.col("closing_balance").shift(1).over("account_ref").fill_null(Decimal(0)))
    assert (before["before"] == before["opening_balance"]).all()
    assert (months["balance_gap"].abs() > 2).sum() == 28


def test_joint_accounts_are_seen_from_both_sides(bank):
    found, _ = bank
    people = has_the_contracts_rows(found, OVERVIEW, Tier.CURATED)
    assert people.height == 5_369
    assert (people["owned_accounts"].sum(), people["usable_accounts"].sum()) == (4_500, 869)
    assert people["joint_accounts"].sum() == 2 * 869
    assert (people["loans"].sum(), people["cards"].sum()) == (682, 892)
    assert people["borrowed"].sum() == found.rows("loan")["amount"].sum()
    assert people["standing_orders"].sum() == 6_471
    assert people["best_card"].drop_nulls().value_counts().sort("best_card").rows() == [
        ("classic", 659),
        ("gold", 88),
        ("junior", 145),
    ]
    assert people.filter(pl.col("owned_accounts") == 0)["loans"].sum() == 0, "only owners borrow"
    assert 0 < people["reachable"].sum() < people.height


def test_features_are_those_of_month_ends_and_of_accounts(bank):
    found, _ = bank
    offers = has_the_contracts_rows(found, OFFERS, Tier.FEATURES)
    assert offers["as_of"].n_unique() == 15
    last = offers.filter(pl.col("as_of") == dt.date(1994, 3, 31))
    assert last.height == offers["account_ref"].n_unique() == found.rows("transaction")["account_id"].n_unique()
    closing = (
        found.rows(BALANCES, Tier.CURATED).sort("month").group_by("account_ref").agg(pl.col("closing_balance").last())
    )
    assert last.join(closing, on="account_ref").filter(pl.col("balance") != pl.col("closing_balance")).is_empty()
    assert last["receives_pension"].sum() > 0
    assert last["loans"].sum() == (found.rows("loan")["granted_on"] <= dt.date(1994, 3, 31)).sum()


@pytest.mark.parametrize("day", [dt.date(1993, 7, 31), dt.date(1993, 12, 31)])
def test_features_know_nothing_that_came_later(bank, day):
    found, _ = bank
    names = ("account", "transaction", "loan")
    then = next_best_action(*(found.known(name, day) for name in names), as_of=day).collect()
    now = found.rows(OFFERS, Tier.FEATURES).filter(pl.col("as_of") <= day)
    assert_frame_equal(then.select(now.columns), now, check_row_order=False)


def test_how_a_loan_ends_is_no_feature(bank):
    found, _ = bank
    day = dt.date(1994, 3, 31)
    account, moved, loans = (found.known(name, day) for name in ("account", "transaction", "loan"))
    blind = next_best_action(account, moved, loans.drop("status"), as_of=day).collect()
    now = found.rows(OFFERS, Tier.FEATURES)
    assert_frame_equal(blind.select(now.columns), now, check_row_order=False)


PROFILE = "client_id,name,email,phone,address,marital_status,occupation,wants_offers,updated_at\n"
NEW, OLD = "1,Nova,,,,,,true,1999-02-01 12:00:00\n", "1,Stara,,,,,,false,1999-01-01 12:00:00\n"


@pytest.mark.parametrize(
    ("any_place", "order"),
    everywhere({"new first": ((NEW, OLD),), "old first": ((OLD, NEW),)}, "new first"),
    indirect=["any_place"],
)
def test_of_two_profiles_the_later_one_stands_whichever_comes_first(project_root, tmp_path, site, order):
    with lake_of(project_root, site, "banking") as found:
        for number, line in enumerate(order):
            (tmp_path / f"{number}.csv").write_text(PROFILE + line)
            assert found.run({"client_profile": [tmp_path / f"{number}.csv"]}, found.table("client_profile")).success
        assert found.rows("client_profile").select("name", "wants_offers").rows() == [("Nova", True)]
        assert found.account("client_profile") == {"read": 2, "staged": 1, "superseded": 1}


def test_the_same_files_again_change_nothing(bank, real):
    found, _ = bank
    before = {name: storage.snapshot(found.lake, found.table(name)).version for name in FILES}
    assert found.run(real, *(found.table(name) for name in FILES)).success
    assert {name: storage.snapshot(found.lake, found.table(name)).version for name in FILES} == before
    test_every_row_of_every_file_is_staged(bank)


def test_generated_files_go_all_the_way(project_root, site):
    found = generated_files_go_all_the_way(project_root, site, "banking", rows=8_000 if site.is_local else 1_500)
    people = has_the_contracts_rows(found, OVERVIEW, Tier.CURATED)
    assert people["joint_accounts"].sum() > 0
    assert people["sex"].n_unique() == 2
    months = has_the_contracts_rows(found, BALANCES, Tier.CURATED)
    assert months["closing_balance"].n_unique() > 1
    has_the_contracts_rows(found, OFFERS, Tier.FEATURES)
