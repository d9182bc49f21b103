"""Fine-tuning: its stages one after another, the best epoch, runs that stop and go on."""

from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from fine_tuning import options, prepared, state_after_loading

from recbole_vqrec import quick_start
from recbole_vqrec.cli import main
from recbole_vqrec.trainer import checkpoint
from recbole_vqrec.trainer.create import create_trainer
from recbole_vqrec.trainer.finetune_trainer import FinetuneTrainer
from recbole_vqrec.trainer.resume import newest_first


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


def test_finetune_starts_several_processes(monkeypatch):
    started = []
    monkeypatch.setattr("recbole_vqrec.distributed.spawn", lambda function, options, files: started.append(options))
    result = CliRunner().invoke(main, ["finetune", "--dataset", "tiny", "--checkpoint", "x", "--preset", "full", "--nproc=4"])
    assert result.exit_code == 0 and started == [{"nproc": "4", "preset": "full"}]


def test_gradients_of_a_stage_end_with_it(pretrained):
    trainer, _ = prepared(pretrained)
    for parameter in trainer.model.parameters():
        parameter.grad = torch.ones_like(parameter)
    trainer._enter(0, start=0)
    assert all(parameter.grad is None for parameter in trainer.model.parameters())
