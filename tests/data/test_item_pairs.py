import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from recbole.data import data_preparation
from small import small_config, write_codes, write_inter, write_vectors

from recbole_vqrec.data import item_pairs as module
from recbole_vqrec.data.dataset import create_dataset
from recbole_vqrec.data.item_pairs import pair_strengths, shared_pairs
from recbole_vqrec.errors import VQRecError

# what comes before the last two items is training: a-b and b-c, b-c, a-d, d-d, c-b
SEQUENCES = {"u": "abcab", "v": "bcab", "w": "adda", "x": "ddbc", "y": "cbad"}


def pairs_of(tmp_path, model="VQRec", **options):
    """Return {"ab": strength} of each split."""
    write_inter(tmp_path / "tiny", "tiny", {user: list(items) for user, items in SEQUENCES.items()})
    write_codes(tmp_path / "tiny", "tiny", "abcd")
    given = {"data_path": str(tmp_path), "topk": [2], "valid_metric": "NDCG@2", "co_occurrence_weight": 1, **options}
    config = small_config(model, **given)
    dataset = create_dataset(config)
    tokens, found = dataset.field2id_token["item_id"], []
    for split in data_preparation(config, dataset):
        pairs, strengths = split._dataset.item_pairs
        found.append({"".join(sorted(tokens[pair])): each for pair, each in zip(pairs.numpy(), strengths.tolist())})
    return found


def test_pairs_are_those_of_the_training_split_in_either_order(tmp_path):
    # ab 1, bc 3, ad 1, dd 1; so a has 2, b 4, c 3, d 2
    expected = {"ab": 1 / 8**0.25, "bc": 3 / 12**0.25, "ad": 1 / 4**0.25, "dd": 1 / 4**0.25}
    for found in pairs_of(tmp_path):
        assert found == pytest.approx(expected)


def test_an_item_shares_the_pairs_of_the_text_nearest_to_its_own(tmp_path):
    write_inter(tmp_path / "tiny", "tiny", {"u": "ab"})
    vectors = write_vectors(tmp_path / "tiny", "tiny", "abcd")
    norm = {item: vector / np.linalg.norm(vector) for item, vector in vectors.items()}
    near = {item: max((each for each in "abcd" if each != item), key=lambda o: norm[item] @ norm[o]) for item in "abcd"}
    own, share = pairs_of(tmp_path)[0], {"a": 50 / 52, "b": 50 / 54, "c": 50 / 53, "d": 50 / 52}
    strength = {(x, y): own.get("".join(sorted(x + y)), 0) for x in "abcd" for y in "abcd"}
    expected = {}
    for first in "abcd":
        for second in "abcd"["abcd".index(first) :]:
            of_first, of_second = strength[near[first], second], strength[first, near[second]]
            shared = share[first] * of_first + share[second] * of_second
            expected[first + second] = strength[first, second] + shared
    expected = {pair: strength for pair, strength in expected.items() if strength}
    assert len(expected) > len(own)
    for model in ("VQRec", "SASRec", "ItemCoOccurrence"):
        for found in pairs_of(tmp_path, model, co_occurrence_neighbours=1):
            assert found == pytest.approx(expected)


def dense(pairs, strengths, size):
    full = torch.zeros(size, size, dtype=torch.float64)
    full[pairs[:, 0], pairs[:, 1]] = strengths.double()
    full[pairs[:, 1], pairs[:, 0]] = strengths.double()
    return full


@given(st.integers(0, 10_000))
def test_shared_pairs_agree_with_dense_matrices(seed):
    draw = torch.Generator().manual_seed(seed)
    size, neighbours = int(torch.randint(3, 12, (1,), generator=draw)), int(torch.randint(1, 6, (1,), generator=draw))
    index = torch.combinations(torch.arange(1, size), with_replacement=True)
    pairs = index[torch.rand(len(index), generator=draw) < 0.4]
    counts = torch.randint(1, 60, (len(pairs),), generator=draw)
    vectors = torch.randn(size, 5, generator=draw)
    unit = torch.nn.functional.normalize(vectors.double(), dim=1)
    cosine = unit @ unit.T
    cosine.fill_diagonal_(-torch.inf)
    cosine[:, 0] = -torch.inf
    kept = cosine >= cosine.topk(min(neighbours, size - 2), dim=1).values[:, -1:]
    near = torch.softmax(torch.where(kept, cosine / 0.1, -torch.inf), dim=1)
    near[0] = 0
    own = dense(pairs, pair_strengths(pairs, counts), size)
    near = 50 / (50 + dense(pairs, counts, size).sum(dim=1, keepdim=True)) * near
    expected = own + near @ own + own @ near.T
    found = dense(*shared_pairs(pairs, counts, vectors, neighbours), size)
    assert torch.allclose(torch.where(expected < 0.02, 0, expected), found, atol=1e-5) or (
        (expected - found).abs().max() <= 0.02 + 1e-5  # at the threshold itself rounding decides
    )


def test_many_items_have_their_neighbours_found_by_a_graph(monkeypatch):
    draw = torch.Generator().manual_seed(1)
    vectors, pairs = torch.randn(300, 8, generator=draw), torch.tensor([[1, 2], [5, 9]])
    exact = dense(*shared_pairs(pairs, torch.tensor([3, 1]), vectors, 3), 300)
    monkeypatch.setattr(module, "EXACT_ITEMS", 10)
    by_graph = dense(*shared_pairs(pairs, torch.tensor([3, 1]), vectors, 3), 300)
    assert (exact - by_graph).abs().sum() < 0.05 * exact.sum()


def test_no_pairs_stay_none():
    empty = torch.zeros(0, 2, dtype=torch.long)
    assert pair_strengths(empty, torch.zeros(0, dtype=torch.long)).tolist() == []
    assert [len(each) for each in shared_pairs(empty, empty[:, 0], torch.randn(4, 2), 2)] == [0, 0]


@pytest.mark.parametrize("value", [-1, 2.5, "many", True])
def test_neighbours_have_to_be_a_number_of_items(tmp_path, value):
    with pytest.raises(VQRecError, match="co_occurrence_neighbours: .*expected a whole number"):
        pairs_of(tmp_path, co_occurrence_neighbours=value)


def test_neighbours_need_text_embeddings(tmp_path):
    with pytest.raises(VQRecError, match="recbole-vqrec embed"):
        pairs_of(tmp_path, co_occurrence_neighbours=2)
