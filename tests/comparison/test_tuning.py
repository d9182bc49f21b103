"""Trials on validation: how many, which values, and what is done with the best."""

import json
import shutil
from pathlib import Path

import pytest
from small_comparison import OPTIONS, small_compare

from recbole_vqrec import registry
from recbole_vqrec.comparison.compare import compare
from recbole_vqrec.comparison.runs import Run, finished_runs
from recbole_vqrec.comparison.tuning import best_trial, stated_options, trials
from recbole_vqrec.defaults import known_options, read_props
from recbole_vqrec.errors import VQRecError


def test_tuning_takes_the_values_of_the_best_validation_score(tiny, in_process, monkeypatch):
    grid = {"grid": {"others": {"learning_rate": [1e-9, 0.01]}}, "tuned": {}, "options": {"others": {}}}
    monkeypatch.setattr("recbole_vqrec.comparison.tuning.read_props", lambda name: grid)
    said = []
    compare(["tiny"], ["SASRec"], "out", 1, 2, options={**OPTIONS, "epochs": 6}, say=said.append)
    ((_, _, _, result),) = finished_runs("out")
    tried = [json.loads(file.read_text()) for file in Path("out").glob("*/*/trial-*/result.json")]
    best = max(tried, key=lambda trial: trial["best_valid_score"])
    assert len(tried) == 2 and result["run_options"]["learning_rate"] == best["trial"]["learning_rate"]
    assert f"tiny SASRec: best of 2 trials {best['trial']}" in said
    # the best trial is the run of its seed, not trained again; the next seed is
    assert len(in_process) == 2 and result["test_result"] == best["test_result"] and result["trial"] is None
    assert result["run"] == "out/tiny/SASRec/seed-2020" and Path(result["run"], "ranks.safetensors").is_file()
    compare(["tiny"], ["SASRec"], "out", 2, 2, options={**OPTIONS, "epochs": 6}, say=said.append)
    assert in_process[2:] == ["seed-2021"]
    text = Path("out/report.md").read_text().split("### Tuning")[1]
    assert f"| learning_rate {best['trial']['learning_rate']} " in text
    assert f"**{best['best_valid_score']:.4f}**" in text
    assert best_trial([Run("out", "tiny", "SASRec", "SASRec", 2020, {})], [None]) is None


def small_grid(monkeypatch, rates):
    grid = {"grid": {"others": {"learning_rate": rates}}, "tuned": {}, "options": {"others": {}}}
    monkeypatch.setattr("recbole_vqrec.comparison.tuning.read_props", lambda name: grid)


def tuned(budget, **options):
    said = []
    compare(["tiny"], ["SASRec"], "out", 1, budget, options={**OPTIONS, "epochs": 6, **options}, say=said.append)
    ((_, _, _, result),) = finished_runs("out")
    return result["run_options"]["learning_rate"], said


def test_a_better_trial_does_not_repeat_the_seeds_that_are_there(tiny, in_process, monkeypatch):
    small_grid(monkeypatch, [1e-9])
    monkeypatch.setattr("recbole_vqrec.comparison.tuning._in_force", lambda run, names: {"learning_rate": 1e-9})
    assert tuned(2)[0] == 1e-9
    small_grid(monkeypatch, [1e-9, 0.01])
    rate, said = tuned(2)
    assert rate == 1e-9 and "tiny SASRec: best of 2 trials {'learning_rate': 0.01}" in said
    assert "out/tiny/SASRec: its seeds were run with {'learning_rate': 1e-09}, which is kept; delete them" in said[-2]
    assert "| learning_rate 1e-09 | 6 | **0." in Path("out/report.md").read_text().replace("      ", "").replace("  ", " ")
    shutil.rmtree("out/tiny/SASRec/seed-2020")
    assert tuned(2)[0] == 0.01


def test_a_row_that_was_run_without_trials_is_not_tuned_behind_its_seeds(tiny, in_process):
    small_compare(["SASRec"])
    with pytest.raises(VQRecError, match="out/tiny/SASRec: its seeds were run without trials; choose another --out"):
        compare(["tiny"], ["SASRec"], "out", 1, 2, options=OPTIONS)
    assert len(in_process) == 1


