"""One run in a process of its own: stopped, gone on with, begun anew."""

import os
import signal
from pathlib import Path

import pytest
from small_comparison import OPTIONS, small_compare

from recbole_vqrec.comparison import worker
from recbole_vqrec.comparison.runs import Run
from recbole_vqrec.trainer.sequence_trainer import SequenceTrainer


def test_data_without_one_target_a_user_are_a_failed_run(tiny, in_process, monkeypatch):
    monkeypatch.setattr("recbole_vqrec.evaluation.user_ranks.RankCollector.ranks", lambda self: None)
    _, said = small_compare(["SASRec"])
    assert any("not one test target a user; a comparison needs leave-one-out" in line for line in said)
    assert not Path("out/tiny/SASRec/seed-2020").exists()


def interrupted(run, monkeypatch, steps=5):
    """Execute a run that gets SIGTERM after some steps, as its comparison sends where it is stopped."""
    original, taken = SequenceTrainer.after_step, []

    def after_step(self, step):
        taken.append(step)
        if len(taken) == steps:
            os.kill(os.getpid(), signal.SIGTERM)
        original(self, step)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(SequenceTrainer, "after_step", after_step)
        worker.execute(run)


def test_an_interrupted_run_is_gone_on_with(tiny, monkeypatch):
    options = {**OPTIONS, "epochs": 4, "train_batch_size": 16, "data_path": "dataset/"}
    straight, run = (Run(out, "tiny", "SASRec", "SASRec", 2020, options) for out in ("straight", "out"))
    worker.execute(straight)
    interrupted(run, monkeypatch)
    assert not run.folder.exists() and list(run.unfinished.glob("saved/*/resume-*"))
    worker.execute(run)
    log = (run.folder / "run.log").read_text()
    assert "Resume training from epoch 0, step 5" in log or "Resume training from epoch 1" in log
    for name in ("valid_scores", "train_losses", "test_result", "options", "run_options"):
        assert run.result()[name] == straight.result()[name]
    assert [folder.name for folder in run.folder.parent.iterdir()] == ["seed-2020"]


def test_a_run_stopped_between_two_stages_stops_in_the_second(tiny, monkeypatch):
    options = {**OPTIONS, "pretrain_epochs": 1, "epochs": 3, "data_path": "dataset/"}
    run, save = Run("out", "tiny", "S3Rec", "S3Rec", 2020, options), SequenceTrainer._save_checkpoint

    def stopped_at_the_end_of_the_first(self, *args, **kwargs):
        if "saved_model_file" in kwargs:
            self._interruption._note(signal.SIGTERM, None)
        save(self, *args, **kwargs)

    (tiny / "tiny.item").write_text(
        "item_id:token\tcategories:token_seq\n" + "".join(f"i{item}\tgroup {item % 3}\n" for item in range(12))
    )
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(SequenceTrainer, "_save_checkpoint", stopped_at_the_end_of_the_first)
        worker.execute(run)
    worker.execute(run)
    assert "Resume training from epoch 1, step 1" in (run.folder / "run.log").read_text()


def test_what_a_killed_run_leaves_goes_before_the_next(tiny, in_process):
    left = Path("out/tiny/SASRec/.seed-2020.x8sd")  # of an earlier version
    for _ in range(2):  # before the run, and once its result is there
        (left / "saved").mkdir(parents=True)
        small_compare(["SASRec"])
        assert not left.exists() and Path("out/tiny/SASRec/seed-2020/result.json").is_file()
    assert in_process == ["seed-2020"]


@pytest.mark.parametrize("change", ["options", "code", "data", "props"])
def test_another_run_begins_anew(tiny, monkeypatch, change):
    options = {**OPTIONS, "epochs": 2, "train_batch_size": 16, "data_path": "dataset/"}
    interrupted(Run("out", "tiny", "SASRec", "SASRec", 2020, options), monkeypatch)
    if change == "options":
        options["learning_rate"] = 0.01
    elif change == "data":
        os.utime(tiny / "tiny.inter")
    elif change == "props":
        monkeypatch.setattr(worker, "options_in_force", lambda run: {"learning_rate": 0.5})
    else:
        monkeypatch.setattr(worker, "_code", lambda: "of another day")
    run = Run("out", "tiny", "SASRec", "SASRec", 2020, options)
    worker.execute(run)
    assert "Resume" not in (run.folder / "run.log").read_text() and not run.unfinished.exists()
