import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole_vqrec.data.sequences import prefix_groups, stride_of, windows


def rows_of(sequences, limit, newest_first=False):
    """Return prefix rows (users, histories, lengths, targets) of user -> items, as RecBole or the authors do."""
    rows = []
    for user, items in sequences.items():
        made = [(user, items[max(0, end - limit) : end], items[end]) for end in range(1, len(items))]
        rows += reversed(made) if newest_first else made
    histories = np.zeros((len(rows), limit), dtype=np.int64)
    for index, (_, history, _) in enumerate(rows):
        histories[index, : len(history)] = history
    users = np.array([row[0] for row in rows], dtype=np.int64)
    lengths = np.array([len(row[1]) for row in rows], dtype=np.int64)
    return users, histories, lengths, np.array([row[2] for row in rows], dtype=np.int64)


def pairs_of(rows, sequences):
    """Return every (history, target) pair that training sequences stand for, as a causal model sees it."""
    _, histories, lengths, targets = rows
    pairs = []
    for row, count in zip(sequences.row, sequences.targets):
        items = [*histories[row, : lengths[row]], targets[row]]
        for position in range(len(items) - 1 - count, len(items) - 1):
            pairs.append((tuple(items[: position + 1]), items[position + 1]))
    return sorted(pairs)


def all_pairs(rows):
    _, histories, lengths, targets = rows
    return sorted((tuple(history[:length]), target) for history, length, target in zip(histories, lengths, targets))


@pytest.mark.parametrize("newest_first", [False, True])
def test_prefixes_of_one_user_become_one_sequence(newest_first):
    rows = rows_of({7: [1, 2, 3, 4], 8: [5, 6]}, limit=10, newest_first=newest_first)
    grouped = prefix_groups(*rows)
    assert sorted(grouped.targets.tolist()) == [1, 3]
    assert pairs_of(rows, grouped) == [((1,), 2), ((1, 2), 3), ((1, 2, 3), 4), ((5,), 6)]


def test_histories_beyond_the_limit_stay_exact():
    rows = rows_of({0: [1, 2, 3, 4, 5, 6]}, limit=3)
    grouped = prefix_groups(*rows)
    assert grouped.targets.tolist() == [3, 1, 1]  # 1 | 1 2 | 1 2 3 share a row; 2 3 4 and 3 4 5 do not
    assert pairs_of(rows, grouped) == all_pairs(rows)


def test_a_stride_shares_windows_and_still_trains_every_target_once():
    items = list(range(1, 21))
    rows = rows_of({0: items}, limit=6)
    grouped = prefix_groups(*rows, window_stride=4)
    assert sorted(target for _, target in pairs_of(rows, grouped)) == items[1:]
    for history, target in pairs_of(rows, grouped):
        assert list(history) == items[target - 1 - len(history) : target - 1]  # the latest items
        assert len(history) >= min(target - 1, 6 - 4 + 1)


@pytest.mark.parametrize(
    "length, targets",
    [(11, [8, 1, 1]), (19, [8, 4, 4, 2])],  # tokens of single pairs 16 of 38, 80 of 102
)
def test_auto_shares_windows_where_single_pairs_make_most_of_the_tokens(length, targets):
    rows = rows_of({0: list(range(1, length + 1)), 1: [1, 2, 3, 4, 5, 6, 7, 8], 2: [1, 2, 3, 4, 5, 6, 7, 8]}, limit=8)
    expected = targets + [7, 7]
    assert prefix_groups(*rows, window_stride="auto").targets.tolist() == expected


@pytest.mark.parametrize("beyond, others, stride", [(0, 100, 1), (3, 12, 1), (10, 40, 1), (10, 39, 2), (5, 0, 2)])
def test_auto_stride(beyond, others, stride):
    assert stride_of("auto", 4, beyond, others) == stride


def test_rows_that_are_no_prefixes_stay_on_their_own():
    users, histories, lengths, targets = rows_of({0: [1, 2, 3, 4]}, limit=5)
    histories[2, 1] = 9  # the third row no longer continues the second
    grouped = prefix_groups(users, histories, lengths, targets)
    assert pairs_of((users, histories, lengths, targets), grouped) == all_pairs((users, histories, lengths, targets))
    assert sorted(grouped.targets.tolist()) == [1, 2]


sequences_of_users = st.dictionaries(
    st.integers(0, 5), st.lists(st.integers(1, 4), min_size=1, max_size=14), min_size=1, max_size=5
)


@settings(max_examples=200, deadline=None)
@given(sequences_of_users, st.integers(1, 6), st.booleans())
def test_every_pair_is_trained_exactly_once_with_its_history(sequences, limit, newest_first):
    rows = rows_of(sequences, limit, newest_first)
    assert pairs_of(rows, prefix_groups(*rows)) == all_pairs(rows)


@settings(max_examples=100, deadline=None)
@given(sequences_of_users, st.integers(2, 6), st.randoms())
def test_shuffled_rows_lose_no_pair(sequences, limit, random):
    rows = rows_of(sequences, limit)
    order = list(range(len(rows[0])))
    random.shuffle(order)
    rows = tuple(column[order] for column in rows)
    assert pairs_of(rows, prefix_groups(*rows)) == all_pairs(rows)


@settings(max_examples=200, deadline=None)
@given(sequences_of_users, st.integers(2, 6))
def test_windows_cover_each_sequence(sequences, limit):
    _, histories, lengths, targets = rows = rows_of(sequences, limit)
    cut = windows(*rows)
    assert cut.targets.sum() == len(targets)
    covered = {}
    for row in cut.row:
        covered.setdefault(rows[0][row], []).append([*histories[row, : lengths[row]], targets[row]][-limit:])
    for user, items in sequences.items():
        if len(items) > 1:
            joined = [item for window in covered[user] for item in window]
            overlap = len(items) > limit and (len(items) - 1) % limit == 0  # a first item with nobody to share a window
            assert joined == (items[:2] + items[1:] if overlap else items)


def test_a_stride_beyond_the_limit_loses_no_target():
    items = list(range(1, 21))
    rows = rows_of({0: items}, limit=3)
    grouped = prefix_groups(*rows, window_stride=9)
    assert sorted(target for _, target in pairs_of(rows, grouped)) == items[1:]
