"""Features of banking: pure functions from staged accounts, movements and loans to feature tables.

They see whatever rows they are given: `lakehouse.transform.point_in_time.known_rows` decides which had happened and were
known. A row of day D uses movements and loans up to D and none later. How a loan ends stands in the loan file, which was
written years afterwards; so it is no feature.
"""

from __future__ import annotations

import datetime as dt

import polars as pl

RECENT_DAYS = 90
YEAR_DAYS = 365
CASH = ("VYBER", "VYBER KARTOU")

_MONEY = pl.Decimal(18, 2)
_IN = pl.col("direction") == "PRIJEM"


def next_best_action(
    accounts: pl.LazyFrame, movements: pl.LazyFrame, loans: pl.LazyFrame, *, as_of: dt.date
) -> pl.LazyFrame:
    """What an account is used for at the end of each month with movements, and at `as_of` in its own month.

    An account is in a month's rows from its first movement on.

    Args:
        accounts: `staged.banking.account`.
        movements: `staged.banking.transaction`.
        loans: `staged.banking.loan`.
        as_of: the last day to look back from.
    """
    known = movements.filter(pl.col("booked_on") <= as_of)
    days = known.select(pl.col("booked_on").dt.month_end().unique()).collect()["booked_on"]
    ends = sorted({min(day, as_of) for day in days}) or [as_of]
    return pl.concat([_at(accounts, known, loans, end) for end in ends]).sort("account_ref", "as_of")


def _at(accounts: pl.LazyFrame, movements: pl.LazyFrame, loans: pl.LazyFrame, end: dt.date) -> pl.LazyFrame:
    used, lent = _use(movements, end), _loans(loans, end)
    opened = accounts.filter(pl.col("opened_on") <= end).select(
        "_entity", "opened_on", pl.col("_landed_at").alias("account_landed_at")
    )
    joined = used.join(opened, on="_entity").join(lent, on="_entity", how="left")
    return joined.select(
        "_entity",
        pl.max_horizontal("_landed_at", "account_landed_at", "loan_landed_at").alias("_landed_at"),
        pl.col("_entity").alias("account_ref"),
        pl.lit(end).alias("as_of"),
        (pl.lit(end) - pl.col("opened_on")).dt.total_days().alias("tenure_days"),
        *_USED,
        pl.col("loans").fill_null(0),
        pl.col("loan_payments").fill_null(0).cast(_MONEY),
    )


_USED = (
    "idle_days",
    "balance",
    "lowest_balance_90d",
    "credited_90d",
    "debited_90d",
    "movements_90d",
    "cash_share_90d",
    "card_payments_90d",
    "household_payments_90d",
    "insurance_payments_90d",
    "receives_pension",
    "overdrawn_fees_365d",
)


def _use(movements: pl.LazyFrame, end: dt.date) -> pl.LazyFrame:
    """What moved on each account up to `end`."""
    recent = pl.col("booked_on") > end - dt.timedelta(days=RECENT_DAYS)
    past_year = pl.col("booked_on") > end - dt.timedelta(days=YEAR_DAYS)
    amount = pl.col("amount")
    credited, debited = amount.filter(recent & _IN).sum(), amount.filter(recent & ~_IN).sum()
    cash = amount.filter(recent & ~_IN & pl.col("operation").is_in(CASH)).sum()
    share = cash.cast(pl.Float64) / debited.cast(pl.Float64)
    return (
        movements.filter(pl.col("booked_on") <= end)
        .group_by("_entity")
        .agg(
            pl.col("_landed_at").max(),
            (pl.lit(end) - pl.col("booked_on").max()).dt.total_days().alias("idle_days"),
            (amount.filter(_IN).sum() - amount.filter(~_IN).sum()).cast(_MONEY).alias("balance"),
            pl.col("balance").filter(recent).min().cast(_MONEY).alias("lowest_balance_90d"),
            credited.cast(_MONEY).alias("credited_90d"),
            debited.cast(_MONEY).alias("debited_90d"),
            _count(recent).alias("movements_90d"),
            pl.when(debited > 0).then(share.round(6)).cast(pl.Decimal(9, 6)).alias("cash_share_90d"),
            _count(recent & (pl.col("operation") == "VYBER KARTOU")).alias("card_payments_90d"),
            _count(recent & ~_IN & (pl.col("k_symbol") == "SIPO")).alias("household_payments_90d"),
            _count(recent & ~_IN & (pl.col("k_symbol") == "POJISTNE")).alias("insurance_payments_90d"),
            (_count(recent & _IN & (pl.col("k_symbol") == "DUCHOD")) > 0).alias("receives_pension"),
            _count(past_year & (pl.col("k_symbol") == "SANKC. UROK")).alias("overdrawn_fees_365d"),
        )
    )


def _loans(loans: pl.LazyFrame, end: dt.date) -> pl.LazyFrame:
    """Loans granted up to `end`, and what those that still run cost a month."""
    months = pl.concat_str("duration", pl.lit("mo"))
    runs = pl.col("granted_on").dt.offset_by(months) > end
    return (
        loans.filter(pl.col("granted_on") <= end)
        .group_by("_entity")
        .agg(
            pl.col("_landed_at").max().alias("loan_landed_at"),
            pl.len().cast(pl.Int64).alias("loans"),
            pl.col("payments").filter(runs).sum().alias("loan_payments"),
        )
    )


def _count(condition: pl.Expr) -> pl.Expr:
    """How many rows fulfil it; a condition about something missing does not hold."""
    return condition.sum().cast(pl.Int64)
