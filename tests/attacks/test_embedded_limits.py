"""Queries that ask for too much: they end at their limit, in our words, and the session goes on."""

from __future__ import annotations

import collections
import threading
import time

import pytest

from lakehouse.errors import LakehouseError, QueryError, RefusedError
from lakehouse.serving.session import Limits
from tests.attacks import embedded_lake

V = "claims_claim"
TIME = "ran for more than"
MEMORY = "needs more than"
ROWS = "more than 50,000 rows"
BYTES = "bytes"
BOMBS = {
    "cross joins counted": (f"select count(*) from {V} a, {V} b, {V} c, {V} d", ()),
    "cross joins compared": (f"select max(a.note || b.note || c.note || d.note) from {V} a, {V} b, {V} c, {V} d", ()),
    "cross joins shown": (f"select a.claim_id from {V} a, {V} b", (ROWS,)),
    "cross joins sorted": (
        f"select a.note, b.note from {V} a, {V} b, {V} c order by a.note || b.note || c.note",
        (),
    ),
    "every pair of every pair": (
        f"select count(distinct a.claim_id * 100000 + b.claim_id * 100 + c.claim_id) from {V} a, {V} b, {V} c",
        (),
    ),
    "join on nothing equal": (
        f"select count(*) from {V} a join {V} b on a.note <> b.note join {V} c on b.note <> c.note join {V} d on c.note <> d.note",
        (),
    ),
    "doubled with queries": (
        "with q0 as (select claim_id from claims_claim), "
        + ", ".join(f"q{n} as (select * from q{n - 1} union all select * from q{n - 1})" for n in range(1, 22))
        + " select count(*) from q21",
        (),
    ),
    "doubled texts": (
        "select max(length(s)) from "
        + "(select s || s as s from " * 26
        + f"(select note as s from {V}) q"
        + ") q" * 26,
        (),
    ),
    "long cells": (
        "select s from " + "(select s || s as s from " * 17 + f"(select note as s from {V}) q" + ") q" * 17,
        (BYTES,),
    ),
    "quadratic window": (
        f"select max(x) from (select median(a.claim_id) over (order by a.claim_id, b.claim_id) as x from {V} a, {V} b, {V} c) q",
        (),
    ),
    "correlated": (
        f"select count(*) from {V} a where (select count(*) from {V} b, {V} c, {V} d where b.claim_id + c.claim_id > a.claim_id) > 0",
        (),
    ),
    "pattern": (
        f"select count(*) from {V} a, {V} b, {V} c where regexp_matches(a.note || b.note || c.note, '(x+x+)+y')",
        (),
    ),
    "distances": (
        f"select max(levenshtein(repeated, repeated || 'x')) from (select a.note || '{'abc' * 4000}' as repeated from {V} a, {V} b) q",
        (),
    ),
}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    return embedded_lake.make(tmp_path_factory.mktemp("limits"))


@pytest.mark.parametrize("name", sorted(BOMBS))
def test_bomb_ends_at_its_limit(name, site, capfd):
    sql, says = BOMBS[name]
    before = embedded_lake.left_files(site.folder)
    started = time.monotonic()

    with pytest.raises(RefusedError) as caught:
        site.session.run(sql)

    # Which of clock and memory is first depends on the machine.
    assert any(word in str(caught.value) for word in (TIME, MEMORY, *says)), str(caught.value)
    assert time.monotonic() - started < 10 * embedded_lake.LIMITS.seconds
    assert not embedded_lake.leaks(str(caught.value))
    assert capfd.readouterr() == ("", "")
    assert embedded_lake.left_files(site.folder) == before
    assert site.session.run(embedded_lake.KNOWN).num_rows == 1


def test_result_is_given_up_to_the_limit_of_rows(tmp_path):
    site = embedded_lake.make(tmp_path, limits=Limits(rows=500))
    assert site.session.run(f"select * from {V}").num_rows == 500
    with pytest.raises(RefusedError, match="more than 500 rows"):
        site.session.run(f"select * from {V} union all select * from {V} limit 501")


def test_clock_runs_while_rows_are_fetched(tmp_path):
    site = embedded_lake.make(tmp_path, limits=Limits(seconds=0.6, rows=10**9))
    answer = site.session.stream(f"select a.note from {V} a, {V} b, {V} c")
    with pytest.raises(RefusedError, match=TIME):
        collections.deque((time.sleep(0.05) for _ in answer), maxlen=0)


def test_query_is_cancelled_from_another_thread(site):
    threading.Timer(0.5, site.session.cancel).start()
    with pytest.raises(QueryError, match="cancelled"):
        site.session.run(f"select count(*) from {V} a, {V} b, {V} c, {V} d")
    assert site.session.run(embedded_lake.KNOWN).num_rows == 1


def test_several_queries_at_once(site):
    found: list[object] = []

    def ask(number: int) -> None:
        sql = "select read_text('x')" if number % 2 else embedded_lake.KNOWN
        try:
            found.append(site.session.run(sql).to_pylist())
        except LakehouseError as error:
            found.append(type(error))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found.count(RefusedError) == 3
    assert found.count([{"n": 500, "low": 0}]) == 3


def test_nothing_is_left_when_an_answer_is_given_up(site):
    answer = site.session.stream(f"select * from {V}")
    next(iter(answer))
    answer.close()
    answer.close()
    clocks = [thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)]
    for clock in clocks:
        clock.join(timeout=2)
    assert not any(clock.is_alive() for clock in clocks)


def test_closed_session_says_so(tmp_path):
    site = embedded_lake.make(tmp_path)
    site.session.close()
    with pytest.raises(QueryError, match="closed"):
        site.session.run(embedded_lake.KNOWN)
