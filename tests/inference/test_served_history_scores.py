import math
from types import SimpleNamespace
from unittest import mock

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from recbole_vqrec.inference.history_scores import ServedHistoryScores, create_served_history_scores
from recbole_vqrec.model.co_occurrence import CoOccurrence
from recbole_vqrec.model.history_scores import HistoryScores

STRENGTHS = {(0, 1): 2.0, (0, 2): 0.5, (1, 2): 1.0, (2, 3): 4.0}  # of item rows; in the model items are numbered from 1
NEIGHBOURS, WEIGHTS = [[1, 2], [3, 2]], [[0.75, 0.25], [0.5, 0.5]]  # of the added items, rows 4 and 5
OPTIONS = {
    "co_occurrence_weight": 2.0, "co_occurrence_decay": 0.5, "co_occurrence_scale": 3.0, "co_occurrence_history": 3,
}  # fmt: skip


def expected(history, item):
    """Return what is added to one item, by the formula as it is written."""

    def strength(one, other):
        return STRENGTHS.get((min(one, other), max(one, other)), 0) if one < 4 else 0

    value = -5.0 * (item in history)
    for step, each in enumerate(history[::-1][:3]):
        if item < 4:
            of_pair = strength(each, item)
        else:
            of_pair = sum(w * strength(each, near) for near, w in zip(NEIGHBOURS[item - 4], WEIGHTS[item - 4]))
        value += 2 * 0.5**step * math.log(1 + 3 * of_pair)
    return value


def test_an_added_item_has_the_mean_strength_of_its_neighbours_at_each_step_of_the_history():
    pairs = torch.tensor(list(STRENGTHS)) + 1
    history_scores = HistoryScores(-5.0, CoOccurrence(pairs, torch.tensor(list(STRENGTHS.values())), OPTIONS))
    catalogue = SimpleNamespace(
        trained=4, texts=[""] * 6, neighbours=np.array(NEIGHBOURS), weights=np.float32(WEIGHTS),
        popularity=np.ones(6, dtype=np.int64),
    )  # fmt: skip
    served = ServedHistoryScores(history_scores, catalogue, {"device": "cpu"})
    histories = [[0], [2, 0], [3, 0, 2, 1], [0, 4], [1, 1, 2]]
    blocks = served.add_to([(0, torch.zeros(5, 4)), (4, torch.zeros(5, 2))], histories, None)
    found = torch.cat([scores for _, scores in blocks], dim=1)
    assert torch.allclose(found, torch.tensor([[expected(each, item) for item in range(6)] for each in histories]))
    among = torch.tensor([1, 4, 5])
    ((_, some),) = served.add_to([(0, torch.zeros(5, 3))], histories, among)
    assert torch.allclose(some, found[:, among])


@given(st.integers(0, 10_000))
def test_an_added_item_is_near_where_it_is_nearer_than_the_last_of_the_nearest(seed):
    vectors = np.random.default_rng(seed).normal(size=(6, 3)).astype(np.float32)  # rows 4 and 5 are added
    options = {name.replace("co_occurrence", "text_similarity"): value for name, value in OPTIONS.items()}
    catalogue = SimpleNamespace(
        trained=4, texts=[""] * 6, neighbours=None, popularity=np.array([1, 2, 1, 3, 0, 0]), text_vectors=vectors,
        item_pairs=None,
    )  # fmt: skip
    directions = vectors - vectors[:4].mean(axis=0)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    cosine = np.where(np.eye(6) > 0, -2, directions @ directions.T)
    expected = np.zeros((3, 6))
    histories = [[0], [4, 2], [1, 5, 3, 4]]
    for user, history in enumerate(histories):
        for step, item in enumerate(history[::-1][:3]):
            others = cosine[item, :4] if item < 4 else cosine[item]  # those from which the two nearest are taken
            near = (cosine[item] >= np.sort(others)[-2]) & (np.arange(6) != item)
            expected[user] += np.where(near, 2 * 0.5**step * np.exp(3 * (cosine[item] - 1)), 0)
    config = {**OPTIONS, **options, "stage": "train", "device": "cpu", "co_occurrence_weight": 0, "seen_weight": 0}
    with mock.patch("recbole_vqrec.model.text_similarity.NEAREST", 2):
        with mock.patch("recbole_vqrec.inference.history_scores.NEAREST", 2):
            served = create_served_history_scores({**config, "new_item_weight": 0}, catalogue)
            ((_, found),) = served.add_to([(0, torch.zeros(3, 6))], histories, None)
    assert np.allclose(found, expected, atol=1e-5)
