"""Features of claims: pure functions from notices and injuries to feature tables.

They see whatever rows they are given: `lakehouse.transform.point_in_time.known_rows` decides which had happened and were
known. A notice is held against those of earlier days only, never of its own day, because nothing says which came first.
What is known later than the row's day (whether it was fraud, what an open injury will cost) is no feature.
"""

from __future__ import annotations

import datetime as dt

import polars as pl

DAMAGE = ("Trivial Damage", "Minor Damage", "Major Damage", "Total Loss")
NIGHT_FROM, NIGHT_UNTIL = 22, 5
CITY_DAYS = 30

_LIKE = ("incident_type", "incident_severity")


def severity(notices: pl.LazyFrame) -> pl.LazyFrame:
    """What each notice says that bears on its cost, and what notices of its type and damage had asked for before."""
    year = pl.col("incident_date").dt.year().cast(pl.Int64)
    return _beside_like(notices).select(
        "_entity",
        "_landed_at",
        pl.col("_entity").alias("insured_ref"),
        pl.col("incident_date").alias("as_of"),
        "incident_type",
        pl.col("incident_severity").replace_strict(DAMAGE, range(len(DAMAGE)), return_dtype=pl.Int64).alias("damage"),
        "vehicles",
        "bodily_injuries",
        (year - pl.col("auto_year")).alias("vehicle_age"),
        pl.col("policy_deductable").alias("deductable"),
        pl.col("policy_csl").str.extract(r"^(\d+)/").cast(pl.Int64).alias("limit_per_person"),
        pl.col("policy_annual_premium").alias("premium"),
        pl.col("total_claim_amount").alias("claimed"),
        "like_before",
        pl.col("like_mean").round(2).cast(pl.Decimal(18, 2)).alias("like_mean_claimed"),
    )


def fraud_signals(notices: pl.LazyFrame) -> pl.LazyFrame:
    """What is odd about each notice, by itself and against the notices of earlier days."""
    hour, total = pl.col("incident_hour"), pl.col("total_claim_amount")
    nobody = (pl.col("authorities_contacted") == "None") & pl.col("incident_severity").is_in(DAMAGE[2:])
    premium = pl.col("policy_annual_premium").cast(pl.Float64)
    above = pl.when(pl.col("like_mean") > 0).then(total / pl.col("like_mean"))
    frame = _beside_own(_beside_city(_beside_like(notices)))
    return frame.select(
        "_entity",
        "_landed_at",
        pl.col("_entity").alias("insured_ref"),
        pl.col("incident_date").alias("as_of"),
        (pl.col("incident_date") - pl.col("policy_bind_date")).dt.total_days().alias("days_since_bound"),
        ((hour >= NIGHT_FROM) | (hour < NIGHT_UNTIL)).alias("at_night"),
        (pl.col("witnesses") == 0).alias("unwitnessed"),
        (~pl.col("police_report_available").fill_null(value=False)).alias("no_police_report"),
        nobody.alias("nobody_called"),
        (pl.col("policy_state") != pl.col("incident_state")).alias("out_of_state"),
        (total / premium).round(4).cast(pl.Decimal(12, 4)).alias("claim_to_premium"),
        pl.when(total > 0).then(pl.col("injury_claim") / total).round(6).cast(pl.Decimal(9, 6)).alias("injury_share"),
        above.round(4).cast(pl.Decimal(12, 4)).alias("claimed_above_like"),
        "notices_before",
        pl.col("city_before").alias("city_notices_30d"),
    )


def report_lag(injuries: pl.LazyFrame, *, as_of: dt.date) -> pl.LazyFrame:
    """Injuries by accident month as known at the end of each month with reports, and at `as_of` in its own month.

    Args:
        injuries: `staged.claims.injury`, whose event is the report.
        as_of: the last day to look back from.
    """
    known = injuries.filter(pl.col("report_date") <= as_of)
    days = known.select(pl.col("report_date").dt.month_end().unique()).collect()["report_date"]
    ends = sorted({min(day, as_of) for day in days}) or [as_of]
    return pl.concat([_reported_by(known, end) for end in ends]).sort("accident_month", "as_of")


