"""The learning rate follows from where training stands."""

import pytest
import torch
from small import SMALL, random_domains

from recbole_vqrec import quick_start
from recbole_vqrec.errors import VQRecError
from recbole_vqrec.trainer import steps
from recbole_vqrec.trainer.learning_rate import set_learning_rate


def test_cosine_of_each_group():
    one, other = torch.nn.Linear(1, 1), torch.nn.Linear(1, 1)
    optimizer = torch.optim.Adam([{"params": one.parameters(), "lr": 0.1}, {"params": other.parameters(), "lr": 0.02}])
    expected = {0.0: (0.1, 0.02), 0.5: (0.05, 0.01), 1.0: (0.0, 0.0), 0.25: (0.0853553, 0.0170711)}
    for done, rates in expected.items():
        set_learning_rate(optimizer, "cosine", done)
        assert [group["lr"] for group in optimizer.param_groups] == pytest.approx(rates, abs=1e-7)


def test_constant_leaves_it_alone():
    optimizer = torch.optim.Adam(torch.nn.Linear(1, 1).parameters(), lr=0.1)
    set_learning_rate(optimizer, "constant", 0.9)
    assert optimizer.param_groups[0]["lr"] == 0.1


def test_training_falls_from_the_rate_to_zero_over_its_epochs(tmp_path, monkeypatch):
    random_domains(tmp_path / "dataset")
    rates, original = [], steps.Steps.__iter__

    def noted(self):
        for batch in original(self):
            rates.append(self.trainer.optimizer.param_groups[0]["lr"])
            yield batch

    monkeypatch.setattr(steps.Steps, "__iter__", noted)
    options = {**SMALL, "epochs": 4, "learning_rate": 0.01, "train_batch_size": 40, "learning_rate_schedule": "cosine"}
    quick_start.run("VQRec", "mix", None, {**options, "stage": "pretrain", "validate": False, "state": "ERROR"})
    assert len(rates) % 4 == 0 and len(rates) > 8
    half = len(rates) // 2
    assert rates[0] == 0.01 and rates[half] == pytest.approx(0.005) and rates[-1] < 0.001
    assert rates == sorted(rates, reverse=True)


def test_an_unknown_schedule(tmp_path):
    random_domains(tmp_path / "dataset")
    with pytest.raises(VQRecError, match="learning_rate_schedule: 'cosin' .* did you mean 'cosine'"):
        quick_start.run("VQRec", "mix", None, {**SMALL, "learning_rate_schedule": "cosin", "state": "ERROR"})
