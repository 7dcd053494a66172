"""What a key's rows come to, as pure functions: the last word, repeats, ends of versions, dumps beside what stands."""

from __future__ import annotations

import datetime as dt

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse.ingest.modes.rules import FRESH, ORDER, OWN, Law, decide, replaced, vanished
from lakehouse.model import BATCH, ROW, VALID_FROM, VALID_TO

LATEST, HISTORY = (Law(("id",), ("value",), history=history) for history in (False, True))
MOMENT = pl.Datetime("us", "UTC")
SCHEMA = {"id": pl.Int64, ORDER: pl.Int64, BATCH: pl.Int64, ROW: pl.Int64, FRESH: pl.Boolean}


def rows_of(*rows: tuple[int | None, int, int, int, bool, str]) -> pl.DataFrame:
    """`id`, order, batch, row, whether it just came, value."""
    frame = pl.DataFrame(rows, schema={**SCHEMA, "value": pl.String}, orient="row")
    return frame.with_columns(pl.lit(None, MOMENT).alias(VALID_TO))


def deletes_of(*rows: tuple[int | None, int, int, int, bool]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def gone(outcome) -> list[tuple]:
    return sorted(outcome.gone.select(BATCH, ROW, "kind").rows())


def ends(outcome) -> list[tuple]:
    epoch = pl.col(VALID_TO).dt.epoch("us")
    return sorted(outcome.ended.select(BATCH, ROW, epoch).rows(), key=repr)


def test_the_later_word_stands_whoever_came_first():
    outcome = decide(rows_of((1, 20, 1, 0, False, "b"), (1, 10, 2, 0, True, "a")), deletes_of(), LATEST)
    assert gone(outcome) == [(2, 0, "superseded")]


def test_at_the_same_moment_the_later_batch_and_row_stands():
    outcome = decide(
        rows_of((1, 10, 1, 0, False, "a"), (1, 10, 2, 0, True, "b"), (1, 10, 2, 1, True, "c")), deletes_of(), LATEST
    )
    assert gone(outcome) == [(1, 0, "superseded"), (2, 0, "superseded")]


def test_of_equal_rows_the_one_that_is_there_stays():
    outcome = decide(rows_of((1, 10, 7, 0, False, "a"), (1, 10, 2, 0, True, "a")), deletes_of(), LATEST)
    assert gone(outcome) == [(2, 0, "duplicate")]


def test_null_is_a_value_and_null_is_a_key():
    outcome = decide(
        rows_of((None, 10, 1, 0, False, None), (None, 10, 2, 0, True, None), (0, 10, 2, 1, True, None)),
        deletes_of(),
        LATEST,
    )
    assert gone(outcome) == [(2, 0, "duplicate")]


def test_a_delete_ends_older_rows_and_is_remembered():
    outcome = decide(rows_of((1, 10, 1, 0, False, "a")), deletes_of((1, 20, 2, 0, True)), LATEST)
    assert gone(outcome) == [(1, 0, "deleted")]
    assert outcome.marks.select(BATCH, ROW).rows() == [(2, 0)]


def test_a_late_row_does_not_bring_a_key_back():
    outcome = decide(rows_of((1, 10, 3, 0, True, "a")), deletes_of((1, 20, 2, 0, False)), LATEST)
    assert gone(outcome) == [(3, 0, "deleted")]
    assert outcome.marks.is_empty()


def test_a_row_after_a_delete_is_a_new_beginning():
    outcome = decide(rows_of((1, 30, 3, 0, True, "a")), deletes_of((1, 20, 2, 0, True)), LATEST)
    assert gone(outcome) == []
    assert outcome.marks.is_empty()


def test_with_history_versions_end_where_the_next_word_begins():
    rows = rows_of((1, 10, 1, 0, False, "a"), (1, 30, 2, 0, True, "c"), (1, 20, 3, 0, True, "b"))
    outcome = decide(rows, deletes_of((1, 40, 4, 0, True)), HISTORY)
    assert gone(outcome) == []
    assert ends(outcome) == [(1, 0, 20), (2, 0, 40), (3, 0, 30)]
    assert outcome.marks.height == 1


def test_with_history_a_late_row_reopens_nothing():
    stands = rows_of((1, 10, 1, 0, False, "a")).with_columns(pl.lit(40, pl.Int64).cast(MOMENT).alias(VALID_TO))
    late = rows_of((1, 20, 2, 0, True, "b"))
    outcome = decide(pl.concat([stands, late]), deletes_of((1, 40, 1, 1, False)), HISTORY)
    assert ends(outcome) == [(1, 0, 20), (2, 0, 40)]


said = st.tuples(st.integers(0, 2), st.integers(0, 4), st.booleans(), st.sampled_from("xyd"))


@settings(max_examples=200)
@given(words=st.lists(said, max_size=12), cut=st.integers(0, 12), history=st.booleans(), ties=st.booleans())
def test_one_batch_after_the_other_is_the_same_as_all_at_once(words, cut, history, ties):
    law = HISTORY if history else LATEST
    if ties:  # then batches come in their order
        words = [(key, order, row < cut, value) for row, (key, order, _, value) in enumerate(words)]
    else:
        words = [(key, order, early, "xyd"[(key + 2 * order) % 3]) for key, order, early, _ in words]
    whole = [(key, order, 0, row, True, value) for row, (key, order, _, value) in enumerate(words)]
    together = standing(whole, law)
    first = {row for row, (_, _, early, _) in enumerate(words) if early}
    begun = standing([word for word in whole if word[3] in first], law)
    # what was lost at first is not there any more; deletes are, as marks
    left = {row for row, *_ in begun} | {word[3] for word in whole if word[5] == "d"}
    later = [(*word[:4], word[3] not in first, word[5]) for word in whole if word[3] in left or word[3] not in first]
    assert values(standing(later, law), words) == values(together, words)


def standing(words: list[tuple], law: Law) -> list[tuple]:
    """The rows that stay, with their end."""
    rows = rows_of(*(word for word in words if word[5] != "d"))
    outcome = decide(rows, deletes_of(*(word[:5] for word in words if word[5] == "d")), law)
    end = {row: until for _, row, until in ends(outcome)}
    away = {row for _, row, _ in gone(outcome)}
    return [(word[3], end.get(word[3])) for word in words if word[5] != "d" and word[3] not in away]


def values(rows: list[tuple], words: list[tuple]) -> list[tuple]:
    return sorted(((words[row][0], words[row][1], words[row][3], until) for row, until in rows), key=repr)


def dump(*rows: tuple[int, int, int, str]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema={"id": pl.Int64, BATCH: pl.Int64, ROW: pl.Int64, "value": pl.String}, orient="row")


def stands(*rows: tuple[int, int, int, str], own: bool = True, since: int = 5) -> pl.DataFrame:
    start = pl.lit(since, pl.Int64).cast(MOMENT).alias(VALID_FROM)
    return dump(*rows).with_columns(start, pl.lit(value=own).alias(OWN))


def test_a_dump_replaces_what_differs_and_keeps_what_it_repeats():
    outcome = replaced(
        stands((1, 1, 0, "a"), (2, 1, 1, "b")), dump((1, 2, 0, "a"), (2, 2, 1, "c"), (3, 2, 2, "d")), LATEST, at=9
    )
    assert gone(outcome) == [(1, 1, "superseded"), (2, 0, "duplicate")]


def test_another_source_takes_a_key_over_even_with_the_same_values():
    outcome = replaced(stands((1, 1, 0, "a"), own=False), dump((1, 2, 0, "a")), LATEST, at=9)
    assert gone(outcome) == [(1, 0, "superseded")]


def test_with_history_what_a_dump_replaces_ends_there():
    outcome = replaced(stands((1, 1, 0, "a")), dump((1, 2, 0, "b")), HISTORY, at=9)
    assert (gone(outcome), ends(outcome)) == ([], [(1, 0, 9)])


def test_a_corrected_dump_of_the_same_day_leaves_no_empty_version():
    outcome = replaced(stands((1, 1, 0, "a"), since=9), dump((1, 2, 0, "b")), HISTORY, at=9)
    assert (gone(outcome), ends(outcome)) == ([(1, 0, "superseded")], [])


def test_what_a_dump_does_not_show_has_vanished_unless_it_was_turned_away_or_is_anothers():
    there = pl.concat([stands((1, 1, 0, "a"), (2, 1, 1, "b"), (3, 1, 2, "c")), stands((4, 2, 0, "d"), own=False)])
    own, lost = vanished(there, dump((1, 3, 0, "a")), pl.DataFrame({"id": [2]}), LATEST, at=9)
    assert own == 3
    assert gone(lost) == [(1, 2, "deleted")]


def test_the_end_of_a_version_is_an_instant():
    outcome = replaced(stands((1, 1, 0, "a")), dump((1, 2, 0, "b")), HISTORY, at=1_000_000)
    assert outcome.ended[VALID_TO].to_list() == [dt.datetime(1970, 1, 1, 0, 0, 1, tzinfo=dt.UTC)]
