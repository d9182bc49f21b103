"""The matrix of runs: what is there is not repeated, what fails is reported, and nothing else gets into the folder."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import filelock
import pytest
from click.testing import CliRunner
from small import SMALL, write_codes, write_inter, write_vectors

from recbole_vqrec import registry
from recbole_vqrec.cli import main
from recbole_vqrec.comparison import executor, worker
from recbole_vqrec.comparison.compare import LOCK, compare
from recbole_vqrec.comparison.runs import Run, failures, finished_runs, read_result
from recbole_vqrec.comparison.tuning import best_trial, stated_options, trials
from recbole_vqrec.defaults import known_options, read_props
from recbole_vqrec.errors import VQRecError
from recbole_vqrec.trainer.sequence_trainer import SequenceTrainer

OPTIONS = {**SMALL, "topk": [5, 10], "valid_metric": "NDCG@10"}


@pytest.fixture
def in_process(monkeypatch):
    """Run without processes, which cost seconds each; return the names of the runs that are executed."""
    executed = []

    def execute(self, run):
        executed.append(run.name)
        try:
            worker.execute(run)
        except VQRecError as error:
            run.failure.write_text(json.dumps({"error": str(error)}))
            return str(error)
        return None

    monkeypatch.setattr(executor._Children, "execute", execute)
    return executed


def small_compare(models, seeds=1, **options):
    said = []
    report = compare(["tiny"], models, "out", seeds, options={**OPTIONS, **options}, say=said.append)
    return report, said


def test_the_command_runs_processes_reports_failures_and_makes_the_report_again(tiny):
    arguments = [f"--{name}={value}" for name, value in OPTIONS.items()]
    command = ["compare", "--datasets", "tiny", "--models", "VQRec,FDSA,Caser", "--out", "out", "--processes", "2"]
    result = CliRunner().invoke(main, [*command, *arguments])
    assert result.exit_code == 1 and "1 failed: tiny FDSA seed-2020; the same command tries again" in result.output
    assert "failed: tiny FDSA seed-2020" in result.output and "embed --dataset tiny" in result.output
    folder = "out/tiny/VQRec/seed-2020"
    text = open("out/report.md").read()
    assert "| R@10" in text and "Caser" in text and "embed --dataset tiny" in text.split("## Failed runs")[1]
    assert sorted(path.name for path in Path(folder).iterdir()) == [
        "ranks.safetensors", "result.json", "run.log",
    ]  # fmt: skip
    stored = json.loads(open(f"{folder}/result.json").read())
    assert stored["seed"] == 2020 and stored["versions"]["recbole"] == "1.2.1" and stored["seconds"] > 0
    assert len(stored["train_losses"]) == len(stored["valid_scores"]) == 1 and stored["statistics"][:2] == [30, 12]
    html = open("out/report.html").read()
    assert html.count("data:image/png;base64,") == 4 and 'src="plots' not in html and "<table>" in html
    again = CliRunner().invoke(main, ["compare", "--from", "out"])
    assert again.exit_code == 0 and "2 runs, 1 failed" in again.output
    assert "`recbole-vqrec compare --from out` makes this report again" in open("out/report.md").read()


def test_a_run_that_is_there_is_not_repeated(tiny, in_process):
    small_compare(["VQRec"], seeds=2)
    assert in_process == ["seed-2020", "seed-2021"]
    small_compare(["VQRec", "SASRec"], seeds=3)
    assert sorted(in_process[2:]) == ["seed-2020", "seed-2021", "seed-2022", "seed-2022"]
    scores = [result["test_result"] for _, row, _, result in finished_runs("out") if row == "VQRec"]
    assert len(scores) == 3 and scores[0] != scores[1]


def test_a_run_on_data_that_have_changed_is_refused(tiny, in_process):
    small_compare(["VQRec", "SASRec"])
    codes, inter = tiny / "tiny.small.codes.safetensors", tiny / "tiny.inter"
    before = codes.read_bytes()
    write_codes(tiny, "tiny", [f"i{number}" for number in range(11, -1, -1)])
    with pytest.raises(VQRecError, match="VQRec/seed-2020: was run on other data, tiny.small.codes.safetensors changed"):
        small_compare(["VQRec", "SASRec"])
    codes.write_bytes(before)
    lines = inter.read_text().splitlines(keepends=True)
    inter.write_text("".join(lines[:-1]))
    with pytest.raises(VQRecError, match="SASRec/seed-2020: was run on other data, tiny.inter changed since; delete"):
        small_compare(["SASRec"])
    inter.write_text("".join(lines))
    small_compare(["VQRec", "SASRec"])
    assert len(in_process) == 2


@pytest.mark.parametrize(
    "given, message",
    [
        ({"seed": 7}, "^seed: not for all runs of a table"),
        ({"resume": "saved/x"}, "^resume: not for all runs of a table"),
        ({"stage": "pretrain"}, "^SASRec: stage: pretrain, but a comparison tests its runs; pre-train first"),
        ({"eval_args": "full"}, "eval_args"),
        ({"learning_rate": -1}, "learning_rate: -1, expected a number above 0"),
        ({"model": "SASRec"}, "model: not for all runs of a table"),
        ({"eval_args": {"mode": "uni5"}}, "SASRec: eval_args: .*a comparison ranks all items, leave-one-out"),
        ({"eval_args": {"split": {"RS": [0.8, 0.1, 0.1]}}}, "SASRec: eval_args: .*a comparison ranks all items"),
    ],
)
def test_options_that_a_table_cannot_have(tiny, in_process, given, message):
    with pytest.raises(VQRecError, match=message):
        small_compare(["SASRec"], **given)
    assert in_process == []


@pytest.mark.parametrize("name", ["VQRec w/o text", "..", " VQRec"])
def test_a_row_is_named_as_a_folder_can_be(tiny, name):
    with pytest.raises(VQRecError, match="a row's name is that of its folder"):
        compare(["tiny"], [name], "out", rows={name: {"model": "VQRec"}})


def test_a_row_names_its_model(tiny):
    with pytest.raises(VQRecError, match="row 'mine': model: .'VQRec'., expected the name of a model"):
        compare(["tiny"], ["mine"], "out", rows={"mine": {"model": ["VQRec"]}})


@pytest.mark.parametrize("option", ["seed", "dataset"])
def test_a_row_does_not_say_what_the_table_says(tiny, option):
    with pytest.raises(VQRecError, match=f"row 'mine': {option}: not for all runs of a table"):
        compare(["tiny"], ["mine"], "out", rows={"mine": {"model": "VQRec", option: 1}})


@pytest.mark.parametrize("name", ["tiny/", "../dataset/tiny", "."])
def test_a_data_set_is_named_as_a_folder_can_be(tiny, name):
    with pytest.raises(VQRecError, match="a data set's name is that of its folder"):
        compare([name], ["SASRec"], "out")


def test_a_file_where_the_folder_should_be(tiny):
    Path("out").write_text("")
    with pytest.raises(VQRecError, match="out: cannot be the folder of a comparison .File exists."):
        compare(["tiny"], ["SASRec"], "out")


def test_failures_of_rows_that_were_not_asked_for_do_not_count(tiny, in_process):
    small_compare(["SASRec", "FDSA"])
    arguments = ["compare", "--datasets", "tiny", "--models", "SASRec", "--out", "out"]
    result = CliRunner().invoke(main, [*arguments, *(f"--{name}={value}" for name, value in OPTIONS.items())])
    assert result.exit_code == 0 and failures("out"), result.output


def test_a_failed_run_is_tried_again(tiny, in_process):
    path = tiny / "tiny.small.codes.safetensors"
    codes = path.read_bytes()
    path.unlink()
    small_compare(["SASRec", "VQRec"])
    assert [(row, run) for _, row, run, _ in failures("out")] == [("VQRec", "seed-2020")]
    path.write_bytes(codes)
    monitored = len(in_process)
    small_compare(["SASRec", "VQRec"])
    assert len(in_process) == monitored + 1


def test_a_crash_of_one_process_is_told_with_its_code(tiny, monkeypatch):
    monkeypatch.setattr(executor.sys, "executable", "/bin/false")
    run = Run("out", "tiny", "VQRec", "VQRec", 2020, dict(OPTIONS))
    said = []
    assert executor.execute_all([run], 1, say=said.append) == [None]
    assert said == ["failed: tiny VQRec seed-2020: crashed with code 1: "] and not run.folder.exists()


@pytest.mark.parametrize(
    "visible, processes, expected",
    [(None, 3, ["0", "1", "0"]), ("2, 5", 2, ["2", "5"]), ("2,5", 1, ["2"]), ("", 2, []), ("GPU-8ab", 2, ["GPU-8ab"] * 2)],
)
def test_processes_share_the_gpus(monkeypatch, visible, processes, expected):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert executor.gpus_of_each(processes) == expected


def test_runs_at_a_time_are_on_gpus_of_their_own(tiny, tmp_path, monkeypatch):
    script = tmp_path / "python"
    script.write_text(f"#!/bin/sh\necho $CUDA_VISIBLE_DEVICES >> {tmp_path}/seen; sleep 0.3\n")
    script.chmod(0o755)
    monkeypatch.setattr(executor.sys, "executable", str(script))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    runs = [Run("out", "tiny", "VQRec", "VQRec", seed, dict(OPTIONS)) for seed in range(4)]
    executor.execute_all(runs, 2, progress=False)
    assert set((tmp_path / "seen").read_text().split()) == {"4", "7"}


def test_runs_with_other_options_or_of_another_version_are_refused(tiny, in_process):
    small_compare(["VQRec"])
    with pytest.raises(VQRecError, match="run with other options .learning_rate: 0.001 there, 0.5 asked for"):
        small_compare(["VQRec"], learning_rate=0.5)
    path = "out/tiny/VQRec/seed-2020/result.json"
    stored = json.loads(open(path).read())
    open(path, "w").write(json.dumps({**stored, "format": 99}))
    with pytest.raises(VQRecError, match="result.json: format version 99, this program reads 2"):
        small_compare(["VQRec"])
    open(path, "w").write(json.dumps({"format": 2, "model": "VQRec"}))
    with pytest.raises(VQRecError, match="result.json: lacks inputs, options, run_options and 2 more; delete"):
        small_compare(["VQRec"])
    open(path, "w").write("[")
    with pytest.raises(VQRecError, match="not readable"):
        small_compare(["VQRec"])
    open(path, "w").write(json.dumps({**stored, "model": "FDSA", "options": {}}))  # of before there was that option
    assert read_result(path)["options"] == {"fusion_norm": False}
    Path(path).unlink()
    with pytest.raises(VQRecError, match="seed-2020: has no result.json, it is not a run's; delete the folder"):
        small_compare(["VQRec"])


def test_a_run_with_other_defaults_is_refused(tiny, in_process):
    """What was not given counts as well: another version of the program may have other defaults."""
    small_compare(["SASRec"])
    path = Path("out/tiny/SASRec/seed-2020/result.json")
    stored = json.loads(path.read_text())
    assert stored["options"]["learner"] == "adam" and "learner" not in stored["run_options"]
    stored["options"]["learner"] = "sgd"
    path.write_text(json.dumps(stored))
    with pytest.raises(VQRecError, match="run with other options .learner: sgd there, adam asked for"):
        small_compare(["SASRec"])


def test_an_option_given_as_its_default_is_the_same_run(tiny, in_process):
    small_compare(["SASRec"])
    small_compare(["SASRec"], learning_rate=0.001, weight_decay=0.0)
    assert in_process == ["seed-2020"]


def test_data_without_one_target_a_user_are_a_failed_run(tiny, in_process, monkeypatch):
    monkeypatch.setattr("recbole_vqrec.evaluation.user_ranks.RankCollector.ranks", lambda self: None)
    _, said = small_compare(["SASRec"])
    assert any("not one test target a user; a comparison needs leave-one-out" in line for line in said)
    assert not Path("out/tiny/SASRec/seed-2020").exists()


def test_a_config_file_may_say_what_single_runs_need(tiny, in_process):
    Path("my.yaml").write_text("dataset: tiny\nseed: 3\nnproc: 1\n")
    compare(["tiny"], ["SASRec"], "out", config_files=["my.yaml"], options=OPTIONS, say=lambda line: None)
    assert in_process == ["seed-2020"]


def test_files_that_a_run_reads_by_its_options_count_as_its_data(tiny, in_process):
    items = [f"i{number}" for number in range(12)]
    write_vectors(tiny, "tiny", items)
    codes = tiny.parent / "elsewhere.codes.safetensors"
    codes.write_bytes(write_codes(tiny, "tiny", items).read_bytes())
    small_compare(["SASRec"], text_similarity_weight=1, plm="bert-base-uncased")
    write_vectors(tiny, "tiny", items, seed=1)
    with pytest.raises(VQRecError, match="run on other data, tiny.bert-base-uncased.emb.safetensors changed"):
        small_compare(["SASRec"], text_similarity_weight=1, plm="bert-base-uncased")
    small_compare(["VQRec"], item_codes=str(codes))
    codes.write_bytes(write_codes(tiny, "tiny", items[::-1]).read_bytes())
    with pytest.raises(VQRecError, match="run on other data, /.*elsewhere.codes.safetensors changed"):
        small_compare(["VQRec"], item_codes=str(codes))


def test_files_of_domains_count_as_data_of_their_mix(tiny, in_process):
    items = [f"i{number}" for number in range(12)]
    sequences = {f"u{user}": items[user % 6 :][:6] for user in range(12)}
    for name in ("A", "B"):
        write_inter(tiny.parent / name, name, sequences)
        lines = [f"{item}\t{item}" for item in items]
        (tiny.parent / name / f"{name}.item").write_text("\n".join(["item_id:token\ttitle:token_seq", *lines]) + "\n")
        write_codes(tiny.parent / name, name, items, codes="small.opq4x8")
    merged = CliRunner().invoke(main, ["merge", "--datasets", "A,B", "--name", "AB"])
    assert merged.exit_code == 0, merged.output
    options, said = {**OPTIONS, "item_codes": None, "plm": "small"}, []
    compare(["AB"], ["VQRec"], "out", options=options, say=said.append)
    write_codes(tiny.parent / "B", "B", items[::-1], codes="small.opq4x8")
    with pytest.raises(VQRecError, match="was run on other data, /.*B.small.opq4x8.codes.safetensors changed since"):
        compare(["AB"], ["VQRec"], "out", options=options, say=said.append)


def test_a_file_written_while_a_run_reads_it(tiny, in_process, monkeypatch):
    from recbole_vqrec import quick_start

    train = quick_start.run

    def changed(*args):
        result = train(*args)
        os.utime(tiny / "tiny.inter")
        return result

    monkeypatch.setattr(quick_start, "run", changed)
    _, said = small_compare(["SASRec"])
    assert any("tiny.inter: written while the run was reading it; run again" in line for line in said)
    assert not Path("out/tiny/SASRec/seed-2020").exists()


def test_what_cannot_be_in_the_table_is_told_before_the_first_run(tiny, in_process):
    small_compare(["SASRec"])
    path = Path("out/tiny/SASRec/seed-2020/result.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 99}))
    with pytest.raises(VQRecError, match="format version 99"):
        small_compare(["Caser"])
    assert len(in_process) == 1


def test_folders_that_are_no_runs_are_left_out(tiny, in_process):
    small_compare(["SASRec"])
    shutil.copytree("out/tiny/SASRec/seed-2020", "out/tiny/SASRec/seed-2020-old")
    small_compare(["SASRec"])
    assert [folder.name for _, _, folder, _ in finished_runs("out")] == ["seed-2020"]


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


def test_a_run_ends_with_the_comparison_that_was_killed(tiny):
    options = {**OPTIONS, "epochs": 10**6, "stopping_step": 10**6}
    run = Run("out", "tiny", "SASRec", "SASRec", 2020, options)
    Path("run.json").write_text(json.dumps(run.as_dict()))
    environment = {**os.environ, "PYTHONPATH": str(Path(executor.__file__).resolve().parents[2])}
    command = [sys.executable, "-m", "recbole_vqrec.comparison.worker", "run.json"]
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:
        while not list(run.unfinished.glob("saved/*/run.log")):
            assert child.poll() is None
            time.sleep(0.05)
        child.stdin.close()  # as the system does with what a killed process has open
        assert child.wait(60) != 0
    assert run.unfinished.is_dir() and not run.folder.exists() and not run.failure.exists()


def test_when_every_run_fails_the_report_says_why(tiny, in_process):
    arguments = ["compare", "--datasets", "tiny", "--models", "FDSA", "--out", "out"]
    result = CliRunner().invoke(main, [*arguments, *(f"--{name}={value}" for name, value in OPTIONS.items())])
    assert result.exit_code == 1 and "1 failed: tiny FDSA seed-2020" in result.output
    assert "embed --dataset tiny" in Path("out/report.md").read_text().split("## Failed runs")[1]


def test_failures_that_are_over_or_not_asked_for_do_not_count(tiny, in_process):
    small_compare(["SASRec"])
    for name in ("seed-2020", "seed-2024", "trial-x"):
        Path(f"out/tiny/SASRec/{name}.failed.json").write_text('{"error": "x"}')
    assert [run for _, _, run, _ in failures("out")] == ["seed-2024", "trial-x"]
    arguments = ["compare", "--datasets", "tiny", "--models", "SASRec", "--out", "out"]
    arguments += [f"--{name}={value}" for name, value in OPTIONS.items()]
    assert CliRunner().invoke(main, arguments).exit_code == 0
    assert "2 failed" in CliRunner().invoke(main, ["compare", "--from", "out"]).output


def test_two_comparisons_in_one_folder(tiny, tmp_path):
    (tmp_path / "out").mkdir()
    with filelock.FileLock(tmp_path / "out" / LOCK):
        with pytest.raises(VQRecError, match="another comparison is writing there"):
            small_compare(["VQRec"])


@pytest.mark.parametrize(
    "change, message",
    [
        ({"models": ["SASReck"]}, "unknown model 'SASReck', did you mean 'SASRec'"),
        ({"datasets": ["tini"]}, "tini: data set folder not found, did you mean 'tiny'"),
        ({"options": {"learning_rat": 1}}, "unknown option 'learning_rat', did you mean 'learning_rate'"),
        ({"rows": {"A": {"model": "VQRec", "temperatur": 1}}, "models": ["A"]}, "A: unknown option 'temperatur'"),
        ({"rows": {"A": {"model": "VQReck"}}, "models": ["A"]}, "unknown model 'VQReck', did you mean 'VQRec'"),
    ],
)
def test_bad_input_stops_before_the_first_run(tiny, change, message):
    with pytest.raises(VQRecError, match=message):
        compare(**{"datasets": ["tiny"], "models": ["VQRec"], "out": "out", "options": dict(OPTIONS), **change})


def test_a_report_without_runs(tmp_path):
    result = CliRunner().invoke(main, ["compare", "--from", str(tmp_path)])
    assert result.exit_code == 2 and "no run there" in result.output


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
    assert stated_options("SASRec", "OR") == {"hidden_size": 300, "inner_size": 256}


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


def test_rows_of_a_file_are_models_with_options_of_their_own(tiny, in_process, tmp_path):
    (tmp_path / "rows.yaml").write_text("Small VQRec: {model: VQRec, learning_rate: 1e-2}\n")
    arguments = [f"--{name}={value}" for name, value in OPTIONS.items()]
    command = ["compare", "--datasets", "tiny", "--models", "Small VQRec", "--out", "out", "--rows", "rows.yaml"]
    result = CliRunner().invoke(main, [*command, *arguments])
    assert result.exit_code == 0, result.output
    ((_, row, _, stored),) = finished_runs("out")
    assert row == "Small VQRec" and stored["model"] == "VQRec" and stored["run_options"]["learning_rate"] == 0.01
    (tmp_path / "rows.yaml").write_text("Small VQRec: {model: VQRec, learning_rate: 1e-2}\nOther: {model: VQRec}\n")
    assert "not in --models, so not run: Other" in CliRunner().invoke(main, [*command, *arguments]).output
    (tmp_path / "rows.yaml").write_text("Small, VQRec: {model: VQRec}\n")
    result = CliRunner().invoke(main, [*command, *arguments])
    assert result.exit_code == 2 and "row 'Small, VQRec': a comma stands between rows" in result.output
    (tmp_path / "rows.yaml").write_text("- VQRec\n")
    result = CliRunner().invoke(main, [*command, *arguments])
    assert result.exit_code == 2 and "expected lines of 'row name:" in result.output


def test_what_props_state_are_options_of_models():
    stated = read_props("comparison.yaml")
    named = [*stated["options"].items(), *stated["grid"].items()]
    named += [entry for of_models in stated["tuned"].values() for entry in of_models.items()]
    for model, options in named:
        assert model == "others" or registry.entry(model)
        assert set(options) <= known_options(), model
    for options in stated["grid"].values():
        assert all(isinstance(values, list) for values in options.values())


@pytest.mark.parametrize("stated, expected", [(None, 4), ("1", 1), ("3", 3), ("16", 4), ("", 4), ("0", 4), ("2,2", 4)])
def test_processes_share_the_cores_unless_fewer_threads_are_asked_for(monkeypatch, stated, expected):
    from recbole_vqrec.comparison.executor import threads_of_each

    monkeypatch.setattr("os.cpu_count", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if stated is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", stated)
    assert threads_of_each(2) == expected
    assert threads_of_each(100) == 1


def test_what_the_user_has_set_is_not_tuned():
    run = Run("out", "Scientific", "VQRec", "VQRec", 2020, {"learning_rate": 0.0123})
    made = trials(run, 100, ["learning_rate"])
    assert made and all("learning_rate" not in trial.trial for trial in made)
    assert {trial.options["learning_rate"] for trial in made} == {0.0123}
    every = {name for trial in trials(run, 100) for name in trial.trial}
    assert trials(run, 100, every) == []
