"""Where the permutation of the code tables starts from."""

import numpy as np
import pytest
import torch
from fine_tuning import ITEMS, OPTIONS, prepared, state_after_loading

from recbole_vqrec import quick_start
from recbole_vqrec.errors import VQRecError
from recbole_vqrec.quantization.item_codes import ItemCodes
from recbole_vqrec.quantization.product_quantizer import ProductQuantizer
from recbole_vqrec.trainer import checkpoint


def test_the_quantizers_of_both_domains_align_their_codes(other, tmp_path):
    """The same quantizer with codes and codebooks shuffled: the start undoes it, so nothing changes."""
    draw = np.random.default_rng(0)
    vectors = draw.normal(size=(12, 8)).astype(np.float32)
    quantizer = ProductQuantizer.train(vectors, 4, 8)
    order, codes = draw.permutation(4), np.stack([draw.permutation(8) for _ in range(4)])
    moved = ProductQuantizer(
        quantizer.rotation.reshape(4, 2, 8)[order].reshape(8, 8),
        quantizer.offset,
        np.stack([quantizer.centroids[k][codes[place]] for place, k in enumerate(order)]),
    )
    for name, each in (("tiny", quantizer), ("other", moved)):
        path = tmp_path / "dataset" / name / f"{name}.small.codes.safetensors"
        ItemCodes(ITEMS, each.encode(vectors), 8, {"dataset": name}).save(path, each.tensors())
    run = quick_start.run("VQRec", "tiny", None, dict(OPTIONS))["run"]
    _, model, dataset, *_ = quick_start.load_data_and_model(run)
    trainer, (train, _, _) = prepared(run, permutation_start="quantizers", permutation="fixed", preset="zero_shot")
    trainer.fit(train, None)
    ours = {
        token: row for token, row in zip(train._dataset.field2id_token["item_id"], trainer.model.eval().items.table())
    }
    for token, row in zip(dataset.field2id_token["item_id"], model.items.table()):
        assert torch.allclose(ours[token], row, atol=1e-6), token


def test_the_quantizer_is_the_runs_own_though_the_data_set_has_been_encoded_again(other, tmp_path):
    draw = np.random.default_rng(3)
    vectors = draw.normal(size=(12, 8)).astype(np.float32)

    def encode(name, seed):
        quantizer = ProductQuantizer.train(np.random.default_rng(seed).normal(size=(40, 8)).astype(np.float32), 4, 8)
        path = tmp_path / "dataset" / name / f"{name}.small.codes.safetensors"
        ItemCodes(ITEMS, quantizer.encode(vectors), 8, {"dataset": name}).save(path, quantizer.tensors())

    def start():
        trainer, (train, _, _) = prepared(run, permutation_start="quantizers", preset="zero_shot")
        state_after_loading(trainer, train)
        return trainer.model.items.permutation.assignment

    for name in ("tiny", "other"):
        encode(name, seed=1)
    run = quick_start.run("VQRec", "tiny", None, dict(OPTIONS))["run"]
    before = start()
    assert (before == torch.arange(8)).all()
    encode("tiny", seed=2)
    assert torch.equal(start(), before)


def test_usage_of_a_checkpoint_without_item_codes(pretrained, monkeypatch):
    tensors, item_ids, manifest = checkpoint.load(pretrained)
    tensors.pop("model.items.item_codes")
    monkeypatch.setattr(checkpoint, "load", lambda path: (dict(tensors), item_ids, manifest))
    with pytest.raises(VQRecError, match="has no item codes whose usage could be counted; set permutation_start: random"):
        trainer, (train, _, _) = prepared(pretrained)
        state_after_loading(trainer, train)
