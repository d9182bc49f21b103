import numpy as np
import pytest
import torch
from small import SMALL, small_config
from recbole.data import data_preparation
from recbole.data.interaction import Interaction

from recbole_vqrec import artifacts, quick_start
from recbole_vqrec.data.dataset import create_dataset
from recbole_vqrec.errors import VQRecError
from recbole_vqrec.evaluation.user_ranks import RankCollector, UserRanks, training_counts
from recbole_vqrec.model.tied_items import TiedItems


def ranks(above, level):
    users = [f"u{number}" for number in range(len(above))]
    return UserRanks(users, np.array(above), np.array(level), np.zeros(len(above), int))


def test_metrics_of_literal_ranks():
    found = ranks([0, 1, 9, 10], [0, 0, 0, 0])
    assert found.metric("recall@10").tolist() == [1, 1, 1, 0]
    assert found.metric("ndcg@10") == pytest.approx([1, 1 / np.log2(3), 1 / np.log2(11), 0])
    assert found.metric("mrr@10") == pytest.approx([1, 0.5, 0.1, 0])


@pytest.mark.parametrize("name", ["recall@5", "ndcg@5", "mrr@5"])
def test_ties_count_as_their_mean_over_all_orders(name):
    for above in range(8):
        for level in range(6):
            orders = [ranks([above + place], [0]).metric(name)[0] for place in range(level + 1)]
            assert ranks([above], [level]).metric(name)[0] == pytest.approx(np.mean(orders))


def test_an_unknown_metric():
    with pytest.raises(VQRecError, match="expected recall@K"):
        ranks([0], [0]).metric("auc")


def test_scores_are_counted_above_and_level(tiny):
    train_data = data_preparation(small_config(), create_dataset(small_config()))[0]
    collector = RankCollector(train_data)
    scores = torch.tensor([[0.0, 5, 4, 4, 1], [0, float("nan"), 2, 1, 0], [0, 1, 2, 3, 4]])
    scores[:, 0] = -np.inf
    rows, items = torch.arange(3), torch.tensor([2, 2, 4])
    collector.add(Interaction({"user_id": torch.tensor([3, 1, 2])}), scores, rows, items)
    found = collector.ranks()
    names = train_data._dataset.field2id_token["user_id"]
    by_user = dict(zip(found.user_ids, zip(found.above, found.level)))
    assert by_user == {names[3]: (1, 1), names[1]: (1, 0), names[2]: (0, 0)}
    assert found.user_ids == sorted(found.user_ids)


class Tied:
    """A model whose items 1, 3 and 4 have the same codes."""

    def __init__(self, order):
        codes = torch.tensor([[0], [7], [5], [7], [7]])
        self.tied_items = TiedItems(codes, torch.tensor([0, 1, 9, 5, 2]), order)


@pytest.mark.parametrize("seed", range(5))
def test_ties_by_chance_are_those_of_unordered_scores(tiny, seed):
    train_data = data_preparation(small_config(), create_dataset(small_config()))[0]
    scores = torch.from_numpy(np.random.default_rng(seed).random((3, 5))).float()
    scores[:, [3, 4]] = scores[:, [1]]
    scores[2, 4] += 0.5  # an embedding of its id tells it apart
    scores[:, 0] = -np.inf
    rows, items, histories = torch.arange(3), torch.tensor([3, 2, 1]), torch.tensor([[3, 0], [1, 4], [4, 2]])
    found = {}
    for order in ("unseen_popular", "arbitrary"):
        model = Tied(order)
        collector = RankCollector(train_data, model)
        shifted = model.tied_items.shift_all(scores.clone(), histories)
        collector.add(Interaction({"user_id": torch.tensor([3, 1, 2])}), shifted, rows, items)
        found[order] = collector.ranks()
    by_chance, arbitrary = found["unseen_popular"].ties_by_chance(), found["arbitrary"]
    for name in ("above", "level"):
        assert getattr(by_chance, name).tolist() == getattr(arbitrary, name).tolist()
        assert getattr(arbitrary.ties_by_chance(), name).tolist() == getattr(arbitrary, name).tolist()
    assert found["unseen_popular"].level.tolist() == [0, 0, 0] and arbitrary.level.max() == 2


def test_ties_are_stored(tmp_path):
    made = UserRanks(["u1", "u2"], np.array([3, 1]), np.array([0, 1]), np.array([5, 6]), np.array([2, 0]), np.array([1, 0]))
    made.save(tmp_path)
    read = UserRanks.load(tmp_path)
    assert read.above.tolist() == [3, 1] and read.ties_by_chance().above.tolist() == [1, 1]
    assert read.ties_by_chance().level.tolist() == [3, 1]
    assert read.user_ids == ["u1", "u2"] and read.target_count.tolist() == [5, 6]
    many = ranks(list(range(50)) * 200, [0] * 10000)
    many.save(tmp_path)
    assert (tmp_path / "ranks.safetensors").stat().st_size < 10000 * 8  # of 3 x 4 bytes and an id of each
    assert UserRanks.load(tmp_path).above.tolist() == many.above.tolist()
    ranks([4], [2]).save(tmp_path)
    assert UserRanks.load(tmp_path).ties_by_chance().level.tolist() == [2]


def test_ranks_of_an_earlier_version_are_read(tmp_path):
    counts = {name: np.array([number, 7], np.int32) for number, name in enumerate(("above", "level", "target_count"))}
    artifacts.write_artifact(tmp_path / "ranks.safetensors", "user ranks", counts, {}, ["u1", "u2"])
    read = UserRanks.load(tmp_path)
    assert read.user_ids == ["u1", "u2"] and read.level.tolist() == [1, 7] and read.tied_above is None


def test_a_run_keeps_ranks_that_give_its_metrics(tiny):
    result = quick_start.run("VQRec", "tiny", None, dict(SMALL))
    found = UserRanks.load(result["run"])
    assert len(found.user_ids) == 30 and not found.level.any()
    for name, value in result["test_result"].items():
        assert found.metric(name).mean() == pytest.approx(value, abs=1e-4)


def test_training_counts_leave_the_held_out_items_out(tiny):
    config = small_config()
    dataset = create_dataset(config)
    counts = training_counts(data_preparation(config, dataset)[0]._dataset)
    lines = [line.split("\t") for line in (tiny / "tiny.inter").read_text().splitlines()[1:]]
    expected = dict.fromkeys(dataset.field2id_token["item_id"], 0)
    for user in {line[0] for line in lines}:
        for item in [line[1] for line in lines if line[0] == user][:-2]:
            expected[item] += 1
    assert counts.tolist() == [expected[token] for token in dataset.field2id_token["item_id"]]
