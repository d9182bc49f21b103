import pytest
from small import SMALL

from recbole_vqrec import quick_start
from recbole_vqrec.trainer.leakage import leakage

MIX = ["games-i1", "games-i2", "toys-i1"]


def manifest(dataset, stage="pretrain", **config):
    return {"dataset": dataset, "stage": stage, "config": config}


def test_a_domain_of_the_mix_has_been_trained_on():
    assert "pre-trained on games, trained on its validation targets and stopped by those of its test" in leakage(
        "games", ["i1", "i9"], manifest("mix"), MIX
    )
    assert "pre-trained on toys, trained on its test" in leakage("toys", ["i1"], manifest("mix", validate=False), MIX)
    assert "pre-trained on games" in leakage("games", ["i1"], manifest("games"), ["i1", "i2"])


@pytest.mark.parametrize("dataset, made", [
    ("tools", manifest("mix")),  # another domain with the same ids
    ("games", manifest("games", stage="train")),  # holds out what fine-tuning does
    ("games", manifest("games", stage="finetune")),
])  # fmt: skip
def test_others_have_not(dataset, made):
    assert leakage(dataset, ["i1", "i2"], made, MIX) is None


def test_fine_tuning_says_so(tiny, caplog):
    options = {**SMALL, "permutation_start": "usage"}
    pretrained = quick_start.pretrain(None, "tiny", "VQRec", None, dict(options))["run"]
    own = {name: value for name, value in options.items() if name not in ("hidden_size", "inner_size")}
    with caplog.at_level("WARNING"):
        quick_start.finetune("tiny", pretrained, None, own)
    assert any("the checkpoint was pre-trained on tiny" in record.getMessage() for record in caplog.records)
