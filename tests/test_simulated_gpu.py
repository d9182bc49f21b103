"""Every model trains, is resumed, served and exported on a GPU as on a CPU; the GPU is simulated."""

import os
import signal

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from simulated_gpu import simulated_gpu  # noqa: F401, a fixture
from small import SMALL, random_domains, write_vectors
from trained_runs import ITEMS, SEQUENCES, write_toy

from recbole_vqrec import Recommender, quick_start
from recbole_vqrec.embedding.embed import embed_dataset
from recbole_vqrec.embedding.text_encoder import load_embeddings
from recbole_vqrec.inference.export_onnx import export_onnx
from recbole_vqrec.quantization.encode import encode_dataset
from recbole_vqrec.trainer import checkpoint
from recbole_vqrec.trainer.sequence_trainer import SequenceTrainer

OWN = ("VQRec", "SASRecText", "ZESRec", "UniSRec", "FDSA", "S3Rec", "RecGURU", "ItemCoOccurrence")
ALL = {"item_representation": "code+text+id", "recipe": "best", "new_item_weight": 0.5}
RUNS = [(name, {}) for name in ("SASRec", "BERT4Rec", *OWN)] + [("VQRec", ALL)]
NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attn_dropout_prob": 0.0, "adaptor_dropout": 0.0}
OPTIONS = {**SMALL, **NO_DROPOUT, "epochs": 2, "state": "ERROR", "learning_rate": 0.01}
STAGES = [
    {"name": "permutation", "train": {"items.permutation.*": 100}, "epochs": 1},
    {"name": "everything", "train": {"*": 1}, "epochs": 1},
]
HISTORIES = [["i1", "i2"], ["i3"], ["i5", "i4", "i3", "i3"]]


def test_what_cuda_refuses(simulated_gpu):
    with simulated_gpu():
        on_gpu, on_cpu = torch.ones(3, 2, device="cuda"), torch.ones(3, 2)
        assert on_gpu.device == torch.device("cuda", 0) and on_gpu[torch.tensor([0, 1])].is_cuda
        for wrong in (
            lambda: on_gpu + on_cpu, lambda: on_cpu.add_(on_gpu.sum()),
            lambda: on_cpu[torch.tensor([1], device="cuda")],
            lambda: torch.rand(3, device="cuda", generator=torch.Generator()),
            lambda: F.embedding(torch.tensor([1]), on_gpu), lambda: torch.cat([on_gpu, on_cpu]),
        ):  # fmt: skip
            with pytest.raises(RuntimeError):
                wrong()
        with pytest.raises(TypeError):
            np.asarray(on_gpu)
        with torch.autocast("cuda", dtype=torch.bfloat16):
            assert (on_gpu @ on_gpu.T).dtype == torch.bfloat16
        assert torch.equal((on_gpu * torch.tensor(2.0)).cpu(), 2 * on_cpu)


def same(found, expected):
    """Tell whether two runs learned the same; float32 may put items of nearly the same score in another order."""
    assert found["train_losses"] == pytest.approx(expected["train_losses"], rel=1e-3)
    some_users = 3 / len(SEQUENCES)  # whose target changed places with another item
    assert found["valid_scores"] == pytest.approx(expected["valid_scores"], abs=some_users)
    assert found["test_result"] == pytest.approx(expected["test_result"], abs=some_users)


@pytest.fixture
def toy(tmp_path, simulated_gpu):
    """A data set with texts, embedded on the GPU; returns the options of its runs."""
    folder, layout, options = write_toy(tmp_path)
    path, _ = embed_dataset(folder, "toy", options, progress=False, say=lambda line: None)
    expected = load_embeddings(path, "")[1]
    with simulated_gpu():
        embed_dataset(folder, "toy", options, force=True, progress=False, say=lambda line: None)
    assert load_embeddings(path, "")[1] == pytest.approx(expected, abs=1e-4)
    encode_dataset(folder, "toy", options, say=lambda line: None)
    return {**OPTIONS, **layout, "item_codes": None, "attribute_columns": "title", "attribute_separator": " "}


@pytest.mark.parametrize("model, options", RUNS)
def test_trained_and_served(toy, simulated_gpu, model, options, tmp_path):
    expected = quick_start.run(model, "toy", None, {**toy, **options})
    with simulated_gpu():
        found = quick_start.run(model, "toy", None, {**toy, **options})
        recommender = Recommender.load(found["run"])
        if (model, options) in (("VQRec", {}), ("SASRec", {})):
            export_onnx(recommender, tmp_path / "encoder.onnx")
        given = list(answers(recommender))
    assert found["peak_memory"] == 1 << 20
    same(found, expected)
    for on_gpu, on_cpu in zip(given, answers(Recommender.load(found["run"])), strict=True):
        assert on_gpu == pytest.approx(on_cpu, abs=1e-3)


