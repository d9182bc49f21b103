from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from small import SMALL, write_codes, write_inter, write_vectors
from recbole.data import data_preparation

from recbole_vqrec import artifacts, quick_start
from recbole_vqrec.cli import main
from recbole_vqrec.config import Config
from recbole_vqrec.data.dataset import create_dataset
from recbole_vqrec.errors import VQRecError
from recbole_vqrec.quantization.item_codes import ItemCodes
from recbole_vqrec.quantization.product_quantizer import ProductQuantizer
from recbole_vqrec.trainer import checkpoint
from recbole_vqrec.trainer.create import create_trainer
from recbole_vqrec.trainer.finetune_trainer import FinetuneTrainer
from recbole_vqrec.trainer.resume import newest_first
from recbole_vqrec.trainer.transfer import load_pretrained

ITEMS = [f"i{number}" for number in range(12)]
INDUCTIVE = {f"items.{name}" for name in ("permutation.scores", "code_embedding.weight")} | {
    f"encoder.LayerNorm.{name}" for name in ("weight", "bias")
}
OPTIONS = {**SMALL, "plm": "bert-base-uncased", "permutation_start": "usage", "state": "WARNING"}


@pytest.fixture
def other(tmp_path, tiny):
    """A second domain `other`, with its own codes and text vectors; `tiny` gets text vectors as well."""
    draw = np.random.default_rng(5)
    folder = tmp_path / "dataset" / "other"
    sequences = {f"u{user}": [str(item) for item in draw.choice(ITEMS, size=5 + user % 4)] for user in range(20)}
    write_inter(folder, "other", sequences)
    write_codes(folder, "other", ITEMS)
    for name in ("tiny", "other"):
        write_vectors(tmp_path / "dataset" / name, name, ITEMS)
    return folder


@pytest.fixture
def pretrained(other):
    return quick_start.run("VQRec", "tiny", None, dict(OPTIONS))["run"]


def options(**given):
    return {name: value for name, value in {**OPTIONS, **given}.items() if name not in ("hidden_size", "inner_size")}


def prepared(run, dataset="other", **given):
    """Return trainer and loaders of a fine-tuning run, not yet started."""
    config = Config(None, dataset, None, options(stage="finetune", checkpoint=run, **given))
    data = data_preparation(config, create_dataset(config))
    return create_trainer(config, config.model_class(config, data[0]._dataset)), data


def changed(trainer, before):
    return {name for name, value in trainer.model.named_parameters() if not torch.equal(value, before[name])}


def state_after_loading(trainer, train_data):
    load_pretrained(trainer.config, trainer.model, train_data._dataset)
    return {name: value.clone() for name, value in trainer.model.named_parameters()}


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


@pytest.mark.parametrize(
    "given, permutation, learned",
    [
        ({}, "fixed", False),
        ({"preset": "full", "permutation": "soft"}, "soft", True),
        ({"preset": "inductive"}, "soft", True),
        ({"preset": "inductive", "permutation": "fixed"}, "fixed", False),
        ({"preset": "scratch"}, "none", False),
        ({"permutation": None}, "fixed", False),
        ({"permutation": "~"}, "fixed", False),
        ({"permutation": "none"}, "none", False),
        ({"preset": "inductive", "permutation": "none"}, "none", False),
        ({"finetune_stages": [{"name": "permutation", "train": {"items.permutation*": 1}}]}, "soft", True),
        ({"preset": "mine", "presets": {"mine": {"stages": []}}}, "soft", True),
        ({"finetune_stages": [{"name": "permutation", "train": {"items.permutation.*": 1}}]}, "soft", True),
        ({"finetune_stages": [{"name": "all", "train": {"*": 1}}]}, "fixed", False),
    ],
)
def test_the_preset_names_the_permutation_unless_it_is_given(pretrained, given, permutation, learned):
    trainer, _ = prepared(pretrained, **given)
    assert trainer.config["permutation"] == permutation
    names = [name for name, value in trainer.model.named_parameters() if value.requires_grad]
    assert ("items.permutation.scores" in names) == learned
    assert any(stage.name == "permutation" for stage in trainer.stages) == (learned and "presets" not in given)


