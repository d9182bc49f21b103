"""A tiny language model with random weights, and a data set of ten items to embed with it."""

import os

import pytest

from recbole_vqrec.config import stage_options

WORDS = "red green blue glue tape paper sand grit for and the of steel wood".split()
TITLES = [
    "red glue", "green glue for wood", "sand paper of fine grit for steel and wood", "tape", "red glue",
    "blue tape and the green tape", "the sand", "grit", "paper tape for the red wood and the blue steel", "steel",
]  # fmt: skip


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory):
    """Folder of a BERT with 2 layers of size 16 over a dozen words."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path_factory.mktemp("plm") / "tiny-bert"
    folder.mkdir()
    vocabulary = folder / "vocab.txt"
    vocabulary.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]) + "\n")
    BertTokenizerFast(vocab=str(vocabulary), vocab_file=str(vocabulary)).save_pretrained(folder)
    torch.manual_seed(1)
    config = BertConfig(
        vocab_size=5 + len(WORDS), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=32, initializer_range=0.5,
    )  # fmt: skip
    BertModel(config).save_pretrained(folder)
    return str(folder)


@pytest.fixture
def titles():
    """The texts of the ten items, nine of them distinct."""
    return TITLES


@pytest.fixture
def toy(tmp_path):
    """Folder dataset/toy with toy.item: ten items i0 .. i9, nine distinct texts."""
    folder = tmp_path / "dataset" / "toy"
    folder.mkdir(parents=True)
    lines = ["item_id:token\ttitle:token_seq", *(f"i{row}\t{title}" for row, title in enumerate(TITLES))]
    (folder / "toy.item").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture
def options(tiny_bert, toy):
    """Options of the stage with the tiny model, mean pooling."""
    return stage_options(given={"plm": tiny_bert, "pooling": "mean", "data_path": str(toy.parent)})


@pytest.fixture
def environment():
    """Environment of a subprocess that imports this tree."""
    import recbole_vqrec

    root = os.path.dirname(os.path.dirname(recbole_vqrec.__file__))
    return {**os.environ, "PYTHONPATH": root, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
