"""Runs of small models on twelve items with texts, a tiny language model and a real quantizer; trained once."""

import os
import shutil

import numpy as np
import pytest
from small import SMALL, write_inter

from recbole_vqrec import Recommender, compat, quick_start
from recbole_vqrec.config import stage_options
from recbole_vqrec.embedding.embed import embed_dataset
from recbole_vqrec.quantization.encode import encode_dataset

ITEMS = [f"i{number}" for number in range(12)]
NAMES = ("VQRec", "SASRec", "CORE", "LightSANs", "SASRecText", "UniSRec", "FDSA", "RecGURU", "ItemCoOccurrence")
CO_OCCURRENCE = {
    "VQRec": {"seen_weight": -3},
    "VQRec code+text": {"item_representation": "code+text", "seen_weight": "auto"},
    "SASRec": {"seen_weight": 2.5},
}
TEXT_SIMILARITY = ("VQRec", "SASRec", "SASRecText", "ItemCoOccurrence")
COLOURS = ["red", "green", "blue", "grey"]
TEXTS = {item: f"{COLOURS[row % 4]} {'glue' if row % 3 else 'tape'} {row}" for row, item in enumerate(ITEMS)}
SEQUENCES = {
    f"u{user}": [f"i{int(item)}" for item in np.random.default_rng(user).integers(0, 12, size=4 + user % 8)]
    for user in range(30)
}


def write_language_model(folder):
    """Write a BERT of 16 dimensions with random weights over single letters and a few words."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder.mkdir(parents=True)
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "glue", "tape", *COLOURS, *letters]
    (folder / "vocab.txt").write_text("\n".join([*words, *(f"##{letter}" for letter in letters)]) + "\n")
    vocabulary = str(folder / "vocab.txt")
    BertTokenizerFast(vocab=vocabulary, vocab_file=vocabulary).save_pretrained(folder)
    torch.manual_seed(1)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    BertModel(BertConfig(vocab_size=len(words) + len(letters), initializer_range=0.5, **sizes)).save_pretrained(folder)


def write_toy(home):
    """Write a data set with texts and a language model; return its folder, its layout and options for its codes."""
    folder = home / "dataset" / "toy"
    write_inter(folder, "toy", SEQUENCES)
    lines = [f"{item}\t{text}" for item, text in TEXTS.items()]
    (folder / "toy.item").write_text("\n".join(["item_id:token\ttitle:token_seq", *lines]) + "\n")
    write_language_model(home / "plm")
    layout = {"codebooks": 4, "codes_per_codebook": 8, "plm": str(home / "plm"), "pooling": "mean"}
    options = stage_options(given={**layout, "data_path": str(home / "dataset")})
    return folder, layout, options


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """Return a function model name -> run folder; the data set is deleted once all runs are made."""
    compat.apply()
    home, before = tmp_path_factory.mktemp("runs"), os.getcwd()
    os.chdir(home)
    folder, layout, options = write_toy(home)
    embed_dataset(folder, "toy", options, progress=False, say=lambda line: None)
    encode_dataset(folder, "toy", options, say=lambda line: None)
    small = {**SMALL, **layout, "item_codes": None, "state": "ERROR"}
    runs = {name: quick_start.run(name, "toy", None, dict(small)) for name in NAMES}
    runs["with text"] = quick_start.run("VQRec", "toy", None, {**small, "item_representation": "code+text"})
    for name, options in CO_OCCURRENCE.items():
        counted = {**small, "co_occurrence_weight": 1, **options}
        runs[f"{name} with co-occurrence"] = quick_start.run(name.split()[0], "toy", None, counted)
    for name in TEXT_SIMILARITY:
        options = {**small, "text_similarity_weight": 2, "new_item_weight": 0.5}
        options["co_occurrence_weight"] = int(name == "ItemCoOccurrence")
        runs[f"{name} with text similarity"] = quick_start.run(name, "toy", None, options)
    words = {"attribute_columns": "title", "attribute_separator": " "}
    runs["S3Rec"] = quick_start.run("S3Rec", "toy", None, {**small, **words})
    runs["UniSRec with ids"] = quick_start.run("UniSRec", "toy", None, {**small, "transductive": True})
    runs["with ids"] = quick_start.run("VQRec", "toy", None, {**small, "item_representation": "code+id"})
    pretrained = quick_start.pretrain(name="toy", config_dict=dict(small))["run"]
    for name, representation in (("", "code"), (" with text", "code+text"), (" with ids", "code+id")):
        permuted = {**small, "permutation": "soft", "item_representation": representation}
        runs["fine-tuned" + name] = quick_start.finetune("toy", pretrained, config_dict=permuted)
    expected = {name: _expected(run["run"]) for name, run in runs.items()}
    shutil.rmtree(home / "dataset")
    shutil.move(pretrained, home / "pre-trained")
    os.chdir(before)
    folders = {name: (home / run["run"], expected[name]) for name, run in runs.items()}
    return {**folders, "pre-trained": (home / "pre-trained", None)}


def _expected(run):
    """Return histories and the scores [U, 12] that full_sort_predict gives them, in the order of ITEMS."""
    _, model, dataset, _, _, test_data = quick_start.load_data_and_model(run)
    rows = test_data.dataset.inter_feat
    tokens = dataset.field2id_token["item_id"]
    columns = [list(tokens).index(item) for item in ITEMS]
    histories = [
        [str(tokens[item]) for item in items[:length]]
        for items, length in zip(rows["item_id_list"].tolist(), rows["item_length"].tolist())
    ]
    return histories, model.full_sort_predict(rows).view(len(rows), -1).detach().numpy()[:, columns]


@pytest.fixture
def sequences():
    """The interactions behind the runs, user -> items."""
    return SEQUENCES


@pytest.fixture
def run(trained, tmp_path):
    """A copy of the VQRec run folder, alone on the disk."""
    return copied(trained, "VQRec", tmp_path)


@pytest.fixture
def recommender(run):
    """The VQRec run, loaded."""
    return Recommender.load(run)


def copied(trained, name, tmp_path):
    """Return a copy of a model's run folder."""
    target = tmp_path / f"run-{name}"
    shutil.copytree(trained[name][0], target)
    return target
