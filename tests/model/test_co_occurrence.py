import math
from unittest import mock

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from recbole.data import data_preparation
from recbole.data.interaction import Interaction
from small import SMALL, small_config, write_codes, write_inter

from recbole_vqrec import quick_start
from recbole_vqrec.data.dataset import create_dataset
from recbole_vqrec.data.item_pairs import pair_strengths
from recbole_vqrec.errors import VQRecError
from recbole_vqrec.model.co_occurrence import CoOccurrence
from recbole_vqrec.model.create import create_model

# what comes before the last two items is training: a-b and b-c, b-c, a-d, d-d, c-b
SEQUENCES = {"u": "abcab", "v": "bcab", "w": "adda", "x": "ddbc", "y": "cbad"}
OPTIONS = {
    "co_occurrence_weight": 2.0, "co_occurrence_decay": 0.5, "co_occurrence_scale": 3.0, "co_occurrence_history": 2,
}  # fmt: skip


def prepared(tmp_path, **options):
    write_inter(tmp_path / "tiny", "tiny", {user: list(items) for user, items in SEQUENCES.items()})
    write_codes(tmp_path / "tiny", "tiny", "abcd")
    config = small_config(data_path=str(tmp_path), topk=[2], valid_metric="NDCG@2", **options)
    dataset = create_dataset(config)
    return config, dataset, data_preparation(config, dataset)


def reference(sequences, weight, decay, scale, steps):
    """Return (history, item) -> what is added, of training sequences, by the formula as it is written."""
    count = {}
    for items in sequences:
        for pair in zip(items, items[1:]):
            count[frozenset(pair)] = count.get(frozenset(pair), 0) + 1
    total = {}
    for pair, times in count.items():
        for item in pair:
            total[item] = total.get(item, 0) + times

    def added(history, item):
        value = 0
        for step, each in enumerate(history[::-1][:steps]):
            times = count.get(frozenset([each, item]), 0)
            if times:
                value += decay**step * math.log(1 + scale * times / (total[each] * total[item]) ** 0.25)
        return weight * value

    return added


def test_scores_have_the_co_occurrence_of_the_latest_items(tmp_path):
    config, dataset, (train, *_) = prepared(tmp_path, **OPTIONS)
    plain_config, _, (plain_train, *_) = prepared(tmp_path)
    model = config.model_class(config, train._dataset).eval()
    plain = plain_config.model_class(plain_config, plain_train._dataset).eval()
    assert model.state_dict().keys() == plain.state_dict().keys()  # nothing in checkpoints depends on it
    plain.load_state_dict(model.state_dict())
    tokens = dataset.field2id_token["item_id"]
    row = {token: index for index, token in enumerate(tokens)}
    added = reference(["abc", "bc", "ad", "dd", "cb"], 2.0, 0.5, 3.0, 2)
    histories = ["a", "ab", "abc", "dda", "ad"]
    items = torch.zeros(5, 3, dtype=torch.long)
    for index, history in enumerate(histories):
        items[index, : len(history)] = torch.tensor([row[item] for item in history])
    batch = Interaction({"item_id_list": items, "item_length": torch.tensor([1, 2, 3, 3, 2])})
    with torch.no_grad():
        difference = model.full_sort_predict(batch) - plain.full_sort_predict(batch)
    expected = torch.tensor([[0, *(added(history, item) for item in tokens[1:])] for history in histories])
    assert torch.allclose(difference, expected, atol=1e-5)


def test_items_that_training_has_not_seen_have_none():
    pairs, counts = torch.tensor([[1, 2], [2, 2]]), torch.tensor([4, 1])
    co_occurrence = CoOccurrence(pairs, pair_strengths(pairs, counts), OPTIONS)
    scores = co_occurrence.add_to_all(torch.zeros(3, 8), torch.tensor([[7], [5], [1]]), torch.tensor([1, 1, 1]))
    assert scores[:2].count_nonzero() == 0 and scores[2].nonzero().tolist() == [[2]]
    empty = CoOccurrence(pairs[:0], pair_strengths(pairs[:0], counts[:0]), OPTIONS)
    assert empty.add_to_all(torch.zeros(1, 8), torch.tensor([[7]]), torch.tensor([1])).count_nonzero() == 0


@given(st.integers(0, 10_000), st.sampled_from([1, 3, 1 << 20]))
def test_one_item_and_all_items_agree_with_the_formula_however_few_entries_at_once(seed, at_once):
    with mock.patch("recbole_vqrec.model.pair_scores.ENTRIES_AT_ONCE", at_once):
        compare_with_the_formula(seed)


