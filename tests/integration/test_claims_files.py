"""The insurer's real files through every tier, and generated ones in the same shapes where the real are not at hand."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from assets.features.claims import fraud_signals, report_lag, severity
from lakehouse.model import Tier
from tests.integration.domain_lake import generated_files_go_all_the_way, has_the_contracts_rows, lake_of
from tests.stores import ON_DISK

FILES = {
    "notice": "auto-claims-1000/insurance_claims.csv",
    "policy": "casdatasets/pg17trainpol.csv.gz",
    "claim": "casdatasets/pg17trainclaim.csv.gz",
    "injury": "casdatasets/ausautoBI8999.csv.gz",
}
HOLDERS = "policyholder_claims"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def insurer(module_site, project_root, shared_data):
    """The real files; 90 s, in a store the bank's generated ones go this way."""
    real = {name: [shared_data / "insurance" / file] for name, file in FILES.items()}
    with lake_of(project_root, module_site, "claims") as found:
        profiles = found.profiles(module_site.folder / "made", real["policy"][0], "policyholder")
        report = found.run({**real, "policyholder": profiles})
        assert report.success, report.problems
        yield found, report


def test_every_row_of_every_file_is_accounted_for(insurer):
    found, _ = insurer
    assert found.account("notice") == {"read": 1_000, "staged": 999, "quarantined": 1}
    assert found.quarantined("notice") == {"bound_before_incident": 1}
    assert found.account("policy") == {"read": 100_000, "staged": 100_000}
    assert found.account("claim") == {"read": 14_243, "staged": 14_243}
    assert found.account("injury") == {"read": 22_036, "staged": 22_034, "duplicate": 2}
    assert found.account("policyholder") == {"read": 91_488, "staged": 91_488}


def test_every_check_of_every_tier_passes_on_the_real_files(insurer):
    found, report = insurer
    assert [f"{line.table}: {line.name}" for line in report.checks if not line.passed] == []
    (bound,) = [line for line in report.checks if line.name == "bound_before_incident"]
    assert (bound.failed_rows, bound.rows) == (1, 1_000), "within the tolerance that the contract names"
    judged = {(line.table, line.name) for line in report.checks}
    assert judged >= {(table.id, check.name) for table in found.project.tables for check in table.checks}


def test_a_question_mark_is_missing_and_none_is_an_answer(insurer):
    found, _ = insurer
    notices = found.rows("notice")
    assert len(found.project.table(found.table("notice")).columns) == 39
    for column, missing in (("collision_type", 178), ("property_damage", 360), ("police_report_available", 343)):
        assert abs(notices[column].null_count() - missing) <= 1, "one row of 1,000 is in quarantine"
    assert (notices["authorities_contacted"] == "None").sum() in {90, 91}
    assert (notices["umbrella_limit"] < 0).sum() == 1
    assert notices["fraud_reported"].sum() in {246, 247}


def test_policy_years_begin_in_the_base_year(insurer):
    found, _ = insurer
    for name in ("policy", "claim"):
        assert found.rows(name)["year_start"].unique().to_list() == [dt.date(2017, 1, 1)]


def test_negative_claims_stay_and_leading_zeros_count(insurer):
    found, _ = insurer
    assert (found.rows("claim")["claim_amount"] < 0).sum() == 1_263
    places = found.rows("policy")["pol_insee_code"]
    assert places.str.starts_with("0").any()
    assert places.str.contains("[AB]").sum() == 377


def test_claims_by_policyholder_add_up(insurer):
    found, _ = insurer
    holders = has_the_contracts_rows(found, HOLDERS, Tier.CURATED)
    claims = found.rows("claim")
    assert holders.height == 91_488
    assert holders["exposure_years"].sum() == 100_000
    assert holders["claims"].sum() == 14_243
    assert holders["net"].sum() == claims["claim_amount"].sum()
    assert holders["recovered"].sum() == -claims.filter(pl.col("claim_amount") < 0)["claim_amount"].sum()
    assert holders["has_profile"].all()
    assert (holders["claims"] > 0).sum() == claims["id_client"].n_unique()
    assert holders["claims_before"].sum() == 0, "there is one year only"


def test_features_have_a_row_each(insurer):
    found, _ = insurer
    notices = found.rows("notice")
    costs = has_the_contracts_rows(found, "severity", Tier.FEATURES)
    odd = has_the_contracts_rows(found, "fraud_signals", Tier.FEATURES)
    assert costs.height == odd.height == notices.height
    assert costs["claimed"].sum() == notices["total_claim_amount"].sum()
    assert costs.filter(pl.col("as_of") == pl.col("as_of").min())["like_before"].sum() == 0
    assert odd["no_police_report"].sum() == (~notices["police_report_available"].fill_null(value=False)).sum()
    assert odd["nobody_called"].sum() + odd["at_night"].sum() > 0


def test_the_last_look_back_sees_every_report(insurer):
    found, _ = insurer
    lags = has_the_contracts_rows(found, "report_lag", Tier.FEATURES)
    last = lags.filter(pl.col("as_of") == dt.date(1999, 2, 28))
    assert last["reported"].sum() == 22_034 == lags["reported_new"].sum()
    mean = (last["mean_lag_days"] * last["reported"]).sum() / last["reported"].sum()
    assert mean == pytest.approx(282.76, abs=0.02)
    assert last["longest_lag_days"].max() == 2_863


@pytest.mark.parametrize("day", [dt.date(2015, 1, 11), dt.date(2015, 2, 3)])
@pytest.mark.parametrize("feature", [severity, fraud_signals])
def test_features_of_notices_know_nothing_that_came_later(insurer, feature, day):
    found, _ = insurer
    then = feature(found.known("notice", day).drop("fraud_reported")).collect()
    now = found.rows(feature.__name__, Tier.FEATURES).filter(pl.col("as_of") <= day)
    assert then.height == now.height > 100
    assert_frame_equal(then.select(now.columns), now, check_row_order=False)


def test_report_lag_knows_neither_later_reports_nor_later_settlements(insurer):
    found, _ = insurer
    day = dt.date(1996, 6, 30)
    open_then = pl.col("settled_date") > day
    known = found.known("injury", day).with_columns(
        settled_date=pl.when(open_then).then(dt.date(2099, 1, 1)).otherwise("settled_date"),
        amount=pl.when(open_then).then(Decimal(0)).otherwise("amount"),
    )
    then = report_lag(known, as_of=day).collect()
    now = found.rows("report_lag", Tier.FEATURES).filter(pl.col("as_of") <= day)
    assert then.height == now.height > 100
    assert_frame_equal(then.select(now.columns), now, check_row_order=False)


@ON_DISK  # in a store the bank's go this way; 35 looks back at 70 files each take a minute there
def test_generated_files_go_all_the_way(project_root, site):
    found = generated_files_go_all_the_way(project_root, site, "claims", rows=9_000)
    holders = has_the_contracts_rows(found, HOLDERS, Tier.CURATED)
    assert holders["claims"].sum() > 0
    assert holders["recovered"].sum() > 0
    for name in ("severity", "fraud_signals", "report_lag"):
        has_the_contracts_rows(found, name, Tier.FEATURES)
