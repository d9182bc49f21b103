"""Text embeddings -> item codes of a data set, learned on the items of its training split only ("strict").

Axis legend: N items, D codebooks, M codes per codebook, d embedding size.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from recbole_vqrec import artifacts
from recbole_vqrec.data.item_code_table import codes_path
from recbole_vqrec.embedding.text_encoder import load_embeddings
from recbole_vqrec.errors import VQRecError, nearest
from recbole_vqrec.preprocess.atomic_files import read_table
from recbole_vqrec.quantization.item_codes import KIND, ItemCodes
from recbole_vqrec.quantization.product_quantizer import FEWEST_POINTS_PER_CENTROID, ProductQuantizer

QUANTIZERS = ("opq", "pq")
OPTIONS = ("quantizer", "codebooks", "codes_per_codebook", "opq_iterations", "quantizer_seed")


def encode_dataset(folder, dataset, options, force=False, say=print):
    """Learn a quantizer, encode all items of a data set and write the code file; do nothing where it is up to date.

    Args:
        folder (str or Path): the data set's folder with interactions and text embeddings.
        dataset (str): D.
        options (dict): those of props/item_codes.yaml.
        force (bool): redo.
        say (callable): receives one line if there are too few items for the codebooks.

    Returns:
        tuple: path of the code file, and whether it was written now.

    Raises:
        VQRecError: embeddings missing or stale, items without embedding, or sizes that cannot be.
    """
    if options["quantizer"] not in QUANTIZERS:
        raise VQRecError(
            f"quantizer: '{options['quantizer']}' is none of {', '.join(QUANTIZERS)}"
            f"{nearest(options['quantizer'], QUANTIZERS)}"
        )
    folder = Path(folder)
    embedding_path = artifacts.embedding_file(folder, dataset, options["plm"])
    remedy = f"run 'recbole-vqrec embed --dataset {dataset} --plm {options['plm']}'"
    artifacts.refuse_stale(embedding_path, artifacts.read_manifest(embedding_path, "text embedding", remedy), remedy)
    interactions = interaction_files(folder, dataset)
    path = codes_path(folder, dataset, options)
    made_by = {name: options[name] for name in OPTIONS}
    inputs = artifacts.fingerprints(embedding_path, *interactions)
    if not force and artifacts.is_up_to_date(path, KIND, made_by, inputs):
        return path, False

    item_ids, embeddings, _ = load_embeddings(embedding_path, remedy)
    trained_on = sorted(training_items(folder, dataset))
    rows = artifacts.rows_of(item_ids, trained_on, embedding_path, remedy)
    codes_per_codebook = options["codes_per_codebook"]
    if len(rows) < FEWEST_POINTS_PER_CENTROID * codes_per_codebook:
        enough = 1 << max(1, (len(rows) // FEWEST_POINTS_PER_CENTROID).bit_length() - 1)
        say(
            f"note: {len(rows):,} training items for {codes_per_codebook} codes per codebook, fewer than "
            f"{FEWEST_POINTS_PER_CENTROID} a code; --codes {enough} would be backed by enough"
        )
    quantizer = ProductQuantizer.train(
        embeddings[rows],
        options["codebooks"],
        codes_per_codebook,
        rotate=options["quantizer"] == "opq",
        iterations=options["opq_iterations"],
        seed=options["quantizer_seed"],
    )
    codes = quantizer.encode(embeddings)
    manifest = {
        "dataset": dataset,
        "options": made_by,
        "inputs": inputs,
        "training_items": len(rows),
        "distinct_codes": len(np.unique(codes, axis=0)),
        "reconstruction_error": quantizer.reconstruction_error(embeddings[rows]),
    }
    ItemCodes(item_ids, codes, codes_per_codebook, manifest).save(path, quantizer.tensors())
    return path, True


def interaction_files(folder, dataset):
    """Return the interaction files of a data set: <D>.inter, or the authors' three parts."""
    whole = artifacts.atomic_file(folder, dataset, "inter")
    if whole.is_file():
        return [whole]
    parts = [artifacts.atomic_file(folder, f"{dataset}.{part}", "inter") for part in ("train", "valid", "test")]
    if all(part.is_file() for part in parts):
        return parts
    raise VQRecError(f"{whole}: interaction file not found; put it there, or make it with 'recbole-vqrec preprocess'")


def training_items(folder, dataset):
    """Return the ids of items that occur in the training split: leave-one-out, or the authors' train part.

    Args:
        folder (str or Path): the data set's folder.
        dataset (str): D.
    """
    file = interaction_files(folder, dataset)[0]
    table = read_table(file, "")
    if "item_id_list" in table:
        return set(table["item_id"]).union(*table["item_id_list"].str.split())
    table["timestamp"] = pd.to_numeric(table["timestamp"], errors="coerce")
    table = table.sort_values(["user_id", "timestamp"], kind="stable")
    from_end = table.groupby("user_id").cumcount(ascending=False)
    size = table.groupby("user_id")["item_id"].transform("size")
    # RecBole holds out the last two pairs (history -> item) of a user, but leaves one pair for training
    held_out = np.clip(size - 2, 0, 2)
    return set(table["item_id"][(size > 1) & (from_end >= held_out)])
