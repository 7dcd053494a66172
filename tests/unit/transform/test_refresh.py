"""Months: widened by the shop's clock, joined to spans, carried onwards."""

from __future__ import annotations

import datetime as dt

import pytest

from lakehouse.transform.refresh import Span, local_months, onwards, spans


@pytest.mark.parametrize(
    ("month", "zone", "wanted"),
    [
        ("2011-01", "UTC", ["2011-01"]),
        ("2011-01", "Europe/London", ["2011-01"]),
        ("2011-06", "Europe/London", ["2011-06", "2011-07"]),
        ("2011-12", "Asia/Tokyo", ["2011-12", "2012-01"]),
        ("2011-01", "America/New_York", ["2010-12", "2011-01"]),
    ],
)
def test_a_month_of_instants_touches_the_months_of_the_clock(month, zone, wanted):
    assert local_months([month], zone=zone) == wanted


def test_adjacent_months_become_one_span():
    assert spans(["2011-02", "2010-12", "2011-01", "2011-04"]) == [
        Span(dt.date(2010, 12, 1), dt.date(2011, 3, 1)),
        Span(dt.date(2011, 4, 1), dt.date(2011, 5, 1)),
    ]


def test_a_span_is_a_day_wider_in_instants():
    span = Span(dt.date(2011, 3, 1), dt.date(2011, 4, 1))
    assert (span.first_instant, span.next_instant) == ("2011-02-28 00:00:00 UTC", "2011-04-02 00:00:00 UTC")


def test_onwards_reaches_the_last_day_and_every_named_month():
    assert onwards(["2011-11", "2011-12"], until=dt.date(2012, 2, 29)) == ["2011-11", "2011-12", "2012-01", "2012-02"]
    assert onwards(["2011-11", "2012-03"], until=dt.date(2011, 1, 1))[-1] == "2012-03"
    assert onwards([], until=dt.date(2012, 2, 29)) == []
