import math
from types import SimpleNamespace
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from recbole.data import data_preparation
from small import small_config, write_codes, write_inter, write_vectors

from recbole_vqrec.data.dataset import create_dataset
from recbole_vqrec.errors import VQRecError
from recbole_vqrec.model import text_similarity as module
from recbole_vqrec.model.create import create_model
from recbole_vqrec.model.text_similarity import (
    TextSimilarity, create_text_similarity, nearest_texts, text_directions, text_mean,
)  # fmt: skip

OPTIONS = {
    "text_similarity_weight": 2.0, "text_similarity_decay": 0.5, "text_similarity_scale": 3.0,
    "text_similarity_history": 2,
}  # fmt: skip


def reference(directions, history, item, nearest):
    """Return what is added to one item, by the formula as it is written."""
    value = 0.0
    for step, each in enumerate(history[::-1][:2]):
        cosines = {other: float(directions[each] @ directions[other]) for other in range(1, 7) if other != each}
        near = sorted(cosines, key=cosines.get)[-nearest:]
        if item in near:
            value += 2 * 0.5**step * math.exp(3 * (cosines[item] - 1))
    return value


@given(st.integers(0, 10_000), st.sampled_from([1, 3, 128]))
def test_one_item_and_all_items_agree_with_the_formula(seed, nearest):
    draw = torch.Generator().manual_seed(seed)
    vectors, popularity = torch.randn(7, 3, generator=draw), torch.tensor([0, 1, 1, 1, 0, 2, 1])
    with mock.patch("recbole_vqrec.model.text_similarity.NEAREST", nearest):
        similarity = TextSimilarity(vectors, popularity, OPTIONS)
    lengths = torch.randint(1, 5, (4,), generator=draw)
    histories = torch.randint(1, 7, (4, 4), generator=draw) * (torch.arange(4) < lengths[:, None])
    scores, chosen = torch.rand(4, 7, generator=draw), torch.randint(1, 7, (4,), generator=draw)
    everything = similarity.add_to_all(scores.clone(), histories, lengths)
    own = vectors.numpy()[1:] - vectors.numpy()[[1, 2, 3, 5, 6]].mean(axis=0)
    own = np.concatenate([np.zeros((1, 3)), own / np.linalg.norm(own, axis=1, keepdims=True)])
    plain = [each[:size] for each, size in zip(histories.tolist(), lengths.tolist())]
    expected = torch.tensor([[reference(own, each, item, nearest) for item in range(7)] for each in plain])
    assert torch.allclose(everything - scores, expected, atol=1e-5)
    one = similarity.add_to_one(scores[torch.arange(4), chosen], chosen, histories, lengths)
    assert torch.allclose(one, everything[torch.arange(4), chosen], atol=1e-5)
    if nearest < 5:
        cosines = np.sort(np.where(np.eye(6) > 0, -2, own[1:] @ own[1:].T), axis=1)
        assert np.allclose(similarity.farthest[1:], cosines[:, -nearest], atol=1e-5)


def test_equal_texts_are_near_one_another_and_never_to_themselves():
    directions = torch.nn.functional.normalize(torch.tensor([[1.0, 1], [1, 0], [1, 0], [1, 0], [0, 1]]), dim=1)
    directions[0] = 0
    items, cosine = nearest_texts(directions, 2)
    assert [set(row) for row in items.tolist()[:3]] == [{2, 3}, {1, 3}, {1, 2}] and cosine[:3].tolist() == [[1, 1]] * 3


def test_many_items_have_their_nearest_found_by_a_graph(monkeypatch):
    directions = torch.nn.functional.normalize(torch.randn(400, 8, generator=torch.Generator().manual_seed(1)), dim=1)
    exact = nearest_texts(directions, 5)[0]
    monkeypatch.setattr(module, "EXACT_ITEMS", 10)
    by_graph = nearest_texts(directions, 5)[0]
    shared = [len(set(first) & set(second)) for first, second in zip(exact[1:].tolist(), by_graph[1:].tolist())]
    assert by_graph.shape == (399, 5) and sum(shared) > 0.95 * 5 * 398


def test_a_text_that_is_the_mean_and_one_that_is_alone_have_no_direction():
    vectors = torch.tensor([[1.0, 0], [3, 0], [2, 0]])
    mean = text_mean(vectors, torch.tensor([1, 1, 0]))
    assert text_directions(vectors, mean).tolist() == [[-1, 0], [1, 0], [0, 0]]
    assert text_directions(vectors[:1], text_mean(vectors[:1], torch.tensor([0]))).tolist() == [[0, 0]]


def prepared(tmp_path, model, **options):
    write_inter(tmp_path / "tiny", "tiny", {f"u{user}": [*"abcde"][user:] + ["a", "c", "f"] for user in range(3)})
    write_codes(tmp_path / "tiny", "tiny", "abcdef")
    write_vectors(tmp_path / "tiny", "tiny", "abcdef", 4)
    given = {"data_path": str(tmp_path), "topk": [2], "valid_metric": "NDCG@2", **options}
    config = small_config(model, **given)
    return config, create_dataset(config)


@pytest.mark.parametrize("model", ["VQRec", "SASRec", "SASRecText", "GRU4Rec"])
def test_models_score_with_it_and_are_the_same_otherwise(tmp_path, model):
    scores = {}
    for weight in (0, 2):
        config, dataset = prepared(tmp_path, model, text_similarity_weight=weight)
        train, _, test = data_preparation(config, dataset)
        torch.manual_seed(1)
        network, batch = create_model(config, train._dataset).eval(), next(iter(test))[0]
        with torch.no_grad():
            scores[weight] = network.full_sort_predict(batch).view(len(batch), -1)
    similarity = TextSimilarity(train._dataset.item_text_vectors, train._dataset.item_popularity, config)
    added = similarity.add_to_all(torch.zeros_like(scores[0]), batch["item_id_list"], batch["item_length"])
    assert torch.allclose((scores[2] - scores[0])[:, 1:], added[:, 1:], atol=1e-5) and (added > 0.1).any()


def test_missing_text_vectors_and_other_data_sets_are_refused(tmp_path):
    config, dataset = prepared(tmp_path, "SASRec", text_similarity_weight=2)
    for file in (tmp_path / "tiny").glob("*.emb.*"):
        file.unlink()
    with pytest.raises(VQRecError, match="recbole-vqrec embed --dataset tiny"):
        data_preparation(config, dataset)
    with pytest.raises(VQRecError, match="text_similarity_weight needs the text vectors"):
        create_text_similarity(config, SimpleNamespace())
