"""What trains in which stage, how long, and with which permutation."""

import pytest
from fine_tuning import OPTIONS, changed, options, prepared, state_after_loading

from recbole_vqrec import quick_start
from recbole_vqrec.errors import VQRecError

INDUCTIVE = {f"items.{name}" for name in ("permutation.scores", "code_embedding.weight")} | {
    f"encoder.LayerNorm.{name}" for name in ("weight", "bias")
}


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


def test_stages_of_ones_own(pretrained):
    stages = [{"name": "text", "train": {"items.text_projection.*": 2}, "epochs": 1, "learning_rate": 0.01}]
    given = {"finetune_stages": stages, "item_representation": "code+text"}
    trainer, (train, valid, _) = prepared(pretrained, **given)
    assert str(trainer.stages[0]) == "text: up to 1 epochs, 1 parameters train: items.text_projection.weight at 0.02"
    before = state_after_loading(trainer, train)
    trainer.fit(train, valid)
    assert "items.text_projection.weight" in changed(trainer, before) and len(trainer.train_loss_dict) == 1


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


def test_a_stage_of_no_epoch_is_left_out(pretrained):
    stages = [{"name": "none", "train": {"items.*": 1}, "epochs": 0}, {"name": "all", "train": {"*": 1}}]
    trainer, _ = prepared(pretrained, finetune_stages=stages, epochs=3)
    assert [(stage.name, stage.epochs) for stage in trainer.stages] == [("all", 3)]


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


def test_a_stage_that_contradicts_the_command(pretrained):
    with pytest.raises(VQRecError, match="stage: pretrain, asked for is finetune"):
        quick_start.finetune("other", pretrained, None, options(stage="pretrain"))


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