def compare_with_the_formula(seed):
    draw = torch.Generator().manual_seed(seed)

    def random(high, *shape):
        return torch.randint(1, high, shape, generator=draw)

    sequences = [random(6, int(random(7, 1))).tolist() for _ in range(4)]
    count = {}
    for items in sequences:
        for pair in zip(items, items[1:]):
            key = (min(pair), max(pair))
            count[key] = count.get(key, 0) + 1
    pairs = torch.tensor(list(count), dtype=torch.long).view(-1, 2)
    counts = torch.tensor(list(count.values()), dtype=torch.long)
    co_occurrence = CoOccurrence(pairs, pair_strengths(pairs, counts), OPTIONS)
    lengths, histories, chosen = random(5, 3), random(6, 3, 4), random(6, 3)
    histories = histories * (torch.arange(4) < lengths[:, None])
    scores = torch.rand(3, 6, generator=draw)
    everything = co_occurrence.add_to_all(scores.clone(), histories, lengths)
    added = reference(sequences, 2.0, 0.5, 3.0, 2)
    expected = [[added(each[:n], item) for item in range(6)] for each, n in zip(histories.tolist(), lengths.tolist())]
    assert torch.allclose(everything - scores, torch.tensor(expected), atol=1e-5)
    one = co_occurrence.add_to_one(scores[torch.arange(3), chosen], chosen, histories, lengths)
    assert torch.allclose(one, everything[torch.arange(3), chosen], atol=1e-6)


def test_it_is_off_in_pre_training_and_unless_asked_for(tmp_path):
    config, _, (train, *_) = prepared(tmp_path)
    assert train._dataset.item_pairs is None
    assert config.model_class(config, train._dataset).history_scores is None


def test_a_data_set_of_another_package_is_refused(tmp_path):
    config, _, (train, *_) = prepared(tmp_path, co_occurrence_weight=1)
    del train._dataset.item_pairs
    with pytest.raises(VQRecError, match="build it with recbole_vqrec"):
        config.model_class(config, train._dataset)


def test_the_baseline_scores_with_nothing_else_and_popularity_orders_the_rest(tmp_path):
    write_inter(tmp_path / "tiny", "tiny", {user: list(items) for user, items in SEQUENCES.items()})
    options = {**OPTIONS, "data_path": str(tmp_path), "topk": [2], "valid_metric": "NDCG@2"}
    config = small_config("ItemCoOccurrence", **options)
    dataset = create_dataset(config)
    train, *_ = data_preparation(config, dataset)
    model = create_model(config, train._dataset).eval()
    tokens = list(dataset.field2id_token["item_id"])
    batch = Interaction({"item_id_list": torch.tensor([[tokens.index("a")]]), "item_length": torch.tensor([1])})
    scores = dict(zip(tokens, model.full_sort_predict(batch)[0].tolist()))
    added = reference(["abc", "bc", "ad", "dd", "cb"], 2.0, 0.5, 3.0, 2)
    popularity = {"a": 2, "b": 3, "c": 3, "d": 3}
    expected = {item: added("a", item) + 1e-3 * math.log(1 + count) for item, count in popularity.items()}
    assert {item: scores[item] for item in "abcd"} == pytest.approx(expected, abs=1e-6)
    for item in "bc":
        batch.update(Interaction({"item_id": torch.tensor([tokens.index(item)])}))
        assert model.predict(batch).tolist() == pytest.approx([expected[item]], abs=1e-6)
    assert quick_start.run("ItemCoOccurrence", "tiny", None, {**SMALL, **options, "epochs": 9})["epochs"] == 1
    config["co_occurrence_weight"] = 0
    with pytest.raises(VQRecError, match="co_occurrence_weight: 0, ItemCoOccurrence has nothing else"):
        create_model(config, train._dataset)


def test_models_of_recbole_score_with_it_too(tmp_path):
    write_inter(tmp_path / "tiny", "tiny", {user: list(items) for user, items in SEQUENCES.items()})
    options = {"data_path": str(tmp_path), "topk": [2], "valid_metric": "NDCG@2"}
    scores = {}
    for weight in (0, 2.0):
        config = small_config("GRU4Rec", **{**options, **OPTIONS, "co_occurrence_weight": weight})
        dataset = create_dataset(config)
        train, _, test = data_preparation(config, dataset)
        torch.manual_seed(1)
        model = create_model(config, train._dataset).eval()
        batch = next(iter(test))[0]
        batch.update(Interaction({"item_id": torch.full((len(batch),), 1)}))
        with torch.no_grad():
            scores[weight] = model.full_sort_predict(batch).view(len(batch), -1)
            assert torch.allclose(model.predict(batch), scores[weight][:, 1], atol=1e-5)
    tokens, items, lengths = dataset.field2id_token["item_id"], batch["item_id_list"], batch["item_length"]
    histories = [tokens[each[:length]].tolist() for each, length in zip(items, lengths)]
    added = reference(["abc", "bc", "ad", "dd", "cb"], 2.0, 0.5, 3.0, 2)
    expected = torch.tensor([[0, *(added(history, item) for item in tokens[1:])] for history in histories])
    assert torch.allclose(scores[2.0] - scores[0], expected, atol=1e-5) and expected.count_nonzero() > 5