@pytest.mark.parametrize(
    "preset, trained",
    [
        ("inductive", INDUCTIVE),
        ("transductive", INDUCTIVE | {"items.id_embedding.weight"}),
        ("full", "all but the permutation"),
        ("scratch", "everything"),
        ("zero_shot", set()),
    ],
)  # fmt: skip
def test_what_trains_is_what_the_preset_says(pretrained, preset, trained):
    trainer, (train, valid, _) = prepared(pretrained, preset=preset, epochs=2, stopping_step=5)
    before = state_after_loading(trainer, train)
    trainer.fit(train, valid)
    if isinstance(trained, str):
        trained = set(before) - {"items.permutation.scores"} if "but" in trained else set(before)
    assert changed(trainer, before) == trained


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


@pytest.mark.parametrize("permutation", ["soft", "hard", "fixed", "none", "reference"])
@pytest.mark.parametrize("preset", ["inductive", "zero_shot"])
def test_what_the_best_epoch_was_scored_with_is_saved_loaded_and_tested(pretrained, permutation, preset):
    seen = []
    trainer, (train, valid, test) = prepared(
        pretrained, preset=preset, permutation=permutation, epochs=3, stopping_step=9
    )
    best, _ = trainer.fit(train, valid, callback_fn=lambda epoch, score: seen.append(score))
    assert best == max(seen) if preset == "inductive" else not seen
    tested = trainer.evaluate(test)
    assert trainer.evaluate(valid, load_best_model=False)["ndcg@10"] == best
    config, model, _, _, valid, test = quick_start.load_data_and_model(trainer.run_folder)
    again = create_trainer(config, model)
    again.eval_collector.data_collect(test)
    assert again.evaluate(valid, load_best_model=False)["ndcg@10"] == best
    assert again.evaluate(test, load_best_model=False) == tested


def test_the_best_epoch_may_be_in_the_first_stage(pretrained):
    trainer, (train, valid, test) = prepared(pretrained, permutation="soft", epochs=3, stopping_step=9)
    scores = iter([0.5, 0.9, 0.4, 0.3, 0.2, 0.1, 0.1, 0.1])
    original = trainer._valid_epoch
    trainer._valid_epoch = lambda *args, **kwargs: (next(scores), original(*args, **kwargs)[1])
    trainer.fit(train, valid)
    trainer.evaluate(test)
    assert not trainer.model.items.permutation.fixed  # P itself was scored in its second epoch
    assert trainer.model.items.permutation.temperature.item() == pytest.approx(0.3**0.25)


def test_the_permutation_is_fixed_after_its_stage(pretrained):
    trainer, (train, valid, _) = prepared(pretrained, permutation="soft", epochs=2, stopping_step=9)
    trainer.fit(train, valid)
    permutation = trainer.model.items.permutation
    assert permutation.fixed and (permutation.assignment.sort(dim=1).values == torch.arange(8)).all()
    assert len(trainer.train_loss_dict) == 5 + 2


@pytest.mark.parametrize("stopped_in", [2, 6])  # the first stage, the second
def test_a_stopped_run_goes_on_in_its_stage(pretrained, stopped_in):
    def stop(epoch, score):
        if epoch == stopped_in and not goes_on:
            raise KeyboardInterrupt

    ends, given = [], {"preset": "inductive", "epochs": 4, "stopping_step": 9, "checkpoint_epochs": 1, "shuffle": False}
    for goes_on in (False, True):  # stopped and resumed; straight through
        trainer, (train, valid, _) = prepared(pretrained, **given)
        if not goes_on:
            with pytest.raises(KeyboardInterrupt):
                trainer.fit(train, valid, callback_fn=stop)
            run = trainer.run_folder
            trainer, (train, valid, _) = prepared(pretrained, resume=str(run), **given)
            trainer.resume_checkpoint(run)
        trainer.fit(train, valid)
        assert sorted(trainer.train_loss_dict) == list(range(5 + 4))
        ends.append(trainer.model.state_dict())
    for name, value in ends[0].items():
        assert torch.allclose(value, ends[1][name], atol=1e-6), name