def test_what_a_row_or_a_file_says_is_not_tuned(tiny, in_process):
    Path("my.yaml").write_text("hidden_dropout_prob: 0.3\n")
    said, rows = [], {"mine": {"model": "VQRec", "temperature": 0.3}}
    options = {name: value for name, value in OPTIONS.items() if name != "hidden_dropout_prob"}
    compare(["tiny"], ["mine"], "out", 1, 9, 1, ["my.yaml"], options, rows, said.append)
    tried = [json.loads(file.read_text())["trial"] for file in Path("out").glob("*/*/trial-*/result.json")]
    assert len(tried) == 3 and all(trial.keys() == {"learning_rate"} for trial in tried)
    assert "tiny mine: 3 trials, its grid has no more" in said
    ((_, _, _, result),) = finished_runs("out")
    assert result["options"]["temperature"] == result["options"]["hidden_dropout_prob"] == 0.3


def test_each_row_gets_the_same_number_of_trials_at_most():
    run = Run("out", "Scientific", "VQRec", "VQRec", 2020, {"epochs": 3})
    some = trials(run, 4)
    assert len(some) == len({trial.name for trial in some}) == 4
    assert some == trials(run, 4)
    every = trials(run, 100)
    assert every[:4] == some and len({trial.name for trial in every}) == len(every) == 12
    for name in ("learning_rate", "hidden_dropout_prob", "temperature"):  # drawn at random, not in the grid's order
        assert len({trial.trial[name] for trial in trials(run, 6)}) > 1
    assert all(trial.options["epochs"] == 3 and trial.trial.items() <= trial.options.items() for trial in some)
    assert stated_options("GRU4Rec", "beauty") == {"hidden_size": 300, "embedding_size": 300}
    assert stated_options("SASRec", "OR") == {"hidden_size": 300, "inner_size": 256, "learning_rate": 0.0003}


def test_the_untuned_values_are_the_first_trial():
    for model, options, expected in (
        ("VQRec", {}, {"learning_rate": 0.001, "hidden_dropout_prob": 0.5, "temperature": 0.1}),
        ("VQRec", {"learning_rate": 0.02}, {"learning_rate": 0.02, "hidden_dropout_prob": 0.5, "temperature": 0.1}),
        ("SASRec", {}, {"learning_rate": 0.001, "hidden_dropout_prob": 0.5, "attn_dropout_prob": 0.5}),
    ):
        first, *others = trials(Run("out", "tiny", model, model, 2020, options), 100)
        assert first.trial == expected and all(other.trial != expected for other in others)
        assert len(others) == 12 - (not options)
    broken = trials(Run("out", "tiny", "VQRec", "VQRec", 2020, {"stage": "finetune"}), 2)  # no checkpoint; it will say
    assert [trial.trial for trial in broken][0] == {}


def test_what_props_state_are_options_of_models():
    stated = read_props("comparison.yaml")
    named = [*stated["options"].items(), *stated["grid"].items()]
    named += [entry for of_models in stated["tuned"].values() for entry in of_models.items()]
    for model, options in named:
        assert model == "others" or registry.entry(model)
        assert set(options) <= known_options(), model
    for options in stated["grid"].values():
        assert all(isinstance(values, list) for values in options.values())


def test_what_the_user_has_set_is_not_tuned():
    run = Run("out", "Scientific", "VQRec", "VQRec", 2020, {"learning_rate": 0.0123})
    made = trials(run, 100, ["learning_rate"])
    assert made and all("learning_rate" not in trial.trial for trial in made)
    assert {trial.options["learning_rate"] for trial in made} == {0.0123}
    every = {name for trial in trials(run, 100) for name in trial.trial}
    assert trials(run, 100, every) == []


def test_a_row_whose_trials_all_fail_is_not_run_and_is_tried_again(tiny, in_process, monkeypatch):
    small_grid(monkeypatch, [1e-9, 0.01])
    said, codes = [], tiny / "tiny.small.codes.safetensors"
    content = codes.read_bytes()
    codes.unlink()
    compare(["tiny"], ["VQRec", "SASRec"], "out", 1, 2, options=OPTIONS, say=said.append)
    assert "tiny VQRec: every trial failed, so it is not run; the same command tries again" in said
    assert [row for _, row, _, _ in finished_runs("out")] == ["SASRec"]
    codes.write_bytes(content)
    compare(["tiny"], ["VQRec", "SASRec"], "out", 1, 2, options=OPTIONS, say=said.append)
    assert [row for _, row, _, _ in finished_runs("out")] == ["SASRec", "VQRec"]
