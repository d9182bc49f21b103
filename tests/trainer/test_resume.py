"""Resumption bit for bit: after SIGKILL at many moments, after Ctrl-C, with rotation of the resume points."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from recbole.model.sequential_recommender import SASRec
from small import ROOT, SMALL, random_domains

from recbole_vqrec import artifacts, quick_start
from recbole_vqrec.errors import VQRecError
from recbole_vqrec.inference.catalogue_files import read_catalogue, write_catalogue
from recbole_vqrec.quantization.item_codes import ItemCodes
from recbole_vqrec.run_options import run_options
from recbole_vqrec.trainer import checkpoint
from recbole_vqrec.trainer.resume import ResumePoints, newest_first, resume_point
from recbole_vqrec.trainer.sequence_trainer import SequenceTrainer

OPTIONS = {
    **SMALL, "epochs": 3, "train_batch_size": 40, "hidden_dropout_prob": 0.3, "attn_dropout_prob": 0.3, "seed": 5,
    "learning_rate": 0.01, "checkpoint_minutes": 1e-9, "state": "ERROR",
}  # fmt: skip


@pytest.mark.parametrize("stage, count", [("pretrain", 20), ("train", 5)])
def test_killed_at_many_moments(tmp_path, stage, count):
    random_domains(tmp_path / "dataset")
    command = [
        sys.executable,
        str(Path(__file__).with_name("killed_training.py")),
        stage,
        str(count),
        json.dumps(OPTIONS),
    ]
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
    }
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=900, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert len(found["kills"]) >= count and found["moments"] > 40
    assert found["wrong"] == [] and found["expected"][-1] == []


def run(**options):
    return quick_start.run("VQRec", "mix", None, {**OPTIONS, "stage": "pretrain", **options})


def interrupted_after(steps, monkeypatch, number=signal.SIGINT, **options):
    """Start a run that gets a signal after some steps; return its message."""
    original, taken = SequenceTrainer.after_step, []

    def after_step(self, step):
        taken.append(step)
        if len(taken) == steps:
            os.kill(os.getpid(), number)
        original(self, step)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt) as caught:
        patched.setattr(SequenceTrainer, "after_step", after_step)
        run(**options)
    return str(caught.value)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_after_the_step_and_says_how_to_go_on(tmp_path, monkeypatch, number):
    random_domains(tmp_path / "dataset")
    handler = signal.getsignal(number)
    message = interrupted_after(6, monkeypatch, number, checkpoint_minutes=60)
    assert signal.getsignal(number) is handler
    assert message.startswith("stopped after step 1 of epoch 1; go on with --resume=saved/VQRec-mix-")
    folder = message.partition("--resume=")[2]
    resumed = quick_start.run(None, None, None, {"resume": folder})
    straight = run()
    assert resumed["run"] == folder and newest_first(folder) == []
    assert resumed["best_valid_result"] == straight["best_valid_result"] and resumed["epochs"] == straight["epochs"]
    tensors, _, _ = checkpoint.load(folder)
    for name, expected in checkpoint.load(straight["run"])[0].items():
        assert torch.equal(tensors[name], expected), name


def test_without_resume_points_it_just_stops(tmp_path, monkeypatch):
    random_domains(tmp_path / "dataset")
    message = interrupted_after(2, monkeypatch, checkpoint_minutes=None, checkpoint_epochs=None)
    assert message == "stopped after step 2 of epoch 0"


def test_resume_points_are_rotated_and_a_damaged_one_is_passed_over(tmp_path, monkeypatch):
    random_domains(tmp_path / "dataset")
    folder = interrupted_after(7, monkeypatch, keep_last=3).partition("--resume=")[2]
    points = newest_first(folder)
    assert len(points) == 3 and resume_point(folder) == points[0]
    points[0].write_bytes(points[0].read_bytes()[:500])
    assert resume_point(folder) == points[1]
    for point in points:
        point.write_bytes(b"")
    with pytest.raises(VQRecError, match="not a readable checkpoint"):
        resume_point(folder)


def test_a_run_that_has_ended(tmp_path):
    random_domains(tmp_path / "dataset")
    ended = run(epochs=1)
    with pytest.raises(VQRecError, match="this run has ended, there is nothing to resume"):
        quick_start.run(None, None, None, {"resume": ended["run"]})


def test_a_run_of_another_model_data_set_or_stage(tmp_path, monkeypatch):
    random_domains(tmp_path / "dataset")
    folder = interrupted_after(2, monkeypatch).partition("--resume=")[2]
    for model, dataset, options in (("SASRec", None, {}), (None, "tiny", {}), (None, None, {"stage": "train"})):
        with pytest.raises(VQRecError, match="a run of .* asked for is"):
            quick_start.run(model, dataset, None, {"resume": folder, **options})


def test_other_items_than_the_run_had(tmp_path, monkeypatch):
    folder = random_domains(tmp_path / "dataset")
    run_folder = interrupted_after(2, monkeypatch).partition("--resume=")[2]
    text = (folder / "mix.inter").read_text().replace("a-i3\t", "a-i4\t")
    (folder / "mix.inter").write_text(text)
    with pytest.raises(VQRecError, match="does not fit the configured VQRec|trained on other items"):
        quick_start.run(None, None, None, {"resume": run_folder})


def test_other_interactions_than_the_run_had(tmp_path, monkeypatch):
    folder = random_domains(tmp_path / "dataset")
    run_folder = interrupted_after(2, monkeypatch).partition("--resume=")[2]
    with open(folder / "mix.inter", "a") as file:  # a known user takes a known item once more
        user, item, _ = (folder / "mix.inter").read_text().splitlines()[1].split("\t")
        file.write(f"{user}\t{item}\t1000\n")
    with pytest.raises(VQRecError, match="the run to resume was trained on other interactions; start a new run"):
        quick_start.run(None, None, None, {"resume": run_folder})


def test_other_codes_than_the_run_had(tmp_path, monkeypatch):
    folder = random_domains(tmp_path / "dataset")
    run_folder = interrupted_after(2, monkeypatch).partition("--resume=")[2]
    path = folder / "mix.small.codes.safetensors"
    before, codes = path.read_bytes(), ItemCodes.load(path, "")
    kept = artifacts.catalogue_file(run_folder).read_bytes()
    codes.codes[codes.item_ids.index("b-i2"), 1] ^= 1
    codes.save(path)
    with pytest.raises(VQRecError, match=r"items have other codes than the run .* \(b-i2\); encode the data set as before"):
        quick_start.run(None, None, None, {"resume": run_folder})
    assert artifacts.catalogue_file(run_folder).read_bytes() == kept
    path.write_bytes(before)
    assert quick_start.run(None, None, None, {"resume": run_folder})["run"] == run_folder


@pytest.mark.parametrize("given", [{"train_batch_size": 100}, {"seed": 6}])
def test_the_batches_of_an_interrupted_epoch_stay_as_they_are(tmp_path, monkeypatch, given):
    random_domains(tmp_path / "dataset")
    run_folder = interrupted_after(2, monkeypatch).partition("--resume=")[2]
    with pytest.raises(VQRecError, match=f"{next(iter(given))}: what the epoch that was interrupted is divided by"):
        quick_start.run(None, None, None, {"resume": run_folder, **given})


def test_after_a_whole_epoch_batches_may_be_others(tiny):
    ended = quick_start.run("SASRec", "tiny", None, {**SMALL, "epochs": 1, "state": "ERROR"})["run"]
    given = {"resume": f"{ended}/checkpoint.safetensors", "epochs": 2, "train_batch_size": 32}
    assert quick_start.run(None, None, None, given)["epochs"] == 2


def test_a_catalogue_that_lacks_what_new_options_need_is_made_anew(tiny):
    ended = quick_start.run("SASRec", "tiny", None, {**SMALL, "epochs": 1, "state": "ERROR"})["run"]
    given = {"resume": f"{ended}/checkpoint.safetensors", "epochs": 2, "co_occurrence_weight": 1}
    assert read_catalogue(ended)[0].item_pairs is None
    quick_start.run(None, None, None, given)
    made = read_catalogue(ended)[0]
    assert made.item_pairs is not None
    write_catalogue(ended, dataclasses.replace(made.without_items(["i3"]), item_pairs=None, pair_strengths=None))
    with pytest.raises(VQRecError, match="need item_pairs, which its catalogue lacks, and items were added"):
        quick_start.run(None, None, None, {**given, "epochs": 3})
    artifacts.catalogue_file(ended).write_bytes(b"damaged")
    quick_start.run(None, None, None, {**given, "epochs": 3})
    assert read_catalogue(ended)[0].item_pairs is not None


def test_items_added_to_an_interrupted_run_stay(tmp_path, monkeypatch):
    random_domains(tmp_path / "dataset")
    run_folder = interrupted_after(2, monkeypatch).partition("--resume=")[2]
    catalogue, _ = read_catalogue(run_folder)
    features = {"codes": catalogue.codes[:1], "neighbours": np.zeros((1, 1), np.int32), "weights": np.ones((1, 1))}
    changed = catalogue.with_items(["new"], ["text"], **features).without_items(["b-i2"])
    write_catalogue(run_folder, changed)
    quick_start.run(None, None, None, {"resume": run_folder})
    kept, _ = read_catalogue(run_folder)
    assert kept.item_ids[-1] == "new" and kept.removed.tolist() == changed.removed.tolist()


@pytest.mark.parametrize(
    "options, message", [({"keep_last": 0}, "keep_last"), ({"checkpoint_minutes": -1}, "checkpoint_minutes")]
)
def test_options_below_what_makes_sense(tmp_path, options, message):
    random_domains(tmp_path / "dataset")
    with pytest.raises(VQRecError, match=message):
        run(**options)


def test_a_resumed_run_has_the_validation_scores_of_all_epochs(tmp_path, monkeypatch):
    random_domains(tmp_path / "dataset")
    folder = interrupted_after(9, monkeypatch, checkpoint_minutes=60).partition("--resume=")[2]
    best = checkpoint.load(checkpoint.checkpoint_file(folder))[2]["progress"]
    assert best["best_valid_result"]["ndcg@10"] == pytest.approx(best["best_valid_score"], abs=1e-4)
    resumed, straight = quick_start.run(None, None, None, {"resume": folder}), run()
    assert resumed["valid_scores"] == straight["valid_scores"]
    assert resumed["valid_epochs"] == straight["valid_epochs"] == list(range(1, straight["epochs"] + 1))


def test_config_files_hold_for_a_resumed_run(tmp_path, monkeypatch):
    random_domains(tmp_path / "dataset")
    folder = interrupted_after(2, monkeypatch).partition("--resume=")[2]
    (tmp_path / "longer.yaml").write_text("epochs: 7\nstopping_step: 5\n")
    config = run_options(None, None, ["longer.yaml"], {"resume": folder, "stopping_step": 6})
    assert (config["epochs"], config["stopping_step"]) == (7, 6)


def test_a_resumed_run_keeps_its_optimizer(tmp_path, monkeypatch):
    random_domains(tmp_path / "dataset")
    folder = interrupted_after(2, monkeypatch).partition("--resume=")[2]
    with pytest.raises(VQRecError, match="learning_rate: of the optimizer, which a resumed run goes on with as it was"):
        quick_start.run(None, None, None, {"resume": folder, "learning_rate": 0.5})


def test_going_on_from_an_earlier_point_leaves_the_later_ones_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "save", lambda path, *args: path.write_text("x"))
    trainer = SimpleNamespace(config=None, model=None, optimizer=None, item_ids=None)
    points = ResumePoints(tmp_path, {"keep_last": 2, "checkpoint_minutes": 1, "checkpoint_epochs": None})
    for epoch in (1, 4, 5, 2):
        made = points.write(trainer, {"epoch": epoch, "step": 0})
        assert made.is_file()
    assert [file.name for file in newest_first(tmp_path)] == ["resume-00002-0000000.safetensors"]


def test_resuming_for_no_further_epoch_tests_the_best_one(tmp_path, monkeypatch):
    random_domains(tmp_path / "dataset")
    options = {"stage": "train", "checkpoint_minutes": 60, "epochs": 50, "stopping_step": 50}
    folder = interrupted_after(45, monkeypatch, **options).partition("--resume=")[2]
    path = checkpoint.checkpoint_file(folder)
    before, progress = path.read_bytes(), checkpoint.load(path)[2]["progress"]
    ended = quick_start.run(None, None, None, {"resume": folder, "epochs": 2})
    assert path.read_bytes() == before and ended["best_valid_score"] == progress["best_valid_score"]


def test_a_config_file_may_say_which_run_goes_on(tmp_path, monkeypatch):
    random_domains(tmp_path / "dataset")
    folder = interrupted_after(2, monkeypatch, seed=7).partition("--resume=")[2]
    (tmp_path / "resume.yaml").write_text(f"resume: {folder}\nepochs: 2\n")
    config = run_options(None, None, ["resume.yaml"], {})
    assert (config["resume"], config["seed"], config["epochs"]) == (folder, 7, 2)
    (tmp_path / "other.yaml").write_text(f"resume: {folder}\nstage: train\n")
    with pytest.raises(VQRecError, match="a run of stage pretrain, asked for is train"):
        run_options(None, None, ["other.yaml"], {})


def test_a_run_of_a_model_class_goes_on(tiny, monkeypatch):
    class Mine(SASRec):
        pass

    sizes = {"n_layers": 1, "n_heads": 1, "hidden_act": "gelu", "layer_norm_eps": 1e-12, "initializer_range": 0.02}
    options = {**OPTIONS, **sizes, "loss_type": "CE", "train_batch_size": 20}
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt) as caught:
        patched.setattr("recbole_vqrec.trainer.steps.Interruption.__enter__", lambda self: self)
        patched.setattr("recbole_vqrec.distributed.any_of", lambda flag, device: True)
        quick_start.run(Mine, "tiny", None, options)
    folder = str(caught.value).partition("--resume=")[2]
    with pytest.raises(VQRecError, match="a run of model Mine, asked for is VQRec"):
        quick_start.run("VQRec", None, None, {"resume": folder})
    result = quick_start.run(Mine, None, None, {"resume": folder})
    assert result["epochs"] == 3
    assert isinstance(quick_start.load_data_and_model(result["run"], Mine)[1], Mine)
