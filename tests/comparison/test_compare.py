"""The matrix of runs: what is there is not repeated, what fails is reported, and nothing else gets into the folder."""

import json
import os
import shutil
from pathlib import Path

import filelock
import pytest
from click.testing import CliRunner
from small_comparison import OPTIONS, small_compare

from recbole_vqrec.cli import main
from recbole_vqrec.comparison.compare import LOCK, compare, share_gpus
from recbole_vqrec.comparison.runs import failures, finished_runs
from recbole_vqrec.errors import VQRecError


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


def test_a_config_file_may_say_what_single_runs_need(tiny, in_process):
    Path("my.yaml").write_text("dataset: tiny\nseed: 3\nnproc: 1\n")
    compare(["tiny"], ["SASRec"], "out", config_files=["my.yaml"], options=OPTIONS, say=lambda line: None)
    assert in_process == ["seed-2020"]


def test_what_cannot_be_in_the_table_is_told_before_the_first_run(tiny, in_process):
    small_compare(["SASRec"])
    path = Path("out/tiny/SASRec/seed-2020/result.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 99}))
    with pytest.raises(VQRecError, match="format version 99"):
        small_compare(["Caser"])
    assert len(in_process) == 1


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


def test_gpus_are_those_that_all_runs_share(monkeypatch):
    files, given = {"gpu_id": "7"}, {"gpu_id": "0,1", "epochs": 2}
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    share_gpus(files, given)
    assert (files, given, os.environ["CUDA_VISIBLE_DEVICES"]) == ({}, {"epochs": 2}, "0,1")
    share_gpus({}, {})
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "0,1"


def test_plots_of_a_data_set_whose_name_has_a_blank(tiny, in_process):
    folder = tiny.parent / "two words"
    shutil.copytree(tiny, folder)
    for file in folder.glob("tiny.*"):
        file.rename(folder / file.name.replace("tiny", "two words", 1))
    report = compare(["two words"], ["SASRec"], "out", options=OPTIONS, say=lambda line: None)
    assert "](plots/two%20words-" in report.read_text() and "](plots/two words" not in report.read_text()
    page = Path("out/report.html").read_text()
    assert "data:image/png;base64," in page and ".png" not in page
