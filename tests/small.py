"""Small data sets and settings that the tests share."""

import os
from pathlib import Path

import numpy as np
import pytest

from recbole_vqrec import artifacts
from recbole_vqrec.config import Config
from recbole_vqrec.quantization.item_codes import ItemCodes

ROOT = Path(__file__).resolve().parent.parent
SHARED_DATA = Path(os.environ.get("VQREC_SHARED_DATA", ROOT.parent / "shared" / "data"))
SMALL = {
    "hidden_size": 16, "inner_size": 16, "codebooks": 4, "codes_per_codebook": 8, "item_codes": "small",
    "hidden_dropout_prob": 0.0, "attn_dropout_prob": 0.0, "MAX_ITEM_LIST_LENGTH": 5, "train_batch_size": 64,
    "show_progress": False, "epochs": 1, "attribute_min_items": 2, "pretrain_epochs": 1, "topk": [5, 10],
}  # fmt: skip


def shared_data(name):
    """Return a folder of the real data, or skip."""
    folder = SHARED_DATA / name
    if not folder.is_dir():
        pytest.skip(f"real data {folder} is not on this machine; set VQREC_SHARED_DATA")
    return folder


def write_inter(folder, name, sequences):
    """Write <name>.inter: sequences is user -> list of items, times are positions."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f"{user}\t{item}\t{time}" for user, items in sequences.items() for time, item in enumerate(items)]
    path = folder / f"{name}.inter"
    path.write_text("\n".join(["user_id:token\titem_id:token\ttimestamp:float", *lines]) + "\n")
    return path


def write_codes(folder, name, items, codebooks=4, codes_per_codebook=8, codes="small"):
    """Write a code file with codes that differ between items."""
    drawn = np.random.default_rng(0).integers(0, codes_per_codebook, size=(len(items), codebooks))
    path = folder / f"{name}.{codes}.codes.safetensors"
    ItemCodes(list(items), drawn, codes_per_codebook, {"dataset": name}).save(path)
    return path


def small_config(model="VQRec", dataset="tiny", **options):
    """Return a Config of a small model."""
    return Config(model, dataset, None, {**SMALL, **options})


def write_vectors(folder, name, items, size=6, plm="bert-base-uncased", inputs=None, seed=0, pooling="cls"):
    """Write an embedding file with vectors drawn at random, of `plm` or its word-drop view; return {item: vector}."""
    drawn = np.random.default_rng(seed).normal(size=(len(items), size)).astype(np.float32)
    made = {"plm": plm.removesuffix(".word-drop"), "pooling": pooling}
    manifest = {"dataset": name, "options": made, "inputs": inputs or {}}
    path = artifacts.embedding_file(folder, name, plm)
    artifacts.write_artifact(path, "text embedding", {"embeddings": drawn}, manifest, list(items))
    return dict(zip(items, drawn))


def write_vectors_of_all(folder, name):
    """Write an embedding file for all items of <name>.inter."""
    lines = (folder / f"{name}.inter").read_text().splitlines()[1:]
    return write_vectors(folder, name, dict.fromkeys(line.split("\t")[1] for line in lines))


def write_domains(data_path, name="mix", **domains):
    """Write a merged data set: domain -> {user: items}; ids get the domain in front, codes `small` for all items."""
    sequences, items = {}, {}
    for domain, users in domains.items():
        sequences.update({f"{domain}-{user}": [f"{domain}-{item}" for item in its] for user, its in users.items()})
        items.update({f"{domain}-{item}": None for its in users.values() for item in its})
    folder = data_path / name
    write_inter(folder, name, sequences)
    write_codes(folder, name, list(items))
    return folder


def random_domains(data_path, users=24, seed=3):
    """Write a mix of domains "a" (12 items) and "b" (7 items), b with a third of the users; returns its folder."""
    draw = np.random.default_rng(seed)

    def histories(count, size):
        return {f"u{user}": [f"i{item}" for item in draw.integers(0, size, 3 + user % 9)] for user in range(count)}

    return write_domains(data_path, a=histories(users, 12), b=histories(users // 3, 7))
