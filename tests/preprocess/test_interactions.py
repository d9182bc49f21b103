import random

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole_vqrec.preprocess.interactions import (
    InteractionCollector,
    NothingLeft,
    in_final_order,
    in_id_order,
    k_core,
    without_duplicates,
)

ROWS = st.lists(
    st.tuples(st.sampled_from("abcde"), st.sampled_from("vwxyz"), st.integers(0, 3), st.integers(1, 2)), max_size=40
)


def collect(rows, size=3):
    """Return the Interactions of (user, item, time, rating) rows, added `size` at a time."""
    collector = InteractionCollector()
    for start in range(0, len(rows), size):
        columns = list(zip(*rows[start : start + size], strict=True))
        names = ("user_id", "item_id", "timestamp", "rating")
        collector.add(pl.DataFrame(dict(zip(names, map(list, columns), strict=True))))
    return collector.interactions()


def rows_of(interactions):
    table = interactions.table().with_columns(pl.Series("rating", interactions.ratings).cast(pl.Int64))
    return [tuple(row) for row in table.iter_rows()]


def plain_k_core(rows, user_k, item_k):
    """Drop one user or item that has too few rows at a time."""
    while True:
        users, items = [row[0] for row in rows], [row[1] for row in rows]
        bad_user = next((user for user in users if users.count(user) < user_k), None)
        bad_item = next((item for item in items if items.count(item) < item_k), None)
        if bad_user is None and bad_item is None:
            return rows
        rows = [row for row in rows if (row[0] != bad_user if bad_user else row[1] != bad_item)]


@settings(deadline=None, max_examples=60)
@given(ROWS, st.integers(1, 4), st.integers(1, 4))
def test_k_core_equals_dropping_one_at_a_time(rows, user_k, item_k):
    expected = plain_k_core(rows, user_k, item_k)
    if not expected:
        with pytest.raises(NothingLeft):
            k_core(collect(rows), user_k, item_k)
    else:
        assert rows_of(k_core(collect(rows), user_k, item_k)) == expected


@settings(deadline=None, max_examples=60)
@given(ROWS)
def test_duplicates_and_order_equal_the_plain_way(rows):
    assert rows_of(without_duplicates(collect(rows))) == list(dict.fromkeys(rows))
    expected = [row for _, row in sorted(enumerate(rows), key=lambda pair: (pair[1][0], pair[1][2], pair[0]))]
    assert rows_of(in_final_order(collect(rows))) == expected
    assert rows_of(in_final_order(collect(rows, size=1))) == expected
    shuffled = rows_of(in_final_order(collect(rows), "shuffle", 1))
    assert [(row[0], row[2]) for row in shuffled] == [(row[0], row[2]) for row in expected]
    assert sorted(shuffled) == sorted(expected)


def test_k_core_needs_several_rounds():
    # d has two items, but loses z, which only d and e have, after e is gone
    rows = [(user, item, 0, 1) for user, item in ("av", "aw", "bv", "bw", "dv", "dz", "ez")]
    assert rows_of(k_core(collect(rows), 2, 2)) == [(user, item, 0, 1) for user, item in ("av", "aw", "bv", "bw")]


def test_whole_times_are_written_as_whole_numbers():
    assert collect([("a", "v", 5, 1)]).table()["timestamp"].to_list() == [5]
    assert collect([("a", "v", 5.0, 1), ("a", "w", 5.25, 1)]).table()["timestamp"].to_list() == [5.0, 5.25]
    assert collect([("a", "v", -1e300, 1)]).table()["timestamp"].to_list() == [-1e300]


def test_shuffle_breaks_all_ties_evenly():
    rows = [("a", item, 0, 1) for item in "vwx"]
    firsts = {rows_of(in_final_order(collect(rows), "shuffle", seed))[0][1] for seed in range(30)}
    assert firsts == set("vwx")


@given(st.lists(st.text(min_size=1, max_size=4), unique=True, max_size=8))
def test_ids_by_their_bytes(names):
    names = [*names, "x"] if "x" not in names else names
    order = in_id_order(pl.Series(names, dtype=pl.String))
    assert [names[row] for row in order] == sorted(names, key=lambda name: name.encode())


def test_whole_numbers_by_value():
    names = [str(number) for number in (10, 9, 2**70, 100, 1)]
    random.shuffle(names)
    order = in_id_order(pl.Series(names))
    assert [int(names[row]) for row in order] == [1, 9, 10, 100, 2**70]
    assert np.array_equal(in_id_order(pl.Series(["10", "9", "x"])), [0, 1, 2])
