"""The commands as a user types them: output, one-line errors, and that a second run does nothing."""

import subprocess
import sys

import pytest
from click.testing import CliRunner
from small import ROOT, SMALL

from recbole_vqrec import quick_start
from recbole_vqrec.cli import main
from recbole_vqrec.cli.run import options_of
from recbole_vqrec.errors import VQRecError
from recbole_vqrec.report import run_table

ARGUMENTS = [f"--{name}={value}" for name, value in SMALL.items()]


def call(*arguments):
    result = CliRunner().invoke(main, arguments)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.mark.parametrize("command", [[], ["run"], ["preprocess"], ["preprocess", "ml-100k"], ["embed"], ["encode"]])
def test_help_shows_an_example(command):
    output = call(*command, "--help").output
    assert "Usage:" in output and (command in ([], ["preprocess"]) or "Example:" in output)


@pytest.mark.parametrize("command", ["run", "pretrain", "finetune", "evaluate", "ablate", "compare"])
def test_help_has_a_short_form(command):
    assert call(command, "-h").output.startswith("Usage:")


def test_models_of_one_table_have_the_same_size(monkeypatch):
    ran = {}

    def run(model, dataset, config_files, options):
        ran[model] = options

    monkeypatch.setattr(quick_start, "run", run)
    monkeypatch.setattr(run_table, "write_table", lambda folder, results: folder)
    quick_start.compare(["VQRec", "SASRec"], "Scientific", None, {"hidden_dropout_prob": 0.3, "attn_dropout_prob": 0.3})
    assert ran["SASRec"] == {
        "hidden_size": 300, "inner_size": 256, "hidden_dropout_prob": 0.3, "attn_dropout_prob": 0.3
    }  # fmt: skip
    quick_start.compare(["SASRec"], "tiny", None, {"hidden_size": 16})
    assert ran["SASRec"]["hidden_size"] == 16


def test_run_prints_the_table_and_the_checkpoint(tiny):
    result = call("run", "--model=VQRec", "--dataset=tiny", *ARGUMENTS)
    assert result.exit_code == 0
    assert "R@5" in result.output and "peak MB" in result.output and "checkpoint.safetensors" in result.output


def test_several_models_make_one_table(tiny):
    result = call("run", "--models=VQRec,SASRec", "--dataset=tiny", *ARGUMENTS)
    assert result.exit_code == 0
    lines = [line.split()[0] for line in result.output.splitlines() if line.startswith(("VQRec ", "SASRec "))]
    assert lines == ["VQRec", "SASRec"]
    assert "table: saved/comparison-tiny-" in result.output


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["run", "--model=VQRek", "--dataset=tiny"], "unknown model 'VQRek', did you mean 'VQRec'?"),
        (["run", "--models=VQRec,SASRecc", "--dataset=tiny"], "unknown model 'SASRecc', did you mean 'SASRec'?"),
        (["run", "--model=SASRec", "--models=VQRec", "--dataset=tiny"], "model and models are both given"),
        (
            ["run", "--model=VQRec", "--dataset=tiny", "--codebok=3"],
            "unknown option 'codebok', did you mean 'codebooks'?",
        ),
        (["run", "--model=VQRec", "--dataset=tiny", "epochs=3"], "argument 'epochs=3': write options as --name=value"),
        (["run", "--stage=finetune"], "no model given; say --model=NAME"),
        (["run", "--model=VQRec", "--dataset=none"], "dataset/none: data set folder not found"),
        (["run", "--model=VQRec", "--dataset=tiny", "--config_files=none.yaml"], "none.yaml: config file not found"),
        (["embed", "--dataset=tiny", "--text-columns=titel"], "text column 'titel' not found, did you mean 'title'?"),
        (["embed", "--dataset=none"], "dataset/none/none.item: not found"),
        (["embed", "--dataset=tiny", "--plm=package:none_such"], "plm: package none_such is not installed"),
        (["embed", "--dataset=tiny", "--plm=./no-folder"], "plm: cannot load './no-folder'"),
        (["embed", "--dataset=tiny", "--plm=./no-folder", "--pooling=max"], "pooling: 'max' is not known"),
        (["encode", "--dataset=tiny"], "text embedding not found; run 'recbole-vqrec embed --dataset tiny"),
    ],
)
def test_bad_input_is_one_line_and_no_traceback(tiny, arguments, message, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    before = sorted(tiny.iterdir())
    result = call(*arguments)
    assert result.exit_code == 2
    errors = [line for line in result.output.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and message in errors[0], result.output
    assert "Traceback" not in result.output
    assert sorted(tiny.iterdir()) == before


def test_an_item_without_text_is_named(tiny):
    with open(tiny / "tiny.item", "a") as file:
        file.write("i99\t \n")
    result = call("embed", "--dataset=tiny")
    assert "tiny.item line 14: no text in title for 1 items (i99)" in result.output


def test_preprocessing_takes_options_from_yaml_files(tmp_path):
    inter = ["user_id:token\titem_id:token\ttimestamp:float", *(f"u{i % 2}\ti{i % 3}\t{i}" for i in range(6))]
    (tmp_path / "a.inter").write_text("\n".join(inter) + "\n")
    items = "".join(f"i{i}\tthing {i}\tred\n" for i in range(3))
    (tmp_path / "a.item").write_text("item_id:token\ttitle:token_seq\tcolour:token_seq\n" + items)
    (tmp_path / "my.yaml").write_text("user_k: 3\nitem_k: 1\nduplicates: ~\ntext_columns: [title]\ndata_path: data\nepochs: 3\n")
    command = ["preprocess", "atomic", "--inter", "a.inter", "--item", "a.item", "--config-files"]
    result = CliRunner().invoke(main, [*command, "my.yaml"])
    assert result.exit_code == 0 and "2 users" in result.output
    assert (tmp_path / "data/a/a.item").read_text().splitlines()[0] == "item_id:token\ttitle:token_seq"
    result = CliRunner().invoke(main, [*command, "my.yaml", "--user-k", "4"])  # no user has as many
    assert result.exit_code == 2 and "4-core users" in result.output
    (tmp_path / "my.yaml").write_text("user_kk: 3\n")
    result = CliRunner().invoke(main, [*command, "my.yaml"])
    assert result.exit_code == 2 and "unknown option 'user_kk', did you mean 'user_k'" in result.output
    (tmp_path / "my.yaml").write_text("user_k: 0\n")
    result = CliRunner().invoke(main, [*command, "my.yaml"])
    assert result.exit_code == 2 and "user_k: 0" in result.output


def test_recbole_style_arguments():
    assert options_of(["--a=1", "--b=x=y", "--c="]) == {"a": "1", "b": "x=y", "c": ""}
    with pytest.raises(VQRecError):
        options_of(["-a=1"])


def test_the_script_and_the_module_start(tiny):
    for start in (["run_recbole_vqrec.py"], ["-m", "recbole_vqrec", "run"]):
        command = [sys.executable, *start, "--model=VQRec", "--dataset=none"]
        command[1] = str(ROOT / command[1]) if command[1].endswith(".py") else command[1]
        done = subprocess.run(command, capture_output=True, text=True, env={"PYTHONPATH": str(ROOT), "PATH": ""})
        assert done.returncode == 2 and done.stderr.startswith("error: dataset/none"), done.stderr
