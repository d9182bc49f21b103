import pytest
import torch
from recbole.data import data_preparation
from small import small_config, write_codes, write_inter

from recbole_vqrec.data.dataset import create_dataset
from recbole_vqrec.errors import VQRecError
from recbole_vqrec.model.co_occurrence import CoOccurrence
from recbole_vqrec.model.create import create_model
from recbole_vqrec.model.history_scores import HistoryScores, create_history_scores

HISTORIES, LENGTHS = torch.tensor([[3, 1, 3], [2, 0, 0]]), torch.tensor([3, 1])
SCORES = torch.tensor([[0.0, 1, 2, 3, 4], [0.0, 5, 6, 7, 8]])


def test_the_weight_is_added_once_to_each_item_of_the_history():
    found = HistoryScores(-5).add_to_all(SCORES.clone(), HISTORIES, LENGTHS)
    assert found[:, 1:].tolist() == [[-4, 2, -2, 4], [5, 1, 7, 8]]
    one = HistoryScores(-5).add_to_one(torch.tensor([3.0, 7.0]), torch.tensor([3, 3]), HISTORIES, LENGTHS)
    assert one.tolist() == [-2, 7]


def test_co_occurrence_is_added_as_well():
    options = {
        "co_occurrence_weight": 1.0, "co_occurrence_decay": 0.5, "co_occurrence_scale": 3.0, "co_occurrence_history": 2,
    }  # fmt: skip
    co_occurrence = CoOccurrence(torch.tensor([[1, 4], [2, 3]]), torch.tensor([2.0, 1.0]), options)
    both = HistoryScores(-5, co_occurrence).add_to_all(SCORES.clone(), HISTORIES, LENGTHS)
    alone = co_occurrence.add_to_all(SCORES.clone(), HISTORIES, LENGTHS)
    assert torch.allclose((both - alone)[:, 1:], torch.tensor([[-5.0, 0, -5, 0], [0, -5, 0, 0]]))
    chosen = torch.tensor([4, 3])
    one = HistoryScores(-5, co_occurrence).add_to_one(SCORES[torch.arange(2), chosen], chosen, HISTORIES, LENGTHS)
    assert torch.allclose(one, both[torch.arange(2), chosen])


def test_items_without_training_interactions_get_their_weight():
    popularity = torch.tensor([0, 3, 0, 1, 0])
    scores = HistoryScores(-5, new_item_weight=1.5, popularity=popularity)
    found = scores.add_to_all(SCORES.clone(), HISTORIES, LENGTHS)
    assert found[:, 1:].tolist() == [[-4, 3.5, -2, 5.5], [5, 2.5, 7, 9.5]]
    assert scores.add_to_one(torch.tensor([3.0, 6.0]), torch.tensor([3, 2]), HISTORIES, LENGTHS).tolist() == [-2, 2.5]


@pytest.mark.parametrize("model", ["VQRec", "GRU4Rec"])
def test_models_score_with_it_and_are_the_same_otherwise(tmp_path, model):
    write_inter(tmp_path / "tiny", "tiny", {f"u{user}": [*"abcde"][user:] + ["a", "c", "f"] for user in range(3)})
    write_codes(tmp_path / "tiny", "tiny", "abcdef")
    scores = {}
    for weight in (0, -5):
        config = small_config(model, data_path=str(tmp_path), seen_weight=weight, topk=[2], valid_metric="NDCG@2")
        train, _, test = data_preparation(config, create_dataset(config))
        torch.manual_seed(1)
        network, batch = create_model(config, train._dataset).eval(), next(iter(test))[0]
        with torch.no_grad():
            scores[weight] = network.full_sort_predict(batch).view(len(batch), -1)
    seen = torch.zeros_like(scores[0]).scatter_(1, batch["item_id_list"], -5.0)
    assert torch.allclose((scores[-5] - scores[0])[:, 1:], seen[:, 1:], atol=1e-5) and seen[:, 1:].any()


def test_nothing_is_added_in_pre_training_and_by_default(tmp_path):
    off = {"stage": "train", "seen_weight": 0, "new_item_weight": 0, "co_occurrence_weight": 0, "text_similarity_weight": 0}
    on = {"seen_weight": -5, "co_occurrence_weight": 1, "text_similarity_weight": 2}
    assert create_history_scores({**on, "stage": "pretrain"}, None) is None
    assert create_history_scores(off, None) is None
    with pytest.raises(VQRecError, match="seen_weight: auto needs the training split"):
        create_history_scores({**off, "seen_weight": "auto"}, None)