def test_stages_of_ones_own(pretrained):
    stages = [{"name": "text", "train": {"items.text_projection.*": 2}, "epochs": 1, "learning_rate": 0.01}]
    given = {"finetune_stages": stages, "item_representation": "code+text"}
    trainer, (train, valid, _) = prepared(pretrained, **given)
    assert str(trainer.stages[0]) == "text: up to 1 epochs, 1 parameters train: items.text_projection.weight at 0.02"
    before = state_after_loading(trainer, train)
    trainer.fit(train, valid)
    assert "items.text_projection.weight" in changed(trainer, before) and len(trainer.train_loss_dict) == 1


def test_a_fine_tuned_run_can_be_fine_tuned_again_with_its_permuted_table(pretrained):
    trainer, (train, valid, _) = prepared(pretrained, permutation="soft", permutation_start="random", epochs=1)
    trainer.fit(train, valid)
    expected = trainer.model.eval().items.code_vectors()
    trainer._save_checkpoint(0)
    again, (train, _, _) = prepared(trainer.run_folder)
    assert torch.allclose(state_after_loading(again, train)["items.code_embedding.weight"], expected, atol=1e-6)


@pytest.mark.parametrize("given", [{"permutation": "hard"}, {"permutation": "soft", "permutation_iterations": 1}])
def test_a_permutation_that_is_not_fixed_goes_on_as_it_was_scored(pretrained, given):
    trainer, (train, valid, _) = prepared(pretrained, permutation_confidence=0.5, **given)
    scores = iter([0.5, 0.9, 0.4, 0.3, 0.2, 0.1])  # the best epoch is in the stage of the permutation
    original = trainer._valid_epoch
    trainer._valid_epoch = lambda *args, **kwargs: (next(scores), original(*args, **kwargs)[1])
    trainer.fit(train, valid)
    trainer._load_best(None, train._dataset)
    expected = trainer.model.eval().items.code_vectors()
    again, (train, _, _) = prepared(trainer.run_folder, permutation="none")
    assert not trainer.model.items.permutation.fixed
    assert torch.allclose(state_after_loading(again, train)["items.code_embedding.weight"], expected, atol=1e-6)


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


def test_the_command(pretrained):
    arguments = [f"--{name}={value}" for name, value in options().items()]
    result = CliRunner().invoke(
        main, ["finetune", "--dataset", "other", "--checkpoint", pretrained, "--preset", "transductive", *arguments]
    )
    assert result.exit_code == 0, result.output
    run = Path(result.output.strip().splitlines()[-1])
    manifest = checkpoint.load(run)[2]
    assert manifest["stage"] == "finetune" and manifest["config"]["item_representation"] == "code+id"
    assert "stage 2 of 2, code and id embeddings" in (run.parent / "run.log").read_text()


