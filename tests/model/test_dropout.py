import pytest
import torch
from torch import nn

from recbole_vqrec.model.dropout import Dropout, dropout, replace_dropout


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


def test_torchs_dropout_is_replaced_wherever_a_model_has_it():
    inner = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.25))
    model = nn.ModuleDict({"one": nn.Dropout(0.5), "inner": inner, "other": nn.Dropout1d(0.5)}).eval()
    replace_dropout(model)
    assert [type(model["one"]), type(inner[1]), type(model["other"])] == [Dropout, Dropout, nn.Dropout1d]
    assert (model["one"].p, inner[1].p) == (0.5, 0.25)
    values = torch.ones(1000)
    assert model["one"](values) is values  # still in evaluation mode
    kept = model.train()["inner"][1](values) != 0
    assert 0.65 < kept.float().mean() < 0.85
