import pytest
import torch
from torch.nn.functional import cross_entropy

from recbole_vqrec.model.losses import full_softmax_loss


@pytest.mark.parametrize("chunk", [1, 7, 23, 10**9])
def test_loss_and_gradients_equal_cross_entropy_on_all_scores(chunk):
    queries = torch.randn(13, 6, dtype=torch.float32, requires_grad=True)
    items = torch.randn(9, 6, requires_grad=True)
    targets = torch.randint(9, (13,))
    expected = cross_entropy(queries @ items.T, targets)
    expected_gradients = torch.autograd.grad(3 * expected, (queries, items))
    found = full_softmax_loss(queries, items, targets, chunk)
    gradients = torch.autograd.grad(3 * found, (queries, items))
    assert torch.allclose(found, expected, atol=1e-6)
    for gradient, reference in zip(gradients, expected_gradients):
        assert torch.allclose(gradient, reference, atol=1e-6)


def test_large_scores_stay_finite():
    queries, items = torch.tensor([[1e4], [-1e4]]), torch.tensor([[1.0], [-1.0]])
    assert full_softmax_loss(queries, items, torch.tensor([0, 0])).item() == pytest.approx(1e4)


def test_only_what_needs_a_gradient_gets_one():
    queries, items = torch.randn(3, 2, requires_grad=True), torch.randn(4, 2)
    full_softmax_loss(queries, items, torch.tensor([0, 1, 3])).backward()
    assert queries.grad is not None and items.grad is None


def test_no_targets_give_no_loss():
    assert full_softmax_loss(torch.zeros(0, 2), torch.randn(4, 2), torch.zeros(0, dtype=torch.long)) == 0


def test_memory_is_bounded_by_the_chunk(monkeypatch):
    sizes = []
    original = torch.logsumexp
    monkeypatch.setattr(torch, "logsumexp", lambda scores, **kw: sizes.append(scores.numel()) or original(scores, **kw))
    full_softmax_loss(torch.randn(100, 4), torch.randn(50, 4), torch.randint(50, (100,)), chunk=500)
    assert max(sizes) == 500 and len(sizes) == 10
