"""A run's data set -> its catalogue, written into the run folder so that the folder is enough to recommend.

Axis legend: N items without padding.
"""

from logging import getLogger
from pathlib import Path

import numpy as np

from recbole_vqrec import artifacts
from recbole_vqrec.data.dataset import item_ids_of
from recbole_vqrec.data.item_code_table import codes_path
from recbole_vqrec.data.mixed_domains import MixedDomains
from recbole_vqrec.data.prefix_rows import training_counts
from recbole_vqrec.data.text_vector_table import made_by
from recbole_vqrec.errors import VQRecError
from recbole_vqrec.inference.catalogue import Catalogue
from recbole_vqrec.preprocess.item_text import item_texts, text_columns_of
from recbole_vqrec.quantization.item_codes import KIND as CODES_KIND
from recbole_vqrec.quantization.quantizers import PREFIX

LANGUAGE_MODEL = ("plm", "pooling", "max_text_length", "text_columns", "empty_text")


def catalogue_of(config, dataset):
    """Return the catalogue of a run.

    Args:
        config (Config): of the run; it names the code file and the language model.
        dataset (SequentialDataset): the training split, whose rows are prefixes, after the model has been built.
    """
    item_ids = item_ids_of(dataset)
    of_code_file = {}
    codes, per_codebook, quantizer = None, None, {}
    if getattr(dataset, "item_codes", None) is not None:
        per_codebook = dataset.codes_per_codebook
        flat = dataset.item_codes[1:].numpy()
        codes = flat - 1 - np.arange(flat.shape[1]) * per_codebook
        codes = codes.astype(np.uint8 if per_codebook <= 256 else np.int32)
        file = codes_path(Path(config["data_path"]), config["dataset"], config)
        if file.is_file():  # else each domain has codes of its own quantizer, and none of them is for new items
            tensors, _, manifest = artifacts.read_artifact(file, CODES_KIND, "encode the data set again")
            quantizer = {name.removeprefix(PREFIX): array for name, array in tensors.items() if name.startswith(PREFIX)}
            of_code_file = manifest.get("language_model", {})
    made = {"dataset": config["dataset"], "trained_items": len(item_ids), **_language_model(config, of_code_file)}
    pairs, strengths = getattr(dataset, "item_pairs", None) or (None, None)
    text_vectors = vars(dataset).get("item_text_vectors")  # read from its file when a model first asks for it
    return Catalogue(
        item_ids,
        _texts(config, made, item_ids),
        _training_counts(dataset)[1:].astype(np.int64),
        np.zeros(len(item_ids), dtype=bool),
        codes,
        per_codebook,
        quantizer,
        None if text_vectors is None else text_vectors[1:].float().numpy(),
        item_pairs=None if pairs is None else (pairs - 1).int().numpy(),
        pair_strengths=None if pairs is None else strengths.numpy(),
        made=made,
    )


def _language_model(config, of_code_file):
    """Return how a new item's text becomes a vector as the run's items did: what the files say, else the options.

    Args:
        config (Config): of the run.
        of_code_file (dict): plm and pooling of the run's code file, where it says them.
    """
    options = {name: config[name] for name in LANGUAGE_MODEL} | of_code_file
    of_vectors = made_by({"data_path": config["data_path"], "dataset": config["dataset"], "plm": options["plm"]})
    if all(of_vectors.get(name) == of_code_file[name] for name in of_code_file):  # else the codes are of other vectors
        options |= {name: of_vectors[name] for name in (*LANGUAGE_MODEL, "plm_files") if name in of_vectors}
    items = artifacts.atomic_file(config["data_path"], config["dataset"], "item")
    if not options["text_columns"] and items.is_file():
        options["text_columns"] = text_columns_of(items)  # so that a file of new items has to have the same
    return options


def _training_counts(dataset):
    """Return the training interactions of each item, [1 + N], of prefix rows or of the sequences of mixed domains."""
    if not isinstance(dataset, MixedDomains):
        return training_counts(dataset)
    sequences = dataset.training
    end = sequences.start + sequences.length  # the last target
    edges = np.zeros(len(sequences.items) + 2, dtype=np.int64)
    np.add.at(edges, end - sequences.targets + 1, 1)
    np.add.at(edges, end + 1, -1)
    trained = edges.cumsum()[: len(sequences.items)] > 0
    trained[sequences.start[sequences.length == sequences.targets]] = True  # a user's first interaction is no target
    return np.bincount(sequences.items[trained], minlength=dataset.item_num)


def _texts(config, made, item_ids):
    """Return the items' texts, "" for those without; a run does not need them, so a bad file is told and no error."""
    file = artifacts.atomic_file(config["data_path"], config["dataset"], "item")
    columns = made["text_columns"]
    if isinstance(columns, str):
        columns = [name.strip() for name in columns.split(",")]
    try:
        text = dict(zip(*item_texts(file, columns, made["empty_text"] or " ")))
    except VQRecError as error:
        if file.is_file():
            getLogger().warning(f"the run is kept without texts of its items: {error}")
        return [""] * len(item_ids)
    return [text.get(item_id, "").strip() for item_id in item_ids]