def test_recbole_style(pretrained):
    arguments = ["--dataset=other", "--stage=finetune", f"--checkpoint={pretrained}"]
    result = CliRunner().invoke(main, ["run", *arguments, *(f"--{name}={value}" for name, value in options().items())])
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    "given, message",
    [
        ({"preset": "inductiv"}, "preset: 'inductiv' is none of .*did you mean 'inductive'"),
        ({"permutation": "softt"}, "permutation: 'softt' is none of .*did you mean 'soft'"),
        ({"permutation_start": "usge"}, "permutation_start: 'usge' is none of .*did you mean 'usage'"),
        ({"permutation_start": "quantizers"}, "holds no quantizer"),
        ({"permutation_temperature": 0.5}, "permutation_temperature: 0.5, expected"),
        ({"checkpoint": None}, "no checkpoint given"),
        ({"hidden_size": 8}, "leave hidden_size"),
        ({"finetune_stages": [{"name": "a", "train": {"item.*": 1}}]}, "'item.\\*', which no parameter is"),
        (
            {"finetune_stages": [{"name": "a", "train": {"*": 1}, "epoch": 1}]},
            "unknown entry 'epoch', did you mean 'epochs'",
        ),
        ({"finetune_stages": [{"name": "a", "train": ["*"]}]}, "expected a name and train"),
        ({"finetune_stages": [{"name": "a", "train": {1: 1}}]}, "expected a name and train"),
        ({"finetune_stages": {"name": "a", "train": {"*": 1}}}, "expected a list of stages"),
        ({"finetune_stages": ["a"]}, "expected a list of stages"),
        ({"finetune_stages": [{"name": "a", "train": {"*": "fast"}}]}, "expected numbers of at least 0 as factors"),
        ({"finetune_stages": [{"name": "a", "train": {"*": -1}}]}, "expected numbers of at least 0 as factors"),
        ({"finetune_stages": [{"name": "a", "train": {"*": 1}, "epochs": "few"}]}, "epochs: 'few', expected a whole"),
        ({"finetune_stages": [{"name": "a", "train": {"*": 1}, "epochs": -2}]}, "epochs: -2, expected a whole"),
        ({"finetune_stages": [{"name": "a", "train": {"*": 1}, "learning_rate": 0}]}, "learning_rate: 0, expected"),
        (
            {"permutation": "soft", "finetune_stages": [{"name": "a", "train": {"items.perm*": 1}}]},
            "trains 'items.perm\\*', which is the permutation alone",
        ),
        ({"preset": "mine", "presets": {"mine": {"stages": "all"}}}, "preset mine: all, expected a list of stages"),
        ({"stage": "finetun"}, "stage: 'finetun' is none of .*did you mean 'finetune'"),
    ],
)
def test_settings_it_cannot_use(pretrained, given, message):
    with pytest.raises(VQRecError, match=message):
        quick_start.run("VQRec", "other", None, {**options(stage="finetune", checkpoint=pretrained), **given})


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


def test_a_stage_of_no_epoch_is_left_out(pretrained):
    stages = [{"name": "none", "train": {"items.*": 1}, "epochs": 0}, {"name": "all", "train": {"*": 1}}]
    trainer, _ = prepared(pretrained, finetune_stages=stages, epochs=3)
    assert [(stage.name, stage.epochs) for stage in trainer.stages] == [("all", 3)]


def test_resume_points_stay_until_the_last_stage_has_ended(pretrained, monkeypatch):
    found, enter = [], FinetuneTrainer._enter

    def noted(self, number, start):
        found.append(len(newest_first(self.run_folder)))
        enter(self, number, start)

    monkeypatch.setattr(FinetuneTrainer, "_enter", noted)
    given = options(permutation="soft", epochs=2, checkpoint_epochs=1)
    run = quick_start.finetune("other", pretrained, None, given)["run"]
    assert found[0] == 0 and found[1] > 0 and newest_first(run) == []


def test_a_run_of_the_authors_permutation_goes_on_with_its_permuted_table(pretrained):
    tuned = quick_start.finetune("other", pretrained, None, options(permutation="reference", epochs=2))
    again = {"preset": "zero_shot", "permutation": "none"}
    scored = quick_start.finetune("other", tuned["run"], None, options(**again))
    assert scored["test_result"] == tuned["test_result"]


