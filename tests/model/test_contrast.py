import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole_vqrec.model.contrast import drop_items, in_batch_contrast, item_contrast


def test_contrast_equals_its_formula():
    queries, keys = torch.randn(5, 3), torch.randn(5, 3)
    items = torch.tensor([7, 2, 7, 4, 2])
    total = 0.0
    for t in range(5):
        others = [u for u in range(5) if u == t or items[u] != items[t]]
        sum_of_all = sum(math.exp(float(queries[t] @ keys[u])) for u in others)
        total -= math.log(math.exp(float(queries[t] @ keys[t])) / sum_of_all)
    assert in_batch_contrast(queries, keys, items).item() == pytest.approx(total / 5, abs=1e-5)


def test_contrast_is_in_float32_under_autocast():
    queries, keys = torch.randn(40, 16), torch.randn(40, 16)
    items = torch.arange(40) % 30
    with torch.autocast("cpu", torch.bfloat16):
        found = in_batch_contrast(queries, keys, items)
        rounded = in_batch_contrast(queries.bfloat16(), keys.bfloat16(), items)
    assert found.item() == pytest.approx(in_batch_contrast(queries, keys, items).item(), abs=1e-5)
    assert rounded.item() == pytest.approx(found.item(), rel=0.05) and rounded.dtype == torch.float32


def test_contrast_of_one_pair_is_zero():
    assert in_batch_contrast(torch.randn(1, 3), torch.randn(1, 3), torch.tensor([4])).item() == 0


@pytest.mark.parametrize("chunk", [1, 10**9])
def test_contrast_of_items_is_that_of_their_pairs(chunk):
    queries, table = torch.randn(6, 3, requires_grad=True), torch.randn(9, 3, requires_grad=True)
    items = torch.tensor([7, 2, 7, 4, 2, 2])
    expected = in_batch_contrast(queries, table[items], items)
    found = item_contrast(queries, items, torch.arange(6), lambda candidates: table[candidates], chunk)
    assert found.item() == pytest.approx(expected.item(), abs=1e-6)
    gradients, references = (torch.autograd.grad(loss, (queries, table)) for loss in (found, expected))
    for gradient, reference in zip(gradients, references):
        assert torch.allclose(gradient, reference, atol=1e-6)


def test_pairs_of_another_process_are_candidates_and_not_trained():
    queries, table, items = torch.randn(2, 3), torch.randn(9, 3), torch.tensor([7, 2, 7, 4])
    found = item_contrast(queries, items, torch.tensor([1, 3]), lambda candidates: table[candidates])
    scores = (queries @ table[items].T).exp()
    of_2, of_4 = scores[0, 1] / scores[0].sum(), scores[1, 3] / scores[1].sum()
    assert found.item() == pytest.approx(float(-(of_2.log() + of_4.log()) / 2), abs=1e-6)


@settings(deadline=None)
@given(st.lists(st.integers(1, 6), min_size=1, max_size=8), st.sampled_from([0.0, 0.4, 1.0]))
def test_dropped_sequences_are_subsequences_that_keep_something(lengths, probability):
    item_seq = torch.zeros(len(lengths), 6, dtype=torch.long)
    for row, length in enumerate(lengths):
        item_seq[row, :length] = torch.arange(1, length + 1)
    dropped, dropped_len = drop_items(item_seq, torch.tensor(lengths), probability)
    for row, length in enumerate(lengths):
        kept = dropped[row, : dropped_len[row]].tolist()
        assert kept and kept == sorted(set(kept)) and set(kept) <= set(range(1, length + 1))
        assert not dropped[row, dropped_len[row] :].any()
        assert len(kept) == (length if probability == 0 else 1 if probability == 1 else len(kept))


def test_items_fall_with_the_probability():
    item_seq = torch.ones(2000, 10, dtype=torch.long)
    _, kept = drop_items(item_seq, torch.full((2000,), 10), 0.2)
    assert 7.8 < kept.float().mean() < 8.2
