import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from recbole_vqrec.report.item_groups import item_groups


def test_literal_groups():
    found = item_groups([0, 1, 2, 3, 4, 9, 9, 0], groups=2)
    assert [(label, users.tolist()) for label, users in found] == [
        ("0", [0, 7]),
        ("1-3", [1, 2, 3]),
        ("4-9", [4, 5, 6]),
    ]


@given(st.lists(st.integers(0, 20), max_size=40), st.integers(1, 6))
def test_every_user_is_in_one_group_and_groups_are_in_order(counts, groups):
    found = item_groups(counts, groups)
    assert sorted(np.concatenate([users for _, users in found]).tolist() if found else []) == list(range(len(counts)))
    assert all(len(users) for _, users in found)
    bounds = [(min(counts[user] for user in users), max(counts[user] for user in users)) for _, users in found]
    assert all(before[1] < after[0] for before, after in zip(bounds, bounds[1:]))
