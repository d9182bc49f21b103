import numpy as np
import pytest
import torch
import torch.nn.functional as F

from recbole_vqrec import Recommender
from recbole_vqrec.inference.neighbours import TextNeighbours, placed
from recbole_vqrec.quantization.product_quantizer import ProductQuantizer
from recbole_vqrec.quantization.residual_quantizer import ResidualQuantizer


@pytest.mark.parametrize("whiten", [None, 8])
@pytest.mark.parametrize("kind", [ProductQuantizer, ResidualQuantizer])
def test_neighbours_are_those_of_the_decoded_vectors(kind, whiten):
    draw = np.random.default_rng(0)
    vectors = draw.normal(size=(300, 12)).astype(np.float32)
    quantizer = kind.train(vectors, 4, 16, seed=1, whiten=whiten)
    codes = quantizer.encode(vectors)
    items, weights = TextNeighbours(quantizer, codes, 16).find(vectors[:5])
    inside = quantizer.whitening.apply if whiten else lambda each: each
    decoded = quantizer.decode(codes)
    cosine = F.normalize(torch.tensor(inside(vectors[:5])), dim=1) @ F.normalize(torch.tensor(inside(decoded)), dim=1).T
    expected, order = cosine.topk(10, dim=1)
    assert items.shape == (5, 10) and items.dtype == np.int32
    assert np.allclose(np.take_along_axis(cosine.numpy(), items.astype(int), 1), expected, atol=1e-4)
    assert np.allclose(weights, torch.softmax(expected / 0.1, dim=1), atol=1e-3)


def test_a_new_item_is_scored_as_its_neighbours_are():
    table = F.normalize(torch.eye(4, 3) + 0.1, dim=1)
    rows, weights = torch.tensor([[0, 1], [2, 2]]), torch.tensor([[0.75, 0.25], [0.5, 0.5]])
    found = placed(lambda each: table[each], rows, weights)
    assert torch.allclose(found[0], F.normalize(0.75 * table[0] + 0.25 * table[1], dim=0))
    assert torch.allclose(found[1], table[2])


def test_scores_vectors_and_reloading_agree(recommender, tmp_path):
    recommender.add_items({"a": "red glue", "b": "blue tape 3"})
    recommender.add_items({"c": "grey tape"})
    ids, vectors = recommender.item_embeddings()
    assert recommender.catalogue.trained == 12 and ids[12:] == ["a", "b", "c"]
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    neighbours, weights = recommender.catalogue.neighbours, recommender.catalogue.weights
    expected = (vectors[neighbours] * weights[..., None]).sum(axis=1)
    assert np.allclose(vectors[12:], expected / np.linalg.norm(expected, axis=1, keepdims=True), atol=1e-5)
    histories = [["i1", "c"], ["i5"]]
    products = recommender.sequence_embeddings(histories).vectors @ vectors.T / recommender.config["temperature"]
    for candidates in (None, ["i1", "b", "i7", "a"]):
        found = recommender.recommend(histories, k=20, filter_seen=False, candidates=candidates)
        for user in (0, 1):
            own = found[found.user == user]
            assert np.allclose(own.score, [products[user, ids.index(item)] for item in own.item], atol=3e-4)
    recommender.remove_items(["a", "i2"])
    recommender.add_items({"a": "green tape"})  # takes its row again, with other neighbours
    expected = recommender.recommend(histories, k=20)
    recommender.save(tmp_path / "saved")
    assert Recommender.load(tmp_path / "saved").recommend(histories, k=20).equals(expected)
    assert recommender.catalogue.trained == 12 and len(recommender.catalogue.neighbours) == 3
