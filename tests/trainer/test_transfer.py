"""What of a pre-trained run comes into a model of another domain, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
import torch
from fine_tuning import ITEMS, OPTIONS, options, prepared, state_after_loading
from recbole.data import data_preparation
from small import SMALL, write_codes, write_vectors

from recbole_vqrec import artifacts, quick_start
from recbole_vqrec.config import Config
from recbole_vqrec.data.dataset import create_dataset
from recbole_vqrec.errors import VQRecError
from recbole_vqrec.quantization.item_codes import ItemCodes
from recbole_vqrec.trainer import checkpoint
from recbole_vqrec.trainer.create import create_trainer
from recbole_vqrec.trainer.transfer import INHERITED, load_pretrained


def test_sizes_come_from_the_checkpoint(pretrained):
    trainer, _ = prepared(pretrained)
    assert trainer.config["hidden_size"] == 16 and trainer.config["model"] == "VQRec"
    assert trainer.config["temperature"] == 0.1
    assert trainer.model.items.permutation.assignment.shape == (4, 8)


@pytest.mark.parametrize(
    "model, given, expected",
    [
        ("ZESRec", {"temperature": 0.07}, 0.07),
        ("ZESRec", {}, None),
        ("VQRec", {"temperature": 0.2}, 0.2),
        ("VQRec", {}, 0.1),  # fine-tuning's own, not the 0.07 of pre-training
    ],
)
def test_a_temperature_that_pre_training_was_given_is_kept(other, model, given, expected):
    run = quick_start.pretrain(None, "tiny", model, None, {**OPTIONS, **given})["run"]
    assert prepared(run)[0].config["temperature"] == expected


def test_weights_come_from_the_checkpoint_unless_from_scratch(pretrained):
    tensors = checkpoint.load(pretrained)[0]
    for preset in ("full", "scratch"):
        trainer, (train, _, _) = prepared(pretrained, preset=preset)
        loaded = state_after_loading(trainer, train)
        same = {
            name for name, value in loaded.items() if torch.equal(value, tensors.get(f"model.{name}", torch.empty(0)))
        }
        if preset == "full":
            assert same == set(loaded) - {"items.permutation.scores"}
        else:
            assert "items.code_embedding.weight" not in same and "encoder.position_embedding.weight" not in same
            assert "items.permutation.scores" not in loaded


def test_a_checkpoint_of_another_layout_says_how_to_encode(pretrained, other):
    write_codes(other, "other", ITEMS, codebooks=2, codes="two")
    with pytest.raises(
        VQRecError, match="4 codebooks of 8 codes, other has 2 of 8; run 'recbole-vqrec encode .*--codebooks 4"
    ):
        quick_start.finetune("other", pretrained, None, options(item_codes="two", codebooks=2))


def test_a_checkpoint_of_another_language_model_says_how_to_embed(other):
    run = quick_start.run("VQRec", "tiny", None, {**OPTIONS, "item_representation": "code+text"})["run"]
    write_vectors(other, "other", ITEMS, size=9, plm="wide")
    with pytest.raises(
        VQRecError, match="text vectors of bert-base-uncased, this run has those of wide; embed and encode other"
    ):
        quick_start.finetune("other", run, None, options(plm="wide"))


def test_a_checkpoint_of_another_model(other):
    run = quick_start.run("SASRec", "tiny", None, {**SMALL, "state": "WARNING"})["run"]
    with pytest.raises(VQRecError, match="a checkpoint of SASRec, to be fine-tuned is VQRec"):
        quick_start.run("VQRec", "other", None, options(stage="finetune", checkpoint=run))


def test_a_finished_run_is_scored_again_with_other_options_and_keeps_its_ids(other):
    run = quick_start.run("VQRec", "other", None, {**OPTIONS, "item_representation": "code+text+id", "epochs": 2})
    again = options(preset="zero_shot", permutation="none")
    assert quick_start.finetune("other", run["run"], None, again)["test_result"] == run["test_result"]
    weight = checkpoint.load(run["run"])[0]["model.items.id_embedding.weight"]
    trainer, (train, _, _) = prepared(run["run"], preset="zero_shot", permutation="none")
    state = state_after_loading(trainer, train)
    assert weight[1:].any() and torch.equal(state["items.id_embedding.weight"], weight)
    elsewhere = Config(None, "tiny", None, options(stage="finetune", checkpoint=run["run"], **{"preset": "zero_shot"}))
    data = data_preparation(elsewhere, create_dataset(elsewhere))[0]
    trainer = create_trainer(elsewhere, elsewhere.model_class(elsewhere, data._dataset))
    assert not state_after_loading(trainer, data)["items.id_embedding.weight"].any()  # i3 there is another item


@pytest.mark.parametrize(
    "model, given, new",
    [
        ("VQRec", {"item_representation": "code+id"}, "zero"),
        ("UniSRec", {"transductive": True}, "zero"),
        ("ZESRec", {"offset_penalty": 0.01}, "zero"),
        ("RecGURU", {}, "random"),
    ],
)
def test_id_embeddings_are_loaded_by_item_id(other, model, given, new):
    run = quick_start.run(model, "other", None, {**OPTIONS, **given, "epochs": 2})["run"]
    tensors, item_ids, _ = checkpoint.load(run)
    before = dict(zip(item_ids, tensors["model.items.id_embedding.weight"][1:]))
    file = other / "other.inter"  # the interactions begin with another user, one of the items is new
    first = [f"a\t{item}\t{time}" for time, item in enumerate([*ITEMS[::-1], "new"])]
    header, *rows = file.read_text().splitlines()
    file.write_text("\n".join([header, *first, *rows]) + "\n")
    write_codes(other, "other", [*ITEMS, "new"])
    write_vectors(other, "other", [*ITEMS, "new"])
    trainer, (train, _, _) = prepared(run, preset="zero_shot", permutation="none")
    own_ids = train._dataset.field2id_token["item_id"]
    start = trainer.model.state_dict()["items.id_embedding.weight"].clone()
    lines = load_pretrained(trainer.config, trainer.model, train._dataset)
    assert "without an id embedding in the checkpoint, start anew: new" in lines
    table = trainer.model.items.id_embedding.weight
    assert list(own_ids[1:]) != item_ids and not table[0].any()
    for number, item in enumerate(own_ids[1:], start=1):
        expected = before.get(item, torch.zeros(16) if new == "zero" else start[number])
        assert torch.equal(table[number], expected), item
    trainer, (train, _, _) = prepared(run, "tiny", preset="zero_shot", permutation="none")
    lines = load_pretrained(trainer.config, trainer.model, train._dataset)
    assert "id embeddings start anew: those of the checkpoint are of other items" in lines


def test_codes_of_another_pooling_are_refused(pretrained, other, tmp_path):
    for name, pooling in (("tiny", "cls"), ("other", "mean")):
        path = tmp_path / "dataset" / name / f"{name}.small.codes.safetensors"
        codes = ItemCodes.load(path, "")
        made = {**codes.manifest, "language_model": {"plm": "bert-base-uncased", "pooling": pooling}}
        ItemCodes(codes.item_ids, codes.codes, codes.codes_per_codebook, made).save(path)
    with pytest.raises(VQRecError, match=r"other is embedded by bert-base-uncased \(mean\), .* by .* \(cls\)"):
        quick_start.finetune("other", pretrained, None, options())


@pytest.mark.parametrize("model", ["SASRecText", "ZESRec", "UniSRec"])
def test_text_vectors_of_another_pooling_are_refused(other, tmp_path, model):
    write_vectors(tmp_path / "dataset" / "tiny", "tiny", ITEMS, pooling="mean")  # the option itself is left at cls
    run = quick_start.run(model, "tiny", None, dict(OPTIONS))["run"]
    command = "run 'recbole-vqrec embed --dataset other --plm bert-base-uncased --pooling mean'"
    with pytest.raises(VQRecError, match=rf"vectors of .* \(mean\), other has those of .* \(cls\); {command}"):
        quick_start.finetune("other", run, None, options())
    quick_start.finetune("other", run, None, options(preset="scratch"))  # which takes no adaptor over
    write_vectors(other, "other", ITEMS, pooling="mean")
    quick_start.finetune("other", run, None, options())
    artifacts.embedding_file(other, "other", "bert-base-uncased").unlink()
    with pytest.raises(VQRecError, match=command):
        quick_start.finetune("other", run, None, options())


def test_text_vectors_of_a_language_model_in_a_folder_that_has_moved(other, tmp_path):
    def write(folder, name, plm, files):
        made = {"plm": plm, "pooling": "cls", "plm_files": {"model.safetensors": files}}
        vectors = {"embeddings": np.ones((12, 6), np.float32)}
        path = artifacts.embedding_file(folder, name, plm)
        artifacts.write_artifact(path, "text embedding", vectors, {"options": made, "inputs": {}}, ITEMS)

    write(tmp_path / "dataset" / "tiny", "tiny", "here/lm", "1")
    run = quick_start.run("SASRecText", "tiny", None, {**OPTIONS, "plm": "here/lm"})["run"]
    write(other, "other", "there/lm", "1")
    quick_start.finetune("other", run, None, options(plm="there/lm"))
    write(other, "other", "there/lm", "2")
    with pytest.raises(VQRecError, match=r"vectors of here/lm \(cls\), other has those of there/lm \(cls\)"):
        quick_start.finetune("other", run, None, options(plm="there/lm"))


def test_a_model_without_pre_training_is_not_fine_tuned(other):
    run = quick_start.run("SASRec", "tiny", None, dict(OPTIONS))["run"]
    with pytest.raises(VQRecError, match="SASRec has no pre-training to be fine-tuned after"):
        quick_start.finetune("other", run, None, options())


@pytest.mark.parametrize(
    "model, given",
    [
        ("SASRecText", {}),
        ("ZESRec", {}),
        ("VQRec", {"item_representation": "code"}),
        ("UniSRec", None),
        ("VQRec", None),
    ],
)
def test_id_embeddings_are_not_added_to_a_model_without(other, model, given):
    run = quick_start.run(model, "tiny", None, dict(OPTIONS))["run"]
    if given is None:  # a model that has them
        assert quick_start.finetune("other", run, None, options(preset="transductive"))["epochs"] >= 1
        return
    with pytest.raises(VQRecError, match=f"preset transductive: adds id embeddings, {model} has none here; set preset"):
        quick_start.finetune("other", run, None, options(preset="transductive", **given))


@pytest.mark.parametrize(
    "model, given",
    [
        ("UniSRec", {"transductive": True}),
        ("UniSRec", {"experts": 3}),
        ("ZESRec", {"offset_penalty": 0.01}),
        ("VQRec", {"temperature": 0.5}),
        ("VQRec", {"item_representation": "code+text+id"}),
    ],
)
def test_a_finished_run_comes_back_as_it_was(other, model, given):
    trained = quick_start.run(model, "tiny", None, {**OPTIONS, **given})
    again = quick_start.finetune("tiny", trained["run"], None, options(preset="zero_shot", permutation="none"))
    assert again["test_result"] == trained["test_result"]


def test_what_of_a_checkpoint_is_left_out_is_told(other):
    run = quick_start.run("UniSRec", "tiny", None, {**OPTIONS, "transductive": True})["run"]
    tuned = quick_start.finetune("other", run, None, options(transductive=False, epochs=1, state="INFO"))["run"]
    told = (Path(tuned) / "run.log").read_text()
    assert "in the checkpoint and not in this model, left out: items.id_embedding.weight" in told


@pytest.mark.parametrize("preset, ids", [("inductive", False), ("transductive", True)])
def test_an_option_that_the_run_did_not_read_is_not_taken_over(other, preset, ids):
    run = quick_start.run("UniSRec", "tiny", None, {**OPTIONS, "item_representation": "code+text+id"})["run"]
    tuned = quick_start.finetune("other", run, None, options(preset=preset))["run"]
    assert ("model.items.id_embedding.weight" in checkpoint.load(tuned)[0]) == ids


def test_a_file_that_states_every_size_leaves_the_rest_to_the_checkpoint(pretrained):
    manifest = checkpoint.read_manifest(pretrained)["config"]
    sizes = {name: manifest[name] for name in INHERITED}
    config = Config(None, "other", None, {**OPTIONS, **sizes, "stage": "finetune", "checkpoint": pretrained})
    assert config["permutation"] == "fixed"
    stored = checkpoint.read_manifest(quick_start.finetune("other", pretrained, None, options())["run"])["config"]
    again = Config("VQRec", "other", None, {**stored, "checkpoint": "saved/gone"})  # has all of its own
    assert again["permutation"] == "fixed" and again["hidden_size"] == 16


def test_the_language_model_is_the_runs_own_though_its_data_set_has_been_embedded_again(pretrained, other, tmp_path):
    catalogue = artifacts.catalogue_file(Path(pretrained))
    arrays, ids, manifest = artifacts.read_artifact(catalogue, "catalogue", "")
    made = {**manifest["made"], "plm": "bert-base-uncased", "pooling": "cls"}
    artifacts.write_artifact(catalogue, "catalogue", arrays, {**manifest, "made": made}, ids)
    for name in ("tiny", "other"):
        path = tmp_path / "dataset" / name / f"{name}.small.codes.safetensors"
        codes = ItemCodes.load(path, "")
        now = {**codes.manifest, "language_model": {"plm": "bert-base-uncased", "pooling": "mean"}}
        ItemCodes(codes.item_ids, codes.codes, codes.codes_per_codebook, now).save(path)
    for dataset in ("other", "tiny"):
        with pytest.raises(VQRecError, match=rf"{dataset} is embedded by bert-base-uncased \(mean\), .*cls"):
            quick_start.finetune(dataset, pretrained, None, options())
