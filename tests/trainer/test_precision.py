"""bfloat16 and torch.compile train; what they compute stays near float32."""

import shutil

import pytest
import torch
from small import SMALL, random_domains

from recbole_vqrec import quick_start
from recbole_vqrec.errors import VQRecError
from recbole_vqrec.trainer import checkpoint
from recbole_vqrec.trainer.precision import denormals_flushed

OPTIONS = {**SMALL, "epochs": 3, "learning_rate": 0.01, "train_batch_size": 40, "seed": 5, "state": "ERROR"}


def trained(stage="pretrain", **options):
    result = quick_start.run("VQRec", "mix", None, {**OPTIONS, "stage": stage, **options})
    tensors, _, manifest = checkpoint.load(result["run"])
    return tensors, dict(manifest["progress"]["train_losses"])


@pytest.mark.parametrize("stage", ["pretrain", "train"])
def test_bfloat16_trains(tmp_path, stage):
    random_domains(tmp_path / "dataset", users=60)
    _, exact = trained(stage, validate=False)
    tensors, rounded = trained(stage, validate=False, precision="bfloat16")
    assert rounded[0] > rounded[1]
    assert rounded[1] == pytest.approx(exact[1], rel=0.1) and rounded != exact
    assert tensors["model.encoder.layers.0.1.dense_1.weight"].dtype == torch.float32


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on a CPU")
def test_compiled_trains_as_eager_does(tmp_path):
    random_domains(tmp_path / "dataset")
    expected, exact = trained(epochs=2)
    found, compiled = trained(epochs=2, compile=True)
    assert compiled == pytest.approx(exact, rel=1e-3) and set(found) == set(expected)


def test_an_unknown_precision(tmp_path):
    random_domains(tmp_path / "dataset")
    with pytest.raises(VQRecError, match="precision: 'half' is none of float32, bfloat16"):
        trained(precision="half")


def test_denormals_count_as_zero_while_bfloat16_trains(tmp_path, monkeypatch):
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor has one rule for denormals")
    torch.set_flush_denormal(False)
    found = {}
    random_domains(tmp_path / "dataset")
    for precision in ("float32", "bfloat16"):

        def halved(self, *arguments, name=precision, step=torch.optim.Adam.step, **keywords):
            found[name] = (torch.full((), 2e-38) / 2).item()
            return step(self, *arguments, **keywords)

        with monkeypatch.context() as patched:
            patched.setattr(torch.optim.Adam, "step", halved)
            trained(epochs=1, validate=False, precision=precision)
    assert found["bfloat16"] == 0 < found["float32"]
    assert (torch.full((), 2e-38) / 2).item() > 0
    with denormals_flushed("bfloat16"):
        assert (torch.full((), 2e-38) / 2).item() == 0
