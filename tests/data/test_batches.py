import numpy as np
import pytest
import torch
from small import small_config
from hypothesis import given, settings
from hypothesis import strategies as st
from recbole.data import data_preparation

from recbole_vqrec.data.batches import TARGET_LIST, SequenceBatches, split, training_batches
from recbole_vqrec.data.dataset import create_dataset
from recbole_vqrec.errors import VQRecError


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 50), st.integers(1, 50)), max_size=60),
    st.integers(1, 100),
    st.integers(1, 300),
    st.booleans(),
    st.booleans(),
)
def test_batches_hold_every_sequence_once_within_the_bounds(sizes, max_targets, max_tokens, shuffle, like_length):
    lengths = np.array([max(size) for size in sizes], dtype=np.int64)
    targets = np.array([min(size) for size in sizes], dtype=np.int64)
    generator = torch.Generator().manual_seed(0) if shuffle else None
    batches = split(lengths, targets, max_targets, max_tokens, generator, like_length)
    assert sorted(np.concatenate([*batches, np.zeros(0, dtype=np.int64)]).tolist()) == list(range(len(sizes)))
    for batch in batches:
        assert len(batch) == 1 or targets[batch].sum() <= max_targets
        tokens = lengths[batch].max() * len(batch) if like_length else lengths[batch].sum()
        assert len(batch) == 1 or tokens <= max_tokens


def test_batches_are_of_even_size_and_like_length():
    lengths = np.array([5, 1, 1, 5, 1, 1, 5, 1])
    batches = split(lengths, np.ones(8, dtype=np.int64), 5, 1000, like_length=True)
    assert [sorted(lengths[batch].tolist()) for batch in batches] == [[1, 1, 1, 1], [1, 5, 5, 5]]


def loader_of(model="VQRec", **options):
    config = small_config(model, **options)
    return config, data_preparation(config, create_dataset(config))[0]


def test_all_positions_train_the_pairs_of_the_prefix_rows(tiny):
    config, loader = loader_of(MAX_ITEM_LIST_LENGTH=4, window_stride=1)
    expected = []
    for rows in loader:
        for history, length, target in zip(rows["item_id_list"], rows["item_length"], rows["item_id"]):
            expected.append((tuple(history[:length].tolist()), int(target)))
    found = []
    for batch in training_batches(config, loader, "all_positions"):
        for history, following in zip(batch["item_id_list"].tolist(), batch[TARGET_LIST].tolist()):
            found += [(tuple(history[: at + 1]), target) for at, target in enumerate(following) if target]
    assert sorted(found) == sorted(expected)


def test_long_histories_train_in_windows_and_that_is_said(tiny, caplog):
    def said(**options):
        caplog.clear()
        with caplog.at_level("INFO", "recbole_vqrec"):
            batches = training_batches(*loader_of(**options), "all_positions")
        tokens = int(batches.lengths[batches.sequences.row].sum())
        return [record.getMessage() for record in caplog.records if record.name == "recbole_vqrec"], tokens

    nothing, exact = said(MAX_ITEM_LIST_LENGTH=4, window_stride=1)
    assert nothing == []
    (text,), fewer = said(MAX_ITEM_LIST_LENGTH=4)
    assert "windows of 2 pairs, with their latest 3 to 4 items" in text and f"with {exact:,} tokens" in text
    assert f"{fewer:,} tokens an epoch" in text and fewer < exact
    assert said()[0] == []


def test_the_next_epoch_has_another_order_and_the_same_content(tiny):
    config, loader = loader_of(train_batch_size=20)
    batches = training_batches(config, loader, "all_positions")
    first, second = ([batch[TARGET_LIST].sum().item() for batch in batches] for _ in range(2))
    assert len(batches) == len(first) > 3
    assert first != second and sum(first) == sum(second)


def test_windows_end_with_the_last_training_item(tiny):
    config, loader = loader_of("BERT4Rec", MAX_ITEM_LIST_LENGTH=9, mask_ratio=0.5)
    longest = {}
    for rows in loader:
        for user, target in zip(rows["user_id"].tolist(), rows["item_id"].tolist()):
            longest[user] = target  # rows are not shuffled below
    ends = []
    for batch in SequenceBatches(loader, "windows", 64, 1000):
        ends += [history[length - 1] for history, length in zip(batch["item_id_list"].tolist(), batch["item_length"])]
        assert "Mask_item_id_list" in batch
    assert len(ends) == len(longest)


def test_rows_pass_through_recboles_own_collation(tiny):
    config, loader = loader_of("SASRec", loss_type="BPR", training_batches="trimmed_rows")
    batches = training_batches(config, loader, "all_positions")
    rows = [row for batch in batches for row in zip(batch["item_id"].tolist(), batch["neg_item_id"].tolist())]
    assert len(rows) == len(loader.dataset)
    assert all(positive != negative for positive, negative in rows)


@pytest.mark.parametrize("kind, message", [("all_positons", "is none of auto"), ("windows", "cannot learn from")])
def test_batches_a_model_cannot_use_are_refused(tiny, kind, message):
    config, loader = loader_of(training_batches=kind)
    with pytest.raises(VQRecError, match=message):
        training_batches(config, loader, "all_positions")