def _reported_by(injuries: pl.LazyFrame, end: dt.date) -> pl.LazyFrame:
    lag = (pl.col("report_date") - pl.col("accident_date")).dt.total_days()
    settled = pl.col("settled_date") <= end
    month = pl.col("accident_date").dt.month_start().alias("accident_month")
    age = (end.year - month.dt.year().cast(pl.Int64)) * 12 + end.month - month.dt.month().cast(pl.Int64)
    return (
        injuries.filter(pl.col("report_date") <= end)
        .group_by(month)
        .agg(
            pl.col("_landed_at").max(),
            age.first().alias("age_months"),
            pl.len().cast(pl.Int64).alias("reported"),
            (pl.col("report_date") >= end.replace(day=1)).sum().cast(pl.Int64).alias("reported_new"),
            lag.mean().alias("mean_lag_days"),
            lag.max().alias("longest_lag_days"),
            settled.sum().cast(pl.Int64).alias("settled"),
            pl.col("amount").filter(settled).sum().cast(pl.Decimal(18, 5)).alias("settled_cost"),
            pl.col("legal").mean().alias("legal_share"),
        )
        .with_columns(pl.lit(end).alias("as_of"))
    )


def _beside_like(notices: pl.LazyFrame) -> pl.LazyFrame:
    """With how many notices of the same type and damage there were on earlier days, and what they asked for on average."""
    daily = _daily(notices, *_LIKE, amount=pl.col("total_claim_amount").sum())
    count, amount = _before("notices", *_LIKE), _before("amount", *_LIKE)
    before = daily.select(
        *_LIKE,
        "incident_date",
        count.alias("like_before"),
        pl.when(count > 0).then(amount / count).alias("like_mean"),
        pl.col("landed").cum_max().over(_LIKE).alias("landed"),
    )
    return _joined(notices, before, *_LIKE)


def _beside_own(notices: pl.LazyFrame) -> pl.LazyFrame:
    """With how many notices of the same policy there were on earlier days."""
    before = _daily(notices, "_entity").select(
        "_entity",
        "incident_date",
        _before("notices", "_entity").alias("notices_before"),
        pl.col("landed").cum_max().over("_entity").alias("landed"),
    )
    return _joined(notices, before, "_entity")


def _beside_city(notices: pl.LazyFrame) -> pl.LazyFrame:
    """With how many notices of the same city there were in the days before."""
    window = f"{CITY_DAYS}d"
    recent = pl.col("notices").rolling_sum_by("incident_date", window, closed="left").over("incident_city")
    before = _daily(notices, "incident_city").select(
        "incident_city",
        "incident_date",
        recent.fill_null(0).alias("city_before"),
        pl.col("landed").rolling_max_by("incident_date", f"{CITY_DAYS + 1}d").over("incident_city"),
    )
    return _joined(notices, before, "incident_city")


def _daily(notices: pl.LazyFrame, *by: str, **sums: pl.Expr) -> pl.LazyFrame:
    """Notices by day, in order; `landed` is when the last of them was known."""
    counted = pl.len().cast(pl.Int64).alias("notices")
    landed = pl.col("_landed_at").max().alias("landed")
    return notices.group_by(*by, "incident_date").agg(counted, landed, **sums).sort(*by, "incident_date")


def _before(name: str, *by: str) -> pl.Expr:
    """The sum over earlier days, the own one left out."""
    return pl.col(name).cum_sum().over(by) - pl.col(name)


def _joined(notices: pl.LazyFrame, before: pl.LazyFrame, *by: str) -> pl.LazyFrame:
    joined = notices.join(before, on=[*by, "incident_date"], how="left", maintain_order="left")
    return joined.with_columns(pl.max_horizontal("_landed_at", "landed").alias("_landed_at")).drop("landed")
