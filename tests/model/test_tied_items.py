import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from recbole.data import data_preparation
from recbole.data.interaction import Interaction
from small import small_config, write_codes, write_inter

from recbole_vqrec.data.dataset import create_dataset
from recbole_vqrec.errors import VQRecError
from recbole_vqrec.model.tied_items import SPAN, TiedItems, groups
from recbole_vqrec.quantization.item_codes import ItemCodes

# items 1, 3 and 4 have the same codes, and 2 and 5 have
CODES = torch.tensor([[0, 0], [1, 5], [2, 4], [1, 5], [1, 5], [2, 4], [3, 6]])
POPULARITY = torch.tensor([0, 1, 9, 5, 2, 9, 7])


def ranking(scores):
    return scores[:, 1:].argsort(dim=1, descending=True).add(1).tolist()


def test_equal_scores_come_by_popularity_and_items_of_the_history_last():
    scores = torch.tensor([0.0, 3, 2, 3, 3, 2, 1]).repeat(3, 1)
    histories = torch.tensor([[6, 0], [3, 2], [3, 3]])
    shifted = TiedItems(CODES, POPULARITY).shift_all(scores.clone(), histories)
    assert ranking(shifted) == [[3, 4, 1, 2, 5, 6], [4, 1, 3, 5, 2, 6], [4, 1, 3, 2, 5, 6]]
    assert (shifted - scores).abs().max() < 2 * SPAN
    shifted = TiedItems(CODES, POPULARITY, "popular").shift_all(scores.clone(), histories)
    assert ranking(shifted) == [[3, 4, 1, 2, 5, 6]] * 3
    assert torch.equal(TiedItems(CODES, POPULARITY, "arbitrary").shift_all(scores.clone(), histories), scores)


def test_items_with_codes_of_their_own_keep_their_scores():
    scores = torch.randn(2, 7)
    shifted = TiedItems(CODES, POPULARITY).shift_all(scores.clone(), torch.tensor([[6, 0], [6, 6]]))
    assert torch.equal(shifted[:, [0, 6]], scores[:, [0, 6]])
    distinct = torch.arange(14).view(7, 2)
    assert torch.equal(
        TiedItems(distinct, POPULARITY).shift_all(scores.clone(), torch.tensor([[6, 0], [1, 2]])), scores
    )


def test_without_popularity_ties_come_in_the_order_of_ids():
    scores = torch.tensor([[0.0, 3, 2, 3, 3, 2, 1]])
    assert ranking(TiedItems(CODES).shift_all(scores, torch.tensor([[1]]))) == [[3, 4, 1, 2, 5, 6]]


@given(st.integers(0, 10_000), st.sampled_from(["unseen_popular", "popular", "arbitrary"]))
def test_one_item_is_shifted_as_all_are(seed, order):
    draw = np.random.default_rng(seed)
    items = draw.integers(1, 9)
    codes = torch.from_numpy(np.concatenate([[[0, 0]], 1 + draw.integers(0, 2, (items, 2))]))
    tied = TiedItems(codes, torch.from_numpy(draw.integers(0, 3, items + 1)), order)
    histories = torch.from_numpy(draw.integers(0, items + 1, (4, 3)))
    scores, chosen = torch.from_numpy(draw.random((4, items + 1))), torch.from_numpy(draw.integers(1, items + 1, 4))
    everything = tied.shift_all(scores.clone(), histories)
    one = tied.shift_one(scores[torch.arange(4), chosen], chosen, histories)
    assert torch.allclose(one, everything[torch.arange(4), chosen], atol=1e-9)


def test_an_unknown_order_names_the_nearest():
    with pytest.raises(VQRecError, match="tied_items: 'popularr' is none of .*popular"):
        TiedItems(CODES, POPULARITY, "popularr")


@pytest.fixture
def twins(tmp_path, monkeypatch):
    """A data set in which a, b and c have the same codes; b occurs twice in training, a and c once."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "dataset" / "twins"
    write_inter(folder, "twins", {"u": "abxyz", "v": "bxcyz", "w": "xbycz", "x": "cxzay"})
    path = write_codes(folder, "twins", "abcxyz")
    codes = ItemCodes.load(path, "")
    codes.codes[1:3] = codes.codes[0]
    codes.save(path)


def model_and_data(**options):
    config = small_config(dataset="twins", topk=[2], valid_metric="NDCG@2", **options)
    dataset = create_dataset(config)
    train = data_preparation(config, dataset)[0]._dataset
    return config.model_class(config, train).eval(), train


def test_popularity_is_counted_in_the_training_split(twins):
    _, train = model_and_data()
    ids = train.token2id("item_id", list("abcxyz"))
    assert train.item_popularity[ids].tolist() == [1, 3, 2, 4, 1, 1]
    assert train.item_popularity.sum() == 12  # three interactions of each of four users


def test_the_model_ranks_its_twins(twins):
    model, train = model_and_data()
    a, b, c, x = train.token2id("item_id", list("abcx"))
    histories = Interaction({"item_id_list": torch.tensor([[x, 0], [x, b]]), "item_length": torch.tensor([1, 2])})
    with torch.no_grad():
        scores = model.full_sort_predict(histories)
        assert scores[0, b] > scores[0, c] > scores[0, a]
        assert scores[1, c] > scores[1, a] > scores[1, b]
        for item in (a, b, c, x):
            histories.interaction["item_id"] = torch.tensor([item, item])
            assert torch.allclose(model.predict(histories), scores[:, item], atol=3e-6)


def test_different_features_with_the_same_number_are_not_tied():
    """Rows are compared through the sum of their words times odd factors; these two have the same one."""
    one, other = np.random.default_rng(0).integers(1 << 63, size=2, dtype=np.uint64) * 2 + 1
    features = np.array([[other, 0], [0, one], [other, 0]], dtype=np.uint64).view(np.int64)
    group, sizes = groups(features)
    assert (sizes[group] > 1).tolist() == [True, False, True]


@pytest.mark.parametrize("features", [[[0.0, 1], [-0.0, 1], [0, 2]], [[1, 2, 3], [1, 2, 3], [3, 2, 1]]])
@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.int16])
def test_features_of_any_type(features, dtype):
    group, sizes = groups(np.array(features, dtype=dtype))
    assert (sizes[group] > 1).tolist() == [True, True, False]
