"""Features of retail: pure functions from invoice lines (`staged.retail.invoice_line`) to feature tables.

They see whatever lines they are given: `lakehouse.transform.point_in_time.known_rows` decides which had happened and were
known. A row of day D uses lines up to the end of D by the shop's clock and no later one, so what comes later never
changes a row that stands.
"""

from __future__ import annotations

import datetime as dt

import polars as pl

SHOP_CLOCK = "Europe/London"
LAGS = (1, 7, 28)
WINDOWS = (7, 28)
RECENT_DAYS = 90

_PRODUCT = ("stock_code", "country")
_DAY = dt.timedelta(days=1)


def product_demand(lines: pl.LazyFrame) -> pl.LazyFrame:
    """Demand and price per article, country and day with at least one line; one row each.

    Lags and means are of calendar days: a day without lines counts as zero, a day before the article's first line in the
    country as unknown (null). Prices are of pieces sold; days without a sale have none.
    """
    daily = _daily_demand(lines).sort(*_PRODUCT, "as_of")
    age = (pl.col("as_of") - pl.col("as_of").min().over(_PRODUCT)).dt.total_days()
    means = [
        pl.when(age >= days - 1).then(pl.col("quantity").rolling_sum_by("as_of", f"{days}d").over(_PRODUCT) / days)
        for days in WINDOWS
    ]
    price = pl.col("revenue_sold").cast(pl.Float64) / pl.col("sold")
    frame = daily.with_columns(
        age.alias("age"),
        pl.col("_landed_at").cum_max().over(_PRODUCT),
        *(mean.alias(f"quantity_mean_{days}") for mean, days in zip(means, WINDOWS, strict=True)),
        pl.when((pl.col("sold") > 0) & (pl.col("revenue_sold") > 0)).then(price).alias("avg_price"),
    )
    for days in LAGS:
        frame = _lagged(frame, days)
    before = pl.col("avg_price").forward_fill().shift(1).over(_PRODUCT)
    return frame.select(
        "_landed_at",
        "as_of",
        *_PRODUCT,
        "quantity",
        *(f"quantity_lag_{days}" for days in LAGS),
        *(f"quantity_mean_{days}" for days in WINDOWS),
        "avg_price",
        pl.col("avg_price").log().alias("log_price"),
        pl.when(pl.col("sold") > 0).then(pl.col("sold").cast(pl.Float64).log()).alias("log_quantity"),
        (pl.col("avg_price") / before - 1).alias("price_change"),
    )


def customer_features(lines: pl.LazyFrame, *, as_of: dt.date) -> pl.LazyFrame:
    """Recency, frequency and value per customer at the end of each month with lines, and at `as_of` in its own month.

    Lines without a customer belong to nobody. A customer is in a month's rows from his first line on.

    Args:
        lines: invoice lines.
        as_of: the last day to look back from.
    """
    known = (
        lines.filter(pl.col("_entity").is_not_null())
        .with_columns(_shop_day().alias("day"))
        .filter(pl.col("day") <= as_of)
    )
    days = known.select(pl.col("day").dt.month_end().unique()).collect()["day"]
    ends = sorted({min(day, as_of) for day in days})
    if not ends:
        ends = [as_of]
    return pl.concat([_customers_at(known, end) for end in ends]).sort("customer_ref", "as_of")


def _shop_day() -> pl.Expr:
    return pl.col("InvoiceDate").dt.convert_time_zone(SHOP_CLOCK).dt.date()


def _daily_demand(lines: pl.LazyFrame) -> pl.LazyFrame:
    sold = pl.col("Quantity") > 0
    amount = pl.col("Quantity") * pl.col("UnitPrice")
    return (
        lines.with_columns(_shop_day().alias("as_of"))
        .group_by(pl.col("StockCode").alias("stock_code"), pl.col("Country").alias("country"), "as_of")
        .agg(
            pl.col("_landed_at").max(),
            pl.col("Quantity").sum().alias("quantity"),
            pl.col("Quantity").filter(sold).sum().alias("sold"),
            amount.filter(sold).sum().alias("revenue_sold"),
        )
    )


def _lagged(frame: pl.LazyFrame, days: int) -> pl.LazyFrame:
    """The quantity of the calendar day `days` before: zero when there was no line, null before the first."""
    name = f"quantity_lag_{days}"
    earlier = frame.select(*_PRODUCT, pl.col("as_of") + days * _DAY, pl.col("quantity").alias(name))
    joined = frame.join(earlier, on=[*_PRODUCT, "as_of"], how="left", maintain_order="left")
    return joined.with_columns(pl.when(pl.col("age") >= days).then(pl.col(name).fill_null(0)).alias(name))


def _customers_at(lines: pl.LazyFrame, end: dt.date) -> pl.LazyFrame:
    recent = pl.col("day") > end - RECENT_DAYS * _DAY
    sold = pl.col("Quantity") > 0
    pieces = pl.col("Quantity").filter(recent & sold).sum()
    returned = -pl.col("Quantity").filter(recent & ~sold).sum()
    amount = (pl.col("Quantity") * pl.col("UnitPrice")).filter(recent).sum()
    return (
        lines.filter(pl.col("day") <= end)
        .group_by("_entity")
        .agg(
            pl.col("_landed_at").max(),
            pl.col("_entity").first().alias("customer_ref"),
            pl.lit(end).alias("as_of"),
            (pl.lit(end) - pl.col("day").max()).dt.total_days().alias("recency_days"),
            (pl.lit(end) - pl.col("day").min()).dt.total_days().alias("tenure_days"),
            pl.col("InvoiceNo").filter(recent & sold).n_unique().cast(pl.Int64).alias("frequency_90d"),
            amount.round(2).cast(pl.Decimal(18, 2)).alias("monetary_90d"),
            pl.col("Quantity").filter(recent).sum().alias("quantity_90d"),
            pl.when(pieces > 0).then(returned / pieces).alias("return_share_90d"),
        )
    )