def test_codes_of_another_pooling_are_refused(pretrained, other, tmp_path):
    for name, pooling in (("tiny", "mean"), ("other", "cls")):
        path = tmp_path / "dataset" / name / f"{name}.small.codes.safetensors"
        codes = ItemCodes.load(path, "")
        made = {**codes.manifest, "language_model": {"plm": "bert-base-uncased", "pooling": pooling}}
        ItemCodes(codes.item_ids, codes.codes, codes.codes_per_codebook, made).save(path)
    with pytest.raises(VQRecError, match=r"other is embedded by bert-base-uncased \(cls\), tiny by .* \(mean\)"):
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


@pytest.mark.parametrize("given", [{"checkpoint": "saved/x"}, {"preset": "inductive"}])
def test_options_of_fine_tuning_need_its_stage(tiny, given):
    with pytest.raises(VQRecError, match=f"{next(iter(given))}: of stage finetune, this is train; say --stage=finetune"):
        quick_start.run("VQRec", "tiny", None, {**OPTIONS, **given})


@pytest.mark.parametrize("model", ["ItemCoOccurrence", "SASRec"])
def test_a_model_without_pre_training_is_not_pre_trained(tiny, model):
    with pytest.raises(VQRecError, match=f"{model} has no pre-training; VQRec has"):
        quick_start.pretrain(None, "tiny", model, None, dict(OPTIONS))


def test_options_of_another_stage_are_said_to_be_of_no_use(tiny, caplog):
    with caplog.at_level("WARNING"):
        given = {"permutation": "soft", "semi_synthetic_negatives": 2, "experts": 3, "embedding_size": 8}
        quick_start.run("VQRec", "tiny", None, {**OPTIONS, **given})
    said = [record.getMessage() for record in caplog.records]
    assert "not read, of stage finetune: permutation_start, permutation" in said
    assert "not read, of stage pretrain: semi_synthetic_negatives" in said
    [others] = [line for line in said if line.startswith("not read by VQRec: ")]
    assert others.endswith(", experts, embedding_size")


def test_the_objective_of_vqrec_is_said_not_to_be_that_of_others(other, caplog):
    with caplog.at_level("WARNING"):
        quick_start.pretrain(None, "tiny", "SASRecText", None, {**OPTIONS, "sampled_negatives": 4})
    assert any("not read by SASRecText: " in line and "sampled_negatives" in line for line in caplog.messages)


def test_finetune_starts_several_processes(monkeypatch):
    started = []
    monkeypatch.setattr("recbole_vqrec.distributed.spawn", lambda function, options: started.append(options))
    result = CliRunner().invoke(main, ["finetune", "--dataset", "tiny", "--checkpoint", "x", "--preset", "full", "--nproc=4"])
    assert result.exit_code == 0 and started == [{"nproc": "4", "preset": "full"}]


def test_a_stage_that_contradicts_the_command(pretrained):
    with pytest.raises(VQRecError, match="stage: pretrain, asked for is finetune"):
        quick_start.finetune("other", pretrained, None, options(stage="pretrain"))


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


@pytest.mark.parametrize("eval_step, validated", [(2, [1, 2, 3, 4]), (3, [2, 4]), (0, [])])
def test_each_stage_ends_with_a_validation(pretrained, eval_step, validated):
    stages = [{"name": name, "train": {"*": 1}, "epochs": epochs} for name, epochs in (("odd", 3), ("short", 2))]
    trainer, (train, valid, _) = prepared(pretrained, finetune_stages=stages, eval_step=eval_step, stopping_step=9)
    seen = []
    trainer.fit(train, valid, callback_fn=lambda epoch, score: seen.append(epoch))
    assert seen == validated and trainer.valid_epochs == [epoch + 1 for epoch in validated]


def test_a_stage_shorter_than_eval_step_ends_with_a_validation(pretrained):
    stages = [{"name": "all", "train": {"*": 1}, "epochs": 2}]
    result = quick_start.finetune("other", pretrained, None, options(finetune_stages=stages, eval_step=3))
    assert len(result["valid_scores"]) == 1 and result["best_valid_score"] > 0
