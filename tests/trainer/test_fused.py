"""The fused optimizer makes the updates of the plain one."""

import copy

import pytest
import torch

from recbole_vqrec.trainer.fused import fused


@pytest.mark.parametrize("kind, options", [(torch.optim.Adam, {}), (torch.optim.AdamW, {"weight_decay": 0.1})])
def test_updates_are_those_of_the_plain_optimizer(kind, options):
    torch.manual_seed(0)
    plain_layer = torch.nn.Linear(5, 3)
    fused_layer = copy.deepcopy(plain_layer)
    found = []
    for layer, wrap in ((plain_layer, lambda optimizer: optimizer), (fused_layer, fused)):
        groups = [{"params": [layer.weight], "lr": 0.1}, {"params": [layer.bias]}]
        optimizer = wrap(kind(groups, lr=0.01, **options))
        for step in range(20):
            optimizer.zero_grad()
            layer(torch.full((2, 5), float(step))).square().sum().backward()
            optimizer.step()
        found.append([group["lr"] for group in optimizer.param_groups])
    assert found == [[0.1, 0.01]] * 2
    for plain, updated in zip(plain_layer.parameters(), fused_layer.parameters()):
        torch.testing.assert_close(updated, plain, rtol=1e-5, atol=1e-6)


def test_adam_is_fused_where_torch_can_and_others_stay():
    weights = [torch.nn.Parameter(torch.ones(2))]
    assert all(group["fused"] for group in fused(torch.optim.Adam(weights)).param_groups)
    other = torch.optim.SGD(weights, lr=0.1)
    assert fused(other) is other


def test_without_a_fused_kernel_the_optimizer_stays(monkeypatch):
    class Old(torch.optim.Adam):
        def __init__(self, *arguments, fused=None, **options):
            if fused:
                raise RuntimeError("`fused=True` requires all the params to be on CUDA")
            super().__init__(*arguments, **options)

    monkeypatch.setattr(torch.optim, "Adam", Old)
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.ones(2))])
    assert fused(optimizer) is optimizer
