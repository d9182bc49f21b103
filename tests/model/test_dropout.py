import pytest
import torch

from recbole_vqrec.model.dropout import Dropout, dropout


@pytest.mark.parametrize("probability", [0.1, 0.2, 0.5, 0.9])
def test_rate_and_scale(probability):
    values = dropout(torch.ones(400, 1000), probability, True)
    kept = values != 0
    assert kept.float().mean().item() == pytest.approx(1 - probability, abs=0.005)
    assert values[kept].unique().tolist() == pytest.approx([1 / (1 - probability)], rel=1e-4)
    for lane in range(4):  # the four lanes of a draw are equally likely
        assert kept.flatten()[lane::4].float().mean().item() == pytest.approx(1 - probability, abs=0.01)


def test_neighbours_are_independent():
    kept = (dropout(torch.ones(1_000_000), 0.5, True) != 0).float()
    assert (kept[1:] * kept[:-1]).mean().item() == pytest.approx(0.25, abs=0.003)


def test_gradient_passes_where_values_are_kept():
    values = torch.ones(1000, requires_grad=True)
    dropped = dropout(values, 0.5, True)
    dropped.sum().backward()
    assert torch.equal(values.grad, dropped.detach())


def test_the_seed_decides_and_evaluation_changes_nothing():
    values = torch.randn(7, 11)
    torch.manual_seed(5)
    first = dropout(values, 0.3, True)
    torch.manual_seed(5)
    assert torch.equal(first, dropout(values, 0.3, True))
    assert Dropout(0.3).eval()(values) is values
    assert dropout(values, 0.0, True) is values
    assert dropout(values, 1.0, True).abs().sum() == 0
