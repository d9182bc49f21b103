"""A run's model without its training data, where those have sizes that the catalogue does not know."""

import shutil

import numpy as np
import torch
from recbole.data.interaction import Interaction
from small import SMALL, random_domains

from recbole_vqrec import Recommender, quick_start


def test_recguru_of_several_domains_recommends(tmp_path):
    random_domains(tmp_path / "dataset")
    run = quick_start.pretrain(name="mix", model="RecGURU", config_dict=dict(SMALL))["run"]
    _, model, dataset, *_ = quick_start.load_data_and_model(run)
    assert model.discriminator is not None
    history = ["a-i1", "b-i3"]
    rows = {"item_id_list": [dataset.token2id("item_id", history)], "item_length": [2]}
    scores = model.full_sort_predict(Interaction({name: torch.tensor(np.array(row)) for name, row in rows.items()}))
    shutil.rmtree(tmp_path / "dataset")
    found = Recommender.load(run).recommend([history], k=100, filter_seen=False)
    expected = scores.flatten()[dataset.token2id("item_id", found.item.tolist())].detach()
    assert len(found) == dataset.item_num - 1 and np.allclose(found.score, expected, atol=1e-5)
