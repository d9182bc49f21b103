from pathlib import Path

import pytest
import torch
from small import SMALL, small_config
from recbole.data import data_preparation
from safetensors.torch import load_file

from recbole_vqrec import quick_start
from recbole_vqrec.data.dataset import create_dataset
from recbole_vqrec.errors import VQRecError
from recbole_vqrec.trainer.create import create_trainer


def prepared(**options):
    config = small_config(**options)
    loaders = data_preparation(config, create_dataset(config))
    torch.manual_seed(3)
    model = config.model_class(config, loaders[0].dataset)
    return create_trainer(config, model), loaders


def test_the_best_epoch_is_saved_and_tested(tiny):
    trainer, (train, valid, test) = prepared(epochs=4, learning_rate=0.05)
    seen = []
    trainer.fit(train, valid, callback_fn=lambda epoch, score: seen.append(score))
    trainer.evaluate(test)
    assert trainer.evaluate(valid, load_best_model=False)["ndcg@10"] == max(seen)


@pytest.mark.parametrize("name", ["VQRec", "SASRec"])
def test_training_stops_by_the_encoder_alone_and_the_result_is_of_everything(tiny, name):
    options = {**SMALL, "epochs": 4, "learning_rate": 0.05, "show_progress": False}
    plain = quick_start.run(name, "tiny", None, dict(options))
    added = quick_start.run(name, "tiny", None, {**options, "seen_weight": -5, "co_occurrence_weight": 1})
    assert added["valid_scores"] == plain["valid_scores"] and plain["best_valid_score"] == max(plain["valid_scores"])
    states = [load_file(f"{run['run']}/checkpoint.safetensors") for run in (plain, added)]
    for key, value in states[0].items():
        assert torch.equal(value, states[1][key]), key
    assert added["best_valid_result"] != plain["best_valid_result"] and added["test_result"] != plain["test_result"]
    config, model, _, _, valid, _ = quick_start.load_data_and_model(added["run"])
    assert model.history_scores is not None
    again = create_trainer(config, model).evaluate(valid, load_best_model=False)
    assert again == added["best_valid_result"] and again["ndcg@10"] == added["best_valid_score"]


def test_a_model_without_an_encoder_is_validated_as_it_scores(tiny):
    options = {**SMALL, "co_occurrence_weight": 1, "seen_weight": -5}
    counted = quick_start.run("ItemCoOccurrence", "tiny", None, options)
    assert counted["valid_scores"] == [counted["best_valid_score"]]


def test_training_continues_from_a_checkpoint(tiny):
    trainer, (train, valid, _) = prepared(epochs=2, shuffle=False)
    trainer.fit(train)  # no validation: the last epoch is kept
    resumed, (train, valid, _) = prepared(epochs=4, shuffle=False)
    resumed.resume_checkpoint(trainer.run_folder)
    assert resumed.start_epoch == 2
    resumed.fit(train)
    straight, (train, valid, _) = prepared(epochs=4, shuffle=False)
    straight.fit(train)
    for name, value in straight.model.state_dict().items():
        assert torch.allclose(value, resumed.model.state_dict()[name], atol=1e-6), name


def test_two_runs_with_one_seed_are_equal(tiny):
    options = {**SMALL, "hidden_dropout_prob": 0.5, "attn_dropout_prob": 0.5, "epochs": 2}
    first, second = (quick_start.run("VQRec", "tiny", None, dict(options)) for _ in range(2))
    assert first["test_result"] == second["test_result"] and first["run"] != second["run"]


@pytest.mark.parametrize("name", ["SASRec", "BERT4Rec", "GRU4Rec", "NARM", "FPMC", "Caser", "DIN"])
def test_recbole_models_run_through_the_same_entry_point(tiny, name):
    options = {
        **SMALL,
        "embedding_size": 16,
        "reg_weight": [1e-4, 1e-4] if name != "Caser" else 1e-4,
        "mask_ratio": 0.5,
    }
    result = quick_start.run(name, "tiny", None, {**options, "nh": 2, "nv": 2} if name == "Caser" else options)
    assert set(result["test_result"]) == {"recall@5", "recall@10", "ndcg@5", "ndcg@10"}
    assert result["peak_memory"] > 2**20 and result["seconds"] > 0


def test_an_epoch_can_be_trained_outside_of_fit(tiny):
    """As benchmarks and notebooks do: without resume points and without signal handlers."""
    trainer, (train, _, _) = prepared()
    assert trainer._train_epoch(train, 0) > 0 and trainer._train_epoch(train, 1) > 0


def test_a_run_writes_into_its_folder_only(tiny, tmp_path):
    before = {path.name for path in tmp_path.iterdir()}
    result = quick_start.run("SASRec", "tiny", None, {**SMALL, "checkpoint_dir": "here", "state": "ERROR"})
    assert {path.name for path in tmp_path.iterdir()} - before == {"here"}
    assert list(Path(result["run"]).glob("tensorboard/events*"))
    (tmp_path / "file").write_text("")
    for checkpoint_dir in ("file", "/proc/nothing"):
        with pytest.raises(VQRecError, match="set checkpoint_dir"):
            quick_start.run("SASRec", "tiny", None, {**SMALL, "checkpoint_dir": checkpoint_dir, "state": "ERROR"})


@pytest.mark.parametrize("eval_step, validations", [(5, 1), (2, 2), (0, 0)])
def test_training_shorter_than_eval_step_ends_with_a_validation(tiny, eval_step, validations):
    options = {**SMALL, "epochs": 3, "eval_step": eval_step, "state": "WARNING"}
    result = quick_start.run("SASRec", "tiny", None, options)
    assert len(result["valid_scores"]) == validations and result["test_result"]["ndcg@10"] >= 0