def answers(recommender):
    """Yield the numbers that a recommender gives when it is asked all it can be asked."""
    model = recommender.config["model"]
    yield recommender.recommend(HISTORIES, k=5).score.to_numpy()
    yield recommender.recommend(HISTORIES, k=5, candidates=ITEMS[3:9], filter_seen=False).score.to_numpy()
    if model not in ("BERT4Rec", "ItemCoOccurrence"):  # which have no vectors
        yield recommender.item_embeddings().vectors
        yield recommender.sequence_embeddings(HISTORIES).vectors
        yield recommender.similar_items("i1", k=3).score.to_numpy()
    if model in ("VQRec", "SASRecText", "ZESRec", "UniSRec"):
        recommender.add_items({"new": "blue tape 5", "newer": "red glue"})
        recommender.remove_items(["i2"])
        yield recommender.recommend([*HISTORIES, ["new", "i2"]], k=20).score.to_numpy()
        recommender.add_items({"newest": "grey tape", "i2": "red tape 2"})
    yield recommender.recommend(HISTORIES, k=20).score.to_numpy()


@pytest.mark.parametrize("model", ["VQRec", "UniSRec", "S3Rec", "BERT4Rec"])
def test_bfloat16_and_dropout(toy, simulated_gpu, model):
    options = {**toy, **dict.fromkeys(NO_DROPOUT, 0.2), **(ALL if model == "VQRec" else {}), "precision": "bfloat16"}
    with simulated_gpu():
        assert np.isfinite(quick_start.run(model, "toy", None, {**options, "epochs": 1})["train_losses"]).all()


@pytest.mark.parametrize("model", ["VQRec", "UniSRec"])
def test_pretraining(tmp_path, simulated_gpu, model):
    folder = random_domains(tmp_path / "dataset")
    items = {line.split("\t")[1]: None for line in (folder / "mix.inter").read_text().splitlines()[1:]}
    for plm in ("bert-base-uncased", "bert-base-uncased.word-drop"):
        write_vectors(folder, "mix", items, plm=plm)
    options = {**OPTIONS, "sampled_negatives": 8, "semi_synthetic_negatives": 2, "masked_negatives": "reference"}
    if model != "VQRec":
        options = {**OPTIONS, "share_of_item_drop": 0.5}
    expected = quick_start.pretrain(name="mix", model=model, config_dict=dict(options))
    with simulated_gpu():
        found = quick_start.pretrain(name="mix", model=model, config_dict=dict(options))
        reduced = quick_start.pretrain(name="mix", model=model, config_dict={**options, "precision": "bfloat16"})
    same(found, expected)
    assert found["best_valid_result"] == pytest.approx(expected["best_valid_result"], abs=0.02)
    assert np.isfinite(reduced["train_losses"]).all()


@pytest.mark.parametrize("permutation", ["soft", "hard", "fixed", "none", "reference"])
def test_finetuning(toy, simulated_gpu, permutation):
    given = {"permutation": permutation, "permutation_iterations": 5, "permutation_start": "usage"}
    given |= {"preset": "transductive", "finetune_stages": STAGES}
    given = {name: value for name, value in {**toy, **given}.items() if name not in ("hidden_size", "inner_size")}
    pretrained = quick_start.run("VQRec", "toy", None, dict(toy))["run"]
    expected = quick_start.finetune("toy", pretrained, config_dict=dict(given))
    with simulated_gpu():
        same(quick_start.finetune("toy", pretrained, config_dict=dict(given)), expected)
        found = quick_start.finetune("toy", expected["run"], config_dict={**given, "precision": "bfloat16"})
    assert np.isfinite(found["train_losses"]).all()


def test_an_interrupted_run_goes_on_exactly(toy, simulated_gpu, monkeypatch):
    original, taken = SequenceTrainer.after_step, []

    def after_step(self, step):
        taken.append(step)
        if len(taken) == 4:
            os.kill(os.getpid(), signal.SIGINT)
        original(self, step)

    options = {**toy, "hidden_dropout_prob": 0.3, "checkpoint_minutes": 60}
    with simulated_gpu():
        expected = quick_start.run("VQRec", "toy", None, dict(options))
        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt) as stopped:
            patched.setattr(SequenceTrainer, "after_step", after_step)
            quick_start.run("VQRec", "toy", None, dict(options))
        found = quick_start.run(config_dict={"resume": str(stopped.value).rpartition("=")[2], "state": "ERROR"})
    assert found["train_losses"] == expected["train_losses"] and found["test_result"] == expected["test_result"]
    states = [checkpoint.load(each["run"])[0] for each in (found, expected)]
    assert all((states[0][name] == states[1][name]).all() for name in states[1])
