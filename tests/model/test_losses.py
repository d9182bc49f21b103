import pytest
import torch
from torch.nn.functional import cross_entropy

from recbole_vqrec.model.losses import contrastive_loss, full_softmax_loss


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
    original = torch.Tensor.exp_
    monkeypatch.setattr(torch.Tensor, "exp_", lambda scores: sizes.append(scores.numel()) or original(scores))
    full_softmax_loss(torch.randn(100, 4), torch.randn(50, 4), torch.randint(50, (100,)), chunk=500)
    assert max(sizes) == 500 and len(sizes) == 10


def contrastive_by_hand(queries, items, targets, weights, negatives):
    """Eq. 8, one exponential after the other, in double precision."""
    total = 0.0
    for row, target in enumerate(targets.tolist()):
        scores = (queries[row].double() @ items.double().T).exp()
        denominator = scores[target] + sum(scores[u] * weights[u] for u in range(len(items)) if u != target)
        denominator = denominator + negatives[row].double().exp().sum()
        total = total - torch.log(scores[target] / denominator)
    return total / len(targets)


@pytest.mark.parametrize("chunk", [1, 11, 10**9])
def test_contrastive_loss_and_gradients_equal_the_formula(chunk):
    queries, items = torch.randn(7, 5, requires_grad=True), torch.randn(6, 5, requires_grad=True)
    negatives = torch.randn(7, 3, requires_grad=True)
    targets, weights = torch.tensor([0, 5, 2, 2, 1, 0, 3]), torch.tensor([2.0, 1.0, 3.0, 1.0, 0.5, 4.0])
    expected = contrastive_by_hand(queries, items, targets, weights, negatives)
    found = contrastive_loss(queries, items, targets, weights.log(), negatives, chunk)
    assert found.item() == pytest.approx(expected.item(), abs=1e-6)
    inputs = queries, items, negatives
    for gradient, reference in zip(torch.autograd.grad(2 * found, inputs), torch.autograd.grad(2 * expected, inputs)):
        assert torch.allclose(gradient, reference.float(), atol=1e-6)


def test_the_targets_own_weight_does_not_count():
    queries, items, targets = torch.randn(1, 4), torch.randn(3, 4), torch.tensor([1])
    few, many = (contrastive_loss(queries, items, targets, torch.tensor([0.0, w, 0.0])) for w in (0.0, 9.0))
    assert few == many


def test_nothing_to_tell_the_target_from_is_no_loss():
    queries = torch.randn(4, 3, requires_grad=True)
    loss = contrastive_loss(queries, torch.randn(1, 3), torch.zeros(4, dtype=torch.long), torch.tensor([4.0]).log())
    loss.backward()
    assert loss == 0 and torch.equal(queries.grad, torch.zeros(4, 3))


def test_large_negatives_stay_finite():
    queries, items = torch.tensor([[1.0]]), torch.tensor([[1e4], [-1e4]])
    loss = contrastive_loss(queries, items, torch.tensor([1]), None, torch.tensor([[1e4]]))
    assert loss.item() == pytest.approx(2e4, rel=1e-4)
