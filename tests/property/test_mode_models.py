"""Every load mode against its ten-line model: repeats, ties, late files, deletes, two sources, in any order and cut."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse.ingest.rebuild import rebuild

_spec = importlib.util.spec_from_file_location("mode_models", Path(__file__).with_name("mode_models.py"))
models = importlib.util.module_from_spec(_spec)
sys.modules["mode_models"] = models
_spec.loader.exec_module(models)

pytestmark = pytest.mark.slow  # each example is a lake of its own; `test_mode_core` is the quick one
EXAMPLES = settings(max_examples=12)
HISTORY = pytest.mark.parametrize("history", [False, True], ids=["latest", "history"])
LAYOUT = pytest.mark.parametrize("layout", ["none", "time"])

rows = st.lists(
    st.tuples(st.integers(1, 4), st.integers(0, 6), st.sampled_from(["U", "D"]), st.integers(0, 2)), max_size=6
)
deliveries = st.lists(
    st.builds(models.Delivery, st.integers(0, 6), rows.map(tuple), st.sampled_from("ab")), min_size=1, max_size=6
)
dumps = deliveries.map(
    lambda given: [replace(one, rows=tuple((k, at, "U", v) for k, at, _, v in one.rows)) for one in given]
)


@st.composite
def passes(draw, values):
    """The deliveries in their order, cut into ingests."""
    cuts = draw(st.lists(st.booleans(), min_size=len(values), max_size=len(values)))
    groups: list[list] = [[]]
    for one, cut in zip(values, cuts, strict=True):
        if cut and groups[-1]:
            groups.append([])
        groups[-1].append(one)
    return groups


def taken(table, groups):
    with models.fresh_lake() as lake:
        for number, group in enumerate(groups):
            models.take(lake, table, group, copy=str(number))
            models.require_balance(lake, table)
        return models.content(lake, table)


def distinct(given_deliveries):
    """Files of one name and content are one batch."""
    return list(dict.fromkeys(given_deliveries))


@HISTORY
@EXAMPLES
@given(data=st.data(), given_deliveries=deliveries)
def test_append_keeps_the_first_delivery(history, data, given_deliveries):
    table = models.table_of("append", history=history)
    groups = data.draw(passes(given_deliveries))
    assert taken(table, groups) == models.first_stays(given_deliveries)


@HISTORY
@LAYOUT
@EXAMPLES
@given(data=st.data(), given_deliveries=deliveries)
def test_upsert_keeps_the_last_word_and_ties_go_by_batch_and_row(history, layout, data, given_deliveries):
    table = models.table_of("upsert", history=history, layout=layout)
    given_deliveries = distinct(given_deliveries)
    groups = data.draw(passes(given_deliveries))
    assert taken(table, groups) == models.last_stays(given_deliveries, history=history)


@HISTORY
@LAYOUT
@EXAMPLES
@given(data=st.data(), given_deliveries=deliveries)
def test_changes_end_keys_and_ties_go_by_batch_and_row(history, layout, data, given_deliveries):
    table = models.table_of("changes", history=history, layout=layout)
    given_deliveries = distinct(given_deliveries)
    groups = data.draw(passes(given_deliveries))
    assert taken(table, groups) == models.last_stays(given_deliveries, history=history, deletes="D")


@HISTORY
@pytest.mark.parametrize("mode", ["upsert", "changes"])
@EXAMPLES
@given(data=st.data(), given_deliveries=deliveries)
def test_without_ties_no_order_of_arrival_and_no_cut_matters(history, mode, data, given_deliveries):
    table = models.table_of(mode, history=history)
    given_deliveries = models.with_words(given_deliveries)
    deletes = "D" if mode == "changes" else ""
    groups = data.draw(st.permutations(given_deliveries).flatmap(passes))
    assert taken(table, groups) == models.last_stays(given_deliveries, history=history, deletes=deletes)


@HISTORY
@pytest.mark.parametrize("mode", ["upsert", "changes"])
@EXAMPLES
@given(data=st.data(), given_deliveries=deliveries)
def test_the_order_may_be_in_the_name_of_the_file(history, mode, data, given_deliveries):
    table = models.table_of(mode, history=history, as_of=models.PATH)
    given_deliveries = list({one.day: one for one in given_deliveries}.values())
    deletes = "D" if mode == "changes" else ""
    groups = data.draw(st.permutations(given_deliveries).flatmap(passes))
    assert taken(table, groups) == models.last_stays(given_deliveries, history=history, deletes=deletes, path=True)


@HISTORY
@LAYOUT
@EXAMPLES
@given(data=st.data(), given_deliveries=dumps)
def test_the_newest_dump_of_each_source_stands(history, layout, data, given_deliveries):
    table = models.table_of("snapshot", history=history, as_of=models.PATH, layout=layout)
    given_deliveries = distinct(given_deliveries)
    groups = data.draw(passes(given_deliveries))
    assert taken(table, groups) == models.newest_dump(given_deliveries, history=history)


@HISTORY
@EXAMPLES
@given(data=st.data(), given_deliveries=dumps)
def test_dumps_may_come_in_any_order(history, data, given_deliveries):
    table = models.table_of("snapshot", history=history, as_of=models.PATH)
    given_deliveries = list({one.day: one for one in given_deliveries}.values())
    groups = data.draw(st.permutations(given_deliveries).flatmap(passes))
    assert taken(table, groups) == models.newest_dump(given_deliveries, history=history)


@HISTORY
@EXAMPLES
@given(data=st.data(), given_deliveries=dumps)
def test_a_dump_may_be_dated_by_a_column(history, data, given_deliveries):
    table = models.table_of("snapshot", history=history)
    given_deliveries = list({one.day: one for one in given_deliveries if one.rows}.values())
    given_deliveries = [replace(o, rows=tuple((k, o.day, op, v) for k, _, op, v in o.rows)) for o in given_deliveries]
    groups = data.draw(st.permutations(given_deliveries).flatmap(passes)) if given_deliveries else []
    found = taken(table, groups)
    wanted = models.newest_dump(
        [replace(o, rows=tuple((k, 0, op, v) for k, _, op, v in o.rows)) for o in given_deliveries], history=history
    )
    if history:
        assert sorted((k, v, start) for k, _, v, start, _ in found) == sorted((k, v, s) for k, _, v, s, _ in wanted)
        assert sorted(str(row[4]) for row in found) == sorted(str(row[4]) for row in wanted)
        assert all(at == start for _, at, _, start, _ in found)
    else:
        assert [(k, v) for k, _, v in found] == [(k, v) for k, _, v in wanted]


@HISTORY
@pytest.mark.parametrize("mode", ["append", "upsert", "changes", "snapshot"])
@EXAMPLES
@given(data=st.data(), given_deliveries=deliveries)
def test_a_rebuild_gives_what_is_there(mode, history, data, given_deliveries):
    table = models.table_of(mode, history=history, as_of=models.PATH if mode == "snapshot" else "at")
    groups = data.draw(passes(distinct(given_deliveries)))
    with models.fresh_lake() as lake:
        for number, group in enumerate(groups):
            models.take(lake, table, group, copy=str(number))
        before = models.content(lake, table)
        rebuild(lake, models.project_of(table), table)
        assert models.content(lake, table) == before
        models.require_balance(lake, table)
        late = models.Delivery(9, ((1, 0, "U", 5), (2, 9, "D", 5)), "a")
        models.take(lake, table, [late], copy="late")
        models.require_balance(lake, table)
        if mode in {"upsert", "changes"}:
            wanted = [*distinct(given_deliveries), late]
            deletes = "D" if mode == "changes" else ""
            assert models.content(lake, table) == models.last_stays(wanted, history=history, deletes=deletes)
