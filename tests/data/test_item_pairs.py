import pytest
import torch
from recbole.data import data_preparation
from small import small_config, write_codes, write_inter

from recbole_vqrec.data.dataset import create_dataset
from recbole_vqrec.data.item_pairs import pair_strengths

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


def test_no_pairs_stay_none():
    empty = torch.zeros(0, 2, dtype=torch.long)
    assert pair_strengths(empty, torch.zeros(0, dtype=torch.long)).tolist() == []
