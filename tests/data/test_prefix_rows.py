from types import SimpleNamespace

import pytest
import torch
from recbole.data import data_preparation
from small import small_config

from recbole_vqrec.data.dataset import create_dataset
from recbole_vqrec.data.prefix_rows import training_counts


@pytest.mark.parametrize("limit", [1, 2, 5])
def test_counts_do_not_depend_on_the_history_limit(tiny, limit):
    config = small_config(MAX_ITEM_LIST_LENGTH=limit)
    dataset = create_dataset(config)
    sequences = {}
    for line in (tiny / "tiny.inter").read_text().splitlines()[1:]:
        user, item, _ = line.split("\t")
        sequences.setdefault(user, []).append(item)
    trained = [item for items in sequences.values() for item in items[:-2]]
    counts = training_counts(data_preparation(config, dataset)[0]._dataset)
    assert counts.tolist() == [trained.count(token) for token in dataset.field2id_token["item_id"]]


@pytest.mark.parametrize("step", [1, -1])
def test_counts_of_histories_of_one_item_in_both_orders_of_rows(step):
    # user 1 reads 1 2 3 4, user 2 reads 4 1; RecBole writes the first target first, the authors the last one
    rows = [(1, 1, 2), (1, 2, 3), (1, 3, 4), (2, 4, 1)][::step]
    users, items, targets = torch.tensor(rows).T
    columns = {"user_id": users, "item_id_list": items[:, None], "item_id": targets, "item_length": torch.ones(4)}
    names = {"uid_field": "user_id", "iid_field": "item_id", "item_list_length_field": "item_length"}
    split = SimpleNamespace(inter_feat=columns, item_num=5, config={"LIST_SUFFIX": "_list"}, **names)
    assert training_counts(split).tolist() == [0, 2, 1, 1, 2]
